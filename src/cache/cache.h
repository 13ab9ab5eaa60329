/* SPDX-License-Identifier: Apache-2.0 */
/* What a layer needs to know of a cache. */
#ifndef RAPT_SRC_CACHE_CACHE_H
#define RAPT_SRC_CACHE_CACHE_H

#include <rapt/cache.h>

/* What keys are rotated by on their way in, or NULL. */
const rapt_rope *rapt_cache_rope(const rapt_cache *cache);

#endif
