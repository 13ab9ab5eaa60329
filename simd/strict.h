/* SPDX-License-Identifier: Apache-2.0 */
/* Compilers may be told to compute something else than what is written, faster. Then NaN and
 * infinity aren't what they are, sums change their order, and denormals vanish. */
#ifndef RAPT_SIMD_STRICT_H
#define RAPT_SIMD_STRICT_H

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ > 0) ||       \
    defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || defined(__NO_SIGNED_ZEROS__)
#    error "rapt is exact: compile it without -ffast-math, -Ofast and their kin"
#endif

#endif
