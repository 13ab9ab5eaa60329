/* SPDX-License-Identifier: Apache-2.0 */
/* The table of variants, and the choice among them. */
#include "simd/dispatch.h"

#include <pthread.h>
#include <string.h>

#include "simd/built.h"
#include "simd/cpu.h"

#define RAPT_VARIANT(name, cpu, vectors, by_name, needs)                                           \
    RAPT_BUILT(name, extern const struct rapt_kernels rapt_kernels_##name;)
#include "simd/isa.def"
#undef RAPT_VARIANT

static struct rapt_variant variants[] = {
#define RAPT_VARIANT(name, cpu, vectors, by_name, needs)                                           \
    RAPT_BUILT(name, {&rapt_kernels_##name, needs, by_name, "", false}, )
#include "simd/isa.def"
#undef RAPT_VARIANT
};

enum { VARIANTS = sizeof variants / sizeof *variants };

static char features_text[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void detect(void) {
    const uint32_t features = rapt_cpu_detect();
    rapt_cpu_names(features, features_text, sizeof features_text);
    for (int i = 0; i < VARIANTS; i++) {
        struct rapt_variant *v = &variants[i];
        v->available = (v->needs & ~features) == 0;
        rapt_cpu_names(v->needs, v->needs_text, sizeof v->needs_text);
    }
}

const struct rapt_variant *rapt_variants(int *count) {
    pthread_once(&once, detect);
    *count = VARIANTS;
    return variants;
}

const struct rapt_kernels *rapt_kernels_find(const char *name, const char **refusal) {
    int count;
    const struct rapt_variant *list = rapt_variants(&count);
    const char *reason = "the CPU lacks them";
    const struct rapt_kernels *found = NULL;
    for (int i = 0; i < count && !found; i++) {
        const bool meant = name ? strcmp(list[i].kernels->name, name) == 0 : !list[i].by_name;
        if (!meant || !list[i].available)
            continue;
        reason = rapt_cpu_refusal(list[i].needs);
        if (reason)
            break;
        found = list[i].kernels;
    }
    if (refusal)
        *refusal = reason;
    return found;
}

const struct rapt_kernels *rapt_kernels_best(void) {
    return rapt_kernels_find(NULL, NULL); /* in the list's order, and scalar needs nothing */
}

const char *rapt_dispatch_features(void) {
    pthread_once(&once, detect);
    return features_text;
}
