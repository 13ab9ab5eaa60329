/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of safetensors. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "model/safetensors.h"

/* Headers of one tensor "t" and 8 bytes of data, as `view` would have them: F32 of 2. */
Test(safetensors, tensor_tables_are_checked) {
    static const struct {
        const char *header, *expected;
    } cases[] = {
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}   ", NULL},
        {"{\"__metadata__\":{\"a\":\"b\"},\"t\":{\"dtype\":\"F32\",\"shape\":[2],"
         "\"data_offsets\":[0,8]}}",
         NULL},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}\n\t\r", NULL},
        {"", "not an object"},
        {"[]", "not an object"},
        {"{} x", "not an object"},
        {"{}", "tensors end at byte 0 of the data, expected 8"},
        {"{\"t\":1}", "tensor t: expected a dtype"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2]}}", "tensor t: expected a dtype"},
        {"{\"t\":{\"dtype\":\"F9\",\"shape\":[2],\"data_offsets\":[0,8]}}", "found dtype F9"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", "has 8 bytes"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", "expected a dtype"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,8]}}", "expected a dtype"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[9007199254740992,9007199254740992,2],"
         "\"data_offsets\":[0,8]}}",
         "has 8 bytes"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}",
         "expected a dtype"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9]}}", "within 8 bytes"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "in order"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         "begins at byte 4 of the data, expected 0"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "end at byte 4"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"t\":{\"dtype\":\"U8\",\"shape\":[6],\"data_offsets\":[2,8]}}",
         "tensor t: begins at byte 2 of the data, expected 4"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         "tensor t: found twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t length = strlen(cases[i].header), size = 8 + length + 8;
        unsigned char *bytes = calloc(1, size);
        char message[FAULT_SIZE] = "";
        struct safetensors file;
        bytes[0] = (unsigned char)length;
        bytes[1] = (unsigned char)(length >> 8);
        memcpy(bytes + 8, cases[i].header, length);
        const bool good = safetensors_parse("x.st", bytes, size, &file, message);
        cr_expect_eq(good, cases[i].expected == NULL, "%s: %s", cases[i].header, message);
        cr_expect(good || (strstr(message, cases[i].expected) && strstr(message, "x.st: ")),
                  "%s: %s", cases[i].header, message);
        if (good)
            safetensors_close(&file);
        for (size_t cut = 0; cut < (good ? size : 0); cut++)
            cr_expect_not(safetensors_parse("x.st", bytes, cut, &file, message));
        memset(bytes, 0xff, 8);
        cr_expect_not(safetensors_parse("x.st", bytes, size, &file, message));
        cr_expect(strstr(message, "header of 18446744073709551615"), "%s", message);
        free(bytes);
    }
}

/* Tensors at any byte, whatever their type, and views of them where the type wants them. */
Test(safetensors, tensors_may_lie_anywhere) {
    static const char header[] =
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},\"f\":{\"dtype\":\"F32\","
        "\"shape\":[2],\"data_offsets\":[3,11]},\"h\":{\"dtype\":\"BF16\",\"shape\":[1],"
        "\"data_offsets\":[11,13]},\"n\":{\"dtype\":\"F64\",\"shape\":[0],\"data_offsets\":[13,13]}"
        ","
        "\"c\":{\"dtype\":\"C64\",\"shape\":[1],\"data_offsets\":[13,21]}}";
    enum { HEADER = sizeof header - 1, DATA = 21 };
    const float numbers[2] = {1.5f, -7};
    for (size_t extra = 0; extra < 9; extra++) {
        unsigned char *bytes = malloc(8 + HEADER + extra + DATA);
        memset(bytes, ' ', 8 + HEADER + extra + DATA);
        memset(bytes, 0, 8);
        bytes[0] = (HEADER + extra) % 256;
        bytes[1] = (HEADER + extra) / 256;
        memcpy(bytes + 8, header, HEADER);
        memcpy(bytes + 8 + HEADER + extra + 3, numbers, sizeof numbers);
        struct safetensors file;
        char message[FAULT_SIZE];
        rapt_tensor view;
        cr_assert(safetensors_parse("x", bytes, 8 + HEADER + extra + DATA, &file, message), "%s",
                  message);
        free(bytes);
        for (int i = 0; i < file.count; i++)
            cr_expect_eq((uintptr_t)file.entries[i].data % 64, 0);
        cr_assert(safetensors_view(&file, "f", 0, 2, &view, message), "%s", message);
        cr_expect_arr_eq(view.data, numbers, sizeof numbers);
        safetensors_close(&file);
    }
}

/* What comes to memory of its own kind. */
Test(safetensors, large_tensors_are_read) {
    static const char header[] =
        "{\"t\":{\"dtype\":\"U8\",\"shape\":[3145729],\"data_offsets\":[0,3145729]}}";
    enum { HEADER = sizeof header - 1, DATA = 3145729 };
    unsigned char *bytes = calloc(1, 8 + HEADER + DATA);
    struct safetensors file;
    char message[FAULT_SIZE];
    bytes[0] = HEADER;
    memcpy(bytes + 8, header, HEADER);
    for (int i = 0; i < DATA; i++)
        bytes[8 + HEADER + i] = (unsigned char)(i * 7 + i / 251);
    cr_assert(safetensors_parse("x", bytes, 8 + HEADER + DATA, &file, message), "%s", message);
    cr_expect_eq(memcmp(file.entries[0].data, bytes + 8 + HEADER, DATA), 0);
    safetensors_close(&file);
    free(bytes);
}
