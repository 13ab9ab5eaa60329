/* SPDX-License-Identifier: Apache-2.0 */
/* Each function of each vector header against its scalar definition, special values included. */
#include <float.h>
#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/kernels/all_vec_ops.h"
#include "tests/support/helpers.h"

static const float specials[] = {
    0.0f,     -0.0f,     1.0f,    -1.0f,    0.5f,      -1.5f,        3.0f,           0x1.fffffep0f,
    FLT_MAX,  -FLT_MAX,  FLT_MIN, -FLT_MIN, 0x1p-149f, -0x1p-149f,   0x1p-75f,       0x1.000002p0f,
    INFINITY, -INFINITY, NAN,     -NAN,     0x1p24f,   -16777217.0f, 0x1.555554p-2f, 0x1p-140f,
};
enum { SPECIALS = sizeof specials / sizeof *specials };

static uint32_t bits(float a) {
    uint32_t b;
    memcpy(&b, &a, sizeof b);
    return b;
}

static float from_bits(uint32_t b) {
    float a;
    memcpy(&a, &b, sizeof a);
    return a;
}

/* The same bits, or both a NaN of any kind. */
static bool same(float a, float b) {
    return bits(a) == bits(b) || (isnan(a) && isnan(b));
}

/* Different pairs in neighbouring lanes: all special pairs, then random bits. */
static void fill_pair(int round, uint64_t *seed, float *a, float *b) {
    for (int i = 0; i < LANES_MAX; i++) {
        const int pair = round * LANES_MAX + i;
        const bool special = pair < SPECIALS * SPECIALS;
        a[i] = special ? specials[pair / SPECIALS] : from_bits(next_random(seed));
        b[i] = special ? specials[pair % SPECIALS] : from_bits(next_random(seed));
    }
}
enum { PAIR_ROUNDS = SPECIALS * SPECIALS / LANES_MAX + 2000 };

static float max_of(float a, float b) {
    return a > b ? a : b;
}
static float min_of(float a, float b) {
    return a < b ? a : b;
}

Test(vec, arithmetic) {
    FOR_EACH_VARIANT(ops) {
        uint64_t seed = 1;
        for (int round = 0; round < PAIR_ROUNDS; round++) {
            lanes a, b, add, sub, mul, div;
            fill_pair(round, &seed, a, b);
            ops->add(add, a, b);
            ops->sub(sub, a, b);
            ops->mul(mul, a, b);
            ops->div(div, a, b);
            for (int i = 0; i < ops->lanes; i++) {
                const volatile float x = a[i], y = b[i];
                cr_assert(same(add[i], x + y), "%s: %a + %a is %a", ops->name, x, y, add[i]);
                cr_assert(same(sub[i], x - y), "%s: %a - %a is %a", ops->name, x, y, sub[i]);
                cr_assert(same(mul[i], x * y), "%s: %a * %a is %a", ops->name, x, y, mul[i]);
                cr_assert(same(div[i], x / y), "%s: %a / %a is %a", ops->name, x, y, div[i]);
            }
        }
    }
}

Test(vec, max_and_min_take_the_second_of_nan_and_zeros) {
    FOR_EACH_VARIANT(ops) {
        uint64_t seed = 2;
        for (int round = 0; round < PAIR_ROUNDS; round++) {
            lanes a, b, max, min;
            fill_pair(round, &seed, a, b);
            ops->max(max, a, b);
            ops->min(min, a, b);
            for (int i = 0; i < ops->lanes; i++) {
                cr_assert_eq(bits(max[i]), bits(max_of(a[i], b[i])), "%s: max(%a, %a) is %a",
                             ops->name, a[i], b[i], max[i]);
                cr_assert_eq(bits(min[i]), bits(min_of(a[i], b[i])), "%s: min(%a, %a) is %a",
                             ops->name, a[i], b[i], min[i]);
            }
        }
    }
}

/* One comparison over a pair: select's lanes, bit by bit, and vm_all. */
static void expect_comparison(const struct vec_ops *ops, int which, const float *a,
                              const float *b) {
    static const char *const names[] = {"<", "<=", "==", "!="};
    int (*const functions[])(float *, const float *, const float *, const float *,
                             const float *) = {ops->lt, ops->le, ops->eq, ops->ne};
    lanes yes, no, y;
    for (int i = 0; i < LANES_MAX; i++) {
        yes[i] = specials[i % SPECIALS];
        no[i] = specials[(i + 7) % SPECIALS];
    }
    const int whole = functions[which](y, a, b, yes, no);
    bool all = true;
    for (int i = 0; i < ops->lanes; i++) {
        const bool truth = which == 0   ? a[i] < b[i]
                           : which == 1 ? a[i] <= b[i]
                           : which == 2 ? a[i] == b[i]
                                        : a[i] != b[i];
        all = all && truth;
        cr_assert_eq(bits(y[i]), bits(truth ? yes[i] : no[i]), "%s: %a %s %a", ops->name, a[i],
                     names[which], b[i]);
    }
    cr_assert_eq(whole != 0, all, "%s: vm_all after %s", ops->name, names[which]);
}

Test(vec, comparisons_and_select) {
    FOR_EACH_VARIANT(ops) {
        uint64_t seed = 3;
        for (int round = 0; round < PAIR_ROUNDS; round++) {
            lanes a, b;
            fill_pair(round, &seed, a, b);
            for (int which = 0; which < 4; which++) {
                expect_comparison(ops, which, a, b);
                expect_comparison(ops, which, a, a);
            }
        }
    }
}

Test(vec, masks_meet_and_all_means_every_lane) {
    FOR_EACH_VARIANT(ops) {
        lanes zero = {0}, one, a, b, y;
        for (int i = 0; i < LANES_MAX; i++)
            one[i] = 1;
        for (int odd = -1; odd < ops->lanes; odd++) { /* the one lane that isn't in a mask */
            memcpy(a, zero, sizeof a);
            memcpy(b, zero, sizeof b);
            if (odd >= 0)
                a[odd] = 1;
            const int first = ops->both(y, a, one, b, one);
            for (int i = 0; i < ops->lanes; i++)
                cr_expect_eq(y[i], i != odd);
            const int second = ops->both(y, b, one, a, one);
            cr_expect_eq(first != 0, odd < 0, "%s, lane %d", ops->name, odd);
            cr_expect_eq(second != 0, odd < 0, "%s, lane %d", ops->name, odd);
            if (odd >= 0) { /* only this lane */
                cr_expect_eq(ops->both(y, zero, a, zero, one) != 0, ops->lanes == 1);
                for (int i = 0; i < ops->lanes; i++)
                    cr_expect_eq(y[i], i == odd);
            }
        }
    }
}

Test(vec, fma_rounds_once) {
    FOR_EACH_VARIANT(ops) {
        uint64_t seed = 4;
        for (int round = 0; round < PAIR_ROUNDS; round++) {
            lanes a, b, c, y;
            fill_pair(round, &seed, a, b);
            for (int i = 0; i < LANES_MAX; i++) /* every second time close to -a * b */
                c[i] = i & 1 ? -(a[i] * b[i]) : specials[(round + i) % SPECIALS];
            ops->fma(y, a, b, c);
            for (int i = 0; i < ops->lanes; i++)
                cr_assert(same(y[i], fmaf(a[i], b[i], c[i])), "%s: fma(%a, %a, %a) is %a",
                          ops->name, a[i], b[i], c[i], y[i]);
        }
        lanes x, minus, y;
        for (int i = 0; i < LANES_MAX; i++) {
            x[i] = 0x1.000002p0f;
            minus[i] = -0x1.000004p0f;
        }
        ops->fma(y, x, x, minus);
        cr_expect_eq(y[0], 0x1p-46f, "%s", ops->name);
    }
}

Test(vec, loads) {
    lanes a, y;
    float many[LANES_MAX * 3];
    for (int i = 0; i < LANES_MAX * 3; i++)
        many[i] = specials[i % SPECIALS];
    memcpy(a, many, sizeof a);
    FOR_EACH_VARIANT(ops) {
        const size_t size = (size_t)ops->lanes * sizeof(float);
        ops->load(y, a);
        cr_expect_arr_eq(y, a, size, "%s", ops->name);
        for (int shift = 0; shift < LANES_MAX; shift++) {
            ops->loadu(y, many + shift);
            cr_expect_arr_eq(y, many + shift, size, "%s, shift %d", ops->name, shift);
        }
        for (int i = 0; i < SPECIALS; i++) {
            ops->set1(y, specials[i]);
            for (int lane = 0; lane < ops->lanes; lane++)
                cr_expect(same(y[lane], specials[i]), "%s", ops->name);
        }
    }
}

/* Memory with a page on either side that can't be touched. */
static char *guarded_page(size_t page) {
    char *pages = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq((void *)pages, MAP_FAILED);
    cr_assert_eq(mprotect(pages + page, page, PROT_READ | PROT_WRITE), 0);
    return pages + page;
}

Test(vec, load_n_touches_n) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *memory = guarded_page(page);
    float *end = (float *)(void *)(memory + page);
    for (int i = 1; i <= LANES_MAX; i++)
        end[-i] = (float)i;
    FOR_EACH_VARIANT(ops) {
        for (int n = 0; n <= ops->lanes; n++) {
            lanes y;
            memset(y, CANARY, sizeof y);
            ops->load_n(y, end - n, n);
            for (int i = 0; i < ops->lanes; i++)
                cr_expect_eq(bits(y[i]), bits(i < n ? (float)(n - i) : 0.0f), "%s: %d of %d",
                             ops->name, i, n);
        }
    }
    munmap(memory - page, 3 * page);
}

Test(vec, round_is_to_nearest_and_ties_to_even) {
    FOR_EACH_VARIANT(ops) {
        for (int tenth = -1260; tenth <= 1270; tenth++) {
            lanes a, n, rest;
            for (int i = 0; i < LANES_MAX; i++)
                a[i] = nextafterf((float)tenth / 10, i % 3 == 1 ? 200 : i % 3 == 2 ? -200 : 0);
            for (int i = 0; i < LANES_MAX; i += 3)
                a[i] = (float)tenth / 10;
            ops->round(n, a, rest);
            for (int i = 0; i < ops->lanes; i++) {
                cr_assert_eq(n[i], rintf(a[i]), "%s: %a", ops->name, a[i]);
                cr_assert_eq(rest[i], a[i] - rintf(a[i]), "%s: %a", ops->name, a[i]);
            }
        }
    }
}

Test(vec, scale_exp2_is_exact_and_0_from_126_down) {
    FOR_EACH_VARIANT(ops) {
        uint64_t seed = 5;
        for (int exponent = -126; exponent <= 126; exponent++) {
            for (int round = 0; round < 200; round++) {
                lanes a, n, y;
                for (int i = 0; i < LANES_MAX; i++) {
                    a[i] = 0.7f + 0.36f * (random_float(&seed) + 1);
                    if (round == 0)
                        a[i] = 1;
                    n[i] = (float)(exponent + (i & 1));
                }
                ops->scale_exp2(y, a, n);
                for (int i = 0; i < ops->lanes; i++) {
                    const int e = exponent + (i & 1);
                    const float expected = e == -126 ? 0 : (float)ldexp((double)a[i], e);
                    cr_assert_eq(bits(y[i]), bits(expected), "%s: %a * 2^%d is %a, not %a",
                                 ops->name, a[i], e, y[i], expected);
                }
            }
        }
    }
}

/* Distance of y from the exact value, in units of its last place. */
static double ulps(float y, double exact) {
    if (same(y, (float)exact))
        return 0;
    int exponent;
    frexp(exact, &exponent);
    return fabs((double)y - exact) / ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
}

typedef void vector_function(float *y, const float *a);

/* One function of all variants up to a size: the same bits, within the units that SLEEF promises.
 */
static void expect_function(size_t member, double units, double (*exact)(double),
                            float (*sample)(uint64_t *), float most) {
    uint64_t seed = 6;
    for (int round = 0; round < 60000; round++) {
        lanes a, y, first;
        bool have_first = false;
        for (int i = 0; i < LANES_MAX; i++) {
            const int special = round * LANES_MAX + i;
            const bool takes = special < SPECIALS && !(fabsf(specials[special]) > most);
            a[i] = takes ? specials[special] : sample(&seed);
        }
        FOR_EACH_VARIANT(ops) {
            vector_function *function;
            memcpy(&function, (const char *)ops + member, sizeof function);
            for (int i = 0; i < LANES_MAX; i += ops->lanes) {
                lanes part, result;
                memcpy(part, a + i, (size_t)ops->lanes * sizeof(float));
                function(result, part);
                memcpy(y + i, result, (size_t)ops->lanes * sizeof(float));
            }
            for (int i = 0; i < LANES_MAX; i++) {
                cr_assert_leq(ulps(y[i], exact((double)a[i])), units, "%s at %a is %a", ops->name,
                              a[i], y[i]);
                cr_assert(!have_first || same(y[i], first[i]), "%s at %a is %a, elsewhere %a",
                          ops->name, a[i], y[i], first[i]);
            }
            if (!have_first)
                memcpy(first, y, sizeof y);
            have_first = true;
        }
    }
}

static float any_positive(uint64_t *seed) {
    return from_bits(next_random(seed) & 0x7fffffff);
}
static float around_zero(uint64_t *seed) {
    return ldexpf(random_float(seed), (int)(next_random(seed) % 40) - 30);
}

Test(vec, log_has_the_same_bits_everywhere) {
    expect_function(offsetof(struct vec_ops, log), 1.001, log, any_positive, INFINITY);
}

Test(vec, tanh_has_the_same_bits_everywhere) {
    expect_function(offsetof(struct vec_ops, tanh), 3.5, tanh, around_zero, INFINITY);
}

static float up_to_pi(uint64_t *seed) {
    const float pi = 0x1.921fb6p1f;
    return random_float(seed) *
           (next_random(seed) % 2 ? pi : ldexpf(1, -(int)(next_random(seed) % 30)));
}

Test(vec, sine_has_the_same_bits_everywhere) {
    expect_function(offsetof(struct vec_ops, sine), 1.001, sin, up_to_pi, 3.2f);
}

Test(vec, cosine_has_the_same_bits_everywhere) {
    expect_function(offsetof(struct vec_ops, cosine), 1.001, cos, up_to_pi, 3.2f);
}

Test(vec, zip_makes_pairs_and_unzip_undoes_it) {
    FOR_EACH_VARIANT(ops) {
        lanes a, b;
        for (int i = 0; i < ops->lanes; i++) {
            a[i] = (float)i;
            b[i] = (float)(100 + i);
        }
        ops->zip(a, b);
        for (int i = 0; i < 2 * ops->lanes; i++)
            cr_expect_eq(i < ops->lanes ? a[i] : b[i - ops->lanes], (float)(i / 2 + i % 2 * 100),
                         "%s, %d", ops->name, i);
        ops->unzip(a, b);
        for (int i = 0; i < ops->lanes; i++)
            cr_expect(a[i] == (float)i && b[i] == (float)(100 + i), "%s, %d", ops->name, i);
    }
}
