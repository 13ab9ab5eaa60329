/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The roofline as inline SVG: logarithmic axes, the two roofs, and a numbered point for each case.
 * A stem leads up to the case's own roof, which is above that of memory where a cache holds the
 * keys. Points may lie on each other. So each number stands at the nearest free place, and a line
 * leads to it.
 */
#include "bench/roofline.h"

#include <math.h>

#include "bench/charts.h"

/* In the units of the viewBox, which are pixels on a phone. */
enum {
    WIDTH = 340,
    HEIGHT = 268,
    LEFT = 42,   /* the room of a number */
    RIGHT = 322, /* half of one */
    TOP = 24,
    BOTTOM = 228,
    RADIUS = 4, /* of a point */
    TICKS = 6,  /* on an axis, about */
    MOST = 128, /* numbers that are placed; all are listed */
    RINGS = 24, /* around a point, on which places are tried */
    PLACES = 24 /* on a ring */
};

/* Powers of two at the ends of an axis, and from one tick to the next. */
struct axis {
    int low, high, step;
};

static struct axis make_axis(double least, double most) {
    struct axis a = {(int)floor(log2(least)), (int)ceil(log2(most)), 1};
    while ((a.high - a.low) / a.step > TICKS)
        a.step++;
    return a;
}

struct plot {
    struct axis x, y;
};

static double at_x(const struct plot *p, double intensity) {
    return LEFT + (RIGHT - LEFT) * (log2(intensity) - p->x.low) / (p->x.high - p->x.low);
}

static double at_y(const struct plot *p, double rate) {
    return BOTTOM - (BOTTOM - TOP) * (log2(rate) - p->y.low) / (p->y.high - p->y.low);
}

/* What is taken: the boxes of points and numbers, by their centres. */
struct box {
    double x, y, half_width, half_height;
};

struct board {
    struct box boxes[2 * MOST];
    int count;
};

static bool is_free(const struct board *board, const struct box *b) {
    if (b->x - b->half_width < LEFT || b->x + b->half_width > RIGHT ||
        b->y - b->half_height < TOP || b->y + b->half_height > BOTTOM)
        return false;
    for (int i = 0; i < board->count; i++) {
        const struct box *o = &board->boxes[i];
        if (fabs(o->x - b->x) < o->half_width + b->half_width &&
            fabs(o->y - b->y) < o->half_height + b->half_height)
            return false;
    }
    return true;
}

/* The free place for a number that is nearest to a point; false if there is none. */
static bool find_place(const struct board *board, double x, double y, struct box *place) {
    static const double turn = 6.283185307179586 / PLACES;
    for (int ring = 0; ring < RINGS; ring++)
        for (int i = 0; i < PLACES; i++) {
            const double radius = 13 + 9 * ring;
            place->x = x + radius * cos(i * turn);
            place->y = y + radius * sin(i * turn);
            if (is_free(board, place))
                return true;
        }
    return false;
}

static struct plot make_plot(const struct summary *s, size_t isa, int t,
                             const struct bench_roof *roof) {
    const double ridge = roof->peak / roof->memory;
    double left = ridge, right = ridge, low = roof->peak, high = roof->peak;
    for (size_t c = 0; c < s->case_count; c++) {
        const struct bench_result *r = summary_at(s, isa, t, c);
        if (!r->correct)
            continue;
        const struct roofline_point p = roofline_point(r);
        left = fmin(left, p.intensity);
        right = fmax(right, p.intensity);
        low = fmin(low, fmin(p.rate, p.roof));
        high = fmax(high, fmax(p.rate, p.roof));
    }
    return (struct plot){make_axis(left / 1.6, right * 1.6), make_axis(low / 1.3, high * 1.1)};
}

static void draw_axes(FILE *file, const struct plot *p) {
    for (int e = p->y.low; e <= p->y.high; e += p->y.step)
        fprintf(file,
                "<path class=\"grid\" d=\"M%d %.1fH%d\"/>"
                "<text class=\"soft end\" x=\"%d\" y=\"%.1f\">%s</text>\n",
                LEFT, at_y(p, exp2(e)), RIGHT, LEFT - 6, at_y(p, exp2(e)) + 4,
                chart_number(exp2(e)).text);
    for (int e = p->x.low; e <= p->x.high; e += p->x.step)
        fprintf(file,
                "<path class=\"grid\" d=\"M%.1f %dV%d\"/>"
                "<text class=\"soft middle\" x=\"%.1f\" y=\"%d\">%s</text>\n",
                at_x(p, exp2(e)), TOP, BOTTOM, at_x(p, exp2(e)), BOTTOM + 18,
                chart_number(exp2(e)).text);
    fprintf(file,
            "<text class=\"soft\" x=\"0\" y=\"%d\">GFLOP/s</text>"
            "<text class=\"soft end\" x=\"%d\" y=\"%d\">FLOP per byte</text>\n",
            TOP - 12, RIGHT, HEIGHT - 6);
}

/* The memory's slope up to the ridge, then the peak. */
static void draw_roof(FILE *file, const struct plot *p, size_t isa, const struct bench_roof *roof) {
    const double first = fmax(exp2(p->x.low), exp2(p->y.low) / roof->memory);
    const double ridge = roof->peak / roof->memory;
    fprintf(file,
            "<path class=\"curve i%zu\" d=\"M%.1f %.1fL%.1f %.1fH%d\"><title>%.1f GB/s from "
            "memory, %.1f GFLOP/s of fused multiply-adds</title></path>\n",
            isa, at_x(p, first), at_y(p, first * roof->memory), at_x(p, ridge), at_y(p, roof->peak),
            RIGHT, roof->memory, roof->peak);
}

static void draw_point(FILE *file, const struct plot *plot, size_t isa,
                       const struct bench_result *r, int number) {
    const struct roofline_point p = roofline_point(r);
    const double x = at_x(plot, p.intensity), y = at_y(plot, p.rate), top = at_y(plot, p.roof);
    fprintf(file,
            "<path class=\"stem i%zu\" d=\"M%.1f %.1fV%.1fm-4 0h8\"/>"
            "<circle class=\"i%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"%d\"><title>%d %s: %.1f GFLOP/s, "
            "%.1f%% of %.1f</title></circle>\n",
            isa, x, y, top, isa, x, y, RADIUS, number, r->of->name, p.rate, 100 * p.share, p.roof);
}

static void draw_numbers(FILE *file, const struct plot *plot, const struct summary *s, size_t isa,
                         int t) {
    struct board board = {.count = 0};
    const size_t count = s->case_count < MOST ? s->case_count : MOST;
    for (size_t c = 0; c < count; c++) {
        const struct bench_result *r = summary_at(s, isa, t, c);
        if (!r->correct)
            continue;
        const struct roofline_point p = roofline_point(r);
        board.boxes[board.count++] =
            (struct box){at_x(plot, p.intensity), at_y(plot, p.rate), RADIUS, RADIUS};
    }
    for (size_t c = 0; c < count; c++) {
        const struct bench_result *r = summary_at(s, isa, t, c);
        struct box place = {.half_width = c < 9 ? 6 : c < 99 ? 10 : 14, .half_height = 7};
        if (!r->correct)
            continue;
        const struct roofline_point p = roofline_point(r);
        const double x = at_x(plot, p.intensity), y = at_y(plot, p.rate);
        if (!find_place(&board, x, y, &place))
            continue;
        board.boxes[board.count++] = place;
        fprintf(file,
                "<path class=\"lead\" d=\"M%.1f %.1fL%.1f %.1f\"/>"
                "<text class=\"number middle\" x=\"%.1f\" y=\"%.1f\">%zu</text>\n",
                x, y, place.x, place.y, place.x, place.y + 4, c + 1);
    }
}

static void write_list(FILE *file, const struct summary *s, size_t isa, int t) {
    fprintf(file, "<ol>\n");
    for (size_t c = 0; c < s->case_count; c++) {
        const struct bench_result *r = summary_at(s, isa, t, c);
        fprintf(file, "<li>%s ", r->of->name);
        if (r->correct) {
            const struct roofline_point p = roofline_point(r);
            fprintf(file, "<span class=\"soft\">· %.0f%% of %s</span></li>\n", 100 * p.share,
                    p.memory ? "memory" : "compute");
        } else {
            fprintf(file, "<span class=\"soft\">· wrong result</span></li>\n");
        }
    }
    fprintf(file, "</ol>");
}

void roofline_chart(FILE *file, const struct summary *s, size_t isa, int t) {
    const struct bench_result *first = summary_at(s, isa, t, 0);
    const struct bench_roof roof = roofline_of(s, isa, t);
    fprintf(file, "<figure class=\"roofline\"><figcaption>%s, %d thread%s", first->isa,
            first->threads, first->threads == 1 ? "" : "s");
    if (!(roof.memory > 0)) {
        fprintf(file, " <span class=\"soft\">no correct result</span></figcaption></figure>\n");
        return;
    }
    const struct plot plot = make_plot(s, isa, t, &roof);
    fprintf(file,
            " <span class=\"soft\">peak %.*f GFLOP/s · memory %.1f GB/s · ridge at %.1f FLOP per "
            "byte</span></figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" "
            "aria-label=\"roofline of %s\">\n",
            chart_decimals(roof.peak), roof.peak, roof.memory, roof.peak / roof.memory, WIDTH,
            HEIGHT, first->isa);
    draw_axes(file, &plot);
    draw_roof(file, &plot, isa, &roof);
    for (size_t c = 0; c < s->case_count; c++)
        if (summary_at(s, isa, t, c)->correct)
            draw_point(file, &plot, isa, summary_at(s, isa, t, c), (int)c + 1);
    draw_numbers(file, &plot, s, isa, t);
    fprintf(file, "</svg>\n");
    write_list(file, s, isa, t);
    fprintf(file, "</figure>\n");
}
