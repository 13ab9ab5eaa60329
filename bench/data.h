/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers that the cases compute with: memory that all of them share. */
#ifndef RAPT_BENCH_DATA_H
#define RAPT_BENCH_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/probes.h"
#include "bench/shapes.h"

/* Large enough for each of the cases, 64-byte aligned. */
struct bench_data {
    float *query;       /* bits that are random numbers also as f16 and bf16 */
    float *out, *scale; /* scale: of int8 elements */
    float *mask;        /* additive */
    char *cache;        /* keys and values: bits that are random numbers in every type */
    size_t out_size;    /* bytes */
    size_t cache_size;  /* bytes */
};

/*
 * How a case divides the cache: copies of its keys and values. Reading one after the other finds
 * none in the processor's caches, as it is in a model of many layers.
 */
struct bench_copies {
    double tensor_bytes; /* of the keys and of the values of one copy, a multiple of 64 */
    double scales;       /* of the keys and of the values of one copy */
    double count;
};
struct bench_copies bench_copies_of(const struct bench_case *bench_case);

/* So many bytes, read one after the other, are never found in the processor's caches. */
double bench_cold_bytes(void);

/* Bytes that all the cases need together, sharing them; of the cache so many at least. */
double bench_data_size(const struct bench_case *cases, size_t count, double least_cache);

/* False if there isn't so much memory. */
bool bench_data_create(struct bench_data *data, const struct bench_case *cases, size_t count,
                       double least_cache);

/* To measure the bandwidth of memory: the whole cache, of bench_cold_bytes() at least. */
struct bench_reader bench_data_reader(const struct bench_data *data,
                                      double (*read)(const float *data, int64_t n), int threads);
void bench_data_destroy(struct bench_data *data);

#endif
