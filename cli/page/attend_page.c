/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/page/attend_page.h"

#include <errno.h>
#include <inttypes.h>

#include "cli/base/args.h"
#include "cli/base/outputs.h"
#include "cli/page/page.h"

static const char name[] = "attend";

static bool write_page(FILE *file, int i, const void *context) {
    (void)i;
    errno = 0;
    const rapt_status status = page_write(file, context);
    const int reason = errno;
    if (status != RAPT_OK) {
        const bool memory = status == RAPT_OUT_OF_MEMORY;
        args_fail(name, "%s", memory ? rapt_status_text(status) : rapt_last_error());
        errno = 0;
        return false;
    }
    errno = ferror(file) && !reason ? EIO : reason;
    return !ferror(file);
}

int attend_page(const struct attend_page *options, const struct samples *samples,
                const struct sample *sentence, const char *isa, int threads) {
    if (options->beside > samples->count)
        return args_fail(name, "--beside: found %" PRId64 ", expected N, an integer of 1 to %d",
                         options->beside, samples->count);
    struct page page = {samples, {sentence}, 1, isa, threads};
    if (options->beside)
        page.sentences[page.count++] = &samples->sentences[options->beside - 1];
    struct outputs outputs = {.command = name};
    const bool done = outputs_add(&outputs, "html", options->path, OUTPUT_TEXT) &&
                      outputs_write(&outputs, write_page, &page);
    outputs_close(&outputs);
    if (!done)
        return ARGS_ERROR;
    printf("%s: %d layers, %d heads, %d sentence%s\n", options->path, samples->layers,
           samples->heads, page.count, page.count == 1 ? "" : "s");
    return ARGS_OK;
}
