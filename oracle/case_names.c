/* SPDX-License-Identifier: Apache-2.0 */
/* The name of a case. */
#include "oracle/cases.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const layouts[] = {"bhsd",       "bshd",  "packed", "reversed", "spread",
                                      "transposed", "pages", "shared", "odd"};
static const char *const storages[] = {
    "f32",     "f16", "bf16", "cache-f16", "cache-bf16", "query-f16", "out-f16",   "mix-f32",
    "mix-f16", "i8",  "q8_0", "key-i8",    "value-i8",   "mix-q8_0",  "value-q8_0"};
static const char *const raggeds[] = {"none", "queries", "keys", "both"};
static const char *const masks[] = {"none",       "bool",      "bool-keys", "bool-rows",  "bias",
                                    "bias-heads", "bias-keys", "infinite",  "lowest",     "nan",
                                    "one",        "tree",      "pieces",    "bool-pieces"};
static const char *const starts[] = {"none", "narrow", "end", "varied", "past"};
static const char *const alibis[] = {"none", "heads", "batches", "negative", "huge"};
static const char *const sinks[] = {"none", "zero", "batches", "absent", "huge", "nan"};
static const char *const offsets[] = {"none", "end", "negative", "past", "varied", "far"};
static const char *const lengths[] = {"none", "all", "some", "zero"};
static const char *const firsts[] = {"none", "varied", "past"};
static const char *const kinds[] = {"softmax", "scaled", "capped", "masked"};
static const char *const observations[] = {"none", "sums", "all"};
static const char *const fills[] = {"normal",  "large",     "overflow", "equal",  "subnormal",
                                    "ties",    "top",       "scales",   "hidden", "nan-query",
                                    "nan-key", "nan-value", "inf-value"};

__attribute__((format(printf, 2, 3))) static void put(struct attention_case *c, const char *format,
                                                      ...) {
    const size_t used = strlen(c->name);
    va_list args;
    va_start(args, format);
    vsnprintf(c->name + used, sizeof c->name - used, format, args);
    va_end(args);
}

static void put_option(struct attention_case *c, const char *feature, const char *const *names,
                       int option) {
    if (option != 0)
        put(c, " %s=%s", feature, names[option]);
}

void cases_name(struct attention_case *c) {
    c->name[0] = '\0';
    put(c, "b%d h%d/%d q%d k%d d%d/%d %s", c->batch, c->q_heads, c->kv_heads, c->q_len, c->kv_len,
        c->head_dim, c->value_dim, layouts[c->layout]);
    put_option(c, "storage", storages, c->storage);
    put_option(c, "ragged", raggeds, c->ragged);
    if (c->page_size)
        put(c, " paged=%d", c->page_size);
    put_option(c, "mask", masks, c->mask);
    put_option(c, "start", starts, c->start);
    put_option(c, "alibi", alibis, c->alibi);
    put_option(c, "sink", sinks, c->sink);
    if (c->causal)
        put(c, " causal");
    put_option(c, "offset", offsets, c->offset);
    if (c->window_left >= 0 || c->window_right >= 0)
        put(c, " window=%lld,%lld", (long long)c->window_left, (long long)c->window_right);
    put_option(c, "kv_len", lengths, c->lengths);
    put_option(c, "kv_start", firsts, c->first);
    if (c->scale > 0)
        put(c, " scale=%g", (double)c->scale);
    if (c->softcap > 0)
        put(c, " softcap=%g", (double)c->softcap);
    put_option(c, "weights", kinds, (int)c->weights_kind);
    put_option(c, "observed", observations, c->observed);
    put_option(c, "fill", fills, c->fill);
    if (!c->lse || !c->max || !c->weights)
        put(c, " out%s%s%s", c->lse ? "+lse" : "", c->max ? "+max" : "",
            c->weights ? "+weights" : "");
}
