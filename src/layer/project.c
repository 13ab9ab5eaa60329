/* SPDX-License-Identifier: Apache-2.0 */
#include "src/layer/project.h"

#include "src/base/arena.h"
#include "src/layer/blas.h"
#include "src/plan/plan.h"
#include "src/base/convert.h"
#include "src/run/run.h"

enum {
    ROWS = 32,            /* of weights that are projected at once */
    TASK_BYTES = 1 << 19, /* of weights in a task: panels that follow find them in the L2 cache */
    GATHERED_FLOATS = 1 << 15, /* worth a thread more */
    TASKS_PER_THREAD = 4,      /* enough for an even load off one counter */
};

static int64_t tokens(const struct rapt_projection *p) {
    return p->in.shape[0] * p->in.shape[2];
}

/* Whether rows of weights are copied, as f32 and dense, before they are used. */
static bool is_staged(const rapt_tensor *weight) {
    return weight->dtype != RAPT_F32 || (weight->shape[3] > 1 && weight->stride[3] != 1);
}

int64_t rapt_projection_panels(const struct rapt_kernels *kernels, const rapt_tensor *in) {
    return rapt_divide_up(in->shape[0] * in->shape[2], kernels->panel_rows);
}

/* The scratch of a thread. */
struct scratch {
    float *out;    /* [ROWS][panel_rows] */
    float *bias;   /* [ROWS] */
    float *staged; /* [ROWS][channels] */
};

static void place_scratch(const struct rapt_projections *all, struct rapt_arena *arena,
                          struct scratch *scratch) {
    scratch->out = rapt_take(arena, sizeof(float), ROWS, all->kernels->panel_rows, 1);
    scratch->bias = rapt_take(arena, sizeof(float), ROWS, 1, 1);
    scratch->staged = rapt_take(arena, sizeof(float), all->stages ? ROWS : 0, all->channels, 1);
}

struct rapt_projections rapt_projections_divide(const struct rapt_kernels *kernels,
                                                const struct rapt_projection *projection, int count,
                                                int threads) {
    struct rapt_projections all = {.kernels = kernels, .projection = projection, .count = count};
    double flops = 0;
    int64_t gathered = 0;
    for (int i = 0; i < count; i++) {
        const rapt_tensor *w = &projection[i].weight;
        flops += 2.0 * (double)tokens(&projection[i]) * (double)w->shape[2] * (double)w->shape[3];
        all.channels = rapt_max(all.channels, w->shape[3]);
        all.stages = all.stages || is_staged(w);
        gathered += projection[i].gathers ? tokens(&projection[i]) * w->shape[3] : 0;
    }
    all.threads = rapt_threads_for(flops, threads);
    all.gather_threads = (int)rapt_min(all.threads, 1 + gathered / GATHERED_FLOATS);
    for (int i = 0; i < count; i++) {
        const rapt_tensor *w = &projection[i].weight;
        const int64_t panels = rapt_projection_panels(kernels, &projection[i].in);
        const int64_t wanted =
            rapt_divide_up((int64_t)all.threads * TASKS_PER_THREAD, rapt_max(1, panels));
        const int64_t most = TASK_BYTES / (w->shape[3] * (int64_t)sizeof(float));
        const int64_t rows = rapt_min(most, rapt_divide_up(w->shape[2], wanted));
        all.task_rows[i] = rapt_max(1, rapt_divide_up(rows, ROWS)) * ROWS;
        all.first_gather[i + 1] = all.first_gather[i] + (projection[i].gathers ? panels : 0);
        all.first_task[i + 1] =
            all.first_task[i] + panels * rapt_divide_up(w->shape[2], all.task_rows[i]);
    }
    struct rapt_arena arena = {0};
    struct scratch scratch;
    place_scratch(&all, &arena, &scratch);
    all.scratch_bytes = arena.used;
    return all;
}

/* Floats from a tensor's data to a token's row. */
static int64_t token_row(const rapt_tensor *t, int64_t token) {
    return rapt_row_offset(t, token / t->shape[2], 0, token % t->shape[2]);
}

/* Rows of weights as f32, and how far they are apart. */
static const float *weight_rows(const struct rapt_projections *all, const rapt_tensor *w,
                                int64_t row, int rows, float *staged, ptrdiff_t *apart) {
    *apart = w->stride[2];
    if (!is_staged(w))
        return (const float *)w->data + row * w->stride[2];
    *apart = w->shape[3];
    for (int i = 0; i < rows; i++)
        rapt_read_row(all->kernels, staged + i * w->shape[3], w, (row + i) * w->stride[2], 1,
                      w->shape[3]);
    return staged;
}

/* A panel of tokens in lanes. */
struct panel {
    int64_t token; /* the first */
    int count, width;
    float *lanes; /* [channels][width] */
};

static struct panel find_panel(const struct rapt_projections *all, const struct rapt_projection *p,
                               int64_t panel) {
    const int rows = all->kernels->panel_rows, lanes = all->kernels->lanes;
    const int64_t token = panel * rows;
    const int count = (int)rapt_min(rows, tokens(p) - token);
    return (struct panel){token, count, (int)rapt_divide_up(count, lanes) * lanes,
                          p->panels + token * p->in.shape[3]};
}

/* Which projection's task i is, of those that begin at `first`. */
static int find(const int64_t *first, int64_t i) {
    int which = 0;
    while (i >= first[which + 1])
        which++;
    return which;
}

static void gather_task(const void *context, int64_t i, void *scratch) {
    (void)scratch;
    const struct rapt_projections *all = context;
    const int which = find(all->first_gather, i);
    const struct rapt_projection *p = &all->projection[which];
    const struct panel panel = find_panel(all, p, i - all->first_gather[which]);
    const float *in[RAPT_PANEL_ROWS_MAX];
    for (int lane = 0; lane < panel.width; lane++) {
        const int64_t token = panel.token + rapt_min(lane, panel.count - 1);
        in[lane] = (const float *)p->in.data + token_row(&p->in, token);
    }
    all->kernels->gather(panel.lanes, panel.width, in, p->in.stride[3], p->in.shape[3]);
}

/* A panel by some rows of weights. */
static void project_panel(const struct rapt_projections *all, const struct rapt_projection *p,
                          const struct panel *panel, int64_t first, int64_t last,
                          const struct scratch *s) {
    const struct rapt_kernels *kernels = all->kernels;
    const bool has_bias = p->bias.dtype != RAPT_NONE;
    float *out[RAPT_PANEL_ROWS_MAX];
    for (int64_t row = first; row < last; row += ROWS) {
        const int rows = (int)rapt_min(ROWS, last - row);
        ptrdiff_t apart;
        const float *weight = weight_rows(all, &p->weight, row, rows, s->staged, &apart);
        if (has_bias)
            rapt_read_row(kernels, s->bias, &p->bias, row * p->bias.stride[3], 1, rows);
        float *to =
            p->lanes ? p->lanes + panel->token * p->weight.shape[2] + row * panel->width : s->out;
        kernels->project(to, panel->lanes, panel->width, p->weight.shape[3], weight, apart,
                         has_bias ? s->bias : NULL, rows);
        if (p->gelu)
            kernels->gelu(to, (int64_t)rows * panel->width);
        if (p->lanes)
            continue;
        for (int lane = 0; lane < panel->count; lane++)
            out[lane] = (float *)p->out.data + token_row(&p->out, panel->token + lane) +
                        row * p->out.stride[3];
        kernels->scatter(out, p->out.stride[3], panel->count, s->out, panel->width, rows);
    }
}

/* The panels of one block of rows follow each other. */
static void project_task(const void *context, int64_t i, void *scratch) {
    const struct rapt_projections *all = context;
    const int which = find(all->first_task, i);
    const struct rapt_projection *p = &all->projection[which];
    const int64_t panels = rapt_projection_panels(all->kernels, &p->in);
    const int64_t at = i - all->first_task[which], rows = all->task_rows[which];
    const int64_t first = at / panels * rows;
    const struct panel panel = find_panel(all, p, at % panels);
    struct rapt_arena arena = rapt_arena_in(scratch);
    struct scratch placed;
    place_scratch(all, &arena, &placed);
    project_panel(all, p, &panel, first, rapt_min(first + rows, p->weight.shape[2]), &placed);
}

void rapt_projections_run(const struct rapt_projections *all, void *scratch) {
    if (all->first_task[all->count] == 0 || rapt_blas_run(all, scratch))
        return;
    rapt_parallel_for(all->gather_threads, all->first_gather[all->count], gather_task, all, scratch,
                      all->scratch_bytes);
    rapt_parallel_for(all->threads, all->first_task[all->count], project_task, all, scratch,
                      all->scratch_bytes);
}
