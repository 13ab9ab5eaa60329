/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/config.h"

#define COUNT(list) (int)(sizeof(list) / sizeof *(list))

/* What a normaliser is told; tokenizer.json has names of its own for it. */
struct cleaning {
    bool lowercase, strip_accents, split_chinese;
    bool general; /* the class of tokeniser is none of BERT's: tokenizer.json alone counts */
};

static const struct {
    const char *role, *mark;
} marks[] = {{"cls_token", "[CLS]"},
             {"sep_token", "[SEP]"},
             {"unk_token", "[UNK]"},
             {"pad_token", "[PAD]"},
             {"mask_token", "[MASK]"}};

static bool is_mark(const char *text) {
    for (int i = 0; i < COUNT(marks); i++)
        if (text && strcmp(text, marks[i].mark) == 0)
            return true;
    return false;
}

/* A token is its text, or an object with its text and how it is looked for in a sentence. */
static const char *token_text(const cJSON *token) {
    if (!cJSON_IsObject(token))
        return cJSON_GetStringValue(token);
    const bool odd = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(token, "normalized")) ||
                     cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(token, "single_word"));
    return odd ? NULL : cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(token, "content"));
}

/* Tokens that are looked for in a text before it is split: no others than BERT's marks. */
static void expect_marks(struct config *c, const char *name) {
    const cJSON *list = config_member(c, name), *token;
    cJSON_ArrayForEach(token, list) {
        const char *text = token_text(token);
        char what[128];
        snprintf(what, sizeof what, "found the token %.40s, expected BERT's marks alone",
                 text ? text : "with rules of its own");
        if (!is_mark(text))
            config_fault(c, name, what);
    }
}

static void expect_roles(struct config *c) {
    for (int i = 0; i < COUNT(marks); i++) {
        const cJSON *token =
            c->good ? cJSON_GetObjectItemCaseSensitive(c->json, marks[i].role) : NULL;
        const char *text =
            cJSON_IsObject(token)
                ? cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(token, "content"))
                : cJSON_GetStringValue(token);
        char what[128];
        snprintf(what, sizeof what, "found %.40s, expected \"%s\"", text ? text : "no text",
                 marks[i].mark);
        if (token && (!text || strcmp(text, marks[i].mark) != 0))
            config_fault(c, marks[i].role, what);
    }
    expect_marks(c, "additional_special_tokens");
    expect_marks(c, "extra_special_tokens");
    expect_marks(c, "added_tokens_decoder");
}

static bool read_settings(const char *folder, struct cleaning *clean, int64_t *most,
                          char *message) {
    static const char *const classes[] = {"BertTokenizer", "BertTokenizerFast",
                                          "PreTrainedTokenizerFast", "TokenizersBackend"};
    struct config c = config_open(folder, "tokenizer_config.json", true, message);
    const char *class = config_text(&c, "tokenizer_class");
    int i = 0;
    while (class && i < COUNT(classes) && strcmp(class, classes[i]) != 0)
        i++;
    if (i == COUNT(classes))
        config_fault(&c, "tokenizer_class", "expected BertTokenizer");
    clean->general = i >= 2;
    clean->lowercase = config_flag(&c, "do_lower_case", true);
    clean->strip_accents = config_flag(&c, "strip_accents", clean->lowercase);
    clean->split_chinese = config_flag(&c, "tokenize_chinese_chars", true);
    clean->general = clean->general && !config_member(&c, "do_lower_case");
    expect_roles(&c);
    config_expect_flag(&c, "do_basic_tokenize", true);
    config_expect_flag(&c, "split_special_tokens", false);
    config_expect_text(&c, "truncation_side", "right");
    config_expect_text(&c, "wordpieces_prefix", "##");
    config_expect_nothing(&c, "never_split");
    config_expect_nothing(&c, "auto_map");
    const cJSON *length = config_member(&c, "model_max_length");
    if (!cJSON_IsNumber(length) || length->valuedouble < (double)*most) /* 1e30 stands for none */
        *most = config_number(&c, "model_max_length", *most, 2, *most);
    if (!config_close(&c))
        return false;
    c = config_open(folder, "special_tokens_map.json", true, message);
    expect_roles(&c);
    if (!config_close(&c))
        return false;
    c = config_open(folder, "added_tokens.json", true, message);
    for (const cJSON *token = c.good ? c.json->child : NULL; token; token = token->next)
        if (!is_mark(token->string))
            config_fault(&c, token->string, "expected BERT's marks alone");
    return config_close(&c);
}

/* A part of tokenizer.json as a configuration of its own, of which the whole keeps the memory. */
static struct config part(struct config *whole, const char *name, const char *type) {
    struct config c = *whole;
    const cJSON *item = config_member(whole, name);
    char what[64];
    snprintf(what, sizeof what, "expected an object with the type %s", type);
    c.json = (cJSON *)(uintptr_t)item;
    if (!cJSON_IsObject(item))
        config_fault(whole, name, what);
    c.good = whole->good;
    config_expect_text(&c, "type", type);
    return c;
}

static void expect_same(struct config *c, const char *name, bool here, bool missing,
                        const char *elsewhere) {
    char what[128];
    const bool there = config_flag(c, name, missing);
    snprintf(what, sizeof what, "found %s, but %s in tokenizer_config.json holds %s",
             there ? "true" : "false", elsewhere, here ? "true" : "false");
    if (there != here)
        config_fault(c, name, what);
}

/* How text is cleaned: as tokenizer_config.json has it, or what holds without. */
static bool check_normalizer(struct config *whole, struct cleaning *clean) {
    struct config c = part(whole, "normalizer", "BertNormalizer");
    config_expect_flag(&c, "clean_text", true);
    if (clean->general) {
        clean->lowercase = config_flag(&c, "lowercase", true);
        clean->strip_accents = config_flag(&c, "strip_accents", clean->lowercase);
        clean->split_chinese = config_flag(&c, "handle_chinese_chars", true);
    }
    expect_same(&c, "lowercase", clean->lowercase, true, "do_lower_case");
    expect_same(&c, "strip_accents", clean->strip_accents, clean->lowercase, "strip_accents");
    expect_same(&c, "handle_chinese_chars", clean->split_chinese, true, "tokenize_chinese_chars");
    return whole->good = c.good;
}

/* [CLS], the text and [SEP], all of the first kind. */
static bool is_template(const cJSON *single) {
    static const char *const kinds[] = {"SpecialToken", "Sequence", "SpecialToken"};
    static const char *const ids[] = {"[CLS]", "A", "[SEP]"};
    bool good = cJSON_GetArraySize(single) == 3;
    for (int i = 0; good && i < 3; i++) {
        const cJSON *piece =
            cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(single, i), kinds[i]);
        const char *id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(piece, "id"));
        const cJSON *kind = cJSON_GetObjectItemCaseSensitive(piece, "type_id");
        good = id && strcmp(id, ids[i]) == 0 && (!kind || kind->valuedouble == 0);
    }
    return good;
}

static bool check_processor(struct config *whole) {
    const cJSON *item = config_member(whole, "post_processor");
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "type"));
    const cJSON *single = cJSON_GetObjectItemCaseSensitive(item, "single");
    if (!type || (strcmp(type, "BertProcessing") != 0 &&
                  !(strcmp(type, "TemplateProcessing") == 0 && is_template(single))))
        config_fault(whole, "post_processor", "expected [CLS], the text and [SEP]");
    return whole->good;
}

/* The vocabulary's lines, as vocab.txt would have them. */
static bool list_tokens(struct config *c, const cJSON *tokens, struct wordpiece *v) {
    const int count = cJSON_GetArraySize(tokens);
    const char **name = calloc((size_t)count + 1, sizeof *name);
    const cJSON *item;
    size_t size = 1;
    bool good = name != NULL;
    cJSON_ArrayForEach(item, tokens) {
        const double id = cJSON_IsNumber(item) ? item->valuedouble : -1;
        good = good && id >= 0 && id < count && id == (int)id && !name[(int)id] &&
               !strpbrk(item->string, "\r\n");
        if (good)
            name[(int)id] = item->string;
        size += strlen(item->string) + 1;
    }
    char *text = malloc(size), *end = text;
    if (!good || !text)
        config_fault(c, "vocab", "expected tokens with the numbers 0 to their count less 1");
    for (int i = 0; c->good && i < count; i++) {
        end = stpcpy(end, name[i]);
        *end++ = '\n';
    }
    c->good = c->good && wordpiece_parse(c->path, text, (size_t)(end - text), v, c->message);
    free(text);
    free(name);
    return c->good;
}

static bool check_model(struct config *whole, struct wordpiece *v) {
    struct config c = part(whole, "model", "WordPiece");
    config_expect_text(&c, "unk_token", "[UNK]");
    config_expect_text(&c, "continuing_subword_prefix", "##");
    if (config_number(&c, "max_input_chars_per_word", WORDPIECE_MAX_WORD, 0, INT32_MAX) !=
        WORDPIECE_MAX_WORD)
        config_fault(&c, "max_input_chars_per_word", "expected 100");
    const cJSON *tokens = config_member(&c, "vocab");
    if (!cJSON_IsObject(tokens))
        config_fault(&c, "vocab", "expected an object");
    return whole->good = c.good && list_tokens(&c, tokens, v);
}

/* What tokenizer.json holds besides, which has to be what tokens of BERT need. */
static bool read_tokenizer(const char *folder, struct cleaning *clean, struct wordpiece *v,
                           char *message) {
    struct config c = config_open(folder, "tokenizer.json", false, message);
    if (c.good && check_normalizer(&c, clean)) {
        struct config before = part(&c, "pre_tokenizer", "BertPreTokenizer");
        c.good = before.good;
        expect_marks(&c, "added_tokens");
        const char *side = cJSON_GetStringValue(
            cJSON_GetObjectItemCaseSensitive(config_member(&c, "truncation"), "direction"));
        if (side && strcmp(side, "Right") != 0)
            config_fault(&c, "truncation", "expected the direction Right");
        if (check_processor(&c))
            check_model(&c, v);
    }
    return config_close(&c);
}

bool tokenizer_open(const char *folder, struct wordpiece *v, int64_t *most,
                    char message[FAULT_SIZE]) {
    struct cleaning clean;
    char path[CONFIG_PATH];
    if (!read_settings(folder, &clean, most, message) ||
        !config_path(path, folder, "tokenizer.json", message))
        return false;
    const bool whole = access(path, F_OK) == 0;
    if (!whole && !config_path(path, folder, "vocab.txt", message))
        return false;
    if (!(whole ? read_tokenizer(folder, &clean, v, message) : wordpiece_open(path, v, message)))
        return false;
    v->lowercase = clean.lowercase;
    v->strip_accents = clean.strip_accents;
    v->split_chinese = clean.split_chinese;
    return true;
}
