/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of keys, rows or chunks, and the arithmetic of sizes. */
#ifndef RAPT_SRC_BASE_RANGE_H
#define RAPT_SRC_BASE_RANGE_H

#include <stdint.h>

/* first <= i < last */
struct rapt_range {
    int64_t first, last;
};

static inline int64_t rapt_min(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t rapt_max(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static inline int64_t rapt_divide_up(int64_t a, int64_t b) {
    return a / b + (a % b != 0);
}
static inline int64_t rapt_round_up(int64_t a, int64_t b) {
    return rapt_divide_up(a, b) * b;
}

/* The smallest range that holds both; empty ones don't count. Start from {INT64_MAX, 0}. */
static inline struct rapt_range rapt_join(struct rapt_range a, struct rapt_range b) {
    if (b.first < b.last) {
        a.first = rapt_min(a.first, b.first);
        a.last = rapt_max(a.last, b.last);
    }
    return a;
}

static inline struct rapt_range rapt_meet(struct rapt_range a, struct rapt_range b) {
    return (struct rapt_range){rapt_max(a.first, b.first), rapt_min(a.last, b.last)};
}

#endif
