/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RAPT_BUILT(name, text) is the text if this build has the variant, else nothing. The build says so
 * for each line of isa.def by RAPT_HAVE_name, 0 or 1.
 */
#ifndef RAPT_SIMD_BUILT_H
#define RAPT_SIMD_BUILT_H

#define RAPT_BUILT(name, ...) RAPT_BUILT_IF(RAPT_HAVE_##name, __VA_ARGS__)
#define RAPT_BUILT_IF(have, ...) RAPT_BUILT_PASTE(have, __VA_ARGS__)
#define RAPT_BUILT_PASTE(have, ...) RAPT_BUILT_##have(__VA_ARGS__)
#define RAPT_BUILT_0(...)
#define RAPT_BUILT_1(...) __VA_ARGS__

#endif
