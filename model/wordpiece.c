/* SPDX-License-Identifier: Apache-2.0 */
#include "model/wordpiece.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { MAX_BYTES = 4 * WORDPIECE_MAX_WORD, MAX_VOCABULARY = 64 << 20 };

static const char *const mark_names[MARKS] = {"[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]"};

/* The slot of a token, or the free one where it would be, by FNV-1a (Fowler, Noll and Vo). */
static size_t find_slot(const struct wordpiece *v, const char *bytes, size_t size) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    size_t slot = hash & (v->slot_count - 1);
    for (; v->slots[slot] >= 0; slot = (slot + 1) & (v->slot_count - 1)) {
        const char *token = v->tokens[v->slots[slot]];
        if (strncmp(token, bytes, size) == 0 && !token[size])
            break;
    }
    return slot;
}

static int64_t find(const struct wordpiece *v, const char *bytes, size_t size) {
    return size <= v->longest ? v->slots[find_slot(v, bytes, size)] : -1;
}

/* Cuts the text into lines, and puts their numbers into the table. */
static bool index_tokens(const char *path, struct wordpiece *v, size_t size, char *message) {
    char *line = v->text, *end = v->text + size;
    while (line < end) {
        char *newline = memchr(line, '\n', (size_t)(end - line));
        char *stop = newline ? newline : end;
        if (memchr(line, '\0', (size_t)(stop - line)))
            return fault(message, "%s: line %lld: found a zero byte, expected text", path,
                         (long long)v->count + 1);
        line[stop - line - (stop > line && stop[-1] == '\r')] = '\0';
        *stop = '\0';
        const size_t length = strlen(line), slot = find_slot(v, line, length);
        if (v->slots[slot] >= 0 && length)
            return fault(message, "%s: line %lld: \"%.64s\" stands on line %lld, too", path,
                         (long long)v->count + 1, line, (long long)v->slots[slot] + 1);
        v->tokens[v->count] = line;
        v->slots[slot] = v->count++;
        v->longest = length > v->longest ? length : v->longest;
        line = stop + 1;
    }
    for (int i = 0; i < MARKS; i++) {
        v->mark[i] = find(v, mark_names[i], strlen(mark_names[i]));
        if (v->mark[i] < 0 && i <= MARK_UNK)
            return fault(message, "%s: found no token %s", path, mark_names[i]);
    }
    return true;
}

bool wordpiece_parse(const char *path, const char *text, size_t size, struct wordpiece *v,
                     char message[FAULT_SIZE]) {
    *v = (struct wordpiece){.lowercase = true, .strip_accents = true, .split_chinese = true};
    size_t lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    for (v->slot_count = 2; v->slot_count < 2 * lines;)
        v->slot_count *= 2;
    v->text = malloc(size + 1);
    v->tokens = malloc(lines * sizeof *v->tokens);
    v->slots = malloc(v->slot_count * sizeof *v->slots);
    bool good = v->text && v->tokens && v->slots;
    if (good) {
        memcpy(v->text, text, size);
        memset(v->slots, -1, v->slot_count * sizeof *v->slots);
        good = index_tokens(path, v, size, message);
    } else {
        fault(message, "%s: no memory for %zu tokens", path, lines);
    }
    if (!good)
        wordpiece_close(v);
    return good;
}

bool wordpiece_open(const char *path, struct wordpiece *v, char message[FAULT_SIZE]) {
    size_t size;
    char *text = read_file(path, MAX_VOCABULARY, &size, message);
    const bool good = text && wordpiece_parse(path, text, size, v, message);
    free(text);
    return good;
}

void wordpiece_close(struct wordpiece *v) {
    free(v->text);
    free(v->tokens);
    free(v->slots);
    *v = (struct wordpiece){0};
}

/* A word on its way, and the tokens so far. */
struct splitter {
    const struct wordpiece *vocabulary;
    int64_t *ids, count, most; /* more are counted than there is room for */
    int32_t word[WORDPIECE_MAX_WORD];
    int length; /* characters; one more than fit if the word is longer */
};

static void add(struct splitter *s, int64_t id) {
    if (s->count < s->most)
        s->ids[s->count] = id;
    s->count++;
}

/* Marks that combine stand in the order of their classes, as normal form D has them. */
static void order_marks(struct splitter *s) {
    for (int i = 1; i < s->length; i++)
        for (int k = i; k > 0; k--) {
            const int before = utf8proc_get_property(s->word[k - 1])->combining_class;
            const int here = utf8proc_get_property(s->word[k])->combining_class;
            if (here == 0 || before <= here)
                break;
            const int32_t swapped = s->word[k];
            s->word[k] = s->word[k - 1];
            s->word[k - 1] = swapped;
        }
}

/* The longest pieces that the vocabulary has, again and again; if one is missing, [UNK]. */
static void end_word(struct splitter *s) {
    const struct wordpiece *v = s->vocabulary;
    char bytes[2 + MAX_BYTES];
    size_t at[WORDPIECE_MAX_WORD + 1] = {2}; /* what continues a word has "##" in front of it */
    const int length = s->length;
    const int64_t first = s->count;
    if (length > WORDPIECE_MAX_WORD) {
        add(s, v->mark[MARK_UNK]);
        s->length = 0;
        return;
    }
    if (v->strip_accents)
        order_marks(s);
    for (int i = 0; i < length; i++)
        at[i + 1] = at[i] + (size_t)utf8proc_encode_char(s->word[i], (uint8_t *)bytes + at[i]);
    for (int start = 0, end; start < length; start = end) {
        int64_t id = -1;
        memset(bytes + at[start] - 2, '#', 2);
        for (end = length; end > start; end--) {
            const size_t mark = start > 0 ? 2 : 0;
            id = find(v, bytes + at[start] - mark, at[end] - at[start] + mark);
            if (id >= 0)
                break;
        }
        if (id < 0) {
            s->count = first;
            add(s, v->mark[MARK_UNK]);
            break;
        }
        add(s, id);
    }
    s->length = 0;
}

static void append(struct splitter *s, int32_t c) {
    if (s->vocabulary->lowercase && c == 0x130) { /* the one letter that two stand for */
        append(s, 'i');
        append(s, 0x307);
        return;
    }
    if (s->length < WORDPIECE_MAX_WORD)
        s->word[s->length++] = s->vocabulary->lowercase ? utf8proc_tolower(c) : c;
    else
        s->length = WORDPIECE_MAX_WORD + 1;
}

/* The blocks that the model's own tokeniser names. */
static bool is_chinese(int32_t c) {
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
           (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b81f) ||
           (c >= 0x2b920 && c <= 0x2ceaf) || (c >= 0xf900 && c <= 0xfaff) ||
           (c >= 0x2f800 && c <= 0x2fa1f);
}

static bool is_space(int32_t c, utf8proc_category_t kind) {
    return c == '\t' || c == '\n' || c == '\r' || kind == UTF8PROC_CATEGORY_ZS ||
           kind == UTF8PROC_CATEGORY_ZL || kind == UTF8PROC_CATEGORY_ZP;
}

/* Controls, formats, private use, and what stands for no character. */
static bool is_dropped(int32_t c, utf8proc_category_t kind) {
    return c == 0xfffd || (kind >= UTF8PROC_CATEGORY_CC && kind <= UTF8PROC_CATEGORY_CO);
}

static bool is_punctuation(int32_t c, utf8proc_category_t kind) {
    const bool ascii = c < 0x80 && kind >= UTF8PROC_CATEGORY_SM && kind <= UTF8PROC_CATEGORY_SO;
    return ascii || (kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO);
}

/* A character after its decomposition. */
static void take_part(struct splitter *s, int32_t c) {
    const struct wordpiece *v = s->vocabulary;
    const utf8proc_category_t kind = utf8proc_category(c);
    if (v->strip_accents && kind == UTF8PROC_CATEGORY_MN)
        return;
    const bool alone = is_punctuation(c, kind) || (v->split_chinese && is_chinese(c));
    if (alone)
        end_word(s);
    append(s, c);
    if (alone)
        end_word(s);
}

static void take(struct splitter *s, int32_t c) {
    enum { PARTS = 32 };
    const utf8proc_category_t kind = utf8proc_category(c);
    if (is_space(c, kind)) {
        end_word(s);
    } else if (!is_dropped(c, kind)) {
        utf8proc_int32_t parts[PARTS] = {c};
        int boundary = 0;
        utf8proc_ssize_t n = 1;
        if (s->vocabulary->strip_accents)
            n = utf8proc_decompose_char(c, parts, PARTS, UTF8PROC_DECOMPOSE, &boundary);
        for (utf8proc_ssize_t i = 0; i < n && i < PARTS; i++)
            take_part(s, parts[i]);
    }
}

/* A mark that is written in the text, or -1. */
static int find_mark(const struct wordpiece *v, const char *text, size_t size) {
    for (int i = 0; i < MARKS; i++) {
        const size_t length = strlen(mark_names[i]);
        if (v->mark[i] >= 0 && length <= size && memcmp(text, mark_names[i], length) == 0)
            return i;
    }
    return -1;
}

int64_t wordpiece_split(const struct wordpiece *v, const char *text, size_t size, int64_t *ids,
                        int64_t most, int64_t *whole) {
    struct splitter s = {.vocabulary = v, .ids = ids, .most = most - 1};
    add(&s, v->mark[MARK_CLS]);
    for (size_t i = 0; i < size && (whole || s.count < s.most);) {
        const int mark = text[i] == '[' ? find_mark(v, text + i, size - i) : -1;
        if (mark >= 0) {
            end_word(&s);
            add(&s, v->mark[mark]);
            i += strlen(mark_names[mark]);
            continue;
        }
        utf8proc_int32_t c;
        const size_t left = size - i < 4 ? size - i : 4;
        const utf8proc_ssize_t n =
            utf8proc_iterate((const uint8_t *)text + i, (utf8proc_ssize_t)left, &c);
        if (n > 0)
            take(&s, c);
        i += n > 0 ? (size_t)n : 1;
    }
    end_word(&s);
    if (whole)
        *whole = s.count + 1;
    s.count = s.count < s.most ? s.count : s.most;
    s.most = most;
    add(&s, v->mark[MARK_SEP]);
    return s.count;
}
