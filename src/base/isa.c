/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/isa.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simd/dispatch.h"
#include "src/base/status.h"

enum { VARIANTS_MAX = 8 };

static rapt_isa public_list[VARIANTS_MAX];
static size_t public_count;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill_list(void) {
    int count;
    const struct rapt_variant *variants = rapt_variants(&count);
    for (int i = 0; i < count && i < VARIANTS_MAX; i++) {
        const struct rapt_kernels *k = variants[i].kernels;
        public_list[i] = (rapt_isa){
            .name = k->name,
            .needs = variants[i].needs_text,
            .available = variants[i].available,
            .by_name = variants[i].by_name,
            .lanes = k->lanes,
            .panel_rows = k->panel_rows,
            .tile_rows = k->tile_rows,
        };
        public_count++;
    }
}

size_t rapt_isa_list(const rapt_isa **list) {
    pthread_once(&once, fill_list);
    if (list)
        *list = public_list;
    return public_count;
}

const char *rapt_cpu_features(void) {
    return rapt_dispatch_features();
}

static void available_names(char *text, size_t size) {
    const rapt_isa *list;
    const size_t count = rapt_isa_list(&list);
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        if (!list[i].available || used >= size)
            continue;
        const int n = snprintf(text + used, size - used, "%s%s", used ? ", " : "", list[i].name);
        used += n > 0 ? (size_t)n : 0;
    }
}

rapt_status rapt_isa_choose(const char *name, const rapt_isa **isa) {
    const char *argument = "isa", *from_environment = getenv("RAPT_ISA");
    if (!isa)
        return rapt_fail(RAPT_INVALID_ARGUMENT, "isa: found NULL, expected where to put the isa");
    *isa = NULL;
    if (!name && from_environment && *from_environment) {
        argument = "RAPT_ISA";
        name = from_environment;
    }
    const rapt_isa *list;
    const size_t count = rapt_isa_list(&list);
    const rapt_isa *known = NULL;
    for (size_t i = 0; i < count && !*isa; i++) {
        if (name ? strcmp(name, list[i].name) != 0 : list[i].by_name)
            continue;
        known = &list[i];
        if (list[i].available)
            *isa = known;
    }
    if (*isa)
        return RAPT_OK;
    char names[128];
    available_names(names, sizeof names);
    if (known)
        return rapt_fail(RAPT_ISA_UNAVAILABLE,
                         "%s: this machine lacks what \"%s\" needs (%s), expected one of: %s",
                         argument, name, known->needs, names);
    return rapt_fail(RAPT_ISA_UNAVAILABLE, "%s: found \"%.64s\", expected one of: %s", argument,
                     name, names);
}

rapt_status rapt_isa_kernels(const char *name, const struct rapt_kernels **kernels) {
    const rapt_isa *isa;
    const rapt_status status = rapt_isa_choose(name, &isa);
    const char *refusal = "";
    *kernels = status == RAPT_OK ? rapt_kernels_find(isa->name, &refusal) : NULL;
    if (status == RAPT_OK && !*kernels)
        return rapt_fail(
            RAPT_ISA_UNAVAILABLE,
            "isa: the operating system refuses this process what \"%s\" needs (%s): %s", isa->name,
            isa->needs, refusal);
    return status;
}
