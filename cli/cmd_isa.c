/* SPDX-License-Identifier: Apache-2.0 */
/* rapt isa: what the CPU has, which variants there are, and which one is chosen. */
#include "cli/base/args.h"
#include "cli/base/commands.h"
#include "cli/base/system.h"

#include <rapt/rapt.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All variants that a build can have; this one may lack some. */
static const char *const all_names[] = {
#define RAPT_VARIANT(name, ...) #name,
#include "simd/isa.def"
#undef RAPT_VARIANT
};

static const rapt_isa *find(const rapt_isa *list, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

static bool has_word(const char *words, const char *word, size_t length) {
    for (; *words; words += strcspn(words, " "), words += strspn(words, " "))
        if (strcspn(words, " ") == length && strncmp(words, word, length) == 0)
            return true;
    return false;
}

/* The needed features that the CPU doesn't have. */
static void print_missing(const char *needs, const char *features) {
    for (const char *word = needs; *word; word += strspn(word, " ")) {
        const size_t length = strcspn(word, " ");
        if (!has_word(features, word, length))
            printf(" %.*s", (int)length, word);
        word += length;
    }
}

static void print_variant(const char *name, const rapt_isa *isa, const char *features,
                          bool chosen) {
    printf("%c %-8s  %-8s", chosen ? '*' : ' ', name, isa ? "yes" : "no");
    if (!isa) {
        printf("  -\n");
        return;
    }
    printf("  %-9s  %5d  %5d  %3d x %d", isa->available ? "yes" : "no", isa->lanes, isa->panel_rows,
           isa->tile_rows, isa->panel_rows);
    if (!isa->available) {
        printf("  missing:");
        print_missing(isa->needs, features);
    }
    putchar('\n');
}

static int print_choice(const rapt_isa *chosen) {
    const char *environment = getenv("RAPT_ISA");
    if (!chosen)
        return args_fail("isa", "%s", rapt_last_error());
    if (environment && *environment)
        printf("\nChosen: %s, because the environment says RAPT_ISA=%s\n", chosen->name,
               environment);
    else
        printf("\nChosen: %s, the best that is available\n", chosen->name);
    return ARGS_OK;
}

int cmd_isa(int argc, char **argv) {
    const struct args_command command = {
        .name = "isa",
        .about = "Shows the features of the CPU, the instruction sets that the library is built "
                 "for, which of them this machine has, and which one is chosen.",
        .notes =
            "Panel: the most queries that a kernel works on side by side. Tile: keys x queries "
            "of a register tile. The environment variable RAPT_ISA chooses a variant.\n"
            "amx is taken only by name. Its attention of bf16 queries, keys and values is "
            "faster than that of avx512, with bits of its own. All else is avx512.\n",
        .examples = "rapt isa\nRAPT_ISA=scalar rapt isa\n",
    };
    const int code = args_parse(&command, argc, argv);
    if (code != ARGS_GO_ON)
        return code;

    char model[128];
    system_cpu_model(model, sizeof model);
    const char *features = rapt_cpu_features();
    printf("CPU:      %s\nFeatures: %s\n\n", model, *features ? features : "none that matter here");

    const rapt_isa *list, *chosen;
    const size_t count = rapt_isa_list(&list);
    if (rapt_isa_choose(NULL, &chosen) != RAPT_OK)
        chosen = NULL;
    printf("  variant   built in  available  lanes  panel  tile\n");
    for (size_t i = 0; i < sizeof all_names / sizeof *all_names; i++) {
        const rapt_isa *isa = find(list, count, all_names[i]);
        print_variant(all_names[i], isa, features, isa && isa == chosen);
    }
    return print_choice(chosen);
}
