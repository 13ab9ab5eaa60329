/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/machine.h"
#include "cli/base/random.h"

enum { ALIGNMENT = 64, HUGE_PAGE = 2 << 20 };

/* What is enough to keep a last-level cache cold where its size isn't known. */
static const double cold_bytes = 1.25 * (1 << 30);

/* The sum of four uniform numbers, of mean 0 and variance 1: close enough to a normal one. */
static float next_normal(uint64_t *state) {
    const uint64_t bits = random_bits(state);
    const int64_t sum = (int64_t)(bits & 0xffff) + (int64_t)(bits >> 16 & 0xffff) +
                        (int64_t)(bits >> 32 & 0xffff) + (int64_t)(bits >> 48);
    return (float)(sum - 2 * 0xffff) * (1.7320508f / 65536);
}

double bench_cold_bytes(void) {
    return fmax(cold_bytes, 4 * machine_cache_size());
}

struct bench_copies bench_copies_of(const struct bench_case *bench_case) {
    const struct bench_shape *s = &bench_case->shape;
    double keys = (double)s->batch * (double)s->kv_len;
    if (s->form == BENCH_PAGED)
        keys = (double)s->batch * ceil((double)s->kv_len / BENCH_PAGE_SIZE) * BENCH_PAGE_SIZE;
    const double rows = (double)s->kv_heads * keys;
    const double bytes = rows * (double)s->head_dim * (double)rapt_dtype_size(s->kv_type);
    struct bench_copies copies = {.tensor_bytes = ceil(bytes / ALIGNMENT) * ALIGNMENT,
                                  .scales = s->kv_type == RAPT_I8 ? rows : 0,
                                  .count = 1};
    if (bench_case->memory && !bench_case->warm)
        copies.count = ceil(bench_cold_bytes() / (2 * copies.tensor_bytes));
    return copies;
}

/* What the cases need: floats of query, out, scale and mask, bytes of the cache. */
struct needs {
    double query, scale, mask, cache;
};

static struct needs find_needs(const struct bench_case *cases, size_t count, double least_cache) {
    struct needs most = {.cache = least_cache};
    for (size_t i = 0; i < count; i++) {
        const struct bench_shape *s = &cases[i].shape;
        const struct bench_copies copies = bench_copies_of(&cases[i]);
        const double rows = (double)s->batch * (double)s->q_heads * (double)s->q_len;
        most.query = fmax(most.query, rows * (double)s->head_dim);
        most.scale = fmax(most.scale, 2 * copies.scales * copies.count);
        if (s->mask == BENCH_MASK_ANY)
            most.mask = fmax(most.mask, (double)s->q_len * (double)s->kv_len);
        most.cache = fmax(most.cache, 2 * copies.tensor_bytes * copies.count);
    }
    return most;
}

double bench_data_size(const struct bench_case *cases, size_t count, double least_cache) {
    const struct needs most = find_needs(cases, count, least_cache);
    return (2 * most.query + most.scale + most.mask) * sizeof(float) + most.cache;
}

static void *create_array(double bytes, size_t alignment) {
    return aligned_alloc(alignment, ((size_t)bytes + alignment) / alignment * alignment);
}

/*
 * Fills memory with normal numbers of bf16. Two of them read as one f32 are a normal number, too.
 * Read as int8, every second byte is about 64. The numbers repeat after a prime number of elements,
 * so no two rows that a case reads are the same.
 */
static void fill(char *cache, size_t size, uint64_t state) {
    enum { PERIOD = 4194301 };
    size_t filled = 0;
    for (; filled < size && filled < PERIOD * sizeof(uint16_t); filled += sizeof(uint16_t)) {
        const float number = next_normal(&state);
        uint32_t bits;
        memcpy(&bits, &number, sizeof bits);
        const uint16_t half = (uint16_t)(bits >> 16);
        memcpy(cache + filled, &half, sizeof half);
    }
    while (filled < size) {
        const size_t more = filled < size - filled ? filled : size - filled;
        memcpy(cache + filled, cache, more);
        filled += more;
    }
}

bool bench_data_create(struct bench_data *data, const struct bench_case *cases, size_t count,
                       double least_cache) {
    const struct needs most = find_needs(cases, count, least_cache);
    *data = (struct bench_data){.out_size = (size_t)most.query * sizeof(float),
                                .cache_size = (size_t)most.cache};
    data->query = create_array(most.query * sizeof(float), ALIGNMENT);
    data->out = create_array(most.query * sizeof(float), ALIGNMENT);
    data->scale = create_array(most.scale * sizeof(float), ALIGNMENT);
    data->mask = create_array(most.mask * sizeof(float), ALIGNMENT);
    data->cache = create_array(most.cache, HUGE_PAGE);
    if (!data->query || !data->out || !data->scale || !data->mask || !data->cache) {
        bench_data_destroy(data);
        return false;
    }
    uint64_t state = 2;
    fill((char *)data->query, (size_t)most.query * sizeof *data->query, 3);
    for (size_t i = 0; i < (size_t)most.mask; i++)
        data->mask[i] = next_normal(&state);
    for (size_t i = 0; i < (size_t)most.scale; i++)
        data->scale[i] = ldexpf((float)(1 + random_bits(&state) % 64), -12);
        /* Huge pages spare what reads the cache from end to end, the probe as well as attention,
         * most misses of the TLB. */
#ifdef MADV_HUGEPAGE
    madvise(data->cache, (size_t)most.cache, MADV_HUGEPAGE);
#endif
    fill(data->cache, (size_t)most.cache, 1);
    return true;
}

struct bench_reader bench_data_reader(const struct bench_data *data,
                                      double (*read)(const float *data, int64_t n), int threads) {
    enum { PIECE = 64 << 20 };
    return (struct bench_reader){.read = read,
                                 .threads = threads,
                                 .data = data->cache,
                                 .size = PIECE,
                                 .copies = (int64_t)(data->cache_size / PIECE)};
}

void bench_data_destroy(struct bench_data *data) {
    free(data->query);
    free(data->out);
    free(data->scale);
    free(data->mask);
    free(data->cache);
}
