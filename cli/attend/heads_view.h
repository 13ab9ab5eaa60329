/* SPDX-License-Identifier: Apache-2.0 */
/* The heads of a model that rapt attend shows of one sentence, and their names. */
#ifndef RAPT_CLI_ATTEND_HEADS_VIEW_H
#define RAPT_CLI_ATTEND_HEADS_VIEW_H

#include "cli/attend/heatmap.h"
#include "cli/sentences/attend.h"

struct heads_view {
    const struct samples *samples;
    const struct sample *sentence;
    struct attend_range range;
    const char *isa;      /* that computed the weights */
    const float *weights; /* of attend_compute */
    struct heatmap_style style;
};

enum { HEADS_VIEW_NAME_SIZE = 160 };

/* The weights of one head, [query][key]. */
const float *heads_view_weights(const struct heads_view *view, int index);

/* "all-MiniLM-L6-v2, layer 3 of 0-5, head 1 of 0-11" */
void heads_view_name(const struct heads_view *view, char name[HEADS_VIEW_NAME_SIZE]);

/* One head among several: "head 1, 1.76 nats", its mean entropy. */
void heads_view_panel_name(const struct heads_view *view, int index,
                           char name[HEADS_VIEW_NAME_SIZE]);

/*
 * The largest weight that one word gives another in the first head: no markers, no punctuation, not
 * itself. False if there are no two words.
 */
bool heads_view_strongest_pair(const struct heads_view *view, int *query, int *key);

#endif
