/* SPDX-License-Identifier: Apache-2.0 */
/* The encoder on a small model, and models that are wrong. */
#include "tests/support/modules.h"

static struct encoder open_model(int threads) {
    struct encoder e;
    char message[FAULT_SIZE] = "";
    cr_assert(encoder_open("tiny", threads, NULL, &e, message), "%s", message);
    return e;
}

static const char *const sentences[] = {
    "the cat sat on the mat.", "cats", "", "a", "the the the the the the the the the the the the",
};
enum { SENTENCES = 5 };

static void expect_embedding(const struct encoder *e, const char *text, const float *found,
                             bool first) {
    int64_t ids[POSITIONS];
    double states[POSITIONS * DIM], expected[DIM] = {0}, length = 0;
    const int n = (int)encoder_split(e, text, strlen(text), ids, NULL);
    reference_states(ids, n, states);
    for (int i = 0; i < (first ? 1 : n) * DIM; i++)
        expected[i % DIM] += states[i];
    for (int c = 0; c < DIM; c++)
        length += expected[c] * expected[c];
    for (int c = 0; c < DIM; c++)
        cr_expect(fabs((double)found[c] - expected[c] / sqrt(length)) < 2e-6, "%s, %d: %g, not %g",
                  text, c, (double)found[c], expected[c] / sqrt(length));
}

/* All of them, so many at a time, each made as long as 1. */
static struct encoder_texts in_batches(int64_t batch) {
    return (struct encoder_texts){
        .sentences = sentences, .count = SENTENCES, .batch = batch, .normalise = true};
}

/* Each type of weights, with and without a prefix, wherever they lie, and either pooling. */
Test(encoder, agrees_with_its_definition, .init = enter_model, .fini = leave_model) {
    const struct model_form forms[] = {{RAPT_F32, NULL, false},  {RAPT_F16, "bert.", true},
                                       {RAPT_BF16, NULL, false}, {RAPT_F32, NULL, true},
                                       {RAPT_BF16, NULL, true},  {RAPT_F32, "bert.", false}};
    for (int i = 0; i < 6; i++) {
        const struct encoder_texts texts = in_batches(SENTENCES);
        float out[SENTENCES * DIM];
        char message[FAULT_SIZE];
        put_weights(&forms[i]);
        if (i == 5) {
            mkdir("tiny/1_Pooling", 0700);
            put_text("tiny/1_Pooling/config.json", "{\"pooling_mode_cls_token\": true,"
                                                   "\"pooling_mode_mean_tokens\": false}");
        }
        struct encoder e = open_model(1);
        cr_assert(encoder_embed(&e, &texts, out, message), "%s", message);
        for (int s = 0; s < SENTENCES; s++)
            expect_embedding(&e, sentences[s], out + s * DIM, i == 5);
        encoder_close(&e);
    }
}

/* Whatever goes through the model with it, a sentence's embedding has the same bits. */
Test(encoder, has_the_same_bits_in_any_batch, .init = enter_model, .fini = leave_model) {
    float all[SENTENCES * DIM], some[SENTENCES * DIM];
    char message[FAULT_SIZE];
    struct encoder e = open_model(1);
    struct encoder_texts texts = in_batches(100);
    cr_assert(encoder_embed(&e, &texts, all, message));
    for (int threads = 1; threads <= 3; threads++)
        for (int batch = 0; batch <= SENTENCES; batch++) {
            struct encoder other = open_model(threads);
            texts = in_batches(batch);
            cr_assert(encoder_embed(&other, &texts, some, message));
            cr_expect_arr_eq(some, all, sizeof all);
            encoder_close(&other);
        }
    encoder_close(&e);
}

/* A copy of the configuration in which `from` is `to`. */
static void change_config(const char *from, const char *to) {
    char text[1024];
    const char *at = strstr(model_text, from);
    cr_assert(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - model_text), model_text, to,
             at + strlen(from));
    put_text("tiny/config.json", text);
}

Test(encoder, configurations_are_checked, .init = enter_model, .fini = leave_model) {
    static const struct {
        const char *from, *to, *expected;
    } cases[] = {
        {"\"bert\"", "\"gpt2\"", "model_type: found gpt2, expected \"bert\""},
        {"\"gelu\"", "\"relu\"", "hidden_act: found relu"},
        {"heads\":3", "heads\":5", "hidden_size: found 24, expected a multiple of the 5 heads"},
        {"heads\":3", "heads\":0", "num_attention_heads: expected a whole number"},
        {"size\":24", "size\":1e30", "hidden_size: expected a whole number"},
        {"size\":24", "size\":\"24\"", "hidden_size: expected a whole number"},
        {"size\":24", "size\":24.5", "hidden_size: expected a whole number"},
        {"size\":24,", "other\":24,", "hidden_size: expected a whole number"},
        {"embeddings\":12", "embeddings\":1",
         "max_position_embeddings: expected a whole number of 2"},
        {"{\"model", "[\"model", "not an object in JSON"},
        {"}", "", "not an object in JSON"},
        {"}", "} x", "not an object in JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        change_config(cases[i].from, cases[i].to);
        expect_refusal("tiny/config.json: ", cases[i].expected);
    }
    change_config("heads\":3", "heads\":6");
    cr_expect_str_eq(refusal(), "opened");
    put_text("tiny/tokenizer_config.json", "{\"do_lower_case\": 1}");
    expect_refusal("tiny/tokenizer_config.json: ", "do_lower_case: expected true or false");
    unlink("tiny/tokenizer_config.json");
    mkdir("tiny/1_Pooling", 0700);
    put_text("tiny/1_Pooling/config.json", "{\"pooling_mode_mean_tokens\": false}");
    expect_refusal("tiny/1_Pooling/config.json: ", "pooling_mode: expected one or more");
    unlink("tiny/1_Pooling/config.json");
    unlink("tiny/config.json");
    expect_refusal("tiny/config.json: ", "No such file");
}

Test(encoder, parts_that_do_not_match_are_refused, .init = enter_model, .fini = leave_model) {
    static const struct {
        const char *from, *to, *tensor;
    } cases[] = {
        {"vocab_size\":26", "vocab_size\":27", "word_embeddings.weight: found shape [26, 24]"},
        {"embeddings\":12", "embeddings\":13", "position_embeddings.weight: found shape [12, 24]"},
        {"vocab_size\":2,", "vocab_size\":3,", "token_type_embeddings.weight: found shape [2, 24]"},
        {"size\":40", "size\":39", "layer.0.intermediate.dense.weight: found shape [40, 24]"},
        {"layers\":2", "layers\":3", "encoder.layer.2.attention.self.query.weight: not there"},
        {"size\":24", "size\":27", "embeddings.word_embeddings.weight: found shape [26, 24]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        change_config(cases[i].from, cases[i].to);
        expect_refusal("tiny/model.safetensors: tensor ", cases[i].tensor);
    }
    put_text("tiny/config.json", model_text);
    put_text("tiny/vocab.txt", "[UNK]\n[CLS]\n[SEP]\na\na\n");
    expect_refusal("tiny/vocab.txt: line 5: ", "stands on line 4");
    put_text("tiny/vocab.txt", "[UNK]\n[CLS]\na\n");
    expect_refusal("tiny/vocab.txt: ", "found no token [SEP]");
    put_file("tiny/vocab.txt", "[UNK]\n[C\0S]", 11);
    expect_refusal("tiny/vocab.txt: line 2: ", "zero byte");
    change_config("vocab_size\":26", "vocab_size\":25");
    put_text("tiny/vocab.txt", vocabulary_text);
    expect_refusal("tiny: ", "found 26 tokens in the vocabulary, expected the 25");
    unlink("tiny/vocab.txt");
    expect_refusal("tiny/vocab.txt: ", "No such file");
    put_text("tiny/vocab.txt", vocabulary_text);
    put_text("tiny/config.json", model_text);
    unlink("tiny/model.safetensors");
    expect_refusal("tiny/model.safetensors: ", "No such file");
}

/* The tokens of a text, by their names. */
static void expect_tokens(const struct wordpiece *v, const char *text, int64_t most,
                          const char *expected) {
    int64_t ids[64];
    char found[1024] = "";
    const int64_t n = wordpiece_split(v, text, strlen(text), ids, most, NULL);
    for (int64_t i = 0; i < n; i++)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s%s", i ? " " : "",
                 v->tokens[ids[i]]);
    cr_expect_str_eq(found, expected, "\"%s\": %s, expected %s", text, found, expected);
}

Test(encoder, text_is_split_as_the_model_was_taught) {
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"The cats sat, on!", "[CLS] the cat ##s sat , on ! [SEP]"},
        {"", "[CLS] [SEP]"},
        {" \t\r\n\xc2\xa0\xe3\x80\x80", "[CLS] [SEP]"},
        {"Caf\xc3\xa9 cafe\xcc\x81", "[CLS] cafe cafe [SEP]"},
        {"a\xe4\xb8\xad\xe6\x96\x87"
         "b",
         "[CLS] a \xe4\xb8\xad \xe6\x96\x87 b [SEP]"},
        {"\xc4\xb0 \xc3\x9f \xe1\xba\x9e", "[CLS] i \xc3\x9f \xc3\x9f [SEP]"},
        {"mat dog m", "[CLS] m ##at [UNK] m [SEP]"},
        {"c\x01"
         "a\xe2\x80\x8bt \xff\xfe"
         "cat\xef\xbf\xbd",
         "[CLS] cat cat [SEP]"},
        {"cat[MASK]sat [mask", "[CLS] cat [MASK] sat [UNK] [UNK] [SEP]"},
        {"the \xf0\x9f\x98\x80 cat", "[CLS] the [UNK] cat [SEP]"},
        {"\xe2\x80\x94.", "[CLS] [UNK] . [SEP]"},
    };
    struct wordpiece v;
    char message[FAULT_SIZE], word[128] = "";
    cr_assert(wordpiece_parse("v", vocabulary_text, strlen(vocabulary_text), &v, message));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_tokens(&v, cases[i].text, 64, cases[i].expected);
    expect_tokens(&v, "the cats sat", 4, "[CLS] the cat [SEP]");
    expect_tokens(&v, "the cats sat", 2, "[CLS] [SEP]");
    for (int i = 0; i < 50; i++)
        strcat(word, "bi"); /* none of its pieces is longer than a letter */
    v.mark[MARK_UNK] = 13;
    int64_t ids[200];
    cr_expect_eq(wordpiece_split(&v, word, 100, ids, 200, NULL), 102);
    strcat(word, "b");
    cr_expect_eq(wordpiece_split(&v, word, 101, ids, 200, NULL), 3);
    cr_expect_eq(ids[1], 13);
    v.lowercase = v.strip_accents = false;
    expect_tokens(&v, "cat Cat", 64, "[CLS] cat a [SEP]");
    wordpiece_close(&v);
}

/* The example itself: as alike as they are to each other, and 1 to itself. */
Test(encoder, the_program_compares_sentences, .init = enter_model, .fini = leave_model) {
    float out[2 * DIM];
    double cosine = 0;
    char message[FAULT_SIZE], expected[64];
    struct encoder e = open_model(1);
    struct encoder_texts texts = in_batches(2);
    texts.count = 2;
    cr_assert(encoder_embed(&e, &texts, out, message));
    encoder_close(&e);
    for (int c = 0; c < DIM; c++)
        cosine += (double)out[c] * (double)out[DIM + c];
    snprintf(expected, sizeof expected, " 1.000 %6.3f\n%6.3f  1.000\n", cosine, cosine);
    cr_assert_eq(system("\"$RAPT_ENCODER\" tiny 'the cat sat on the mat.' cats >../out"), 0);
    slurp("../out", out_text);
    cr_expect_str_eq(out_text, expected);
    cr_expect_neq(system("\"$RAPT_ENCODER\" nowhere cat >/dev/null 2>../err"), 0);
    slurp("../err", err_text);
    cr_expect_str_eq(err_text, "encoder: nowhere: No such file or directory\n");
}

Test(encoder, commands_run_a_model, .init = enter_model, .fini = leave_model) {
    put_text("lines", "the cat\na mat on the cat\ncat, the\n");
    cr_expect_eq(rapt("embed lines --model tiny --npy E.npy --threads 2"), 0, "%s", err_text);
    float found[3 * DIM];
    load("E.npy", "(3, 24)", found, 3 * DIM);
    struct encoder e = open_model(1);
    expect_embedding(&e, "a mat on the cat", found + DIM, false);
    encoder_close(&e);
    cr_expect_eq(rapt("embed lines --model tiny --similar --query cat"), 0, "%s", err_text);
    cr_expect_eq(rapt("embed lines --model tiny --similar --top 1"), 0, "%s", err_text);
    cr_expect(strstr(out_text, "cat, the"), "%s", out_text);
    cr_expect_eq(rapt("embed lines --model tiny --json"), 0, "%s", err_text);
    cr_expect(strstr(out_text, "{\"text\":\"a mat on the cat\",\"tokens\":[\"[CLS]\",\"a\",\"m\","
                               "\"##at\",\"on\",\"the\",\"cat\",\"[SEP]\"],\"embedding\":["));
    cr_expect_eq(rapt("embed lines --model tiny --time 3"), 0, "%s", err_text);
    cr_expect_eq(rapt("attend the\tcat --model tiny"), 0, "%s", err_text);
    cr_expect(strstr(out_text, "tiny, layer 1 of 0-1, head 1 of 0-2"), "%s", out_text);
    cr_expect(strstr(out_text, "sums to 1"), "%s", out_text);
    cr_expect_eq(rapt("attend cat sat --model tiny --html page.html"), 0, "%s", err_text);
    cr_expect(strstr(out_text, "2 sentences"), "%s", out_text);
    cr_expect_eq(rapt("attend cat sat --model tiny --html page.html --sentence 2"), 0, "%s",
                 err_text);
    cr_expect(strstr(out_text, "1 sentence"), "%s", out_text);
    cr_expect_eq(rapt("attend cat sat --model tiny/ --list"), 0, "%s", err_text);
    cr_expect(strstr(out_text, "Sentence 2, 3 tokens\nsat\n[CLS] sat [SEP]"), "%s", out_text);
    expect_fault("attend cat --model nowhere", "rapt attend: nowhere: found no model there; "
                                               "scripts/get-model fetches one");
    expect_fault("attend cat --model tiny --sentence 2",
                 "found \"2\", expected N, an integer of 1");
    expect_fault("embed lines --model lines", "lines: Not a directory");
    expect_fault("embed nothing --model tiny", "nothing: No such file");
    cr_expect_eq(rapt("embed /dev/null --model tiny --npy E.npy"), 0, "%s", err_text);
    load("E.npy", "(0, 24)", found, 0);
    expect_fault("embed --model tiny", "found 0 files, expected one");
    expect_fault("embed lines --query cat", "--query: found no --similar, expected it, too");
    expect_fault("embed lines --npy E --json", "--npy: found also --json, expected one of the two");
    put_file("lines", "a\0b\n", 4);
    expect_fault("embed lines --model tiny", "lines: line 1: found a zero byte");
    put_text("tiny/model.safetensors", "nonsense");
    expect_fault("attend cat --model tiny", "tiny/model.safetensors: found 8 bytes");
}

/* A line of `rapt attend --explain`: the vector's first values, rounded as it does. */
static void expect_vector(const char *label, const double *values, int count) {
    char text[128];
    double squares = 0;
    for (int i = 0; i < count; i++)
        squares += values[i] * values[i];
    snprintf(text, sizeof text, "%-26s%8.3f%8.3f%8.3f%8.3f ...  norm %.3f\n", label, values[0],
             values[1], values[2], values[3], sqrt(squares));
    cr_expect(strstr(out_text, text), "no %sin\n%s", text, out_text);
}

/* What is explained begins with what enters the layer, of which the queries are made. */
Test(encoder, explained_rows_begin_with_the_input, .init = enter_model, .fini = leave_model) {
    enum { TOKENS = 4, WORD = 2 };
    const int64_t ids[TOKENS] = {2, 5, 6, 3}; /* [CLS] the cat [SEP] */
    double x[TOKENS * DIM], query[TOKENS * DIM];
    for (int i = 0; i < TOKENS * DIM; i++)
        x[i] = weight_of("embeddings.word_embeddings.weight", ids[i / DIM] * DIM + i % DIM) +
               weight_of("embeddings.position_embeddings.weight", i) +
               weight_of("embeddings.token_type_embeddings.weight", i % DIM);
    reference_norm("embeddings.LayerNorm", x, NULL, TOKENS);
    reference_linear("encoder.layer.0.attention.self.query", x, TOKENS, DIM, DIM, query);
    cr_assert_eq(rapt("attend the\tcat --model tiny --explain --word cat --layer 0 --head 2"), 0,
                 "%s", err_text);
    expect_vector("input of \"cat\"", x + WORD * DIM, DIM);
    expect_vector("query of \"cat\"", query + WORD * DIM + 2 * DIM / HEADS, DIM / HEADS);
    cr_expect(!strstr(out_text, "needs a model"));
    cr_assert_eq(rapt("attend the\tcat --model tiny --explain --layer 1"), 0, "%s", err_text);
    cr_expect(strstr(out_text, "Layer 1 is given 24 numbers"), "%s", out_text);
}
