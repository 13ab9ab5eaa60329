/* SPDX-License-Identifier: Apache-2.0 */
/* Folders as sentence-transformers writes them: modules, poolings, layers, prompts, lengths. */
#include "tests/support/modules.h"

static const char sentence[] = "the cat sat on a cafe mat";

/* The embedding of one sentence. */
static int embed(const char *text, const char *prompt, bool normalise, float *out) {
    static struct encoder e;
    char message[FAULT_SIZE] = "";
    cr_assert(encoder_open("tiny", 1, NULL, &e, message), "%s", message);
    const struct encoder_texts texts = {&text, 1, 1, prompt, normalise};
    cr_assert(e.width <= MOST_WIDTH);
    cr_assert(encoder_embed(&e, &texts, out, message), "%s", message);
    const int width = (int)e.width;
    encoder_close(&e);
    return width;
}

/* States of a text that has a prompt; returns their number, and that of the prompt's. */
static int states_of(const char *text, const char *prompt, double *states, int *skip) {
    struct wordpiece v;
    char both[256], message[FAULT_SIZE];
    int64_t ids[POSITIONS];
    cr_assert(wordpiece_parse("v", vocabulary_text, strlen(vocabulary_text), &v, message));
    *skip = (int)wordpiece_split(&v, prompt, strlen(prompt), ids, POSITIONS, NULL) - 1;
    snprintf(both, sizeof both, "%s%s", prompt, text);
    const int tokens = (int)wordpiece_split(&v, both, strlen(both), ids, POSITIONS, NULL);
    reference_states(ids, tokens, states);
    wordpiece_close(&v);
    return tokens;
}

static void expect_vector(const struct vector *expected, const float *found, int width,
                          const char *what) {
    cr_expect_eq(width, expected->width, "%s: %d numbers, not %d", what, width, expected->width);
    for (int c = 0; c < expected->width && width == expected->width; c++)
        cr_expect(fabs((double)found[c] - expected->x[c]) < 1e-5 * (1 + fabs(expected->x[c])),
                  "%s, %d: %.9g, not %.9g", what, c, (double)found[c], expected->x[c]);
}

/* Each pooling alone: as it is written today, and as it was, in a folder of any name. */
Test(modules, states_are_pooled, .init = enter_model, .fini = leave_model) {
    double states[POSITIONS * DIM];
    float found[MOST_WIDTH];
    int skip;
    const int tokens = states_of(sentence, "", states, &skip);
    for (int mode = 0; mode < MODES; mode++)
        for (int old = 0; old < 2; old++) {
            char text[512];
            struct vector expected = {.width = 0};
            if (old)
                snprintf(text, sizeof text,
                         "{\"word_embedding_dimension\":%d,\"pooling_mode_mean_tokens\":%s,"
                         "\"pooling_mode_%s%s\":true}",
                         DIM, mode == 2 ? "true" : "false",
                         mode == 2 ? "cls_token\":false,\"pooling_mode_" : "",
                         mode == 0   ? "cls_token"
                         : mode == 1 ? "max_tokens"
                         : mode == 2 ? "max_tokens\":false,\"include_prompt"
                         : mode == 3 ? "mean_sqrt_len_tokens"
                         : mode == 4 ? "weightedmean_tokens"
                                     : "lasttoken");
            else
                snprintf(text, sizeof text, "{\"embedding_dimension\":%d,\"pooling_mode\":\"%s\"}",
                         DIM, mode_names[mode]);
            put_config("here", text);
            put_modules(old ? old_package : "sentence_transformers.sentence_transformer.modules.x.",
                        "Transformer: Pooling:here");
            reference_pool(mode, states, 0, tokens, &expected);
            expect_vector(&expected, found, embed(sentence, NULL, false, found), mode_names[mode]);
        }
}

/* The old format has an order of its own, a list has the one in which it is written. */
Test(modules, poolings_stand_side_by_side, .init = enter_model, .fini = leave_model) {
    static const int orders[2][MODES] = {{0, 1, 2, 3, 4, 5}, {5, 2, 0, 4, 3, 1}};
    double states[POSITIONS * DIM];
    float found[MOST_WIDTH];
    int skip;
    const int tokens = states_of(sentence, "", states, &skip);
    put_modules(old_package, "Transformer: Pooling:1_Pooling Normalize:2_Normalize");
    for (int i = 0; i < 2; i++) {
        struct vector expected = {.width = 0};
        put_config("1_Pooling",
                   i ? "{\"pooling_mode\":[\"lasttoken\",\"mean\",\"cls\",\"weightedmean\","
                       "\"mean_sqrt_len_tokens\",\"max\"],\"pooling_mode_cls_token\":true}"
                     : "{\"pooling_mode_lasttoken\":true,\"pooling_mode_weightedmean_tokens\":true,"
                       "\"pooling_mode_mean_sqrt_len_tokens\":true,\"pooling_mode_mean_tokens\":"
                       "true,\"pooling_mode_max_tokens\":true,\"pooling_mode_cls_token\":true}");
        for (int k = 0; k < MODES; k++)
            reference_pool(orders[i][k], states, 0, tokens, &expected);
        reference_normalise(&expected);
        expect_vector(&expected, found, embed(sentence, NULL, false, found), i ? "list" : "flags");
    }
}

/* A model like LaBSE, and each activation by either of its names. */
Test(modules, layers_follow_the_pooling, .init = enter_model, .fini = leave_model) {
    static const char *const names[] = {
        "torch.nn.modules.activation.Tanh", "torch.nn.modules.linear.Identity", "torch.nn.ReLU",
        "torch.nn.modules.activation.GELU", "torch.nn.modules.activation.Sigmoid"};
    enum { ROWS = 31 };
    double states[POSITIONS * DIM];
    float found[MOST_WIDTH];
    int skip;
    const int tokens = states_of(sentence, "", states, &skip);
    put_config("1_Pooling", "{\"pooling_mode\":\"cls\"}");
    put_modules(old_package, "Transformer: Pooling:1_Pooling Dense:2_Dense Normalize:3_Normalize");
    for (int i = 0; i < 5; i++) {
        struct vector expected = {.width = 0};
        put_dense("2_Dense", DIM, ROWS, i != 2, names[i], i == 3 ? RAPT_BF16 : RAPT_F32);
        reference_pool(0, states, 0, tokens, &expected);
        reference_dense(&expected, ROWS, i != 2, strrchr(names[i], '.')[1]);
        reference_normalise(&expected);
        expect_vector(&expected, found, embed(sentence, NULL, false, found), names[i]);
    }
    struct vector expected = {.width = 0};
    put_config("1_Pooling", "{\"pooling_mode\":[\"max\",\"mean\"]}");
    put_dense("2_Dense", 2 * DIM, 60, true, names[0], RAPT_F16);
    put_dense("4", 60, 5, true, names[4], RAPT_F32);
    put_modules(old_package, "Transformer: Pooling:1_Pooling Dense:2_Dense Normalize:x Dense:4");
    reference_pool(1, states, 0, tokens, &expected);
    reference_pool(2, states, 0, tokens, &expected);
    reference_dense(&expected, 60, true, 'T');
    reference_normalise(&expected);
    reference_dense(&expected, 5, true, 'S');
    expect_vector(&expected, found, embed(sentence, NULL, false, found), "two layers");
    reference_normalise(&expected);
    expect_vector(&expected, found, embed(sentence, NULL, true, found), "normalised");
}

/* A sentence's bits are its own behind a layer, too. */
Test(modules, bits_do_not_depend_on_the_batch, .init = enter_model, .fini = leave_model) {
    enum { COUNT = 5, ROWS = 31 };
    static const char *const texts[COUNT] = {"the cat", "a", "", "sat on the mat", "cats"};
    static struct encoder e;
    float all[COUNT * ROWS], some[COUNT * ROWS];
    char message[FAULT_SIZE];
    put_config("1_Pooling", "{\"pooling_mode\":[\"max\",\"mean\"]}");
    put_dense("2_Dense", 2 * DIM, ROWS, true, "torch.nn.Tanh", RAPT_F32);
    put_modules(old_package, "Transformer: Pooling:1_Pooling Dense:2_Dense");
    for (int threads = 1; threads <= 3; threads++)
        for (int batch = 1; batch <= COUNT; batch++) {
            cr_assert(encoder_open("tiny", threads, NULL, &e, message), "%s", message);
            const struct encoder_texts job = {texts, COUNT, batch, NULL, false};
            const bool first = threads == 1 && batch == 1;
            cr_assert(encoder_embed(&e, &job, first ? all : some, message), "%s", message);
            cr_expect(first || memcmp(all, some, sizeof all) == 0, "%d, %d", threads, batch);
            encoder_close(&e);
        }
}

/* A word may begin in the prompt; what is left out of the pooling is as long as the prompt alone.
 */
Test(modules, prompts_stand_before_texts, .init = enter_model, .fini = leave_model) {
    static const char prompts[] = "{\"prompts\":{\"query\":\"the cat, \",\"half\":\"sat ca\"},"
                                  "\"default_prompt_name\":\"query\"}";
    double states[POSITIONS * DIM];
    float found[MOST_WIDTH];
    int skip;
    put_modules(old_package, "Transformer: Pooling:1_Pooling");
    put_text("tiny/config_sentence_transformers.json", prompts);
    for (int left_out = 0; left_out < 2; left_out++)
        for (int mode = 0; mode < MODES; mode++)
            for (int i = 0; i < 3; i++) {
                const char *prompt = i == 0 ? "the cat, " : i == 1 ? "sat ca" : "";
                char text[128];
                struct vector expected = {.width = 0};
                snprintf(text, sizeof text, "{\"pooling_mode\":\"%s\",\"include_prompt\":%s}",
                         mode_names[mode], left_out ? "false" : "true");
                put_config("1_Pooling", text);
                const int tokens = states_of("ts on a mat", prompt, states, &skip);
                reference_pool(mode, states, left_out && *prompt ? skip : 0, tokens, &expected);
                expect_vector(&expected, found,
                              embed("ts on a mat", i == 0 ? NULL : prompt, false, found), text);
            }
}

/* A prompt's last word may become a shorter one with the text: then no token is left to pool. */
Test(modules, a_prompt_may_be_all_there_is) {
    enum { TOKENS = 3 };
    struct modules m = {.pooling_count = MODES, .leaves_prompt_out = true};
    float states[TOKENS * DIM], out[MODES * DIM];
    for (int i = 0; i < TOKENS * DIM; i++)
        states[i] = (float)(i + 1);
    for (int i = 0; i < MODES; i++)
        m.pooling[i] = (enum modules_pooling)i;
    for (int prompt = TOKENS; prompt < TOKENS + 2; prompt++) {
        modules_pool(&m, states, TOKENS, prompt, DIM, out);
        for (int i = 0; i < MODES * DIM; i++)
            cr_expect_eq(out[i], i < DIM ? states[i] : i < 2 * DIM ? -INFINITY : 0, "%d", i);
    }
}

Test(modules, commands_choose_a_prompt, .init = enter_model, .fini = leave_model) {
    float found[3][DIM], expected[DIM];
    put_text("lines", "a mat\n");
    put_text("tiny/config_sentence_transformers.json",
             "{\"prompts\":{\"query\":\"the cat, \",\"page\":\"sat on \"}}");
    cr_assert_eq(rapt("embed lines --model tiny --prompt-name page --npy 0"), 0, "%s", err_text);
    cr_assert_eq(rapt("embed lines --model tiny --prompt cafe --npy 1"), 0, "%s", err_text);
    cr_assert_eq(rapt("embed lines --model tiny --npy 2"), 0, "%s", err_text);
    load("0", "(1, 24)", found[0], DIM);
    load("1", "(1, 24)", found[1], DIM);
    load("2", "(1, 24)", found[2], DIM);
    for (int i = 0; i < 3; i++) {
        embed("a mat", i == 0 ? "sat on " : i == 1 ? "cafe" : "", true, expected);
        cr_expect_arr_eq(found[i], expected, sizeof expected);
    }
    cr_assert_eq(rapt("embed lines --model tiny --prompt-name page --json"), 0, "%s", err_text);
    cr_expect(strstr(out_text, "\"text\":\"a mat\",\"tokens\":[\"[CLS]\",\"sat\",\"on\",\"a\","));
    put_text("lines", "the cat, cat\nsat on mat\n");
    cr_assert_eq(rapt("embed lines --model tiny --similar --query cat --query-prompt-name query "
                      "--top 1"),
                 0, "%s", err_text);
    cr_expect_str_eq(out_text, " 1.0000    1  the cat, cat\n");
    expect_fault("embed lines --model tiny --prompt-name pages",
                 "--prompt-name: found \"pages\", expected one of query, page");
    expect_fault("embed lines --model tiny --prompt a --prompt-name page",
                 "expected one of the two");
    expect_fault("embed lines --model tiny --query-prompt-name page",
                 "found no --query, expected it, too");
    put_text("tiny/config_sentence_transformers.json",
             "{\"prompts\":{\"page\":\"sat on \"},\"default_prompt_name\":\"page\"}");
    cr_assert_eq(rapt("embed lines --model tiny --no-prompt --json"), 0, "%s", err_text);
    cr_expect(strstr(out_text, "\"tokens\":[\"[CLS]\",\"the\","), "%s", out_text);
    cr_assert_eq(rapt("embed lines --model tiny --json"), 0, "%s", err_text);
    cr_expect(strstr(out_text, "\"tokens\":[\"[CLS]\",\"sat\",\"on\",\"the\","), "%s", out_text);
}

/* A model without a Normalize: lengths are as they come, and angles need none. */
Test(modules, lengths_are_the_models_own, .init = enter_model, .fini = leave_model) {
    float raw[2 * DIM], unit[2 * DIM];
    put_modules(old_package, "Transformer: Pooling:1_Pooling");
    put_config("1_Pooling", "{\"pooling_mode\":\"mean\"}");
    put_text("lines", "the cat\na mat\n");
    cr_assert_eq(rapt("embed lines --model tiny --npy raw"), 0, "%s", err_text);
    cr_assert_eq(rapt("embed lines --model tiny --normalize --npy unit"), 0, "%s", err_text);
    load("raw", "(2, 24)", raw, 2 * DIM);
    load("unit", "(2, 24)", unit, 2 * DIM);
    double squares = 0, ones = 0, cosine = 0;
    for (int c = 0; c < DIM; c++) {
        squares += (double)raw[c] * (double)raw[c];
        ones += (double)unit[c] * (double)unit[c];
        cosine += (double)unit[c] * (double)unit[DIM + c];
    }
    cr_expect(fabs(squares - 1) > 0.1 && fabs(ones - 1) < 1e-6);
    char text[32];
    snprintf(text, sizeof text, "%7.4f    1  the cat\n", cosine);
    cr_assert_eq(rapt("embed lines --model tiny --similar"), 0, "%s", err_text);
    cr_expect(strstr(out_text, text), "%s is not in %s", text, out_text);
}

/* What the model's length cuts is said, or is an error. */
Test(modules, cut_texts_are_told, .init = enter_model, .fini = leave_model) {
    float cut[3 * DIM], same[DIM];
    put_text("lines", "the cat\na a a a a a\na a a a a a a a\n");
    put_text("tiny/sentence_bert_config.json", "{\"max_seq_length\":6,\"do_lower_case\":false}");
    cr_assert_eq(rapt("embed lines --model tiny --npy E"), 0, "%s", err_text);
    cr_expect_str_eq(err_text, "rapt embed: cut 2 of 3 lines to the model's 6 tokens, by 6 in all; "
                               "the first is line 2\n");
    load("E", "(3, 24)", cut, 3 * DIM);
    embed("a a a a", "", true, same);
    cr_expect_arr_eq(cut + DIM, same, sizeof same);
    cr_expect_arr_eq(cut + 2 * DIM, same, sizeof same);
    expect_fault("embed lines --model tiny --no-truncate",
                 "line 2: found 8 tokens, expected at most the model's 6");
    expect_fault("embed lines --model tiny --no-truncate --npy none",
                 "line 2: found 8 tokens, expected at most the model's 6");
    cr_expect_neq(access("none", F_OK), 0);
    cr_assert_eq(rapt("attend the a\ta\ta\ta\ta\ta --model tiny --list"), 0, "%s", err_text);
    cr_expect_str_eq(err_text, "rapt attend: cut 1 of 2 texts to the model's 6 tokens, by 2 in "
                               "all; the first is text 2\n");
    expect_fault("attend the a\ta\ta\ta\ta\ta --model tiny --list --no-truncate",
                 "text 2: found 8 tokens, expected at most the model's 6");
    put_text("lines", "the cat\na a a a\n");
    cr_assert_eq(rapt("embed lines --model tiny --no-truncate --npy E"), 0, "%s", err_text);
    cr_expect_str_eq(err_text, "");
    unlink("tiny/sentence_bert_config.json");
    put_text("tiny/tokenizer_config.json", "{\"model_max_length\":5}");
    expect_fault("embed lines --model tiny --no-truncate", "line 2: found 6 tokens");
    put_text("tiny/sentence_bert_config.json", "{\"max_seq_length\":1000}");
    cr_assert_eq(rapt("embed lines --model tiny --no-truncate --npy E"), 0, "%s", err_text);
    put_text("lines", "a a a a a a a a a a a a a a\n");
    expect_fault("embed lines --model tiny --no-truncate",
                 "line 1: found 16 tokens, expected at most the model's 12");
    put_text("lines", "the cat\n");
    put_text("tiny/tokenizer_config.json", "{\"model_max_length\":1e30}");
    unlink("tiny/sentence_bert_config.json");
    cr_assert_eq(rapt("embed lines --model tiny --no-truncate --npy E"), 0, "%s", err_text);
}

/* The transformer in a folder of its own: nothing else of it is looked for elsewhere. */
Test(modules, a_transformer_may_have_a_folder, .init = enter_model, .fini = leave_model) {
    float before[MOST_WIDTH], after[MOST_WIDTH];
    put_text("tiny/sentence_bert_config.json", "{\"max_seq_length\":6}");
    embed(sentence, NULL, false, before);
    put_config("1_Pooling", "{\"pooling_mode\":\"mean\"}");
    put_modules(old_package, "Transformer:0_T Pooling:1_Pooling Normalize:2_Normalize");
    mkdir("tiny/0_T", 0700);
    cr_assert_eq(system("cd tiny && mv config.json vocab.txt *.safetensors sentence_* 0_T"), 0);
    cr_expect_eq(embed(sentence, NULL, false, after), DIM);
    cr_expect_arr_eq(after, before, DIM * sizeof *before);
    cr_expect_eq(rapt("attend cat --model tiny/"), 0, "%s", err_text);
    cr_expect(strstr(out_text, "tiny, layer 1 of 0-1"), "%s", out_text);
}
