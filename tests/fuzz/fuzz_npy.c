/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the header of .npy files: what is accepted must describe exactly the bytes there are. */
#include "cli/base/npy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct npy_array array;
    char message[NPY_MESSAGE_SIZE];
    size_t offset;
    const unsigned any =
        NPY_F32 | NPY_F16 | NPY_U16 | NPY_I8 | NPY_U8 | NPY_BOOL | NPY_I64 | NPY_I32;
    if (!npy_read_header(bytes, size, size, any, &array, &offset, message))
        return 0;
    /* The element farthest from the first, and their number, fit the data. */
    uint64_t last = 0;
    for (int i = 0; i < array.rank; i++)
        last += array.shape[i] ? (uint64_t)(array.shape[i] - 1) * (uint64_t)array.stride[i] : 0;
    const uint64_t count = (uint64_t)npy_count(array.rank, array.shape);
    const uint64_t data = (uint64_t)size - offset;
    if (offset > size || count * npy_dtype_size(array.dtype) != data || (count && last >= count))
        abort();
    return 0;
}
