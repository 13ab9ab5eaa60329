/* SPDX-License-Identifier: Apache-2.0 */
/* From texts to embeddings: tokens, batches that threads share, and what a model's length cuts. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "model/encoder.h"

int64_t encoder_split(const struct encoder *e, const char *text, size_t size, int64_t *ids,
                      int64_t *whole) {
    return wordpiece_split(&e->vocabulary, text, size, ids, e->most_tokens, whole);
}

const char *encoder_prompt(const struct encoder *e, const char *name) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(e->modules.prompts, name));
}

static const char *find_prompt(const struct encoder *e, const struct encoder_texts *texts) {
    const char *prompt = texts->prompt ? texts->prompt : e->modules.default_prompt;
    return prompt ? prompt : "";
}

/* The prompt and the text are one text: a word may begin in the one and end in the other. */
bool encoder_tokens(const struct encoder *e, const struct encoder_texts *texts, int64_t index,
                    int64_t *ids, int64_t *count, int64_t *whole, char message[FAULT_SIZE]) {
    const char *prompt = find_prompt(e, texts), *text = texts->sentences[index];
    const size_t before = strlen(prompt), size = strlen(text);
    char *both = NULL;
    if (before) {
        if (!(both = malloc(before + size + 1)))
            return fault(message, "no memory for a text of %zu bytes", before + size);
        memcpy(both, prompt, before);
        memcpy(both + before, text, size);
    }
    *count = encoder_split(e, before ? both : text, before + size, ids, whole);
    free(both);
    return true;
}

bool encoder_measure(const struct encoder *e, const struct encoder_texts *texts,
                     struct encoder_cut *cut, char message[FAULT_SIZE]) {
    int64_t *ids = malloc((size_t)e->most_tokens * sizeof *ids), count = 0, whole = 0;
    *cut = (struct encoder_cut){.first = -1};
    bool good = ids || fault(message, "no memory for %lld tokens", (long long)e->most_tokens);
    for (int64_t i = 0; good && i < texts->count; i++) {
        good = encoder_tokens(e, texts, i, ids, &count, &whole, message);
        if (!good || whole == count)
            continue;
        cut->tokens += whole - count;
        if (cut->texts++ == 0) {
            cut->first = i;
            cut->first_tokens = whole;
        }
    }
    free(ids);
    return good;
}

/* Sentences that threads share: each takes the next batch, and goes through the model alone. */
struct team {
    const struct encoder *e;
    const struct encoder_texts *texts;
    int64_t prompt_tokens; /* [CLS] included */
    int64_t batch;
    float *out;
    bool alone;
    atomic_int_fast64_t next;
    atomic_bool failed; /* who sets it writes the message */
    char *message;
};

/* What a thread works in. */
struct hand {
    int64_t *ids, *cu;
    float *hidden, *pooled, *embedded; /* states of a batch, and its vectors on their way */
    char message[FAULT_SIZE];
};

static bool embed_batch(struct team *team, int64_t first, struct hand *h) {
    const struct encoder *e = team->e;
    const struct encoder_texts *texts = team->texts;
    const int64_t left = texts->count - first, n = left < team->batch ? left : team->batch;
    for (int64_t i = 0; i < n; i++) {
        int64_t count = 0;
        if (!encoder_tokens(e, texts, first + i, h->ids + h->cu[i], &count, NULL, h->message))
            return false;
        h->cu[i + 1] = h->cu[i] + count;
    }
    if (!encoder_run(e, h->ids, h->cu, n, team->alone, h->hidden, NULL, h->message))
        return false;
    const int64_t pooled = e->dim * e->modules.pooling_count;
    for (int64_t i = 0; i < n; i++)
        modules_pool(&e->modules, h->hidden + h->cu[i] * e->dim, h->cu[i + 1] - h->cu[i],
                     team->prompt_tokens, e->dim, h->pooled + i * pooled);
    if (!modules_run(&e->modules, h->pooled, n, pooled, team->alone ? 1 : e->threads, e->isa,
                     h->embedded))
        return fault(h->message, "%s", rapt_last_error());
    if (texts->normalise)
        modules_normalise(h->embedded, n, e->width);
    memcpy(team->out + first * e->width, h->embedded, (size_t)(n * e->width) * sizeof(float));
    return true;
}

static void *embed_batches(void *argument) {
    struct team *team = argument;
    const struct encoder *e = team->e;
    const size_t batch = (size_t)team->batch, most = batch * (size_t)e->most_tokens;
    struct hand h = {
        .ids = malloc(most * sizeof *h.ids),
        .cu = calloc(batch + 1, sizeof *h.cu),
        .hidden = malloc(most * (size_t)e->dim * sizeof *h.hidden),
        .pooled = malloc(batch * (size_t)e->widest * sizeof *h.pooled),
        .embedded = malloc(batch * (size_t)e->widest * sizeof *h.embedded),
    };
    bool good = (h.ids && h.cu && h.hidden && h.pooled && h.embedded) ||
                fault(h.message, "no memory for %zu tokens", most);
    while (good && !team->failed) {
        const int64_t first = atomic_fetch_add(&team->next, team->batch);
        if (first >= team->texts->count)
            break;
        good = embed_batch(team, first, &h);
    }
    if (!good && !atomic_exchange(&team->failed, true))
        fault(team->message, "%s", h.message);
    free(h.ids);
    free(h.cu);
    free(h.hidden);
    free(h.pooled);
    free(h.embedded);
    return NULL;
}

/* The tokens of the prompt alone, without [SEP]: as many of a text's are its own. */
static bool count_prompt(struct team *team) {
    const struct encoder *e = team->e;
    const char *prompt = find_prompt(e, team->texts);
    if (!*prompt || !e->modules.leaves_prompt_out)
        return true;
    int64_t *ids = malloc((size_t)e->most_tokens * sizeof *ids);
    if (!ids)
        return fault(team->message, "no memory for %lld tokens", (long long)e->most_tokens);
    team->prompt_tokens = encoder_split(e, prompt, strlen(prompt), ids, NULL) - 1;
    free(ids);
    return true;
}

bool encoder_embed(const struct encoder *e, const struct encoder_texts *texts, float *out,
                   char message[FAULT_SIZE]) {
    enum { MOST = 256, USUAL_BATCH = 32 };
    const int64_t batch = texts->batch > 0 ? texts->batch : USUAL_BATCH;
    const int threads = e->threads ? e->threads : rapt_default_threads();
    const int64_t count = texts->count, share = count / (threads > 0 ? threads : 1);
    struct team team = {
        .e = e, .texts = texts, .out = out, .alone = threads > 1 && share > 0, .message = message};
    if (count == 0)
        return true;
    team.batch = team.alone && share < batch ? (count + threads - 1) / threads
                 : count < batch             ? count
                                             : batch;
    if (!count_prompt(&team))
        return false;
    pthread_t thread[MOST];
    int started = 0;
    while (team.alone && started < MOST && started < threads - 1 &&
           pthread_create(&thread[started], NULL, embed_batches, &team) == 0)
        started++;
    embed_batches(&team);
    while (started > 0)
        pthread_join(thread[--started], NULL);
    return !team.failed;
}
