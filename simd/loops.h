/* SPDX-License-Identifier: Apache-2.0 */
/* How compilers are told to unroll loops and to inline functions. */
#ifndef RAPT_SIMD_LOOPS_H
#define RAPT_SIMD_LOOPS_H

#define RAPT_INLINE static inline __attribute__((always_inline))

/*
 * Compilers leave loops of constant length rolled at -O2, which halves the speed. The loop over
 * channels (or keys) is unrolled by RAPT_TILE_STEPS, since its own instructions compete with the
 * FMAs.
 */
#define RAPT_PRAGMA_TEXT(text) _Pragma(#text)
#define RAPT_PRAGMA(text) RAPT_PRAGMA_TEXT(text)
#if defined(__clang__)
#    define RAPT_UNROLL RAPT_PRAGMA(clang loop unroll(full))
#    define RAPT_ROLL RAPT_PRAGMA(clang loop unroll(disable))
#    define RAPT_UNROLL_STEPS RAPT_PRAGMA(clang loop unroll_count(RAPT_TILE_STEPS))
#else
#    define RAPT_UNROLL RAPT_PRAGMA(GCC unroll 32)
#    define RAPT_ROLL RAPT_PRAGMA(GCC unroll 1)
#    define RAPT_UNROLL_STEPS RAPT_PRAGMA(GCC unroll RAPT_TILE_STEPS)
#endif

#endif
