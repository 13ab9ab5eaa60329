/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/page/attend_page.h"

#include <errno.h>
#include <inttypes.h>

#include "cli/base/args.h"
#include "cli/base/outputs.h"
#include "cli/page/samples_page.h"

static const char name[] = "attend";

static bool write_page(FILE *file, int i, const void *context) {
    char error[PAGE_ERROR_SIZE];
    (void)i;
    errno = 0;
    const rapt_status status = page_write(file, context, error);
    const int reason = errno;
    if (status != RAPT_OK) {
        args_fail(name, "%s", error);
        errno = 0;
        return false;
    }
    errno = ferror(file) && !reason ? EIO : reason;
    return !ferror(file);
}

static bool save(const char *path, const struct page *page) {
    struct outputs outputs = {.command = name};
    const bool done = outputs_add(&outputs, "html", path, OUTPUT_TEXT) &&
                      outputs_write(&outputs, write_page, page);
    outputs_close(&outputs);
    return done;
}

int attend_page(const struct attend_page *options, const struct samples *samples,
                const struct sample *sentence, const char *isa, int threads) {
    if (options->beside > samples->count)
        return args_fail(name, "--beside: found %" PRId64 ", expected N, an integer of 1 to %d",
                         options->beside, samples->count);
    const struct sample *sentences[PAGE_TEXTS] = {sentence};
    int count = 1;
    if (options->beside)
        sentences[count++] = &samples->sentences[options->beside - 1];
    struct samples_page made;
    bool done = samples_page_open(&made, samples, sentences, count);
    if (!done)
        args_fail(name, "%s", rapt_status_text(RAPT_OUT_OF_MEMORY));
    if (options->given) {
        made.page.views = PAGE_AS_GIVEN;
        made.page.group = 0;
        made.texts[0].sight.causal = options->causal;
    }
    made.page.isa = isa;
    made.page.threads = threads;
    done = done && save(options->path, &made.page);
    samples_page_close(&made);
    if (!done)
        return ARGS_ERROR;
    printf("%s: %d layers, %d heads, %d sentence%s\n", options->path, samples->layers,
           samples->heads, count, count == 1 ? "" : "s");
    return ARGS_OK;
}
