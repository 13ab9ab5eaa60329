/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of a vector header on arrays, so that the tests can call those of each header. */
#ifndef RAPT_TESTS_KERNELS_VEC_OPS_H
#define RAPT_TESTS_KERNELS_VEC_OPS_H

/* Arrays hold one vector, `lanes` floats; all but p are aligned to it. */
struct vec_ops {
    const char *name;
    int lanes;

    void (*load)(float *y, const float *a);
    void (*loadu)(float *y, const float *p);
    void (*load_n)(float *y, const float *p, int n);
    void (*set1)(float *y, float a);

    void (*add)(float *y, const float *a, const float *b);
    void (*sub)(float *y, const float *a, const float *b);
    void (*mul)(float *y, const float *a, const float *b);
    void (*div)(float *y, const float *a, const float *b);
    void (*max)(float *y, const float *a, const float *b);
    void (*min)(float *y, const float *a, const float *b);
    void (*fma)(float *y, const float *a, const float *b, const float *c);

    /* y = a (op) b ? yes : no, lane by lane; the result is vm_all of the mask. */
    int (*lt)(float *y, const float *a, const float *b, const float *yes, const float *no);
    int (*le)(float *y, const float *a, const float *b, const float *yes, const float *no);
    int (*eq)(float *y, const float *a, const float *b, const float *yes, const float *no);
    int (*ne)(float *y, const float *a, const float *b, const float *yes, const float *no);
    /* With the mask a < b and c < d. */
    int (*both)(float *y, const float *a, const float *b, const float *c, const float *d);

    void (*round)(float *n, const float *a, float *rest);
    void (*scale_exp2)(float *y, const float *a, const float *n);
    /* Of log.inc, tanh.inc and sincos.inc. */
    void (*log)(float *y, const float *a);
    void (*tanh)(float *y, const float *a);
    void (*sine)(float *y, const float *a);
    void (*cosine)(float *y, const float *a);
    /* In place. */
    void (*zip)(float *a, float *b);
    void (*unzip)(float *a, float *b);
};

#endif
