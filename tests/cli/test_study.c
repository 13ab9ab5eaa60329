/* SPDX-License-Identifier: Apache-2.0 */
/* `rapt study`: its numbers against computations of our own, its refusals. */
#include "tests/support/command.h"

#include <cjson/cJSON.h>

#include "cli/sentences/samples.h"

static char json_text[TEXT_SIZE];
static cJSON *report;

static void study_leave(void) {
    cJSON_Delete(report);
    report = NULL;
    leave();
}

TestSuite(study, .init = enter, .fini = study_leave);

/* Runs a lesson with these options and reads its report. */
static void study(const char *arguments) {
    char line[256];
    snprintf(line, sizeof line, "study %s --json study.json", arguments);
    cr_assert_eq(rapt(line), 0, "%s: %s", line, err_text);
    cr_expect_str_empty(err_text);
    slurp("study.json", json_text);
    cJSON_Delete(report);
    report = cJSON_Parse(json_text);
    cr_assert_not_null(report, "%s: no JSON", line);
}

static const cJSON *member(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    cr_assert_not_null(item, "no %s", name);
    return item;
}

/* The rows of a table of the first lesson. */
static const cJSON *rows_of(const char *table) {
    const cJSON *lesson = cJSON_GetArrayItem(member(report, "lessons"), 0);
    const cJSON *item, *found = NULL;
    cJSON_ArrayForEach(item, member(lesson, "tables")) {
        if (strcmp(member(item, "name")->valuestring, table) == 0)
            found = item;
    }
    cr_assert_not_null(found, "no table %s", table);
    return member(found, "rows");
}

static double number(const cJSON *row, const char *name) {
    const cJSON *item = member(row, name);
    cr_assert(cJSON_IsNumber(item) || cJSON_IsNull(item), "%s is no number", name);
    return cJSON_IsNull(item) ? NAN : item->valuedouble;
}

#define EXPECT_NEAR(found, expected, bound)                                                        \
    do {                                                                                           \
        const double near_a = (found), near_b = (expected);                                        \
        cr_expect(fabs(near_a - near_b) <= (bound), "%s: found %.9g, expected %.9g", #found,       \
                  near_a, near_b);                                                                 \
    } while (0)

/* A softmax in double precision: weights, their entropy, and the largest of them. */
static void softmax(const double *scores, int count, double *weights, double *entropy,
                    double *largest) {
    double most = -INFINITY, sum = 0;
    for (int i = 0; i < count; i++)
        most = fmax(most, scores[i]);
    for (int i = 0; i < count; i++)
        sum += weights[i] = exp(scores[i] - most);
    *entropy = *largest = 0;
    for (int i = 0; i < count; i++) {
        weights[i] /= sum;
        *entropy -= weights[i] > 0 ? weights[i] * log(weights[i]) : 0;
        *largest = fmax(*largest, weights[i]);
    }
}

Test(study, softmax_of_the_example) {
    study("softmax");
    cr_expect_not_null(strstr(out_text, "The weights are 0.63, 0.23 and 0.14 "));
    const double logits[] = {2.0, 1.0, 0.5};
    double weights[3], entropy, largest;
    softmax(logits, 3, weights, &entropy, &largest);
    const cJSON *row;
    int at = 0;
    cJSON_ArrayForEach(row, rows_of("steps")) {
        EXPECT_NEAR(number(row, "logit"), logits[at], 0);
        EXPECT_NEAR(number(row, "weight"), weights[at], 1e-7);
        EXPECT_NEAR(number(row, "share"), weights[at], 1e-12);
        at++;
    }
    cr_expect_eq(at, 3);
}

Test(study, softmax_at_temperatures_and_shifts) {
    study("softmax");
    double scores[3], weights[3], entropy, largest;
    const cJSON *row;
    cJSON_ArrayForEach(row, rows_of("temperature")) {
        const double t = number(row, "temperature");
        for (int i = 0; i < 3; i++)
            scores[i] = (i ? 1.0 / i : 2.0) / t;
        softmax(scores, 3, weights, &entropy, &largest);
        EXPECT_NEAR(number(row, "weight_of_2.0"), weights[0], 1e-6);
        EXPECT_NEAR(number(row, "weight_of_0.5"), weights[2], 1e-6);
        EXPECT_NEAR(number(row, "entropy"), entropy, 1e-5);
    }
    int overflows = 0;
    cJSON_ArrayForEach(row, rows_of("shift")) {
        const double shift = number(row, "shift"), naive = number(row, "naive_weight_of_2.0");
        EXPECT_NEAR(number(row, "weight_of_2.0"), 0.62853172, 1e-4);
        EXPECT_NEAR(number(row, "lse"), 2.46436964 + shift, 1e-4);
        cr_expect_eq(isnan(naive), shift > 88 || shift < -104, "shift %g", shift);
        overflows += isnan(naive);
    }
    cr_expect_gt(overflows, 0);
}

/* The lessons' random numbers: SplitMix64, Box and Muller. */
static double uniform(uint64_t *state) {
    uint64_t x = *state += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return ((double)((x ^ x >> 31) >> 11) + 0.5) * 0x1p-53;
}

static void draw_normal(uint64_t *state, double *numbers, int count) {
    for (int i = 0; i < count; i += 2) {
        const double radius = sqrt(-2 * log(uniform(state))), angle = 2 * M_PI * uniform(state);
        numbers[i] = radius * cos(angle);
        numbers[i + 1] = radius * sin(angle);
    }
}

/* The first row of the lesson of the scale, in double precision. */
Test(study, scale_agrees_with_its_first_row_by_hand) {
    enum { N = 128, D = 4 };
    static double query[N * D], key[N * D], scores[N], weights[N];
    uint64_t state = 7;
    draw_normal(&state, query, N * D);
    draw_normal(&state, key, N * D);
    double sum = 0, squares = 0, entropies[2] = {0}, largests[2] = {0};
    for (int i = 0; i < N; i++) {
        for (int scaled = 0; scaled < 2; scaled++) {
            double entropy, largest;
            for (int j = 0; j < N; j++) {
                scores[j] = 0;
                for (int c = 0; c < D; c++)
                    scores[j] += query[i * D + c] * key[j * D + c] / (scaled ? 2 : 1);
                sum += scaled ? 0 : scores[j];
                squares += scaled ? 0 : scores[j] * scores[j];
            }
            softmax(scores, N, weights, &entropy, &largest);
            entropies[scaled] += entropy / N;
            largests[scaled] += largest / N;
        }
    }
    study("scale --quick --seed 7");
    const cJSON *row = cJSON_GetArrayItem(rows_of("scale"), 0);
    const double mean = sum / N / N, variance = squares / N / N - mean * mean;
    EXPECT_NEAR(number(row, "head_dim"), D, 0);
    EXPECT_NEAR(number(row, "score_variance"), variance, 1e-5 * variance);
    EXPECT_NEAR(number(row, "variance_over_dim"), variance / D, 1e-5 * variance);
    EXPECT_NEAR(number(row, "entropy_unscaled"), entropies[0], 1e-5);
    EXPECT_NEAR(number(row, "entropy_scaled"), entropies[1], 1e-5);
    EXPECT_NEAR(number(row, "largest_weight_unscaled"), largests[0], 1e-5);
    EXPECT_NEAR(number(row, "largest_weight_scaled"), largests[1], 1e-5);
}

Test(study, scale_keeps_to_theory) {
    for (int seed = 1; seed <= 3; seed++) {
        char arguments[64];
        snprintf(arguments, sizeof arguments, "scale --quick --seed %d", seed);
        study(arguments);
        const cJSON *row;
        double before = INFINITY;
        int dim = 4;
        cJSON_ArrayForEach(row, rows_of("scale")) {
            EXPECT_NEAR(number(row, "head_dim"), dim, 0);
            /* Four standard deviations: those of the squared lengths of 128 queries and keys. */
            EXPECT_NEAR(number(row, "variance_over_dim"), 1, 4 * sqrt(4.0 / (128 * dim)));
            /* Of 128 normal scores of variance 1: about ln 128 - 1/2. */
            EXPECT_NEAR(number(row, "entropy_scaled"), log(128) - 0.5, 0.1);
            cr_expect_lt(number(row, "entropy_unscaled"), before);
            before = number(row, "entropy_unscaled");
            dim *= 2;
        }
        cr_expect_eq(dim, 2048);
        cr_expect_lt(before, 0.3);
    }
}

Test(study, heads_keep_as_many_places_apart) {
    study("heads --seed 3");
    const cJSON *row;
    int heads = 1;
    cJSON_ArrayForEach(row, rows_of("heads")) {
        EXPECT_NEAR(number(row, "heads"), heads, 0);
        EXPECT_NEAR(number(row, "head_dim"), 128 / heads, 0);
        EXPECT_NEAR(number(row, "parameters"), 4 * 128 * 128, 0);
        EXPECT_NEAR(number(row, "mflop"), 1e-6 * 64 * (8 * 128 * 128 + 4 * 64 * 128), 1e-9);
        EXPECT_NEAR(number(row, "expected_error"), fmax(1 - heads / 4.0, 0), 0);
        EXPECT_NEAR(number(row, "error_of_4_places"), fmax(1 - heads / 4.0, 0), 0.05);
        const double entropy = number(row, "entropy"), distance = number(row, "distance");
        cr_expect(entropy > 2 && entropy < log(64), "entropy %g", entropy);
        cr_expect(heads == 1 ? distance == 0 : distance > 0.1 && distance < 1, "%g", distance);
        cr_expect_eq(number(row, "entropy_spread") > 0, heads > 1);
        heads *= 2;
    }
    cr_expect_eq(heads, 32);
}

Test(study, real_heads_differ) {
    study("heads");
    const cJSON *row;
    int layer = 0;
    cJSON_ArrayForEach(row, rows_of("real")) {
        const double entropy = number(row, "entropy"), spread = number(row, "entropy_spread");
        const double distance = number(row, "distance");
        EXPECT_NEAR(number(row, "layer"), layer, 0);
        cr_expect(entropy > 0 && entropy < log(24) && spread > 0 && spread < log(24) / 2);
        cr_expect(distance > 0 && distance < 1);
        layer++;
    }
    cr_expect_eq(layer, 6);
}

/* The mean entropy of a position over all heads, in double precision. */
static double entropy_by_hand(const struct samples *samples, const struct sample *sentence,
                              int position, int visible) {
    double total = 0, scores[64], weights[64], entropy, largest;
    const int heads = samples->layers * samples->heads, dim = samples->head_dim;
    for (int h = 0; h < heads; h++) {
        const int head = h * sentence->token_count;
        for (int j = 0; j < visible; j++) {
            scores[j] = 0;
            for (int c = 0; c < dim; c++)
                scores[j] += (double)sentence->query[(head + position) * dim + c] *
                             (double)sentence->key[(head + j) * dim + c] / sqrt(dim);
        }
        softmax(scores, visible, weights, &entropy, &largest);
        total += entropy;
    }
    return total / heads;
}

Test(study, causal_agrees_with_the_sentence_by_hand) {
    struct samples samples;
    char error[SAMPLES_ERROR_SIZE];
    cr_assert(samples_parse(&samples, samples_data, samples_data_size, error), "%s", error);
    const struct sample *sentence = &samples.sentences[2];
    study("causal --quick");
    const cJSON *row;
    int i = 0;
    cJSON_ArrayForEach(row, rows_of("sentence")) {
        cr_expect_str_eq(member(row, "token")->valuestring, sentence->tokens[i]);
        EXPECT_NEAR(number(row, "visible"), i + 1, 0);
        EXPECT_NEAR(number(row, "log_visible"), log(i + 1), 1e-12);
        EXPECT_NEAR(number(row, "entropy_causal"), entropy_by_hand(&samples, sentence, i, i + 1),
                    1e-5);
        EXPECT_NEAR(number(row, "entropy_unmasked"),
                    entropy_by_hand(&samples, sentence, i, sentence->token_count), 1e-5);
        i++;
    }
    cr_expect_eq(i, sentence->token_count);
    samples_free(&samples);
}

Test(study, causal_entropy_grows_as_the_logarithm) {
    study("causal");
    const cJSON *row;
    double before = -1, causal = 0, unmasked = 0;
    int visible = 1;
    cJSON_ArrayForEach(row, rows_of("random")) {
        EXPECT_NEAR(number(row, "visible"), visible, 0);
        causal = number(row, "entropy_causal");
        unmasked = number(row, "entropy_unmasked");
        cr_expect(causal > before && causal <= log(visible) + 1e-6);
        EXPECT_NEAR(unmasked, log(256) - 0.5, 0.15);
        if (visible >= 32)
            EXPECT_NEAR(causal, log(visible) - 0.5, 0.15);
        before = causal;
        visible *= 2;
    }
    cr_expect_eq(visible, 512);
    EXPECT_NEAR(causal, unmasked, 1e-6);
}

Test(study, cost_counts_work_and_measures_times) {
    study("cost --quick --threads 2");
    const cJSON *row;
    double n = 128;
    cJSON_ArrayForEach(row, rows_of("work")) {
        EXPECT_NEAR(number(row, "length"), n, 0);
        EXPECT_NEAR(number(row, "attention_mflop"), 4e-6 * n * n * 64, 1e-9);
        EXPECT_NEAR(number(row, "recurrence_mflop"), 2e-6 * n * 64 * 64, 1e-9);
        EXPECT_NEAR(number(row, "attention_depth"), 6 + 2 * log2(n), 1e-9);
        EXPECT_NEAR(number(row, "recurrence_depth"), 7 * n, 1e-9);
        n *= 2;
    }
    cr_expect_eq(n, 1024);
    cJSON_ArrayForEach(row, rows_of("times")) {
        cr_expect_gt(number(row, "attention_ms"), 0);
        cr_expect_gt(number(row, "attention_threads_ms"), 0);
        cr_expect_gt(number(row, "recurrence_ms"), 0);
    }
}

static void expect_narrow(const char *text) {
    int column = 0;
    for (; *text; text++) {
        column = *text == '\n' ? 0 : column + (((unsigned char)*text & 0xc0) != 0x80);
        cr_assert_leq(column, 80, "a line is wider than 80");
    }
}

Test(study, all_lessons_run) {
    const char *const names[] = {"softmax", "scale", "heads", "causal", "cost"};
    study("all --quick");
    const cJSON *lessons = member(report, "lessons");
    cr_assert_eq(cJSON_GetArraySize(lessons), 5);
    for (int i = 0; i < 5; i++) {
        const cJSON *lesson = cJSON_GetArrayItem(lessons, i);
        cr_expect_str_eq(member(lesson, "lesson")->valuestring, names[i]);
        cr_expect_gt(strlen(member(lesson, "question")->valuestring), 10);
        cr_expect_gt(strlen(member(lesson, "finding")->valuestring), 40);
    }
    cr_expect_null(strchr(out_text, '\033'));
    expect_narrow(out_text);
}

Test(study, figures_are_those_of_the_seed) {
    static char first[TEXT_SIZE];
    const char *const drawn[] = {"scale", "heads", "causal"};
    for (size_t i = 0; i < sizeof drawn / sizeof *drawn; i++) {
        char arguments[64];
        snprintf(arguments, sizeof arguments, "%s --quick --seed 5", drawn[i]);
        study(arguments);
        strcpy(first, json_text);
        strcat(arguments, " --threads 1");
        study(arguments);
        cr_expect_str_eq(json_text, first);
        arguments[strlen(drawn[i]) + strlen(" --quick --seed ")] = '6';
        study(arguments);
        cr_expect_str_neq(json_text, first);
    }
}

Test(study, figures_are_those_of_every_isa) {
    study("heads --isa scalar");
    cJSON *scalar = cJSON_Duplicate(member(report, "lessons"), true);
    cr_expect_str_eq(member(report, "isa")->valuestring, "scalar");
    study("heads");
    cr_expect(cJSON_Compare(scalar, member(report, "lessons"), true));
    cJSON_Delete(scalar);
}

Test(study, wrong_arguments_are_refused) {
    expect_fault("study sofmax", "unknown lesson \"sofmax\", did you mean softmax?");
    expect_fault("study weather", "unknown lesson \"weather\" (rapt study --list lists them)");
    expect_fault("study scale heads",
                 "found \"heads\", expected nothing more after the lesson scale");
    expect_fault("study scale --seed x", "--seed: found \"x\"");
    expect_fault("study scale --threads 0", "--threads: found \"0\"");
    expect_fault("study scale --isa none", "none");
    expect_fault("study scale --json nowhere/study.json", "--json: nowhere/study.json: ");
    expect_fault("study scale --json .", "is a directory");
    cr_expect_eq(rapt("study --list"), 0);
    cr_expect_not_null(strstr(out_text, "scale    Why "));
}
