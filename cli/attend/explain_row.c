/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/attend/explain_row.h"

#include <math.h>
#include <stdlib.h>

static double dot(const float *a, const float *b, int count) {
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static const float *of_token(const struct explain_row *row, const float *vectors, int token) {
    return vectors + (size_t)token * (size_t)row->dim;
}

static void compute(struct explain_row *row) {
    row->largest = -INFINITY;
    for (int i = 0; i < row->tokens; i++) {
        row->scores[i] = dot(row->query, of_token(row, row->keys, i), row->dim);
        if (i < row->visible && row->scores[i] / row->root > row->largest) {
            row->largest = row->scores[i] / row->root;
            row->strongest = i;
        }
    }
    for (int i = 0; i < row->visible; i++) {
        row->exponentials[i] = exp(row->scores[i] / row->root - row->largest);
        row->sum += row->exponentials[i];
    }
    for (int i = 0; i < row->visible; i++) {
        row->weights[i] = row->exponentials[i] / row->sum;
        for (int c = 0; c < row->dim; c++)
            row->out[c] += row->weights[i] * (double)of_token(row, row->values, i)[c];
    }
}

bool explain_row_create(struct explain_row *row, const struct samples *samples,
                        const struct sample *sentence, const struct attend_range *head, int word,
                        bool causal) {
    size_t tokens = (size_t)sentence->token_count, dim = (size_t)samples->head_dim;
    size_t start = (size_t)(head->layer * samples->heads + head->head) * tokens * dim;
    *row = (struct explain_row){.query = sentence->query + start + (size_t)word * dim,
                                .keys = sentence->key + start,
                                .values = sentence->value + start,
                                .word = word,
                                .tokens = sentence->token_count,
                                .dim = samples->head_dim,
                                .causal = causal,
                                .visible = causal ? word + 1 : sentence->token_count,
                                .root = sqrt(samples->head_dim),
                                .scores = calloc(3 * tokens + dim, sizeof(double)),
                                .found = calloc(tokens + dim, sizeof(float))};
    if (!row->scores || !row->found) {
        explain_row_destroy(row);
        return false;
    }
    row->exponentials = row->scores + tokens;
    row->weights = row->exponentials + tokens;
    row->out = row->weights + tokens;
    row->found_weights = row->found + dim;
    compute(row);
    return true;
}

rapt_status explain_row_check(struct explain_row *row, const char *isa) {
    int64_t position = row->word;
    rapt_attention_args args = rapt_attention_defaults();
    args.query = rapt_tensor_bhsd(row->query, RAPT_F32, 1, 1, 1, row->dim);
    args.key = rapt_tensor_bhsd(row->keys, RAPT_F32, 1, 1, row->tokens, row->dim);
    args.value = rapt_tensor_bhsd(row->values, RAPT_F32, 1, 1, row->tokens, row->dim);
    args.out = rapt_tensor_bhsd(row->found, RAPT_F32, 1, 1, 1, row->dim);
    args.weights = rapt_tensor_bhsd(row->found_weights, RAPT_F32, 1, 1, 1, row->tokens);
    args.causal = row->causal;
    args.q_offset = &position;
    args.isa = isa;
    return rapt_attention(&args);
}

int explain_row_next(const struct explain_row *row, int than) {
    int best = -1;
    for (int i = 0; i < row->visible; i++) {
        double weight = row->weights[i];
        bool after =
            than < 0 || weight < row->weights[than] || (weight <= row->weights[than] && i > than);
        if (after && (best < 0 || weight > row->weights[best]))
            best = i;
    }
    return best;
}

void explain_row_destroy(struct explain_row *row) {
    free(row->scores);
    free(row->found);
    row->scores = NULL;
    row->found = NULL;
}
