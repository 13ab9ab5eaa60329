/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the header and the tensor table of .safetensors files: what is accepted must lie within
 * the bytes there are, and hold them. The first byte chooses whether the rest is a file or a
 * header, to which the right length and 64 bytes of data are added.
 */
#include "model/safetensors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void parse(const uint8_t *bytes, size_t size) {
    struct safetensors file;
    char message[FAULT_SIZE];
    rapt_tensor view;
    if (!safetensors_parse("fuzz", bytes, size, &file, message))
        return;
    for (int i = 0; i < file.count; i++) {
        const struct safetensors_entry *e = &file.entries[i];
        const size_t begin = 8 + bytes[0] + 256u * bytes[1];
        if (e->size > size - begin || e->place > size - begin - e->size ||
            memcmp(e->data, bytes + begin + e->place, e->size) != 0 ||
            safetensors_find(&file, e->name) != e)
            abort();
        if (safetensors_view(&file, e->name, 0, e->shape[0], &view, message) &&
            (uint64_t)view.shape[3] * (uint64_t)rapt_dtype_size(view.dtype) != e->size)
            abort();
    }
    safetensors_close(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    enum { DATA = 24, EDITS = 6 };
    static const char good[] =
        "{\"__metadata__\":{\"a\":\"b\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2,1],"
        "\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F16\",\"shape\":[0],\"data_offsets\":[8,8]},"
        "\"c\":{\"dtype\":\"BF16\",\"shape\":[8],\"data_offsets\":[8,24]}}";
    static const char characters[] = "0123456789abc\"\\[]{},:-.eE F\x80";
    enum { HEADER = sizeof good - 1 };
    if (size == 0 || bytes[0] % 4 == 0) {
        parse(bytes + (size > 0), size - (size > 0));
        return 0;
    }
    uint8_t *file = calloc(1, 8 + HEADER + DATA);
    if (!file)
        abort();
    file[0] = HEADER % 256;
    file[1] = HEADER / 256;
    memcpy(file + 8, good, HEADER);
    for (size_t i = 1; i + 1 < size && i <= 2 * (size_t)(bytes[0] / 4 % (EDITS + 1)); i += 2)
        file[8 + bytes[i] % HEADER] = (uint8_t)characters[bytes[i + 1] % (sizeof characters - 1)];
    parse(file, 8 + HEADER + DATA);
    free(file);
    return 0;
}
