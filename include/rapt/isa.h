/* SPDX-License-Identifier: Apache-2.0 */
/* The instruction sets that the library is built for, and which of them this machine has. */
#ifndef RAPT_ISA_H
#define RAPT_ISA_H

#include <stdbool.h>
#include <stddef.h>

#include <rapt/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rapt_isa {
    const char *name;  /* "avx512", "avx2", "neon", "scalar" or "amx" */
    const char *needs; /* the CPU features it needs, "" for none */
    bool available;    /* CPU and operating system have them */
    bool by_name;   /* taken only where it is asked for: where query, key and value are of bf16 it
                       has bits of its own, in all else those of the others */
    int lanes;      /* floats in one vector: queries side by side */
    int panel_rows; /* queries that are worked on at once, at most */
    int tile_rows;  /* keys (or channels) of a register tile at full panel width */
} rapt_isa;

/*
 * The variants in this build, best first and then those taken by name only, and how many they are.
 * The list is constant for the life
 * of the process. Thread-safe, like all in this header.
 */
RAPT_API size_t rapt_isa_list(const rapt_isa **list);

/*
 * The variant that a call takes which asks for `name`: with NULL that of the environment variable
 * RAPT_ISA, or the best available if it is unset or empty. An unknown or unavailable name is an
 * error whose message lists the available ones.
 *
 * "amx" computes what avx512 does, in the same way but where query, key and value of attention are
 * of bf16: there Intel's matrix unit takes the products, which are exact in f32, sums them in
 * another order, and counts subnormal numbers as zeros. The first plan (or other object) made with
 * it asks Linux for the unit's registers, which the process then has for good: its signal frames
 * grow by 8 KiB, so sigaltstack() wants larger stacks. Where Linux refuses, that is
 * RAPT_ISA_UNAVAILABLE.
 */
RAPT_API rapt_status rapt_isa_choose(const char *name, const rapt_isa **isa);

/* The CPU's features that matter here, such as "sse4.2 avx2 fma avx512f", as detected. */
RAPT_API const char *rapt_cpu_features(void);

#ifdef __cplusplus
}
#endif

#endif
