/* SPDX-License-Identifier: Apache-2.0 */
/* Problems as engines have them: packed sequences, pages, quantized caches. All are small. */
#ifndef RAPT_TESTS_SUPPORT_SEQUENCES_H
#define RAPT_TESTS_SUPPORT_SEQUENCES_H

#include "tests/support/helpers.h"

/* Outputs of every kind for queries of shape (b, h, s), and weights with so many columns. */
static inline void add_outputs(rapt_attention_args *args, int64_t b, int64_t h, int64_t s,
                               int64_t channels, int64_t columns) {
    args->out = new_tensor(RAPT_F32, b, h, s, channels);
    args->lse = new_tensor(RAPT_F32, b, h, s, 1);
    args->max = new_tensor(RAPT_F32, b, h, s, 1);
    args->weights = new_tensor(RAPT_F32, b, h, s, columns);
    add_observed(args, b, h, s, args->sequences ? args->sequences : b, columns);
}

/* Three sequences end to end: the second has no queries, the third fewer keys than queries. */
static inline rapt_attention_args ragged_problem(void) {
    static const int64_t cu_q[] = {0, 4, 4, 10}, cu_k[] = {0, 5, 9, 12};
    rapt_attention_args args = rapt_attention_defaults();
    args.sequences = 3;
    args.cu_q = cu_q;
    args.cu_k = cu_k;
    args.query = random_tensor(RAPT_F32, 1, 4, 10, 6, 1);
    args.key = random_tensor(RAPT_F32, 1, 2, 12, 6, 2);
    args.value = random_tensor(RAPT_F32, 1, 2, 12, 7, 3);
    args.mask = random_tensor(RAPT_F32, 1, 4, 10, 5, 4);
    args.alibi = random_tensor(RAPT_F32, 3, 4, 1, 1, 5);
    args.sink = random_tensor(RAPT_F32, 3, 4, 1, 1, 6);
    add_outputs(&args, 1, 4, 10, 7, 5);
    return args;
}

/* Two sequences in pages of 4 keys; the last entry is of no page, and of no interest. */
static inline rapt_attention_args paged_problem(void) {
    static const int32_t table[] = {0, 3, 1, 4, 3, -7};
    static const int64_t lengths[] = {12, 8};
    rapt_attention_args args = rapt_attention_defaults();
    args.block_table = table;
    args.block_table_stride = 3;
    args.kv_len = lengths;
    args.query = random_tensor(RAPT_F32, 2, 4, 3, 6, 1);
    args.key = random_tensor(RAPT_F32, 5, 2, 4, 6, 2);
    args.value = random_tensor(RAPT_F32, 5, 2, 4, 7, 3);
    args.mask = random_tensor(RAPT_BOOL, 1, 1, 3, 12, 4);
    add_outputs(&args, 2, 4, 3, 7, 12);
    return args;
}

/* Keys of int8 and values of q8_0, and every other tensor that there can be. */
static inline rapt_attention_args quantized_problem(void) {
    static const int64_t starts[] = {0, 2};
    rapt_attention_args args = rapt_attention_defaults();
    args.query = random_tensor(RAPT_F32, 2, 4, 3, 32, 1);
    args.key = random_tensor(RAPT_I8, 2, 2, 5, 32, 2);
    args.key_scale = random_tensor(RAPT_F32, 2, 2, 5, 1, 3);
    args.value = random_tensor(RAPT_Q8_0, 2, 2, 5, 64, 4);
    args.mask = random_tensor(RAPT_F32, 2, 1, 3, 3, 5);
    args.mask_start = starts;
    args.alibi = random_tensor(RAPT_F32, 1, 4, 1, 1, 6);
    args.sink = random_tensor(RAPT_F32, 2, 4, 1, 1, 7);
    add_outputs(&args, 2, 4, 3, 64, 5);
    return args;
}

#endif
