/* SPDX-License-Identifier: Apache-2.0 */
/* Features of cases with their options. */
#ifndef RAPT_ORACLE_CASE_FEATURES_H
#define RAPT_ORACLE_CASE_FEATURES_H

#include "oracle/cases.h"

/* A feature sets option 1, 2, … of a case; option 0 is what features_base has. */
struct feature {
    int options;
    void (*set)(struct attention_case *c, int option);
};

enum { FEATURE_SIZES, FEATURE_HEADS, FEATURE_COUNT = 21 };

extern const struct attention_case features_base;
extern const struct feature features[FEATURE_COUNT];

/* Sets what the options of a case demand of others: any combination becomes one that is allowed. */
void features_settle(struct attention_case *c);

/* Whether the definition of attention says what comes out of it. */
bool features_are_defined(const struct attention_case *c);

#endif
