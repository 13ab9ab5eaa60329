/* SPDX-License-Identifier: Apache-2.0 */
/* The lesson of the softmax: an example by hand, temperatures, and why the largest is subtracted.
 */
#include "cli/study/study.h"

#include <math.h>

enum { LOGITS = 3 };

static const float logits[LOGITS] = {2.0f, 1.0f, 0.5f};

enum { LOGIT, REDUCED, EXPONENTIAL, SHARE, WEIGHT, DIFFERENCE, STEP_COLUMNS };

static const struct study_column step_columns[STEP_COLUMNS] = {
    [LOGIT] = {"logit", "logit\nx", 1},
    [REDUCED] = {"less_max", "\nx - max", 1},
    [EXPONENTIAL] = {"exponential", "\ne^(x - max)", 4},
    [SHARE] = {"share", "share of\ntheir sum", 8},
    [WEIGHT] = {"weight", "weight\nof rapt", 8},
    [DIFFERENCE] = {"difference", "\ndifference", -2},
};

enum { TEMPERATURE, FIRST, SECOND, THIRD, ENTROPY, TEMPERATURE_COLUMNS };

static const struct study_column temperature_columns[TEMPERATURE_COLUMNS] = {
    [TEMPERATURE] = {"temperature", "temperature\nT", -3},
    [FIRST] = {"weight_of_2.0", "weight\nof 2.0", 4},
    [SECOND] = {"weight_of_1.0", "weight\nof 1.0", 4},
    [THIRD] = {"weight_of_0.5", "weight\nof 0.5", 4},
    [ENTROPY] = {"entropy", "entropy\nnats", 4},
};

enum { SHIFT, NAIVE_SUM, NAIVE, SHIFTED_1, SHIFTED_2, SHIFTED_3, LSE, SHIFT_COLUMNS };

static const struct study_column shift_columns[SHIFT_COLUMNS] = {
    [SHIFT] = {"shift", "\nadded", 0},
    [NAIVE_SUM] = {"naive_sum", "sum of\ne^x in f32", -3},
    [NAIVE] = {"naive_weight_of_2.0", "e^x / sum\nfor 2.0", 4},
    [SHIFTED_1] = {"weight_of_2.0", "weight\nof 2.0", 4},
    [SHIFTED_2] = {"weight_of_1.0", "weight\nof 1.0", 4},
    [SHIFTED_3] = {"weight_of_0.5", "weight\nof 0.5", 4},
    [LSE] = {"lse", "log of\nthe sum", 4},
};

/*
 * The softmax of numbers as attention. The query is a single channel that holds 1, and the keys
 * hold the numbers, so the scores are scale times the numbers.
 */
static rapt_status softmax(const struct study_options *options, const float *numbers, float scale,
                           float *weights, float *lse) {
    float one = 1, out;
    rapt_attention_args args = rapt_attention_defaults();
    args.query = rapt_tensor_bhsd(&one, RAPT_F32, 1, 1, 1, 1);
    args.key = rapt_tensor_bhsd(numbers, RAPT_F32, 1, 1, LOGITS, 1);
    args.value = args.key;
    args.out = rapt_tensor_bhsd(&out, RAPT_F32, 1, 1, 1, 1);
    args.weights = rapt_tensor_bhsd(weights, RAPT_F32, 1, 1, 1, LOGITS);
    args.lse = rapt_tensor_bhsd(lse, RAPT_F32, 1, 1, 1, 1);
    args.scale = scale;
    args.isa = options->isa;
    return rapt_attention(&args);
}

/* Step by step in double precision, beside the library's weights. Returns the largest distance. */
static rapt_status add_steps(const struct study_options *options, struct study_result *result,
                             double *most) {
    struct study_table *table =
        study_add_table(result, "steps",
                        "The softmax of 2.0, 1.0 and 0.5, step by step in double "
                        "precision, and by the library.",
                        step_columns, STEP_COLUMNS);
    float weights[LOGITS], lse;
    rapt_status status = softmax(options, logits, 1, weights, &lse);
    double sum = 0;
    for (int i = 0; i < LOGITS; i++)
        sum += exp((double)(logits[i] - logits[0]));
    *most = 0;
    for (int i = 0; i < LOGITS && status == RAPT_OK; i++) {
        double reduced = (double)(logits[i] - logits[0]), share = exp(reduced) / sum;
        double row[STEP_COLUMNS] = {
            [LOGIT] = (double)logits[i],   [REDUCED] = reduced,
            [EXPONENTIAL] = exp(reduced),  [SHARE] = share,
            [WEIGHT] = (double)weights[i], [DIFFERENCE] = (double)weights[i] - share};
        study_add_row(table, row);
        const double distance = fabs(row[DIFFERENCE]);
        *most = distance > *most ? distance : *most;
    }
    return status;
}

static rapt_status add_temperatures(const struct study_options *options,
                                    struct study_result *result) {
    static const float temperatures[] = {0.125f, 0.25f, 0.5f, 1, 2, 4, 8, 16};
    struct study_table *table = study_add_table(result, "temperature",
                                                "The same numbers divided by a temperature T first "
                                                "(the library's scale is 1/T).",
                                                temperature_columns, TEMPERATURE_COLUMNS);
    rapt_status status = RAPT_OK;
    for (size_t i = 0; i < sizeof temperatures / sizeof *temperatures && status == RAPT_OK; i++) {
        float weights[LOGITS], lse;
        status = softmax(options, logits, 1 / temperatures[i], weights, &lse);
        double row[TEMPERATURE_COLUMNS] = {(double)temperatures[i], (double)weights[0],
                                           (double)weights[1], (double)weights[2],
                                           study_mean_entropy(weights, 1, LOGITS)};
        study_add_row(table, row);
    }
    return status;
}

/* The same numbers with one number added to all: exponentials as they are in f32 run over. */
static rapt_status add_shifts(const struct study_options *options, struct study_result *result) {
    static const float shifts[] = {0, 10, -10, 50, 100, -120, 1000};
    struct study_table *table =
        study_add_table(result, "shift",
                        "One number added to all three: with plain exponentials in "
                        "f32, and by the library, which subtracts the largest first.",
                        shift_columns, SHIFT_COLUMNS);
    rapt_status status = RAPT_OK;
    for (size_t i = 0; i < sizeof shifts / sizeof *shifts && status == RAPT_OK; i++) {
        float shifted[LOGITS], weights[LOGITS], lse, sum = 0;
        for (int k = 0; k < LOGITS; k++) {
            shifted[k] = logits[k] + shifts[i];
            sum += expf(shifted[k]);
        }
        status = softmax(options, shifted, 1, weights, &lse);
        double row[SHIFT_COLUMNS] = {
            (double)shifts[i],  (double)sum,        (double)(expf(shifted[0]) / sum),
            (double)weights[0], (double)weights[1], (double)weights[2],
            (double)lse};
        study_add_row(table, row);
    }
    return status;
}

static void conclude(struct study_result *result, double most) {
    const struct study_table *steps = &result->tables[0], *heat = &result->tables[1];
    const struct study_table *shift = &result->tables[2];
    double moved = 0;
    int failed = 0;
    for (int row = 0; row < shift->rows; row++) {
        failed += !isfinite(shift->cells[NAIVE][row]);
        const double distance = fabs(shift->cells[SHIFTED_1][row] - shift->cells[SHIFTED_1][0]);
        moved = distance > moved ? distance : moved;
    }
    int last = heat->rows - 1;
    snprintf(
        result->finding, sizeof result->finding,
        "The weights are %.2f, %.2f and %.2f (within %.0e of double precision); from T = %g to "
        "%g the weight of 2.0 %s; plain exponentials gave no number for %d of %d shifts, and "
        "with the largest subtracted no shift moved that weight by more than %.0e.",
        steps->cells[WEIGHT][0], steps->cells[WEIGHT][1], steps->cells[WEIGHT][2], most,
        heat->cells[TEMPERATURE][0], heat->cells[TEMPERATURE][last],
        study_moved(heat->cells[FIRST][0], heat->cells[FIRST][last], 2).text, failed, shift->rows,
        moved);
}

rapt_status study_softmax(const struct study_options *options, struct study_result *result) {
    double most;
    rapt_status status = add_steps(options, result, &most);
    if (status == RAPT_OK)
        status = add_temperatures(options, result);
    if (status == RAPT_OK)
        status = add_shifts(options, result);
    if (status == RAPT_OK) {
        conclude(result, most);
        result->plot = (struct study_plot){.table = &result->tables[1],
                                           .x = TEMPERATURE,
                                           .y = {FIRST, SECOND, THIRD},
                                           .names = {"of 2.0", "of 1.0", "of 0.5"},
                                           .count = 3,
                                           .horizontal = {"temperature T", true},
                                           .vertical = {"weight", false}};
    }
    return status;
}
