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
    bool by_name;      /* taken by its name only, for its own bits: see rapt_isa_choose() */
    int lanes;         /* floats in one vector: queries side by side */
    int panel_rows;    /* queries of a panel, at most */
    int tile_rows;     /* keys (or channels) of a register tile at full panel width */
} rapt_isa;

/*
 * The variants in this build, best first, then those taken by name only. Returns how many they are.
 * The list is constant for the life of the process. Thread-safe, like all in this header.
 */
RAPT_API size_t rapt_isa_list(const rapt_isa **list);

/*
 * The variant that a call with the name `name` takes. NULL stands for that of the environment
 * variable RAPT_ISA, or the best available if it is unset or empty. An unknown or unavailable name
 * is an error whose message lists the available ones.
 *
 * "amx" computes what avx512 does, and in the same way but where query, key and value of attention
 * are bf16. There Intel's AMX takes the products, which are exact in f32. It sums them in another
 * order, and counts subnormal numbers as zeros. So it has bits of its own there, and those of the
 * others in all else.
 *
 * The first plan (or other object) made with amx requests the registers of AMX from Linux. The
 * process then has them for good. Its signal frames grow by 8 KiB, so sigaltstack() wants larger
 * stacks. Where Linux refuses, the call returns RAPT_ISA_UNAVAILABLE.
 */
RAPT_API rapt_status rapt_isa_choose(const char *name, const rapt_isa **isa);

/* The CPU's features that matter here, such as "sse4.2 avx2 fma avx512f", as detected. */
RAPT_API const char *rapt_cpu_features(void);

#ifdef __cplusplus
}
#endif

#endif
