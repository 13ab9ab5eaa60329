/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operator Attention of ONNX, opsets 23 to 25, through rapt's arguments: the table of
 * docs/operator.md. The values are worked out here in double, straight from the operator's text.
 */
#include "tests/support/helpers.h"
#include "oracle/storage.h"

#include <float.h>

/* The operator's attributes, and the form of its inputs. Keys are those of past_key and of K. */
struct node {
    int64_t batch, q_heads, kv_heads, q_len, past, kv_len; /* kv_len: past and new */
    int64_t head_dim, value_dim;
    bool three_dimensions; /* inputs and Y are (batch, length, heads * size) */
    bool is_causal;
    float scale, softcap;
    bool has_window;
    int64_t left_window_size, right_window_size;
    rapt_dtype mask; /* bool or f32 */
    int64_t mask_shape[4];
    bool pads_mask;        /* opset 24: a last dimension that is shorter, 1 too, is filled up */
    const int64_t *nonpad; /* nonpad_kv_seqlen */
    bool is_half;          /* Q, K, V and Y are f16 */
    bool finite_mask;      /* the lowest finite number in place of -inf */
};

/* What stands in the arrays, as the operator sees them. */
static double element(const struct node *node, const rapt_tensor *t, int64_t b, int64_t h,
                      int64_t s, int64_t c) {
    const int64_t *n = t->shape;
    const int64_t at = node->three_dimensions ? (b * n[2] + s) * n[1] * n[3] + h * n[3] + c
                                              : ((b * n[1] + h) * n[2] + s) * n[3] + c;
    return (double)((const float *)t->data)[at];
}

/* The mask's number for a score, as a bias: broadcast in all dimensions, or filled up at the end.
 */
static double mask_bias(const struct node *node, const rapt_tensor *mask, int64_t b, int64_t h,
                        int64_t i, int64_t j) {
    const int64_t *n = mask->shape;
    if (node->mask == RAPT_NONE)
        return 0;
    if (node->pads_mask && j >= n[3])
        return -INFINITY;
    const int64_t at =
        (((n[0] == 1 ? 0 : b) * n[1] + (n[1] == 1 ? 0 : h)) * n[2] + (n[2] == 1 ? 0 : i)) * n[3] +
        (n[3] == 1 ? 0 : j);
    if (node->mask == RAPT_BOOL)
        return ((const unsigned char *)mask->data)[at] ? 0 : -INFINITY;
    return (double)((const float *)mask->data)[at];
}

/* Where a query stands among the keys: the past, or the end of what isn't padding, or the top. */
static int64_t offset_of(const struct node *node, int64_t b) {
    return node->nonpad ? node->nonpad[b] - node->q_len : node->past;
}

static double bias_of(const struct node *node, const rapt_tensor *mask, int64_t b, int64_t h,
                      int64_t i, int64_t j) {
    const int64_t p = i + offset_of(node, b);
    double bias = mask_bias(node, mask, b, h, i, j);
    if (node->is_causal && j > p)
        bias += -INFINITY;
    if (node->nonpad && j >= node->nonpad[b])
        bias += -INFINITY;
    if (node->has_window && node->left_window_size >= 0 && j < p - node->left_window_size)
        bias += -INFINITY;
    if (node->has_window && node->right_window_size >= 0 && j > p + node->right_window_size)
        bias += -INFINITY;
    return bias;
}

enum { MODES = 4, MOST_KEYS = 64, MOST_CHANNELS = 16 };

/* A row of every qk_matmul_output_mode, and of Y. */
struct row {
    double scores[MODES][MOST_KEYS], y[MOST_CHANNELS];
};

static void compute_row(const struct node *node, const rapt_attention_args *args, int64_t b,
                        int64_t h, int64_t i, struct row *row) {
    const double scale = node->scale > 0 ? (double)node->scale : 1 / sqrt((double)node->head_dim);
    const int64_t kv_head = h / (node->q_heads / node->kv_heads);
    double most = -INFINITY, sum = 0;
    bool masked = true;
    for (int64_t j = 0; j < node->kv_len; j++) {
        double product = 0;
        for (int64_t c = 0; c < node->head_dim; c++)
            product += element(node, &args->query, b, h, i, c) *
                       element(node, &args->key, b, kv_head, j, c);
        const double bias = bias_of(node, &args->mask, b, h, i, j), cap = (double)node->softcap;
        row->scores[0][j] = scale * product;
        row->scores[1][j] = cap > 0 ? cap * tanh(scale * product / cap) : scale * product;
        row->scores[2][j] = row->scores[1][j] + bias;
        masked &= bias == -INFINITY;
        most = fmax(most, row->scores[2][j]);
    }
    for (int64_t j = 0; j < node->kv_len && !masked; j++)
        sum += exp(row->scores[2][j] - most);
    memset(row->y, 0, sizeof row->y);
    for (int64_t j = 0; j < node->kv_len; j++) {
        row->scores[3][j] = masked ? 0 : exp(row->scores[2][j] - most) / sum;
        for (int64_t c = 0; c < node->value_dim; c++)
            row->y[c] += row->scores[3][j] * element(node, &args->value, b, kv_head, j, c);
    }
}

/* ---- the same through rapt ---- */

/* The numbers of a tensor as f16, in an array of their own. */
static rapt_tensor as_half(const rapt_tensor *t) {
    rapt_tensor half = *t;
    half.dtype = RAPT_F16;
    half.data = allocate(elements(t) * sizeof(uint16_t));
    for (size_t i = 0; i < elements(t); i++)
        storage_write(RAPT_F16, (uint16_t *)half.data + i, ((const float *)t->data)[i]);
    return half;
}

/* Random numbers, all of which f16 has, too, and of a size that a softcap and a softmax notice. */
static rapt_tensor new_input(const struct node *node, int64_t heads, int64_t length, int64_t size,
                             uint64_t seed) {
    rapt_tensor t = new_tensor(RAPT_F32, node->batch, heads, length, size);
    if (node->three_dimensions)
        t = rapt_tensor_bshd(t.data, RAPT_F32, node->batch, heads, length, size);
    for (size_t i = 0; i < elements(&t); i++)
        ((float *)t.data)[i] = 2 * rintf(random_float(&seed) * 256) / 256;
    return t;
}

/* Bool with false in the first row everywhere, or numbers, with -inf instead of some. */
static rapt_tensor new_mask(const struct node *node, uint64_t seed) {
    const int64_t *n = node->mask_shape;
    rapt_tensor t = random_tensor(node->mask, n[0], n[1], n[2], n[3], seed);
    for (size_t i = 0; i < elements(&t); i++) {
        const bool first_row = n[2] > 1 && (int64_t)i / n[3] % n[2] == 0;
        if (node->mask == RAPT_BOOL)
            ((unsigned char *)t.data)[i] &= !first_row;
        else if (first_row || next_random(&seed) % 4 == 0)
            ((float *)t.data)[i] = node->finite_mask ? -FLT_MAX : -INFINITY;
    }
    return t;
}

struct numbers {
    int64_t q_offset[4], mask_start[4];
};

/* The arguments: this is the table. */
static rapt_attention_args translate(const struct node *node, struct numbers *numbers) {
    rapt_attention_args args = rapt_attention_defaults();
    args.query = new_input(node, node->q_heads, node->q_len, node->head_dim, 1);
    args.key = new_input(node, node->kv_heads, node->kv_len, node->head_dim, 2);
    args.value = new_input(node, node->kv_heads, node->kv_len, node->value_dim, 3);
    args.out = new_input(node, node->q_heads, node->q_len, node->value_dim, 4);
    args.weights = new_tensor(RAPT_F32, node->batch, node->q_heads, node->q_len, node->kv_len);
    if (node->mask != RAPT_NONE)
        args.mask = new_mask(node, 5);
    args.scale = node->scale;
    args.softcap = node->softcap;
    args.causal = node->is_causal;
    if (node->has_window) {
        args.window_left = node->left_window_size;
        args.window_right = node->right_window_size;
    }
    for (int64_t b = 0; b < node->batch; b++) {
        numbers->q_offset[b] = node->nonpad ? node->nonpad[b] - node->q_len : node->past;
        numbers->mask_start[b] = 0;
    }
    args.q_offset = numbers->q_offset;
    args.kv_len = node->nonpad;
    args.mask_start = node->pads_mask ? numbers->mask_start : NULL;
    return args;
}

/* A finite score beyond what rapt holds, which is FLT_MAX in units of log2, saturates. */
static double saturated(double score) {
    const double most = (double)FLT_MAX * log(2);
    return isinf(score) ? score : fmax(-most, fmin(score, most));
}

static rapt_weights_kind kind_of(int qk_matmul_output_mode) {
    static const rapt_weights_kind kinds[MODES] = {RAPT_WEIGHTS_SCALED, RAPT_WEIGHTS_CAPPED,
                                                   RAPT_WEIGHTS_MASKED, RAPT_WEIGHTS_SOFTMAX};
    return kinds[qk_matmul_output_mode];
}

static void expect_close(const char *name, const char *what, int64_t at, double found,
                         double expected, double relative) {
    cr_expect(found == expected || fabs(found - expected) <= 1e-6 + relative * fabs(expected),
              "%s, %s: [%lld] is %.9g, expected %.9g", name, what, (long long)at, found, expected);
}

static double out_element(const struct node *node, const rapt_attention_args *args, int64_t b,
                          int64_t h, int64_t i, int64_t c) {
    if (!node->is_half)
        return element(node, &args->out, b, h, i, c);
    const int64_t at = ((b * node->q_heads + h) * node->q_len + i) * node->value_dim + c;
    return (double)storage_read_half(RAPT_F16, (const uint16_t *)args->out.data + at);
}

static void run_mode(const char *name, const struct node *node, int mode,
                     const rapt_attention_args *given, const rapt_attention_args *exact) {
    static const char *const what[MODES] = {"mode 0", "mode 1", "mode 2", "mode 3"};
    rapt_attention_args args = *given;
    args.weights_kind = kind_of(mode);
    expect_ok(rapt_attention(&args));
    for (int64_t r = 0; r < node->batch * node->q_heads * node->q_len; r++) {
        const int64_t i = r % node->q_len, h = r / node->q_len % node->q_heads;
        const int64_t b = r / node->q_len / node->q_heads;
        struct row row;
        compute_row(node, exact, b, h, i, &row);
        for (int64_t j = 0; j < node->kv_len; j++) {
            const int64_t at = r * node->kv_len + j;
            expect_close(name, what[mode], at, (double)((const float *)args.weights.data)[at],
                         saturated(row.scores[mode][j]), 2e-6);
        }
        for (int64_t c = 0; c < node->value_dim; c++)
            expect_close(name, "Y", r * node->value_dim + c, out_element(node, &args, b, h, i, c),
                         row.y[c], node->is_half ? 0x1p-11 : 2e-6);
    }
}

/* Runs the node with each mode of qk_matmul_output, and expects Y and that. */
static void expect_node(const char *name, const struct node *node) {
    cr_assert(node->kv_len <= MOST_KEYS && node->value_dim <= MOST_CHANNELS && node->batch <= 4);
    struct numbers numbers;
    rapt_attention_args exact = translate(node, &numbers), args = exact;
    rapt_tensor *halves[] = {&args.query, &args.key, &args.value, &args.out};
    for (int i = 0; i < 4 && node->is_half; i++)
        *halves[i] = as_half(halves[i]);
    for (int mode = 0; mode < MODES; mode++)
        run_mode(name, node, mode, &args, &exact);
    for (int i = 0; i < 4 && node->is_half; i++)
        free(halves[i]->data);
    free_problem(&exact);
}

#define SIZES .batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 5, .head_dim = 8, .value_dim = 10
#define EXPECT(name, ...) expect_node(name, &(struct node){SIZES, __VA_ARGS__})

Test(onnx, shapes_and_scores) {
    EXPECT("plain", .kv_len = 6);
    EXPECT("3D", .kv_len = 6, .three_dimensions = true);
    EXPECT("3D causal", .kv_len = 6, .three_dimensions = true, .is_causal = true);
    EXPECT("scale", .kv_len = 6, .scale = .01f);
    EXPECT("softcap", .kv_len = 6, .softcap = 2);
    EXPECT("f16", .kv_len = 6, .is_half = true);
    EXPECT("f16 softcap causal", .kv_len = 6, .is_half = true, .softcap = 1, .is_causal = true);
    const struct node nine = {.batch = 1,
                              .q_heads = 9,
                              .kv_heads = 3,
                              .q_len = 4,
                              .kv_len = 33,
                              .head_dim = 7,
                              .value_dim = 3,
                              .three_dimensions = true};
    expect_node("9 heads of 3", &nine);
    const struct node one = {.batch = 3,
                             .q_heads = 4,
                             .kv_heads = 1,
                             .q_len = 1,
                             .past = 20,
                             .kv_len = 21,
                             .head_dim = 8,
                             .value_dim = 8,
                             .is_causal = true};
    expect_node("one token after a past", &one);
}

/* The first query at the first key, unless there is a past or a length that isn't padding. */
Test(onnx, causal_and_caches) {
    static const int64_t nonpad[2] = {9, 3}, none[2] = {0, 12};
    EXPECT("top-left, more keys", .kv_len = 8, .is_causal = true);
    EXPECT("top-left, fewer keys", .kv_len = 3, .is_causal = true);
    EXPECT("past", .past = 7, .kv_len = 12, .is_causal = true);
    EXPECT("past, not as long as the keys", .past = 7, .kv_len = 13, .is_causal = true);
    EXPECT("nonpad", .kv_len = 12, .nonpad = nonpad);
    EXPECT("nonpad, rows above the first key", .kv_len = 12, .is_causal = true, .nonpad = nonpad);
    EXPECT("nonpad of nothing", .kv_len = 12, .is_causal = true, .nonpad = none);
    EXPECT("nonpad of nothing, 3D", .kv_len = 12, .nonpad = none, .three_dimensions = true);
}

/* Row 0 is masked for all keys where a mask has rows: Y is 0 there, and so is mode 3. */
Test(onnx, masks) {
    static const int64_t nonpad[2] = {9, 3};
    static const int64_t shapes[][4] = {{1, 1, 5, 12}, {1, 4, 5, 12}, {2, 1, 5, 12}, {2, 4, 5, 12},
                                        {1, 1, 1, 12}, {2, 1, 1, 12}, {1, 1, 5, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (int additive = 0; additive < 2; additive++) {
            struct node node = {SIZES,
                                .past = 7,
                                .kv_len = 12,
                                .is_causal = i % 2 == 0,
                                .mask = additive ? RAPT_F32 : RAPT_BOOL,
                                .softcap = 1.5f};
            memcpy(node.mask_shape, shapes[i], sizeof shapes[i]);
            expect_node(additive ? "additive mask" : "bool mask", &node);
            node.past = 0;
            node.nonpad = nonpad;
            expect_node("mask and nonpad", &node);
        }
    }
    EXPECT("finite masks are no -inf", .kv_len = 12, .mask = RAPT_F32, .mask_shape = {1, 1, 5, 12},
           .finite_mask = true);
}

/* From opset 24 on what a mask is short of isn't attended, and one column is short, too. */
Test(onnx, masks_shorter_than_the_keys) {
    static const int64_t nonpad[2] = {9, 3};
    for (int64_t length = 1; length <= 12; length++) {
        for (int additive = 0; additive < 2; additive++) {
            struct node node = {SIZES, .kv_len = 12, .pads_mask = true,
                                .mask = additive ? RAPT_F32 : RAPT_BOOL,
                                .mask_shape = {1, 4, 5, length}};
            expect_node("short mask", &node);
            node.is_causal = true;
            node.nonpad = nonpad;
            expect_node("short mask, causal, nonpad", &node);
        }
    }
}

/* Opset 25: both ends belong to a window, -1 leaves one open; by position, causal or not. */
Test(onnx, windows) {
    static const int64_t nonpad[2] = {9, 3},
                         sizes[][2] = {{2, -1}, {-1, 1}, {2, 1}, {0, 0}, {40, 40}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct node node = {SIZES, .kv_len = 12, .has_window = true,
                            .left_window_size = sizes[i][0], .right_window_size = sizes[i][1]};
        for (int causal = 0; causal < 2; causal++) {
            node.is_causal = causal;
            node.past = 7;
            node.nonpad = NULL;
            expect_node("window and past", &node);
            node.past = 0;
            node.nonpad = nonpad;
            expect_node("window and nonpad", &node);
        }
    }
    EXPECT("all at once", .kv_len = 12, .nonpad = nonpad, .is_causal = true, .has_window = true,
           .left_window_size = 3, .right_window_size = -1, .softcap = 2, .scale = .7f,
           .mask = RAPT_F32, .mask_shape = {1, 4, 5, 9}, .pads_mask = true,
           .three_dimensions = true);
}

/* What an operator's text leaves to the implementation: a scale that isn't positive. */
Test(onnx, scale_is_positive) {
    const struct node node = {SIZES, .kv_len = 6};
    struct numbers numbers;
    rapt_attention_args args = translate(&node, &numbers);
    args.scale = -1;
    cr_expect_eq(rapt_attention(&args), RAPT_INVALID_ARGUMENT);
    cr_expect(mentions(rapt_last_error(), "scale") && mentions(rapt_last_error(), "-1"));
    free_problem(&args);
}
