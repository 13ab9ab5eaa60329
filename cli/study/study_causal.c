/* SPDX-License-Identifier: Apache-2.0 */
/* The lesson of the causal mask: the entropy of a position that sees itself and what is before. */
#include "cli/study/study.h"

#include <math.h>
#include <stdlib.h>

#include "cli/base/row.h"
#include "cli/sentences/attend.h"
#include "cli/sentences/samples.h"

enum { HEADS = 32, HEAD_DIM = 64, TOKENS = 256, QUICK_TOKENS = 64 };

enum { VISIBLE, LOG, CAUSAL, SHARE, BOTH_WAYS, COLUMNS };

static const struct study_column columns[COLUMNS] = {
    [VISIBLE] = {"visible", "visible\nkeys", 0},
    [LOG] = {"log_visible", "ln of\nthem", 3},
    [CAUSAL] = {"entropy_causal", "entropy,\ncausal", 3},
    [SHARE] = {"share_of_log", "share\nof ln", 3},
    [BOTH_WAYS] = {"entropy_unmasked", "entropy,\nno mask", 3},
};

/* Queries and keys [head][token][channel], and the weights of both runs. */
struct trial {
    const float *query, *key;
    int heads, tokens, head_dim;
    float *out, *weights[2]; /* with the mask, without */
};

static bool trial_create(struct trial *trial) {
    size_t rows = (size_t)trial->heads * (size_t)trial->tokens;
    trial->out = malloc(rows * sizeof(float));
    for (int i = 0; i < 2; i++)
        trial->weights[i] = malloc(rows * (size_t)trial->tokens * sizeof(float));
    return trial->out && trial->weights[0] && trial->weights[1];
}

static void trial_destroy(struct trial *trial) {
    free(trial->out);
    free(trial->weights[0]);
    free(trial->weights[1]);
}

static rapt_status trial_run(const struct trial *trial, const struct study_options *options) {
    int heads = trial->heads, tokens = trial->tokens;
    rapt_attention_args args = rapt_attention_defaults();
    args.query = rapt_tensor_bhsd(trial->query, RAPT_F32, 1, heads, tokens, trial->head_dim);
    args.key = rapt_tensor_bhsd(trial->key, RAPT_F32, 1, heads, tokens, trial->head_dim);
    args.value = args.key; /* which don't matter here: one channel will do */
    args.value.shape[3] = 1;
    args.out = rapt_tensor_bhsd(trial->out, RAPT_F32, 1, heads, tokens, 1);
    args.threads = options->threads;
    args.isa = options->isa;
    rapt_status status = RAPT_OK;
    for (int i = 0; i < 2 && status == RAPT_OK; i++) {
        args.causal = i == 0;
        args.weights = rapt_tensor_bhsd(trial->weights[i], RAPT_F32, 1, heads, tokens, tokens);
        status = rapt_attention(&args);
    }
    return status;
}

/* The entropy of a position, averaged over the heads. */
static double entropy_at(const struct trial *trial, int run, int position) {
    size_t tokens = (size_t)trial->tokens;
    double total = 0;
    for (int h = 0; h < trial->heads; h++) {
        const float *row = trial->weights[run] + ((size_t)h * tokens + (size_t)position) * tokens;
        total += row_summarise(row, trial->tokens).entropy;
    }
    return total / trial->heads;
}

static int add_position(struct study_table *table, const struct trial *trial, int position) {
    double most = log(position + 1), entropy = entropy_at(trial, 0, position);
    const double row[COLUMNS] = {[VISIBLE] = position + 1,
                                 [LOG] = most,
                                 [CAUSAL] = entropy,
                                 [SHARE] = position > 0 ? entropy / most
                                                        : NAN, /* a single key leaves no choice */
                                 [BOTH_WAYS] = entropy_at(trial, 1, position)};
    return study_add_row(table, row);
}

static rapt_status add_random(const struct study_options *options, struct study_result *result) {
    struct study_table *table = study_add_table(
        result, "random",
        "Random queries and keys of mean 0 and variance 1 in 32 heads of 64 channels: the entropy "
        "in nats of the position that sees so many keys, averaged over the heads.",
        columns, COLUMNS);
    struct trial trial = {
        .heads = HEADS, .tokens = options->quick ? QUICK_TOKENS : TOKENS, .head_dim = HEAD_DIM};
    size_t size = (size_t)HEADS * (size_t)trial.tokens * HEAD_DIM;
    float *numbers = malloc(2 * size * sizeof *numbers);
    rapt_status status = RAPT_OUT_OF_MEMORY;
    if (trial_create(&trial) && numbers) {
        uint64_t state = options->seed;
        study_normal(&state, numbers, 2 * size);
        trial.query = numbers;
        trial.key = numbers + size;
        status = trial_run(&trial, options);
    }
    for (int visible = 1; visible <= trial.tokens && status == RAPT_OK; visible *= 2)
        add_position(table, &trial, visible - 1);
    trial_destroy(&trial);
    free(numbers);
    return status;
}

static rapt_status add_sentence(const struct study_options *options, struct study_result *result,
                                const struct samples *samples, const struct sample *sentence) {
    struct study_table *table = study_add_table(
        result, "sentence",
        "A real sentence in all heads of all layers of all-MiniLM-L6-v2, whose queries and keys "
        "were made for attention to both sides: the same scores with a causal mask and without.",
        columns, COLUMNS);
    struct trial trial = {.query = sentence->query,
                          .key = sentence->key,
                          .heads = samples->layers * samples->heads,
                          .tokens = sentence->token_count,
                          .head_dim = samples->head_dim};
    table->label = "token";
    rapt_status status = trial_create(&trial) ? trial_run(&trial, options) : RAPT_OUT_OF_MEMORY;
    for (int i = 0; i < trial.tokens && i < STUDY_MOST_ROWS && status == RAPT_OK; i++) {
        int row = add_position(table, &trial, i);
        snprintf(table->labels[row], STUDY_LABEL_SIZE, "%s", sentence->tokens[i]);
    }
    trial_destroy(&trial);
    return status;
}

/* The slope of the line that fits entropy against ln of the visible keys best. */
static double growth(const struct study_table *table) {
    double x = 0, y = 0, xx = 0, xy = 0;
    for (int row = 0; row < table->rows; row++) {
        double at = table->cells[LOG][row], entropy = table->cells[CAUSAL][row];
        x += at;
        y += entropy;
        xx += at * at;
        xy += at * entropy;
    }
    return (table->rows * xy - x * y) / (table->rows * xx - x * x);
}

static void conclude(struct study_result *result) {
    const struct study_table *drawn = &result->tables[0], *real = &result->tables[1];
    int last = drawn->rows - 1, end = real->rows - 1;
    snprintf(result->finding, sizeof result->finding,
             "From 1 visible key to %.0f the entropy of random keys %s nats, %.2f for each nat of "
             "ln of their number, and without a mask it %s; in the sentence it %s, %.2f for each "
             "nat, where without a mask it %s.",
             drawn->cells[VISIBLE][last],
             study_moved(drawn->cells[CAUSAL][0], drawn->cells[CAUSAL][last], 2).text,
             growth(drawn),
             study_moved(drawn->cells[BOTH_WAYS][0], drawn->cells[BOTH_WAYS][last], 2).text,
             study_moved(real->cells[CAUSAL][0], real->cells[CAUSAL][end], 2).text, growth(real),
             study_moved(real->cells[BOTH_WAYS][0], real->cells[BOTH_WAYS][end], 2).text);
}

rapt_status study_causal(const struct study_options *options, struct study_result *result) {
    struct samples samples;
    const struct sample *sentence;
    if (!study_sentence(&samples, &sentence))
        return RAPT_OUT_OF_MEMORY;
    rapt_status status = add_random(options, result);
    if (status == RAPT_OK)
        status = add_sentence(options, result, &samples, sentence);
    samples_free(&samples);
    if (status == RAPT_OK)
        conclude(result);
    result->plot = (struct study_plot){.table = &result->tables[0],
                                       .x = VISIBLE,
                                       .y = {LOG, CAUSAL, BOTH_WAYS},
                                       .names = {"ln of visible keys", "causal", "no mask"},
                                       .count = 3,
                                       .horizontal = {"visible keys, random", true},
                                       .vertical = {"entropy in nats", false}};
    return status;
}
