/* SPDX-License-Identifier: Apache-2.0 */
/* The page of `rapt attend --html`: kinds of heads, how it carries text and numbers, the file. */
#include <criterion/criterion.h>

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/support/command.h"
#include "cli/base/color.h"
#include "cli/base/json_string.h"
#include "cli/base/row.h"
#include "cli/page/kinds.h"
#include "cli/page/pack.h"
#include "cli/page/samples_page.h"
#include "cli/sentences/attend.h"

/* The value of a weight's code, from the description of it alone. */
static double unpack(uint16_t code) {
    cr_assert_leq(code, PACK_ONE);
    return code ? (1000 + (code - 1) % 9000) * pow(10, (code - 1) / 9000 - 10) : 0;
}

Test(page, weights_are_rounded_once_to_four_digits) {
    uint32_t state = 1;
    for (int i = 0; i < 200000; i++) {
        state = state * 1664525 + 1013904223;
        const float weight = expf(-(float)(state >> 8) * (16.1F / 0x1000000));
        char decimal[32];
        snprintf(decimal, sizeof decimal, "%.3e", (double)weight);
        const double value = atof(decimal);
        cr_assert_float_eq(unpack(pack_weight(weight)), value, 1e-9 * value, "%.9g",
                           (double)weight);
    }
    cr_expect_eq(pack_weight(0), 0);
    cr_expect_eq(pack_weight(9e-8F), 0);
    cr_expect_eq(pack_weight(1e-7F), 1);
    cr_expect_eq(pack_weight(0.99996F), PACK_ONE);
    cr_expect_eq(pack_weight(1), PACK_ONE);
    cr_expect_eq(pack_weight(1.000001F), PACK_ONE);
}

Test(page, strings_are_json_that_ends_no_script) {
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", ""},
        {"plain \"quoted\" back\\slash", NULL},
        {"</script><!-- <script> & >", NULL},
        {"line\nend\ttab\x7f\x01", NULL},
        {"\xc3\xa9 \xe4\xbd\xa0 \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf", NULL},
        {"\xe2\x80\xa8 \xe2\x80\xa9 \xe2\x80\xaa", NULL},
        {"\xff|\x80|\xc3", "\xef\xbf\xbd|\xef\xbf\xbd|\xef\xbf\xbd"},
        {"\xc0\xaf|\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *json;
        size_t size;
        FILE *file = open_memstream(&json, &size);
        json_string_in_script(file, cases[i].text);
        fclose(file);
        cr_expect_null(strpbrk(json, "<>&\n\x7f"), "%s", json);
        cr_expect_null(strstr(json, "\xe2\x80\xa8"));
        cr_expect_null(strstr(json, "\xe2\x80\xa9"));
        cJSON *parsed = cJSON_Parse(json);
        cr_assert(cJSON_IsString(parsed), "%s", json);
        cr_expect_str_eq(parsed->valuestring,
                         cases[i].expected ? cases[i].expected : cases[i].text);
        cJSON_Delete(parsed);
        free(json);
    }
}

enum { WORDS = 16 };

static const char *const words[WORDS] = {"[CLS]", "a", "b", "c",     "d", "e", "[SEP]", "f",
                                         "g",     "h", "i", "[SEP]", "j", "k", "l",     "[SEP]"};

static struct sight square(int count, bool causal) {
    return (struct sight){count, count, 0, causal, -1, -1};
}

/* The kind of a head with the weights [query][key]. */
static struct kinds_summary summarise_rows(const struct sight *sight, const char *const *tokens,
                                           bool own, const float *weights) {
    struct kinds_text text;
    struct kinds_head head = {.queries = 0};
    double even[KIND_PLACES];
    cr_assert(kinds_open(&text, sight, tokens, own));
    kinds_even(&text, even);
    for (int64_t query = 0; query < sight->queries; query++) {
        const float *row = weights + query * sight->keys;
        kinds_add(&head, &text, query, row, row_summarise(row, (int)sight->keys).entropy);
    }
    kinds_close(&text);
    return kinds_summarise(&head, even);
}

/* A head that gives `share` to the key of a place, and the rest to all it sees alike. */
static struct kinds_summary summarise(enum kind kind, float share, bool causal) {
    const struct sight sight = square(WORDS, causal);
    float weights[WORDS * WORDS] = {0};
    for (int query = 0; query < WORDS; query++) {
        const int seen = causal ? query + 1 : WORDS;
        const int keys[KIND_PLACES] = {query - 1,          query + 1, 0,  query,
                                       query < 7 ? 6 : 11, -1,        -1, query};
        const int key = kind < KIND_PLACES ? keys[kind] : -1;
        const bool there = key >= 0 && key < seen;
        for (int k = 0; k < seen; k++)
            weights[query * WORDS + k] = (there ? 1 - share : 1) / (float)seen;
        if (there)
            weights[query * WORDS + key] += share;
    }
    return summarise_rows(&sight, words, true, weights);
}

Test(page, kinds_are_where_the_excess_lies) {
    for (enum kind kind = KIND_PREVIOUS; kind < KIND_DUPLICATE; kind++) {
        const struct kinds_summary summary = summarise(kind, 0.41F, false);
        cr_expect_eq(summary.kind, kind, "%s", kinds_names[kind]);
        cr_expect_neq(summarise(kind, 0.39F, false).kind, kind, "%s", kinds_names[kind]);
        const double even = kind == KIND_SEPARATOR ? 3.0 / WORDS : 1.0 / WORDS;
        cr_expect_float_eq(summary.mass[kind], 0.41 + 0.59 * even, 1e-6, "%s", kinds_names[kind]);
    }
    for (enum kind kind = KIND_PREVIOUS; kind < KIND_SEPARATOR; kind++)
        cr_expect_eq(summarise(kind, 0.9F, true).kind, kind == KIND_NEXT ? KIND_BROAD : kind);
    double previous = 0; /* rows that see few keys have more by chance */
    for (int query = 1; query < WORDS; query++)
        previous += (0.9 + 0.1 / (query + 1)) / (WORDS - 1);
    cr_expect_float_eq(summarise(KIND_PREVIOUS, 0.9F, true).mass[KIND_PREVIOUS], previous, 1e-6);
    const struct kinds_summary broad = summarise(KIND_BROAD, 0, false);
    cr_expect_eq(broad.kind, KIND_BROAD);
    cr_expect_float_eq(broad.entropy, log(WORDS), 1e-6);
    cr_expect_float_eq(broad.spread, 1, 1e-6);
}

Test(page, local_and_mixed_heads) {
    const struct sight sight = square(WORDS, false);
    float near[WORDS * WORDS] = {0}, mixed[WORDS * WORDS] = {0};
    for (int query = 0; query < WORDS; query++) {
        for (int key = 0; key < WORDS; key++)
            near[query * WORDS + key] = abs(key - query) <= KINDS_NEAR ? 0.2F : 0;
        mixed[query * WORDS + (query + 5) % WORDS] = 1;
    }
    cr_expect_eq(summarise_rows(&sight, words, true, near).kind, KIND_LOCAL);
    cr_expect_eq(summarise_rows(&sight, words, true, mixed).kind, KIND_MIXED);
    const struct sight single = square(1, false);
    const float all = 1;
    const struct kinds_summary alone = summarise_rows(&single, words, true, &all);
    cr_expect_eq(alone.kind, KIND_MIXED);
    cr_expect_eq(alone.entropy, 0);
    for (int kind = 0; kind < KIND_PLACES; kind++)
        cr_expect_eq(alone.mass[kind], -1, "%s", kinds_names[kind]);
}

enum { HALF = 6, TWICE = 2 * HALF };

/* A text said twice over. */
static const char *const twice[TWICE] = {"a", "b", "c", "d", "e", "f",
                                         "a", "b", "c", "d", "e", "f"};

/* A causal head that gives `share` to the key so many places before the query, the rest to the
 * first key. */
static struct kinds_summary look_back(int places, float share, bool own, int repeated) {
    const struct sight sight = {TWICE, TWICE, 0, true, -1, -1};
    const char *tokens[TWICE];
    float weights[TWICE * TWICE] = {0};
    for (int query = 0; query < TWICE; query++) {
        const int key = query < places ? 0 : query - places;
        tokens[query] = query < HALF || query - HALF < repeated ? twice[query] : "";
        weights[query * TWICE + key] += share;
        weights[query * TWICE] += 1 - share;
    }
    for (int query = HALF + repeated; query < TWICE; query++) /* each of its own */
        tokens[query] = &"uvwxyz"[query - HALF];
    return summarise_rows(&sight, tokens, own, weights);
}

Test(page, heads_that_look_for_repeated_tokens) {
    const struct kinds_summary same = look_back(HALF, 0.8F, true, HALF);
    cr_expect_eq(same.kind, KIND_DUPLICATE);
    /* Of the rows with an earlier one, "a" has its own at the first key. */
    cr_expect_float_eq(same.mass[KIND_DUPLICATE], (5 * 0.8 + 1) / 6, 1e-6);
    const struct kinds_summary after = look_back(HALF - 1, 0.8F, true, HALF);
    cr_expect_eq(after.kind, KIND_INDUCTION);
    cr_expect_float_eq(after.mass[KIND_INDUCTION], 0.8, 1e-6);
    cr_expect_float_eq(after.mass[KIND_DUPLICATE], 0.2 / 6, 1e-6);
    /* Three rows are too few to tell, four aren't. */
    cr_expect_eq(look_back(HALF, 0.8F, true, KINDS_REPEATS - 1).mass[KIND_DUPLICATE], -1);
    cr_expect_eq(look_back(HALF, 0.8F, true, KINDS_REPEATS).kind, KIND_DUPLICATE);
    /* The queries' tokens are others than the keys'. */
    const struct kinds_summary cross = look_back(HALF, 0.8F, false, HALF);
    cr_expect_eq(cross.mass[KIND_DUPLICATE], -1);
    cr_expect_eq(cross.mass[KIND_PREVIOUS], -1);
    cr_expect_geq(cross.mass[KIND_FIRST], 0.2);
}

/* The token itself is never among what came after an earlier one, nor among the others. */
Test(page, a_token_is_no_repetition_of_itself) {
    static const char *const same[TWICE] = {"a", "a", "a", "a", "a", "a",
                                            "a", "a", "a", "a", "a", "a"};
    const struct sight sight = square(TWICE, false);
    float weights[TWICE * TWICE] = {0};
    for (int query = 0; query < TWICE; query++)
        weights[query * TWICE + query] = 1;
    const struct kinds_summary summary = summarise_rows(&sight, same, true, weights);
    cr_expect_eq(summary.kind, KIND_SELF);
    cr_expect_eq(summary.mass[KIND_DUPLICATE], 0);
    cr_expect_eq(summary.mass[KIND_INDUCTION], 0);
}

/* Without causal, both of two equal tokens see the other, and the second's neighbour only. */
Test(page, repeated_tokens_on_both_sides) {
    const struct sight sight = square(TWICE, false);
    float weights[TWICE * TWICE] = {0};
    for (int query = 0; query < TWICE; query++)
        weights[query * TWICE + (query + HALF) % TWICE] = 1;
    const struct kinds_summary summary = summarise_rows(&sight, twice, true, weights);
    cr_expect_eq(summary.kind, KIND_DUPLICATE);
    cr_expect_float_eq(summary.mass[KIND_DUPLICATE], 1, 1e-9);
    cr_expect_float_eq(summary.mass[KIND_INDUCTION], 0, 1e-9);
}

/* A page of two of the samples, and its description. */
struct made {
    struct samples samples;
    const struct sample *sentences[PAGE_TEXTS];
    struct samples_page described;
    char *text;
    cJSON *json;
};

static cJSON *read_json(const char *page) {
    static const char start[] = "<script type=\"application/json\" id=\"data\">";
    const char *json = strstr(page, start);
    cr_assert_not_null(json);
    json += sizeof start - 1;
    cJSON *parsed = cJSON_ParseWithLength(json, (size_t)(strstr(json, "</script>") - json));
    cr_assert_not_null(parsed);
    return parsed;
}

static struct made make(void) {
    struct made made = {.text = NULL};
    char error[SAMPLES_ERROR_SIZE], page_error[PAGE_ERROR_SIZE];
    cr_assert(samples_parse(&made.samples, samples_data, samples_data_size, error), "%s", error);
    made.sentences[0] = &made.samples.sentences[2];
    made.sentences[1] = &made.samples.sentences[0];
    cr_assert(samples_page_open(&made.described, &made.samples, made.sentences, PAGE_TEXTS));
    size_t size;
    FILE *file = open_memstream(&made.text, &size);
    cr_assert_eq(page_write(file, &made.described.page, page_error), RAPT_OK, "%s", page_error);
    fclose(file);
    cr_assert_eq(strlen(made.text), size);
    made.json = read_json(made.text);
    return made;
}

static void discard(struct made *made) {
    cJSON_Delete(made->json);
    free(made->text);
    samples_page_close(&made->described);
    samples_free(&made->samples);
}

static int digit_of(char character) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = strchr(digits, character);
    cr_assert(found && character);
    return (int)(found - digits);
}

/* The numbers of the element with that name; the caller frees them. */
static uint16_t *read_block(const char *page, const char *name, size_t *count) {
    char start[128];
    snprintf(start, sizeof start, "<script type=\"text/plain\" id=\"%s\">", name);
    const char *text = strstr(page, start);
    cr_assert_not_null(text, "%s", name);
    text += strlen(start);
    const size_t length = strcspn(text, "<=");
    unsigned char *bytes = malloc(length + 1);
    size_t size = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < length; i++) {
        bits = bits << 6 | (unsigned)digit_of(text[i]);
        if (i % 4)
            bytes[size++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
    }
    cr_assert_eq(size % 2, 0);
    *count = size / 2;
    uint16_t *numbers = malloc(size);
    for (size_t i = 0; i < *count; i++)
        numbers[i] = (uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
    free(bytes);
    return numbers;
}

/* One head's block against the library's weights, which it must give back to four digits. */
static void check_block(const char *page, const char *name, const float *weights, int tokens,
                        bool causal) {
    size_t count, at = 0;
    uint16_t *numbers = read_block(page, name, &count);
    cr_assert_eq(count, (size_t)(tokens + (causal ? tokens * (tokens + 1) / 2 : tokens * tokens)));
    for (int query = 0; query < tokens; query++) {
        const float *row = weights + query * tokens;
        double sum = 0;
        for (int key = 0; key < (causal ? query + 1 : tokens); key++, at++) {
            const double value = unpack(numbers[at]);
            cr_assert_float_eq(value, row[key], 5.001e-4 * (double)row[key] + 1e-7);
            sum += value;
        }
        cr_assert_float_eq(sum, 1, 6e-4);
        cr_assert_float_eq(numbers[count - (size_t)(tokens - query)] / 1000.0,
                           row_summarise(row, tokens).entropy, 5.1e-4);
    }
    cr_assert_eq(at + (size_t)tokens, count);
    free(numbers);
}

Test(page, carries_the_weights_of_every_head_and_view) {
    struct made made = make();
    for (int s = 0; s < PAGE_TEXTS; s++)
        for (int causal = 0; causal < 2; causal++) {
            const struct sample *sentence = made.sentences[s];
            const int tokens = sentence->token_count, heads = made.samples.heads;
            const struct attend_range all = {0, made.samples.layers, 0, heads, causal};
            float *weights;
            cr_assert_eq(attend_compute(&made.samples, sentence, &all, NULL, 0, &weights), RAPT_OK);
            for (int at = 0; at < made.samples.layers * heads; at++) {
                char name[64];
                snprintf(name, sizeof name, "%s-%d-%d-%d", causal ? "causal" : "raw", s, at / heads,
                         at % heads);
                check_block(made.text, name, weights + at * tokens * tokens, tokens, causal);
            }
            free(weights);
        }
    discard(&made);
}

static const cJSON *get(const cJSON *json, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    cr_assert_not_null(item, "%s", name);
    return item;
}

/* What each key of a head receives is the mean of what the queries that see it give. */
static void check_received(const cJSON *head, const float *weights, int tokens, bool causal) {
    cr_assert_eq(cJSON_GetArraySize(get(head, "received")), tokens);
    for (int key = 0; key < tokens; key++) {
        const int first = causal ? key : 0;
        double sum = 0;
        for (int query = first; query < tokens; query++)
            sum += weights[query * tokens + key];
        const double found = cJSON_GetArrayItem(get(head, "received"), key)->valuedouble;
        cr_expect_float_eq(found, sum / (tokens - first), 1e-6);
    }
}

static void check_heads(const struct made *made, int s, bool causal) {
    const struct sample *sentence = made->sentences[s];
    const int tokens = sentence->token_count, heads = made->samples.layers * made->samples.heads;
    const cJSON *json = cJSON_GetArrayItem(get(made->json, "sentences"), s);
    const cJSON *view = get(json, causal ? "causal" : "raw"), *head;
    const struct attend_range all = {0, made->samples.layers, 0, made->samples.heads, causal};
    float *weights;
    cr_assert_eq(attend_compute(&made->samples, sentence, &all, NULL, 0, &weights), RAPT_OK);
    cr_assert_eq(cJSON_GetArraySize(get(view, "heads")), heads);
    cr_expect_eq(cJSON_GetArraySize(get(view, "even")), KIND_PLACES);
    int at = 0;
    cJSON_ArrayForEach(head, get(view, "heads")) {
        const float *own = weights + at++ * tokens * tokens;
        check_received(head, own, tokens, causal);
        cr_expect_float_eq(get(head, "entropy")->valuedouble,
                           attend_mean_entropy(own, tokens, tokens), 1e-6);
        cr_expect(get(head, "spread")->valuedouble >= 0 && get(head, "spread")->valuedouble <= 1);
        cr_expect_eq(cJSON_GetArraySize(get(head, "mass")), KIND_PLACES);
        cr_expect(cJSON_IsString(get(head, "kind")));
    }
    free(weights);
}

Test(page, describes_sentences_heads_and_colours) {
    struct made made = make();
    cr_expect_eq(get(made.json, "layers")->valueint, 6);
    cr_expect_eq(cJSON_GetArraySize(get(made.json, "heads")), 72);
    cr_expect_str_eq(get(made.json, "model")->valuestring, "all-MiniLM-L6-v2");
    const char *ramp = get(made.json, "ramp")->valuestring;
    cr_assert_eq(strlen(ramp), 256 * 6);
    for (int level = 0; level < 256; level++) {
        const struct color color = color_ramp(level / 255.0);
        char hex[8];
        snprintf(hex, sizeof hex, "%02x%02x%02x", color.red, color.green, color.blue);
        cr_expect_eq(strncmp(ramp + 6 * level, hex, 6), 0);
    }
    for (int s = 0; s < PAGE_TEXTS; s++) {
        const struct sample *sentence = made.sentences[s];
        const cJSON *json = cJSON_GetArrayItem(get(made.json, "sentences"), s);
        cr_expect_str_eq(get(json, "text")->valuestring, sentence->text);
        const cJSON *tokens = get(get(json, "keys"), "tokens");
        cr_assert_eq(cJSON_GetArraySize(tokens), sentence->token_count);
        for (int i = 0; i < sentence->token_count; i++)
            cr_expect_str_eq(cJSON_GetArrayItem(tokens, i)->valuestring, sentence->tokens[i]);
        check_heads(&made, s, false);
        check_heads(&made, s, true);
    }
    /* Layer 0, head 2 looks at the token before. */
    const cJSON *first = cJSON_GetArrayItem(get(made.json, "sentences"), 0);
    const cJSON *head = cJSON_GetArrayItem(get(get(first, "raw"), "heads"), 2);
    cr_expect_str_eq(get(head, "kind")->valuestring, "previous");
    discard(&made);
}

/* Nothing that a browser would fetch, and no script but the page's own. */
Test(page, needs_nothing_but_itself) {
    struct made made = make();
    cr_expect_not_null(strstr(made.text, "default-src 'none'; img-src data:; style-src 'sha256-"));
    cr_expect_null(strstr(made.text, "unsafe-inline"));
    cr_expect_null(strstr(made.text, "http://"));
    cr_expect_null(strstr(made.text, "https://"));
    cr_expect_null(strstr(made.text, " src="));
    cr_expect_not_null(strstr(made.text, "</html>"));
    discard(&made);
}

Test(page, file_is_complete_or_not_there, .init = enter, .fini = leave) {
    cr_expect_eq(rapt("attend --sentence 1 --beside 3 --html page.html"), 0, "%s", err_text);
    cr_expect_str_eq(out_text, "page.html: 6 layers, 12 heads, 2 sentences\n");
    struct stat status;
    cr_expect_eq(stat("page.html", &status), 0);
    cr_expect_gt(status.st_size, 100000);
    expect_fault("attend --html no/a.html",
                 "rapt attend: --html: no/a.html: No such file or directory\n");
    expect_fault("attend --html .",
                 "rapt attend: --html: .: is a directory, expected a file to write\n");
    expect_fault("attend --html=", "rapt attend: --html: found \"\", expected FILE\n");
    expect_fault("attend --html a.html --isa no-isa", "no-isa");
    expect_fault("attend --html a.html --sentence 4", "1 to 3");
    expect_fault("attend --html a.html --beside 4",
                 "rapt attend: --beside: found 4, expected N, an integer of 1 to 3\n");
    expect_fault("attend --html a.html --beside 99999999999", "1 to 3");
    expect_fault("attend --html a.html --beside 0", "--beside");
    expect_fault("attend --beside 2", "rapt attend: --beside: found no --html, expected it, too\n");
}

Test(page, same_bytes_on_every_isa, .init = enter, .fini = leave) {
    cr_expect_eq(rapt("attend --html best.html --threads 2"), 0, "%s", err_text);
    cr_expect_eq(rapt("attend --html scalar.html --isa scalar --threads 1"), 0, "%s", err_text);
    cr_expect_eq(system("cmp best.html scalar.html"), 0);
}

Test(page, full_disk_leaves_the_old_file, .init = enter, .fini = leave) {
    cr_expect_eq(rapt("attend --sentence 1 --html page.html"), 0, "%s", err_text);
    struct stat before, after;
    cr_assert_eq(stat("page.html", &before), 0);
    const struct rlimit limit = {32768, RLIM_INFINITY};
    struct rlimit none;
    cr_assert(getrlimit(RLIMIT_FSIZE, &none) == 0 && setrlimit(RLIMIT_FSIZE, &limit) == 0);
    signal(SIGXFSZ, SIG_IGN);
    expect_fault("attend --sentence 3 --html page.html",
                 "rapt attend: --html: page.html: File too large\n");
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    cr_assert_eq(stat("page.html", &after), 0);
    cr_expect_eq(after.st_ino, before.st_ino);
    cr_expect_eq(after.st_size, before.st_size);
}
