/* SPDX-License-Identifier: Apache-2.0 */
/* A host that loads the library, computes on several threads, unloads it, and loads it again:
 * `unload LIBRARY`. It is linked to nothing of it. */
#include <rapt/rapt.h>

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { COUNT = 8 * 200 * 32 };
static float input[COUNT], out[2][COUNT];

static int compute(const char *path, float *to) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    rapt_status (*attention)(const rapt_attention_args *) = NULL;
    if (library)
        *(void **)&attention = dlsym(library, "rapt_attention");
    if (!attention) {
        fprintf(stderr, "unload: %s\n", dlerror());
        return 1;
    }
    const rapt_tensor form = {.dtype = RAPT_F32,
                              .shape = {1, 8, 200, 32},
                              .stride = {8 * 200 * 32, 200 * 32, 32, 1},
                              .data = input};
    rapt_attention_args args = rapt_attention_defaults();
    args.query = args.key = args.value = args.out = form;
    args.out.data = to;
    args.threads = 4;
    const int failed = attention(&args) != RAPT_OK;
    dlclose(library);
    usleep(20000); /* its threads fall asleep */
    return failed;
}

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    for (int i = 0; i < COUNT; i++)
        input[i] = (float)(i * 37 % 101) / 50 - 1;
    for (int i = 0; i < 2; i++)
        if (compute(argv[1], out[i]) != 0)
            return 1;
    return memcmp(out[0], out[1], sizeof out[0]) != 0;
}
