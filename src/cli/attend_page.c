/* SPDX-License-Identifier: Apache-2.0 */
#include "attend_page.h"

#include <errno.h>
#include <inttypes.h>

#include "args.h"
#include "outputs.h"
#include "page.h"

static const char name[] = "attend";

static bool write_to(struct outputs *outputs, const struct page *page) {
    const struct output *output = &outputs->list[0];
    const rapt_status status = page_write(output->file, page);
    if (status == RAPT_OUT_OF_MEMORY) {
        args_fail(name, "%s", rapt_status_text(status));
        return false;
    }
    if (status != RAPT_OK) {
        args_fail(name, "%s", rapt_last_error());
        return false;
    }
    return ferror(output->file) ? outputs_fail(outputs, output) : outputs_commit(outputs);
}

int attend_page(const struct attend_page *options, const struct samples *samples,
                const struct sample *sentence, const char *isa, int threads) {
    if (!options->path)
        return args_fail(name, "--beside: found it without --html, expected both");
    if (options->beside > samples->count)
        return args_fail(name, "--beside: found %" PRId64 ", expected N, an integer of 1 to %d",
                         options->beside, samples->count);
    struct page page = {samples, {sentence}, 1, isa, threads};
    if (options->beside)
        page.sentences[page.count++] = &samples->sentences[options->beside - 1];
    struct outputs outputs = {.command = name};
    errno = 0;
    const bool done = outputs_add(&outputs, "html", options->path) && write_to(&outputs, &page);
    outputs_close(&outputs);
    if (!done)
        return ARGS_ERROR;
    printf("%s: %d layers, %d heads, %d sentence%s\n", options->path, samples->layers,
           samples->heads, page.count, page.count == 1 ? "" : "s");
    return ARGS_OK;
}
