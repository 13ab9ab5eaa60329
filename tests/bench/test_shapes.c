/* SPDX-License-Identifier: Apache-2.0 */
/* The shapes and cases of `rapt bench`. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "bench/shapes.h"

/* Counts every score that exists. */
static double count_flops(const struct bench_shape *s) {
    double scores = 0;
    for (int64_t i = 0; i < s->q_len; i++)
        for (int64_t key = 0; key < s->kv_len; key++)
            scores += !s->causal ||
                      (key <= s->q_offset + i && (!s->window || key > s->q_offset + i - s->window));
    return 4.0 * (double)(s->batch * s->q_heads * s->head_dim) * scores;
}

Test(shapes, flops_are_those_of_the_scores_that_exist) {
    const char *const shapes[] = {"1,1,1,1,1,1",           "2,6,3,5,9,7",
                                  "1,4,2,48,48,16,causal", "3,2,1,5,11,4,causal",
                                  "1,1,1,13,5,2,causal",   "1,8,8,1,300,64,causal",
                                  "1,1,1,13,9,2,window=3", "2,4,2,30,50,8,window=7",
                                  "1,1,1,9,9,1,window=1",  "1,1,1,9,9,1,window=99"};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct bench_case c;
        char expected[128];
        cr_assert(bench_case_parse(shapes[i], &c, expected, sizeof expected), "%s: %s", shapes[i],
                  expected);
        cr_expect_eq(bench_shape_flops(&c.shape), count_flops(&c.shape), "%s", shapes[i]);
        for (int64_t q_len = 1; q_len <= c.shape.q_len; q_len++) {
            const struct bench_shape cut = bench_shape_cut(c.shape, q_len);
            cr_expect_eq(cut.q_len, q_len);
            cr_expect_eq(bench_shape_flops(&cut), count_flops(&cut), "%s, %d queries", shapes[i],
                         (int)q_len);
        }
    }
}

/* The case of that name. */
static const struct bench_case *find_case(const char *name) {
    const struct bench_case *list;
    const size_t count = bench_case_list(&list);
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    cr_assert_fail("no case %s", name);
    return NULL;
}

static struct bench_case parse(const char *text) {
    struct bench_case c;
    char expected[128];
    cr_assert(bench_case_parse(text, &c, expected, sizeof expected), "%s: %s", text, expected);
    return c;
}

Test(shapes, flags_are_read) {
    const struct bench_case plain = parse("1,2,1,3,5,4"), c = parse("1,2,1,3,5,4,window=7"),
                            d = parse("1,2,1,3,5,4,softcap=2.5,bf16,sinks"),
                            e = parse("1,2,1,3,5,4,int8,alibi,causal"),
                            f = parse("1,2,1,3,5,4,top"), g = parse("1,2,1,3,5,4,received,bf16");
    const struct bench_shape *s = &plain.shape;
    cr_expect(!s->causal && !s->window && !(s->softcap > 0) && !s->sinks && !s->alibi);
    cr_expect_eq(s->kv_type, RAPT_F32);
    cr_expect(c.shape.causal && c.shape.window == 7 && c.shape.q_offset == 2);
    cr_expect_eq(d.shape.softcap, 2.5f);
    cr_expect(d.shape.sinks && !d.shape.alibi && !d.shape.causal);
    cr_expect_eq(d.shape.kv_type, RAPT_BF16);
    cr_expect_eq(s->observed, BENCH_NOTHING);
    cr_expect_eq(f.shape.observed, BENCH_TOP);
    cr_expect_eq(g.shape.observed, BENCH_RECEIVED);
    cr_expect(e.shape.alibi && !e.shape.sinks && e.shape.causal);
    cr_expect_eq(e.shape.kv_type, RAPT_I8);
    cr_expect_str_eq(d.name, "1,2,1,3,5,4,softcap=2.5,bf16,sinks");
    const struct bench_case cold = parse("1,2,1,3,5,4,cold,bf16"), warm = parse("1,2,1,3,5,4,warm");
    cr_expect(!plain.memory && !plain.warm);
    cr_expect(cold.memory && !cold.warm && cold.shape.kv_type == RAPT_BF16);
    cr_expect(warm.memory && warm.warm);
    const struct bench_shape half = parse("1,2,1,3,5,4,mask,f16,bshd").shape;
    cr_expect(half.kv_type == RAPT_F16 && half.mask == BENCH_MASK_ANY && half.bshd && !half.causal);
    cr_expect(!s->mask && !s->bshd && !s->qkv && !half.qkv);
    const struct bench_shape all = parse("1,2,1,3,5,4,bf16,qkv").shape;
    cr_expect(all.kv_type == RAPT_BF16 && all.qkv);
}

Test(shapes, models_have_their_heads) {
    const struct {
        const char *name;
        enum bench_suite suite;
        const char *shape;
    } models[] = {
        {"minilm-b32-128", BENCH_ENCODER, "32,12,12,128,128,32"},
        {"vit-siglip-729", BENCH_ENCODER, "1,16,16,729,729,72"},
        {"sd15-256-d160", BENCH_ENCODER, "2,8,8,256,256,160"},
        {"whisper-cross", BENCH_DECODE, "1,20,20,1,1500,64"},
        {"gpt2-xl-1024", BENCH_PREFILL, "1,25,25,1024,1024,64,causal"},
        {"llama3-8b-decode-32k", BENCH_DECODE, "1,32,8,1,32768,128,bf16"},
        {"mistral-8192-window", BENCH_PREFILL, "1,32,8,8192,8192,128,window=4096"},
        {"gpt-oss-4096-window", BENCH_PREFILL, "1,64,8,4096,4096,64,window=128,sinks"},
        {"qwen2.5-0.5b-2048", BENCH_PREFILL, "1,14,2,2048,2048,64,causal"},
        {"gemma2-2b-2048", BENCH_PREFILL, "1,8,4,2048,2048,256,causal,softcap=50"},
        {"bloom-560m-2048", BENCH_PREFILL, "1,16,16,2048,2048,64,causal,alibi"},
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        const struct bench_case *c = find_case(models[i].name), d = parse(models[i].shape);
        const struct bench_shape *s = &c->shape, *t = &d.shape;
        cr_expect_eq(c->suite, models[i].suite, "%s", c->name);
        cr_expect_eq(c->memory, c->suite == BENCH_DECODE, "%s", c->name);
        cr_expect(s->batch == t->batch && s->q_heads == t->q_heads && s->kv_heads == t->kv_heads &&
                      s->q_len == t->q_len && s->kv_len == t->kv_len &&
                      s->head_dim == t->head_dim && s->causal == t->causal &&
                      s->q_offset == t->q_offset && s->window == t->window &&
                      s->softcap == t->softcap && s->sinks == t->sinks && s->alibi == t->alibi &&
                      s->kv_type == t->kv_type,
                  "%s", c->name);
    }
}

Test(shapes, a_cut_keeps_the_work_per_query) {
    const struct bench_shape whole = {.batch = 1,
                                      .q_heads = 8,
                                      .kv_heads = 8,
                                      .q_len = 2048,
                                      .kv_len = 2048,
                                      .head_dim = 64,
                                      .causal = true};
    for (int64_t q_len = 2; q_len < whole.q_len; q_len += 2) {
        const struct bench_shape cut = bench_shape_cut(whole, q_len);
        cr_expect_eq(bench_shape_flops(&cut) / (double)q_len,
                     bench_shape_flops(&whole) / (double)whole.q_len);
    }
}

Test(shapes, the_usual_cases_are_the_documented_ones) {
    const char *const names[] = {
        "prefill-2048-d128",       "prefill-2048-d128-causal", "prefill-2048-d64",
        "prefill-2048-d64-causal", "prefill-2048-d32",         "prefill-2048-d32-causal",
        "decode-4k-f32",           "decode-4k-bf16",           "decode-4k-int8"};
    const int64_t dims[] = {128, 128, 64, 64, 32, 32};
    const struct bench_case *list;
    const size_t count = bench_case_list(&list);
    size_t usual = 0;
    for (size_t i = 0; i < count; i++)
        usual += list[i].use != BENCH_NAMED;
    cr_expect_eq(usual, sizeof names / sizeof *names);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_expect_neq(find_case(names[i])->use, BENCH_NAMED, "%s", names[i]);
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        const struct bench_shape *s = &find_case(names[i])->shape;
        const double length = 2048, pairs = s->causal ? length * (length + 1) / 2 : length * length;
        cr_expect_eq(s->head_dim, dims[i]);
        cr_expect_eq(s->causal, strstr(names[i], "causal") != NULL);
        cr_expect(s->batch == 1 && s->q_heads == 8 && s->kv_heads == 8);
        cr_expect(s->q_len == 2048 && s->kv_len == 2048 && s->q_offset == 0);
        cr_expect_eq(bench_shape_flops(s), 4.0 * 8 * (double)dims[i] * pairs);
        cr_expect_not(find_case(names[i])->memory);
    }
}

Test(shapes, decode_cases_have_the_bytes_of_their_type) {
    const struct {
        const char *name;
        double keys, row;
    } expected[] = {
        {"decode-4k-f32", 4096, 512},           {"decode-4k-bf16", 4096, 256},
        {"decode-4k-int8", 4096, 132},          {"decode-4k-paged-bf16", 4096, 256},
        {"decode-4k-warm-int8", 4096, 132},     {"decode-32k-f32", 32768, 512},
        {"decode-4k-b8-bf16", 8 * 4096, 256},   {"decode-32k-b8-f32", 8 * 32768, 512},
        {"decode-32k-b8-int8", 8 * 32768, 132},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const struct bench_case *c = find_case(expected[i].name);
        const struct bench_shape *s = &c->shape;
        cr_expect(c->memory && s->q_len == 1 && s->q_heads == 32 && s->kv_heads == 8, "%s",
                  c->name);
        cr_expect_eq(bench_shape_bytes(s), 2 * 8 * expected[i].keys * expected[i].row, "%s",
                     c->name);
        cr_expect_eq(c->warm, strstr(c->name, "-warm-") != NULL);
        cr_expect_eq(s->form, strstr(c->name, "-paged-") ? BENCH_PAGED : BENCH_DENSE);
    }
}

Test(shapes, cases_follow_their_base_and_pairs_have_as_much_work) {
    const struct bench_case *list;
    const size_t count = bench_case_list(&list);
    for (size_t i = 0; i < count; i++) {
        if (!list[i].base)
            continue;
        cr_assert_gt(i, 0);
        const struct bench_case *base = find_case(list[i].base);
        cr_expect_null(base->base);
        cr_expect(&list[i - 1] == base || list[i - 1].base == list[i].base ||
                      strcmp(list[i - 1].base, list[i].base) == 0,
                  "%s", list[i].name);
        if (list[i].suite == BENCH_GROWTH || list[i].suite == BENCH_FEATURES)
            continue;
        const double work = bench_shape_flops(&base->shape);
        cr_expect_float_eq(bench_shape_flops(&list[i].shape), work, 0.005 * work, "%s",
                           list[i].name);
    }
}

/* Counts the keys that a query attends, and what has to be moved for them. */
static double count_traffic(const struct bench_shape *s) {
    double keys = 0;
    for (int64_t key = 0; key < s->kv_len; key++) {
        bool attended = !s->causal;
        for (int64_t i = 0; i < s->q_len; i++)
            attended |= s->causal && key <= s->q_offset + i &&
                        (!s->window || key > s->q_offset + i - s->window);
        keys += attended;
    }
    const double row = (double)(s->head_dim * rapt_dtype_size(s->kv_type));
    return (double)s->batch * (2.0 * (double)s->kv_heads * keys * row +
                               2.0 * 4.0 * (double)(s->q_heads * s->q_len * s->head_dim));
}

Test(shapes, traffic_is_what_has_to_be_moved_once) {
    const char *const shapes[] = {"1,1,1,1,1,1",           "2,6,3,5,9,7",
                                  "1,4,2,48,48,16,causal", "1,8,2,1,300,64,bf16",
                                  "1,1,1,13,5,2,causal",   "1,2,2,3,40,8,window=5",
                                  "1,1,1,1,9,2,window=1",  "1,4,2,30,50,8,window=70"};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct bench_case c = parse(shapes[i]);
        cr_expect_eq(bench_shape_traffic(&c.shape), count_traffic(&c.shape), "%s", shapes[i]);
    }
}

Test(shapes, growth_is_in_the_keys_alone) {
    const struct bench_shape *first = &find_case("growth-1k")->shape;
    const char *const names[] = {"1k", "2k", "4k", "8k", "16k", "32k", "64k"};
    for (int i = 0; i < 7; i++) {
        char name[32];
        snprintf(name, sizeof name, "growth-%s", names[i]);
        const struct bench_case *c = find_case(name);
        const struct bench_shape s = c->shape;
        cr_expect_eq(c->suite, BENCH_GROWTH);
        cr_expect(i == 0 ? !c->base : strcmp(c->base, "growth-1k") == 0, "%s", name);
        cr_expect_eq(s.kv_len, 1024 << i);
        cr_expect_eq(bench_shape_scores(&s), (double)(first->q_heads * first->q_len * s.kv_len));
        cr_expect(s.batch == 1 && s.q_heads == first->q_heads && s.q_len == first->q_len &&
                      s.kv_heads == first->kv_heads && s.head_dim == first->head_dim && !s.causal,
                  "%s", name);
    }
}

/* Those that a mask hides are no scores that exist, and a cut keeps the middle queries. */
Test(shapes, masks_that_hide) {
    const char *const texts[] = {"1,2,1,1500,1500,4,mask=causal",
                                 "1,2,1,1100,1500,4,mask=documents"};
    for (int i = 0; i < 2; i++) {
        const struct bench_shape s = parse(texts[i]).shape;
        double scores = 0;
        cr_expect(s.mask == (i ? BENCH_MASK_DOCUMENTS : BENCH_MASK_CAUSAL) && !s.causal);
        cr_expect_eq(s.q_offset, s.kv_len - s.q_len);
        for (int64_t query = 0; query < s.q_len; query++)
            for (int64_t key = 0; key < s.kv_len; key++)
                scores += bench_mask_shows(&s, s.q_offset + query, key);
        cr_expect_eq(bench_shape_scores(&s), 2 * scores, "%s", texts[i]);
        cr_expect_eq(bench_shape_cut(s, 100).q_offset, s.q_offset + (s.q_len - 100) / 2);
    }
}

/* A feature is the plain case but for that feature. */
Test(shapes, features_stand_beside_the_plain_case) {
    const struct bench_case *list;
    const size_t count = bench_case_list(&list);
    int features = 0;
    for (size_t i = 0; i < count; i++) {
        const struct bench_shape *s = &list[i].shape;
        if (list[i].suite != BENCH_FEATURES || !list[i].base)
            continue;
        const struct bench_shape *b = &find_case(list[i].base)->shape;
        const int changes = (s->causal != b->causal) + (s->mask != b->mask) +
                            (s->alibi != b->alibi) + (s->softcap > 0) + (s->bshd != b->bshd) +
                            (s->kv_type != b->kv_type) + (s->head_dim != b->head_dim);
        cr_expect_eq(changes, 1, "%s", list[i].name);
        cr_expect(s->q_heads == b->q_heads && s->q_len == b->q_len && s->kv_len == b->kv_len, "%s",
                  list[i].name);
        cr_expect(!s->window || s->kv_len == 4 * s->window, "%s", list[i].name);
        features++;
    }
    cr_expect_eq(features, 18);
}

Test(shapes, ragged_shapes_count_each_sequence) {
    const struct bench_length lengths[] = {{1, 7}, {5, 5}, {2, 9}};
    const struct bench_shape s = {.batch = 3,
                                  .q_heads = 4,
                                  .kv_heads = 2,
                                  .q_len = 5,
                                  .kv_len = 9,
                                  .head_dim = 3,
                                  .causal = true,
                                  .kv_type = RAPT_F32,
                                  .form = BENCH_CACHE,
                                  .lengths = lengths};
    /* 7 keys; 1 to 5 keys; 8 and 9 keys */
    cr_expect_eq(bench_shape_flops(&s), 4.0 * 3 * 4 * (7 + 15 + 17));
    cr_expect_eq(bench_shape_bytes(&s), 2.0 * 2 * 3 * 4 * (7 + 5 + 9));
    cr_expect_eq(bench_shape_traffic(&s), bench_shape_bytes(&s) + 2.0 * 4 * 4 * 3 * (1 + 5 + 2));
    cr_expect_eq(bench_shape_offset(&s, 2), 7);
    cr_expect_eq(bench_shape_length(&s, 1).q_len, 5);
}

Test(shapes, shapes_that_are_none) {
    const char *const texts[] = {"",
                                 "1",
                                 "1,2,3",
                                 "1,1,1,1,1",
                                 "1,1,1,1,1,1,",
                                 "1,1,1,1,1,1,1",
                                 "1,1,1,1,1,1,causa",
                                 "1,1,1,1,1,1,causal,",
                                 "1,1,1,1,1,1,causalbf16",
                                 "1,1,1,1,1,1,window",
                                 "1,1,1,1,1,1,window=",
                                 "1,1,1,1,1,1,window=0",
                                 "1,1,1,1,1,1,window=-1",
                                 "1,1,1,1,1,1,softcap=",
                                 "1,1,1,1,1,1,softcap=0",
                                 "1,1,1,1,1,1,softcap=1e99",
                                 "1,1,1,1,1,1,softcap=nan",
                                 "1,1,1,1,1,1,bf16,int8",
                                 "1,1,1,1,1,1,f16,bf16",
                                 "1,1,1,1,1,1,cold,warm",
                                 "1,1,1,1,1,1,cold,cold",
                                 "1,1,1,1,1,1,,causal",
                                 "1,1,1,1,1,1 ",
                                 "0,1,1,1,1,1",
                                 "-1,1,1,1,1,1",
                                 " 1,1,1,1,1,1",
                                 "1,1,1,1,1,x",
                                 "1,1,1,1,1,1.5",
                                 "1,1,1,1,1,0x10",
                                 "1,1,1,1,1,1,qkv",
                                 "1,1,1,1,1,1,int8,qkv",
                                 "1,,1,1,1,1",
                                 "1,3,2,1,1,1",
                                 "1,1,2,1,1,1",
                                 "1,1,1,4294967297,1,1",
                                 "1,1,1,99999999999999999999999999,1,1"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct bench_case c;
        char expected[128] = "";
        cr_expect_not(bench_case_parse(texts[i], &c, expected, sizeof expected), "\"%s\"",
                      texts[i]);
        cr_expect_neq(expected[0], '\0', "\"%s\"", texts[i]);
    }
    /* One digit more than a name has room for. */
    struct bench_case c;
    char text[sizeof c.name + 1] = "1,1,1,1,1,1,softcap=1.", expected[128] = "";
    memset(text + strlen(text), '0', sizeof c.name - strlen(text));
    cr_expect_not(bench_case_parse(text, &c, expected, sizeof expected));
    cr_expect_neq(expected[0], '\0');
    text[sizeof c.name - 1] = '\0';
    cr_expect(bench_case_parse(text, &c, expected, sizeof expected));
    cr_expect_str_eq(c.name, text);
}
