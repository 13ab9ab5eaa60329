/* SPDX-License-Identifier: Apache-2.0 */
/* Variations of a run: other modes, layouts, forms, storage and parts of a case. */
#include "oracle/variations.h"

#include "oracle/compare.h"
#include "oracle/places.h"

static void check_mode(struct trial *k, struct tensors *t, const struct outputs *first,
                       const struct mode *mode) {
    struct outputs other = {0};
    if (trial_run_all(k, t, mode, &other))
        compare_bits(k, first, &other, &(struct comparison){.what = mode->what});
    outputs_free(&other);
}

/* ---- other forms ---- */

/* Keys go from dense to ragged and paged and back, queries from dense to ragged. */
static void change_form(struct attention_case *c, uint64_t random) {
    static const int page_sizes[] = {1, 3, 16, 40};
    const bool ragged_keys = c->ragged & RAGGED_KEYS;
    const int queries = random & 1 ? RAGGED_QUERIES : (int)(c->ragged & RAGGED_QUERIES);
    const int dense = !ragged_keys && !c->page_size;
    const int form = (int)(random >> 1 & 3); /* half of the dense ones stay so */
    const bool pages = form == 1 || (form == 2 && ragged_keys);
    const bool ragged = form == 2 && !ragged_keys;
    c->page_size = pages ? page_sizes[random >> 3 & 3] : 0;
    c->ragged = (enum ragged_kind)(queries | (ragged ? RAGGED_KEYS : 0));
    if (form == 3 && !dense) /* other pages, other places */
        c->page_size = ragged_keys ? 7 : 11;
}

static void permute(int *order, int count, uint64_t state) {
    for (int n = 0; n < count; n++) {
        const int other = (int)(cases_random(&state) % (uint64_t)(n + 1));
        order[n] = order[other];
        order[other] = n;
    }
}

/* What is left of a storage when all but int8 is f32. */
static enum storage as_f32(enum storage storage) {
    switch (storage) {
    case STORAGE_I8:
        return STORAGE_I8;
    case STORAGE_KEY_I8:
        return STORAGE_ONLY_KEY_I8;
    case STORAGE_VALUE_I8:
    case STORAGE_MIX_Q8_0:
        return STORAGE_ONLY_VALUE_I8;
    default:
        return STORAGE_F32;
    }
}

/* The same numbers in another form, order and layout, and at the other end of their guarded memory.
 * Some are stored as f32: a type but int8 is for storage alone, so the results are the same before
 * out rounds. */
static void check_copy(struct trial *k, const struct tensors *t, const struct outputs *first,
                       const struct mode *mode) {
    struct attention_case c = *k->c;
    const bool rounding = c.fill == FILL_TIES || c.fill == FILL_TOP;
    const bool one_type = c.layout == LAYOUT_PACKED; /* which isn't what the storage says */
    int order[CASE_BATCH_MAX];
    struct tensors copy;
    struct outputs other = {0};
    c.layout = c.layout == LAYOUT_BHSD ? LAYOUT_BSHD : LAYOUT_BHSD;
    if (k->own_bits && c.storage != STORAGE_BF16)
        return; /* there is no storage that says it for other layouts */
    if (k->own_bits)
        ;
    else if (one_type)
        c.storage = STORAGE_F32;
    else if (rounding || c.seed >> 8 & 1)
        c.storage = as_f32(c.storage);
    c.weights = c.weights || c.seed >> 10 & 1;
    change_form(&c, c.seed >> 16);
    permute(order, c.batch, c.seed >> 24);
    if (!tensors_copy(&copy, t, &c, order, GUARD_BEFORE)) {
        trial_fail(k, "%s: no memory", mode->what);
        return;
    }
    if (trial_run_all(k, &copy, mode, &other)) {
        const bool same_form = c.ragged == k->c->ragged && c.page_size == k->c->page_size;
        outputs_round(&other, TENSOR_OUT, first->dtype[TENSOR_OUT]);
        compare_bits(k, first, &other,
                     &(struct comparison){.what = mode->what, .lengths_only = !same_form});
    }
    outputs_free(&other);
    tensors_free(&copy);
}

/* ---- one by one ---- */

/* Narrows a dimension of a tensor, unless it counts for all. */
static void narrow(rapt_tensor *view, int dimension, int64_t first, int64_t count) {
    int64_t at[4] = {0};
    at[dimension] = first;
    if (view->dtype == RAPT_NONE || view->shape[dimension] == 1)
        return;
    tensors_start_at(view, at);
    view->shape[dimension] = count;
}

static rapt_attention_args narrow_queries(rapt_attention_args args, int64_t first, int64_t count) {
    for (int role = 0; role < TENSOR_COUNT; role++)
        if (!tensors_is_of_keys(role))
            narrow(tensors_view(&args, role), 2, first, count);
    return args;
}

/* Lengths of a sequence, for its own args. */
struct item {
    rapt_attention_args args;
    int64_t kv_len;
};

/* Ragged keys as dense ones. Without any there is one that doesn't exist, if there is one at all.
 */
static void narrow_ragged_keys(struct item *item, const rapt_attention_args *args, int64_t b) {
    const int64_t keys = places_keys(args, b), all = args->key.shape[2];
    const int64_t count = keys ? keys : all > 0;
    const int64_t first = keys ? args->cu_k[b] : 0;
    for (int role = 0; role < TENSOR_COUNT; role++)
        if (tensors_is_of_keys(role))
            narrow(tensors_view(&item->args, role), 2, first, count);
    if (item->args.weights.dtype != RAPT_NONE)
        item->args.weights.shape[3] = count;
    if (!args->mask_start)
        narrow(&item->args.mask, 3, 0, count);
    item->kv_len = keys;
    item->args.cu_k = NULL;
    item->args.kv_len = &item->kv_len;
}

/* A sequence alone, with dense queries and, unless they are paged, dense keys. */
static void take_item(struct item *item, const rapt_attention_args *args, int64_t b) {
    const bool ragged = args->cu_q != NULL;
    item->args = *args;
    if (ragged)
        item->args = narrow_queries(*args, args->cu_q[b], places_queries(args, b));
    item->args.cu_q = NULL;
    item->args.sequences = 0;
    for (int role = 0; role < TENSOR_COUNT; role++) {
        const bool of_heads = role == TENSOR_ALIBI || role == TENSOR_SINK;
        const bool of_batch = tensors_is_of_keys(role) ? places_dense(args) : of_heads || !ragged;
        if (of_batch)
            narrow(tensors_view(&item->args, role), 0, b, 1);
    }
    if (args->cu_k)
        narrow_ragged_keys(item, args, b);
    else if (args->kv_len)
        item->args.kv_len = args->kv_len + b;
    if (args->block_table)
        item->args.block_table = args->block_table + b * args->block_table_stride;
    item->args.kv_start = args->kv_start ? args->kv_start + b : NULL;
    item->args.q_offset = args->q_offset ? args->q_offset + b : NULL;
    item->args.mask_start = args->mask_start ? args->mask_start + b : NULL;
}

/* What is run in place of all at once, of a sequence that has queries. */
typedef bool run_item(struct trial *k, const rapt_attention_args *args, const struct mode *mode);

static void check_items(struct trial *k, struct tensors *t, const struct outputs *first,
                        const struct comparison *how, run_item *run) {
    const struct mode mode = {how->what, 1, false, 0};
    const uint64_t before = tensors_checksum(t);
    struct outputs other = {0};
    outputs_clear(t);
    for (int b = 0; b < k->c->batch; b++) {
        struct item item;
        if (places_queries(&t->args, b) == 0)
            continue;
        take_item(&item, &t->args, b);
        if (!run(k, &item.args, &mode))
            return;
    }
    if (trial_collect(k, t, before, mode.what, &other))
        compare_bits(k, first, &other, how);
    outputs_free(&other);
}

static bool run_whole(struct trial *k, const rapt_attention_args *args, const struct mode *mode) {
    return trial_run(k, *args, mode);
}

/* Some queries of all sequences of a dense batch. With `prefill`, before later keys exist. */
static bool run_queries(struct trial *k, const rapt_attention_args *args, int64_t first,
                        int64_t count, bool prefill, const struct mode *mode) {
    int64_t q_offset[CASE_BATCH_MAX], kv_len[CASE_BATCH_MAX];
    rapt_attention_args some = narrow_queries(*args, first, count);
    for (int64_t b = 0; b < places_sequences(args); b++) {
        q_offset[b] = first + (args->q_offset ? args->q_offset[b] : 0);
        const int64_t end = q_offset[b] + count, keys = places_keys(args, b);
        kv_len[b] = end < 0 ? 0 : end < keys ? end : keys;
    }
    some.q_offset = q_offset;
    if (prefill)
        some.kv_len = kv_len;
    return trial_run(k, some, mode);
}

static bool run_chunks(struct trial *k, const rapt_attention_args *args, const struct mode *mode) {
    uint64_t state = k->c->seed;
    const int64_t queries = args->query.shape[2];
    /* Scores are shown of all keys that a sequence has, and else those behind the last query of a
     * causal prefill don't matter. */
    const bool prefill = args->causal && !args->cu_k &&
                         (k->c->weights_kind == RAPT_WEIGHTS_SOFTMAX ||
                          k->c->weights_kind == RAPT_WEIGHTS_MASKED || places_dense(args));
    for (int64_t first = 0; first < queries;) {
        const int64_t count = 1 + (int64_t)(cases_random(&state) % (uint64_t)(queries - first));
        if (!run_queries(k, args, first, count, prefill, mode))
            return false;
        first += count;
    }
    return true;
}

/* The queries that run_rows takes one by one. */
enum { ROWS = 3 };
static void some_queries(const struct attention_case *c, int *rows) {
    rows[0] = 0;
    rows[1] = c->q_len / 2;
    rows[2] = c->q_len - 1;
}

static bool run_rows(struct trial *k, const rapt_attention_args *args, const struct mode *mode) {
    int rows[ROWS];
    some_queries(k->c, rows);
    for (int n = 0; n < ROWS; n++)
        if (rows[n] >= 0 && rows[n] < args->query.shape[2] &&
            !run_queries(k, args, rows[n], 1, false, mode))
            return false;
    return true;
}

/* Queries of all sequences at once where they are dense. */
static void check_queries(struct trial *k, struct tensors *t, const struct outputs *first,
                          const struct comparison *how, run_item *run) {
    const struct mode mode = {how->what, 1, false, 0};
    const uint64_t before = tensors_checksum(t);
    struct outputs other = {0};
    if (k->c->offset == OFFSET_FAR) /* offset + row would be more than is allowed */
        return;
    if (t->args.cu_q) {
        check_items(k, t, first, how, run);
        return;
    }
    outputs_clear(t);
    if (run(k, &t->args, &mode) && trial_collect(k, t, before, how->what, &other))
        compare_bits(k, first, &other, how);
    outputs_free(&other);
}

/* The library takes another path if nobody asks for weights. */
static void check_without_weights(struct trial *k, struct tensors *t, const struct outputs *first,
                                  bool planned) {
    const struct mode mode = {"without weights", 1, planned, 0};
    const rapt_tensor weights = t->args.weights;
    t->args.weights = (rapt_tensor){.dtype = RAPT_NONE};
    check_mode(k, t, first, &mode);
    t->args.weights = weights;
}

/* And another one if nothing is observed. */
static void check_without_observed(struct trial *k, struct tensors *t, const struct outputs *first,
                                   bool planned) {
    const struct mode mode = {"with nothing observed", 1, planned, 0};
    const rapt_attention_args args = t->args;
    for (int role = TENSOR_ENTROPY; role < TENSOR_COUNT; role++)
        *tensors_view(&t->args, role) = (rapt_tensor){.dtype = RAPT_NONE};
    t->args.segment_bounds = t->args.diagonal_offsets = NULL;
    check_mode(k, t, first, &mode);
    t->args = args;
}

/* By several threads, and in slices of one: if there is much work, its keys are divided. */
static void check_divisions(struct trial *k, struct tensors *t, const struct outputs *first,
                            bool planned, bool both) {
    static const int counts[] = {2, 3, 7};
    const uint64_t seed = k->c->seed;
    const int slices = counts[seed % 3];
    const struct mode threads = {"several threads", 2 + (int)(seed % 2), !planned, 0};
    const struct mode sliced = {"slices", seed >> 11 & 1 ? slices : 1, true, slices};
    if (both || seed >> 12 & 1)
        check_mode(k, t, first, &threads);
    if (both || !(seed >> 12 & 1))
        check_mode(k, t, first, &sliced);
}

/* Every case has the copy, the items and the rows, and some of the rest. */
void variations_check(struct trial *k, struct tensors *t, const struct outputs *first,
                      bool planned) {
    const struct mode elsewhere = {"another form", 1, planned, 0};
    const bool dense = places_dense(&t->args), few = k->c->q_len < 8 && !k->c->weights;
    const int one_of = few ? 0 : (int)(k->c->seed >> 4 & 3);
    int rows[ROWS];
    some_queries(k->c, rows);
    const struct comparison items = {.what = "sequences one by one", .lengths_only = !dense};
    const struct comparison chunks = {.what = "queries in chunks", .lengths_only = !dense};
    const struct comparison single = {"queries one by one", rows, ROWS, !dense};
    check_copy(k, t, first, &elsewhere);
    if (k->c->observed)
        check_without_observed(k, t, first, planned);
    check_items(k, t, first, &items, run_whole);
    check_queries(k, t, first, &single, run_rows);
    if (one_of == 1 || few)
        check_queries(k, t, first, &chunks, run_chunks);
    if (one_of == 2 && k->c->weights)
        check_without_weights(k, t, first, planned);
    else if (one_of != 1)
        check_divisions(k, t, first, planned, few);
}
