/* SPDX-License-Identifier: Apache-2.0 */
/* The lesson of heads: one wide head or many narrow ones, for the same parameters and work. */
#include "cli/study/study.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/base/random.h"
#include "cli/sentences/attend.h"
#include "cli/sentences/samples.h"

enum { MODEL_DIM = 128, MOST_HEADS = 16, TOKENS = 64, PLACES = 4, CONTENT = 16 };

enum {
    HEADS,
    HEAD_DIM,
    PARAMETERS,
    MFLOP,
    ENTROPY,
    SPREAD,
    DISTANCE,
    ERROR,
    EXPECTED_ERROR,
    COLUMNS
};

static const struct study_column columns[COLUMNS] = {
    [HEADS] = {"heads", "heads", 0},
    [HEAD_DIM] = {"head_dim", "head\ndim", 0},
    [PARAMETERS] = {"parameters", "parameters", 0},
    [MFLOP] = {"mflop", "MFLOP", 2},
    [ENTROPY] = {"entropy", "entropy\nnats", 3},
    [SPREAD] = {"entropy_spread", "spread\nof heads", 3},
    [DISTANCE] = {"distance", "distance\nof heads", 3},
    [ERROR] = {"error_of_4_places", "error,\n4 places", 3},
    [EXPECTED_ERROR] = {"expected_error", "by\ntheory", 3},
};

enum { LAYER, REAL_ENTROPY, REAL_SPREAD, REAL_DISTANCE, REAL_COLUMNS };

static const struct study_column real_columns[REAL_COLUMNS] = {
    [LAYER] = {"layer", "layer", 0},
    [REAL_ENTROPY] = {"entropy", "entropy\nnats", 3},
    [REAL_SPREAD] = {"entropy_spread", "spread\nof heads", 3},
    [REAL_DISTANCE] = {"distance", "distance\nof heads", 3},
};

/* A layer with weights of its own, and the attention weights of each head over random tokens. */
struct trial {
    float *matrices, *input, *out, *weights;
};

static bool trial_create(struct trial *trial) {
    const size_t matrix = (size_t)MODEL_DIM * MODEL_DIM, row = (size_t)TOKENS * MODEL_DIM;
    trial->matrices = malloc(4 * matrix * sizeof(float));
    trial->input = malloc(row * sizeof(float));
    trial->out = malloc(row * sizeof(float));
    trial->weights = malloc((size_t)MOST_HEADS * TOKENS * TOKENS * sizeof(float));
    return trial->matrices && trial->input && trial->out && trial->weights;
}

static void trial_destroy(struct trial *trial) {
    free(trial->matrices);
    free(trial->input);
    free(trial->out);
    free(trial->weights);
}

static rapt_status run_layer(const rapt_mha *layer, struct trial *trial, int heads, uint64_t seed) {
    rapt_status status = rapt_mha_init_xavier(layer, seed);
    rapt_mha_run_args run = rapt_mha_run_defaults();
    run.input = rapt_tensor_bhsd(trial->input, RAPT_F32, 1, 1, TOKENS, MODEL_DIM);
    run.out = rapt_tensor_bhsd(trial->out, RAPT_F32, 1, 1, TOKENS, MODEL_DIM);
    run.weights = rapt_tensor_bhsd(trial->weights, RAPT_F32, 1, heads, TOKENS, TOKENS);
    return status == RAPT_OK ? rapt_mha_run(layer, &run, NULL, 0) : status;
}

static rapt_status attend_by_layer(const struct study_options *options, struct trial *trial,
                                   int heads) {
    const size_t matrix = (size_t)MODEL_DIM * MODEL_DIM;
    rapt_tensor weights[4];
    for (int i = 0; i < 4; i++) {
        weights[i] = rapt_tensor_bhsd(trial->matrices + (size_t)i * matrix, RAPT_F32, 1, 1,
                                      MODEL_DIM, MODEL_DIM);
    }
    rapt_mha_args args = rapt_mha_defaults();
    args.model_dim = MODEL_DIM;
    args.q_heads = heads;
    args.w_query = weights[0];
    args.w_key = weights[1];
    args.w_value = weights[2];
    args.w_out = weights[3];
    args.threads = options->threads;
    args.isa = options->isa;
    rapt_mha *layer;
    rapt_status status = rapt_mha_create(&args, &layer);
    if (status == RAPT_OK) {
        status = run_layer(layer, trial, heads, options->seed);
        rapt_mha_destroy(layer);
    }
    return status;
}

/* How some heads differ. */
struct diversity {
    double entropy, spread; /* mean and standard deviation of the heads' mean entropies */
    double distance;        /* mean over pairs: 0 if they agree, 1 if they share no key */
};

/* Half the sum of differences, averaged over the rows. */
static double distance_of(const float *a, const float *b, int tokens) {
    double total = 0;
    for (int i = 0; i < tokens * tokens; i++)
        total += fabs((double)a[i] - (double)b[i]);
    return total / 2 / tokens;
}

static struct diversity compare_heads(const float *weights, int heads, int tokens) {
    size_t size = (size_t)tokens * (size_t)tokens;
    double sum = 0, squares = 0, distance = 0;
    for (int h = 0; h < heads; h++) {
        const float *head = weights + (size_t)h * size;
        double entropy = study_mean_entropy(head, (size_t)tokens, tokens);
        sum += entropy;
        squares += entropy * entropy;
        for (int other = 0; other < h; other++)
            distance += distance_of(head, weights + (size_t)other * size, tokens);
    }
    double mean = sum / heads, pairs = heads * (heads - 1) / 2.0;
    return (struct diversity){.entropy = mean,
                              .spread = sqrt(fmax(squares / heads - mean * mean, 0)),
                              .distance = pairs > 0 ? distance / pairs : 0};
}

/*
 * The task: each token names 4 others and needs the content of each, apart from the rest. A token's
 * key is a one-hot name. A head's query is the sum of the names in its share, so its one softmax
 * mixes their contents. Heads beyond 4 have nothing to do.
 */
struct task {
    int places[TOKENS][PLACES];
    float names[TOKENS][TOKENS];
    float queries[PLACES][TOKENS][TOKENS];
    float contents[TOKENS][CONTENT];
    float out[PLACES][TOKENS][CONTENT];
};

static void task_fill(struct task *task, uint64_t *state) {
    memset(task, 0, sizeof *task);
    study_normal(state, task->contents[0], (size_t)TOKENS * CONTENT);
    for (int token = 0; token < TOKENS; token++) {
        task->names[token][token] = 1;
        for (int i = 0; i < PLACES; i++) {
            bool fresh = false;
            while (!fresh) {
                task->places[token][i] = (int)(random_bits(state) % TOKENS);
                fresh = true;
                for (int k = 0; k < i; k++)
                    fresh = fresh && task->places[token][k] != task->places[token][i];
            }
        }
    }
}

static rapt_status task_run(struct task *task, const struct study_options *options, int heads) {
    /* The score of a key that the query names: any other gets e^-30 of its weight. */
    const float certainty = 30;
    memset(task->queries, 0, sizeof task->queries);
    for (int token = 0; token < TOKENS; token++)
        for (int i = 0; i < PLACES; i++)
            task->queries[i % heads][token][task->places[token][i]] = certainty;
    rapt_attention_args args = rapt_attention_defaults();
    args.query = rapt_tensor_bhsd(task->queries, RAPT_F32, 1, heads, TOKENS, TOKENS);
    args.key = rapt_tensor_bhsd(task->names, RAPT_F32, 1, 1, TOKENS, TOKENS);
    args.value = rapt_tensor_bhsd(task->contents, RAPT_F32, 1, 1, TOKENS, CONTENT);
    args.out = rapt_tensor_bhsd(task->out, RAPT_F32, 1, heads, TOKENS, CONTENT);
    args.scale = 1;
    args.threads = options->threads;
    args.isa = options->isa;
    return rapt_attention(&args);
}

/*
 * The share of the contents' variance that is left when a head's output is scaled by the best
 * factor. No output projection that takes a place's content from its head can leave less.
 */
static double task_error(const struct task *task, int heads) {
    double left = 0;
    for (int i = 0; i < PLACES; i++) {
        double found = 0, wanted = 0, both = 0;
        for (int token = 0; token < TOKENS; token++) {
            const float *out = task->out[i % heads][token];
            const float *content = task->contents[task->places[token][i]];
            for (int c = 0; c < CONTENT; c++) {
                found += (double)out[c] * (double)out[c];
                wanted += (double)content[c] * (double)content[c];
                both += (double)out[c] * (double)content[c];
            }
        }
        left += fmax(1 - both * both / (found * wanted), 0);
    }
    return left / PLACES;
}

static rapt_status measure(struct trial *trial, struct task *task,
                           const struct study_options *options, int heads, double *row) {
    const int busy = heads < PLACES ? heads : PLACES;
    rapt_status status = attend_by_layer(options, trial, heads);
    if (status == RAPT_OK)
        status = task_run(task, options, busy);
    if (status == RAPT_OK) {
        struct diversity found = compare_heads(trial->weights, heads, TOKENS);
        row[ENTROPY] = found.entropy;
        row[SPREAD] = found.spread;
        row[DISTANCE] = found.distance;
        row[HEADS] = heads;
        row[HEAD_DIM] = MODEL_DIM / heads;
        row[PARAMETERS] = 4.0 * MODEL_DIM * MODEL_DIM;
        row[MFLOP] = 1e-6 * TOKENS * (2 * row[PARAMETERS] + 4.0 * TOKENS * MODEL_DIM);
        row[ERROR] = task_error(task, busy);
        row[EXPECTED_ERROR] = 1 - busy / (double)PLACES;
    }
    return status;
}

/* The heads of a real model, layer by layer. */
static rapt_status add_real(const struct study_options *options, struct study_result *result) {
    struct study_table *table = study_add_table(
        result, "real", "The same of the heads of all-MiniLM-L6-v2 over a sentence, by layers.",
        real_columns, REAL_COLUMNS);
    struct samples samples;
    const struct sample *sentence;
    if (!study_sentence(&samples, &sentence))
        return RAPT_OUT_OF_MEMORY;
    const struct attend_range all = {.layers = samples.layers, .heads = samples.heads};
    size_t size = (size_t)samples.heads * (size_t)sentence->token_count;
    size *= (size_t)sentence->token_count;
    float *weights;
    rapt_status status =
        attend_compute(&samples, sentence, &all, options->isa, options->threads, &weights);
    for (int layer = 0; layer < samples.layers && status == RAPT_OK; layer++) {
        struct diversity found =
            compare_heads(weights + (size_t)layer * size, samples.heads, sentence->token_count);
        const double row[REAL_COLUMNS] = {layer, found.entropy, found.spread, found.distance};
        study_add_row(table, row);
    }
    free(weights);
    samples_free(&samples);
    return status;
}

static void conclude(struct study_result *result) {
    const struct study_table *table = &result->tables[0], *real = &result->tables[1];
    const double(*cells)[STUDY_MOST_ROWS] = table->cells;
    int last = table->rows - 1, enough = 0;
    while (enough < last && cells[ERROR][enough] > 0.01)
        enough++;
    double least = INFINITY, most = 0;
    for (int row = 0; row < real->rows; row++) {
        least = fmin(least, real->cells[REAL_SPREAD][row]);
        most = fmax(most, real->cells[REAL_SPREAD][row]);
    }
    snprintf(result->finding, sizeof result->finding,
             "For the same parameters and work, one head left %.2f of the variance when it had to "
             "keep %d places apart, %.0f heads %.2f; %.0f random heads differ in %.0f %% of their "
             "weight but by %.2f nats in entropy, those of a trained model by %.2f to %.2f.",
             cells[ERROR][0], PLACES, cells[HEADS][enough], cells[ERROR][enough],
             cells[HEADS][last], 100 * cells[DISTANCE][last], cells[SPREAD][last], least, most);
}

static rapt_status fill(const struct study_options *options, struct study_table *table,
                        struct trial *trial, struct task *task) {
    rapt_status status = RAPT_OK;
    uint64_t state = options->seed;
    study_normal(&state, trial->input, (size_t)TOKENS * MODEL_DIM);
    task_fill(task, &state);
    for (int heads = 1; heads <= MOST_HEADS && status == RAPT_OK; heads *= 2) {
        double row[COLUMNS];
        status = measure(trial, task, options, heads, row);
        study_add_row(table, row);
    }
    return status;
}

rapt_status study_heads(const struct study_options *options, struct study_result *result) {
    struct study_table *table = study_add_table(
        result, "heads",
        "A layer of model_dim 128 with Xavier weights over 64 random tokens. Spread: the standard "
        "deviation of the heads' mean entropies; distance: how much of their weight two heads put "
        "on different keys, the mean over pairs. Error: each token wants the contents of 4 others, "
        "apart; the share of their variance that one factor for each content leaves; theory: if "
        "contents "
        "have nothing in common.",
        columns, COLUMNS);
    struct trial trial = {0};
    struct task *task = malloc(sizeof *task);
    rapt_status status = RAPT_OUT_OF_MEMORY;
    if (trial_create(&trial) && task)
        status = fill(options, table, &trial, task);
    if (status == RAPT_OK)
        status = add_real(options, result);
    if (status == RAPT_OK)
        conclude(result);
    result->plot = (struct study_plot){.table = table,
                                       .x = HEADS,
                                       .y = {DISTANCE, ERROR},
                                       .names = {"distance of heads", "error of 4 places"},
                                       .count = 2,
                                       .horizontal = {"heads", true},
                                       .vertical = {"share", false}};
    free(task);
    trial_destroy(&trial);
    return status;
}
