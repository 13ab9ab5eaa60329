/* SPDX-License-Identifier: Apache-2.0 */
/* The .npy reader and writer, above all with files that are not what they say. */
#include "cli/base/npy.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ANY = NPY_F32 | NPY_F16 | NPY_U16 | NPY_I8 | NPY_U8 | NPY_BOOL | NPY_I64 | NPY_I32,
    MOST = 512,
};

static char scratch[1024], path[1040];

static void enter(void) {
    const char *folder = getenv("TMPDIR");
    snprintf(scratch, sizeof scratch, "%s/rapt-npy-XXXXXX", folder ? folder : P_tmpdir);
    cr_assert(mkdtemp(scratch));
    snprintf(path, sizeof path, "%s/a.npy", scratch);
}

static void leave(void) {
    remove(path);
    rmdir(scratch);
}

TestSuite(npy, .init = enter, .fini = leave);

static bool read_path(unsigned dtypes, struct npy_array *array, char message[NPY_MESSAGE_SIZE]) {
    FILE *file = fopen(path, "rb");
    cr_assert(file);
    const bool done = npy_read(file, dtypes, array, message);
    fclose(file);
    return done;
}

/* Makes a file in memory: the dict as it is given, and so many bytes 0, 1, 2... of data. */
static size_t make(unsigned char bytes[MOST], int version, const char *dict, size_t data) {
    const size_t prefix = version == 1 ? 10 : 12, length = strlen(dict);
    cr_assert(prefix + length + data <= MOST);
    memset(bytes, 0, MOST);
    memcpy(bytes, "\x93NUMPY", 6);
    bytes[6] = (unsigned char)version;
    bytes[8] = (unsigned char)(length & 255);
    bytes[9] = (unsigned char)(length >> 8);
    memcpy(bytes + prefix, dict, length);
    for (size_t i = 0; i < data; i++)
        bytes[prefix + length + i] = (unsigned char)i;
    return prefix + length + data;
}

static void store(const unsigned char *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    cr_assert(file && fwrite(bytes, 1, size, file) == size);
    cr_assert(fclose(file) == 0);
}

/* Reads a header from a copy of just that size, so that a sanitizer sees every step too far. */
static bool read_header(const unsigned char *bytes, size_t size, uint64_t file_size,
                        struct npy_array *array, char message[NPY_MESSAGE_SIZE]) {
    unsigned char *copy = malloc(size ? size : 1);
    size_t offset = 0;
    memcpy(copy, bytes, size);
    message[0] = '\0';
    const bool valid = npy_read_header(copy, size, file_size, ANY, array, &offset, message);
    free(copy);
    if (valid) {
        const uint64_t data =
            (uint64_t)npy_count(array->rank, array->shape) * (uint64_t)npy_dtype_size(array->dtype);
        cr_expect(offset <= size && offset + data == file_size);
    } else {
        cr_expect(message[0] && strlen(message) < NPY_MESSAGE_SIZE - 1, "%s", message);
    }
    return valid;
}

static void expect_fault(const unsigned char *bytes, size_t size, const char *fault) {
    struct npy_array array;
    char message[NPY_MESSAGE_SIZE];
    store(bytes, size);
    cr_expect_not(read_path(ANY, &array, message), "was read, expected: %s", fault);
    cr_expect(strstr(message, fault), "found \"%s\", expected \"%s\"", message, fault);
    cr_expect_null(array.data);
}

static const char plain[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";
static const char plain_f16[] = "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }\n";
static const char plain_i8[] = "{'descr': '|i1', 'fortran_order': False, 'shape': (2, 3), }\n";
static const char plain_i32[] = "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }\n";
static const char plain_u16[] = "{'descr': '<u2', 'fortran_order': False, 'shape': (2, 3), }\n";

Test(npy, writes_what_it_reads) {
    static const enum npy_dtype dtypes[] = {NPY_F32, NPY_F16, NPY_U16, NPY_I8,
                                            NPY_U8,  NPY_I32, NPY_I64, NPY_BOOL};
    static const size_t sizes[] = {4, 2, 2, 1, 1, 4, 8, 1};
    const int64_t shape[4] = {2, 1, 3, 2};
    double values[12];
    for (int i = 0; i < 12; i++)
        values[i] = (double)i / 7;
    for (int i = 0; i < 40; i++) {
        const int rank = i % 5;
        const enum npy_dtype dtype = dtypes[i / 5];
        FILE *file = fopen(path, "wb");
        cr_assert(file && npy_write(file, dtype, rank, shape, values));
        const size_t bytes = (size_t)npy_count(rank, shape) * sizes[i / 5];
        cr_expect(((size_t)ftell(file) - bytes) % 64 == 0, "the data isn't aligned");
        cr_assert(fclose(file) == 0);

        struct npy_array array;
        char message[NPY_MESSAGE_SIZE];
        cr_assert(read_path(dtype, &array, message), "%s", message);
        cr_expect(array.rank == rank && array.dtype == dtype);
        int64_t stride = 1;
        for (int d = rank - 1; d >= 0; d--) {
            cr_expect(array.shape[d] == shape[d] && array.stride[d] == stride);
            stride *= shape[d];
        }
        cr_expect(memcmp(array.data, values, bytes) == 0);
        free(array.data);
    }
}

Test(npy, reads_every_version_and_order) {
    for (int version = 1; version <= 3; version++) {
        for (int fortran = 0; fortran < 2; fortran++) {
            char dict[96];
            unsigned char bytes[MOST];
            struct npy_array array;
            char message[NPY_MESSAGE_SIZE];
            snprintf(dict, sizeof dict, "{'shape': (2, 3), 'fortran_order': %s, 'descr': '<i8'}",
                     fortran ? "True" : "False");
            store(bytes, make(bytes, version, dict, 48));
            cr_assert(read_path(NPY_I64, &array, message), "%s", message);
            cr_expect(array.rank == 2 && array.shape[0] == 2 && array.shape[1] == 3);
            cr_expect(array.stride[0] == (fortran ? 1 : 3));
            cr_expect(array.stride[1] == (fortran ? 2 : 1));
            cr_expect(((unsigned char *)array.data)[47] == 47);
            free(array.data);
        }
    }
}

Test(npy, takes_any_spelling_of_the_dict) {
    static const struct {
        const char *dict;
        size_t data;
    } cases[] = {
        {"{'descr':'<f4','fortran_order':False,'shape':(2,3)}", 24},
        {" {\"shape\" : ( 2 , 3 , ) , 'descr' : \"<f4\" , 'fortran_order' : True , } \t\r\n ", 24},
        {"{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3)}", 12},
        {"{'descr': '<u2', 'fortran_order': True, 'shape': (3,)}", 6},
        {"{'descr': '|b1', 'fortran_order': False, 'shape': (6,)}", 6},
        {"{'descr': '<V2', 'fortran_order': False, 'shape': (3,)}", 6},
        {"{'descr': '|V2', 'fortran_order': True, 'shape': (3,)}", 6},
        {"{'descr': 'bfloat16', 'fortran_order': False, 'shape': (3,)}", 6},
        {"{'descr': '?', 'fortran_order': False, 'shape': (6,)}", 6},
        {"{'descr': '|i1', 'fortran_order': False, 'shape': (3, 5)}", 15},
        {"{'descr': '|u1', 'fortran_order': True, 'shape': (34,)}", 34},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (3,)}", 12},
        {"{'descr': '<i8', 'fortran_order': False, 'shape': ()}", 8},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 7)}", 0},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (3, 0, 5)}", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char bytes[MOST];
        struct npy_array array;
        char message[NPY_MESSAGE_SIZE];
        store(bytes, make(bytes, 1, cases[i].dict, cases[i].data));
        cr_expect(read_path(ANY, &array, message), "%s: %s", cases[i].dict, message);
        free(array.data);
    }
}

Test(npy, says_which_dtype_it_found) {
    static const struct {
        const char *descr;
        unsigned accepted;
        const char *message;
    } cases[] = {
        {"'<f8'", NPY_F32, "dtype '<f8', expected '<f4' (float32)"},
        {"'>f4'", NPY_F32, "dtype '>f4' (big-endian), expected '<f4' (float32)"},
        {"'<f2'", NPY_F32 | NPY_U16, "dtype '<f2', expected '<f4' (float32) or '<u2' (uint16)"},
        {"'<u2'", NPY_F16, "dtype '<u2', expected '<f2' (float16)"},
        {"'>f2'", NPY_F16, "dtype '>f2' (big-endian), expected '<f2' (float16)"},
        {"'<i2'", NPY_U16, "dtype '<i2', expected '<u2' (uint16)"},
        {"'<i8'", NPY_F32 | NPY_BOOL, "dtype '<i8', expected '<f4' (float32) or '|b1' (bool)"},
        {"'<f4'", NPY_I64, "dtype '<f4', expected '<i8' (int64)"},
        {"'<i1'", NPY_I8, "dtype '<i1', expected '|i1' (int8)"},
        {"'|u1'", NPY_I8 | NPY_F16, "dtype '|u1', expected '<f2' (float16) or '|i1' (int8)"},
        {"'>i4'", NPY_I64 | NPY_I32,
         "dtype '>i4' (big-endian), expected '<i8' (int64) or '<i4' (int32)"},
        {"'no dtype has a name as long as this'", ANY,
         "dtype 'no dtype has a name as long as t', expected '<f4' (float32) or '<f2' (float16) or "
         "'<u2' (uint16) or '|i1' (int8) or '|u1' (uint8) or '|b1' (bool) or '<i8' (int64) or "
         "'<i4' (int32)"},
        {"''", NPY_I64, "dtype '', expected '<i8' (int64)"},
        {"[('x', '<f4')]", NPY_F32, "a structured dtype, expected a plain one"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char dict[128], message[NPY_MESSAGE_SIZE];
        unsigned char bytes[MOST];
        struct npy_array array;
        snprintf(dict, sizeof dict, "{'descr': %s, 'fortran_order': False, 'shape': (2,)}",
                 cases[i].descr);
        store(bytes, make(bytes, 1, dict, 8));
        cr_expect_not(read_path(cases[i].accepted, &array, message));
        cr_expect_str_eq(message, cases[i].message);
    }
}

Test(npy, tells_the_dtype_that_it_refuses) {
    unsigned char bytes[MOST];
    struct npy_array array;
    char message[NPY_MESSAGE_SIZE];
    store(bytes, make(bytes, 1, "{'descr': '<u2', 'fortran_order': False, 'shape': (2,)}", 4));
    cr_expect_not(read_path(NPY_F16, &array, message));
    cr_expect_eq(array.dtype, NPY_U16);
    store(bytes, make(bytes, 1, "{'descr': '<u4', 'fortran_order': False, 'shape': (2,)}", 8));
    cr_expect_not(read_path(ANY, &array, message));
    cr_expect_eq(array.dtype, 0);
}

Test(npy, refuses_other_dicts) {
    static const struct {
        const char *descr, *order, *shape, *more;
    } cases[] = {
        {"<f4'", "'False", "(2,)", ""},
        {"'<f4'", "false", "(2,)", ""},
        {"'<f4'", "0", "(2,)", ""},
        {"'<f4'", "False", "(2)", ""},
        {"'<f4'", "False", "2", ""},
        {"'<f4'", "False", "[2]", ""},
        {"'<f4'", "False", "(,)", ""},
        {"'<f4'", "False", "(,2)", ""},
        {"'<f4'", "False", "(2 3)", ""},
        {"'<f4'", "False", "(2,,)", ""},
        {"'<f4'", "False", "(-2,)", ""},
        {"'<f4'", "False", "(+2,)", ""},
        {"'<f4'", "False", "(02,)", ""},
        {"'<f4'", "False", "(2L,)", ""},
        {"'<f4'", "False", "(2.0,)", ""},
        {"'<f4'", "False", "(0x2,)", ""},
        {"'<f4'", "False", "(2,", ""},
        {"'<\\x664'", "False", "(2,)", ""},
        {"'<f4'", "False", "(2,)", ", 'more': 1"},
        {"'<f4'", "False", "(2,)", ", 'shape': (2,)"},
        {"'<f4'", "False", "(2,)", ",,"},
        {"'<f4'", "False", "(2,)", "} {"},
        {"'<f4'", "False", "(1, 1, 1, 1, 2)", ""},
        {"'<f4'", "False", "(9223372036854775808,)", ""},
        {"'<f4'", "False", "(99999999999999999999999999,)", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char dict[192], message[NPY_MESSAGE_SIZE];
        unsigned char bytes[MOST];
        struct npy_array array;
        snprintf(dict, sizeof dict, "{'descr': %s, 'fortran_order': %s, 'shape': %s%s}",
                 cases[i].descr, cases[i].order, cases[i].shape, cases[i].more);
        const size_t size = make(bytes, 1, dict, 8);
        cr_expect_not(read_header(bytes, size, size, &array, message), "%s", dict);
    }
    static const char *const incomplete[] = {
        "", " ", "{", "{}", "None", "{'descr': '<f4'}", "{'descr': '<f4', 'shape': (2,)}"};
    for (size_t i = 0; i < sizeof incomplete / sizeof *incomplete; i++) {
        unsigned char bytes[MOST];
        expect_fault(bytes, make(bytes, 1, incomplete[i], 8), "bad .npy header");
    }
}

Test(npy, refuses_headers_that_lie) {
    unsigned char bytes[MOST];
    expect_fault(bytes, make(bytes, 1, plain, 23), "23 bytes of data, expected 24");
    expect_fault(bytes, make(bytes, 1, plain, 25), "25 bytes of data, expected 24");
    for (size_t data = 0; data <= 24; data++) {
        if (data == 12)
            continue;
        char fault[64];
        snprintf(fault, sizeof fault, "%zu bytes of data, expected 12 for shape (2, 3)", data);
        expect_fault(bytes, make(bytes, 1, plain_f16, data), fault);
        expect_fault(bytes, make(bytes, 1, plain_u16, data), fault);
    }
    expect_fault(bytes, make(bytes, 4, plain, 24), ".npy version 4.0");
    size_t size = make(bytes, 1, plain, 24);
    bytes[7] = 1;
    expect_fault(bytes, size, ".npy version 1.1");
    size = make(bytes, 1, plain, 24);
    bytes[9] = 255;
    expect_fault(bytes, size, "ends inside the .npy header");
    size = make(bytes, 2, plain, 24);
    bytes[11] = 255;
    expect_fault(bytes, size, "header of 4278190140 bytes, expected at most 65524");
    expect_fault((const unsigned char *)"PK\x03\x04 an archive", 16, "not a .npy file");
    expect_fault(bytes, 0, "not a .npy file");
}

Test(npy, allocates_nothing_for_a_hostile_shape) {
    static const struct {
        const char *descr, *shape, *fault;
    } cases[] = {
        {"<f4", "(1152921504606846976,)", "8 bytes of data, expected 4611686018427387904"},
        {"<f4", "(4611686018427387904,)", "too large"},
        {"<f4", "(9223372036854775807,)", "too large"},
        {"<f4", "(4294967296, 4294967296)", "too large"},
        {"<f4", "(0, 9223372036854775807, 2)", "too large"},
        {"<f2", "(4611686018427387903,)", "8 bytes of data, expected 9223372036854775806"},
        {"<f2", "(4611686018427387904,)", "too large"},
        {"<u2", "(9223372036854775807,)", "too large"},
        {"|i1", "(9223372036854775807,)", "8 bytes of data, expected 9223372036854775807"},
        {"|u1", "(3037000500, 3037000500)", "too large"},
        {"<i4", "(2305843009213693952,)", "too large"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char dict[128];
        unsigned char bytes[MOST];
        snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': %s}",
                 cases[i].descr, cases[i].shape);
        expect_fault(bytes, make(bytes, 1, dict, 8), cases[i].fault);
    }
}

Test(npy, survives_every_truncation) {
    for (int version = 1; version <= 3; version++) {
        unsigned char bytes[MOST];
        const size_t size = make(bytes, version, plain, 24);
        for (size_t cut = 0; cut < size; cut++) {
            struct npy_array array;
            char message[NPY_MESSAGE_SIZE];
            cr_expect_not(read_header(bytes, cut, cut, &array, message), "of %zu bytes", cut);
            store(bytes, cut);
            cr_expect_not(read_path(ANY, &array, message), "of %zu bytes", cut);
        }
    }
}

Test(npy, survives_every_change_of_a_byte) {
    static const struct {
        const char *dict;
        size_t data;
    } cases[] = {{plain, 24}, {plain_f16, 12}, {plain_u16, 12}, {plain_i8, 6}, {plain_i32, 24}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char bytes[MOST];
        const size_t size = make(bytes, 1, cases[i].dict, cases[i].data);
        for (size_t at = 0; at < size - cases[i].data; at++) {
            const unsigned char original = bytes[at];
            for (int value = 0; value < 256; value++) {
                struct npy_array array;
                char message[NPY_MESSAGE_SIZE];
                bytes[at] = (unsigned char)value;
                read_header(bytes, size, size, &array, message); /* checks what it returns */
            }
            bytes[at] = original;
        }
    }
}
