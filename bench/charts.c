/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/charts.h"

#include <math.h>
#include <string.h>

/* Sizes in the units of the viewBox, which are pixels on a phone. */
enum {
    WIDTH = 340,
    BAR_LEFT = 58,
    BAR_WIDTH = 170,
    BAR_HEIGHT = 14,
    ROW = 26,
    PLOT_LEFT = 42, /* the room of a number */
    PLOT_RIGHT = 322,
    PLOT_TOP = 8,
    PLOT_BOTTOM = 188,
    PLOT_HEIGHT = 212,
    DIGIT = 8,    /* a digit's width, at most */
    TICK_GAP = 6, /* the least between two numbers */
    PLACE = 48,   /* what fits "shared" */
};

static const char *unit_of(const struct bench_result *r) {
    return r->of->memory ? "GB/s" : "GFLOP/s";
}

int chart_decimals(double number) {
    return number < 10 ? 2 : number < 100 ? 1 : 0;
}

/* Without zeros at the end of its decimals. */
static void trim(char *text) {
    if (!strchr(text, '.'))
        return;
    char *end = text + strlen(text);
    while (end[-1] == '0')
        *--end = '\0';
    if (end[-1] == '.')
        end[-1] = '\0';
}

struct chart_number chart_number(double number) {
    static const char *const prefixes[] = {"a", "f", "p", "n", "µ", "m", "",
                                           "k", "M", "G", "T", "P", "E"};
    enum { PREFIXES = sizeof prefixes / sizeof *prefixes, PLAIN = 6, ROOM = 4 };
    struct chart_number n = {"0"};
    if (!(number > 0))
        return n;
    const double power = floor(log10(number) / 3);
    int at = power < -PLAIN ? 0 : power < 0 && number < 0.1 ? PLAIN + (int)power : PLAIN;
    for (; at < PREFIXES; at++)
        for (int decimals = 2; decimals >= 0; decimals--) {
            snprintf(n.text, sizeof n.text, "%.*f", decimals, number / pow(1000, at - PLAIN));
            trim(n.text);
            if (strlen(n.text) + (at != PLAIN) <= ROOM) {
                strcat(n.text, prefixes[at]);
                return n;
            }
        }
    return n;
}

static void bar(FILE *file, const struct bench_result *r, size_t isa, double most) {
    const int y = (int)isa * ROW, text = y + 17;
    fprintf(file, "<text x=\"0\" y=\"%d\">%s</text>", text, r->isa);
    if (!r->correct) {
        fprintf(file, "<text x=\"%d\" y=\"%d\">wrong result</text>\n", BAR_LEFT, text);
        return;
    }
    fprintf(file,
            "<g><title>%s: %.1f %s, %.1f%% of its %.1f; %.3f ms, spread %.1f%%</title>"
            "<rect class=\"track\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"3\"/>"
            "<rect class=\"i%zu\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"3\"/></g>"
            "<text x=\"%d\" y=\"%d\">%s <tspan class=\"soft\">· %s%%</tspan></text>\n",
            r->isa, r->rate, unit_of(r), 100 * r->share, r->limit.median, 1e3 * r->time.median,
            100 * r->time.spread, BAR_LEFT, y + 6, BAR_WIDTH * r->limit.median / most, BAR_HEIGHT,
            isa, BAR_LEFT, y + 6, BAR_WIDTH * r->rate / most, BAR_HEIGHT, BAR_LEFT + BAR_WIDTH + 8,
            text, chart_number(r->rate).text, chart_number(round(100 * r->share)).text);
}

void chart_bars(FILE *file, const struct summary *s, int threads, size_t case_index, double most) {
    const struct bench_result *first = summary_at(s, 0, threads, case_index);
    fprintf(file,
            "<figure><figcaption>%s <span class=\"soft\">%s</span></figcaption>\n"
            "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s in %s by instruction set\">\n",
            first->of->name, unit_of(first), WIDTH, (int)s->isa_count * ROW, first->of->name,
            unit_of(first));
    for (size_t i = 0; i < s->isa_count; i++)
        bar(file, summary_at(s, i, threads, case_index), i, most);
    fprintf(file, "</svg></figure>\n");
}

/* Where threads and speed-ups are in the plot. */
struct axes {
    double threads, speedup; /* the largest */
};

static double at_x(const struct axes *a, double threads) {
    return PLOT_LEFT + (PLOT_RIGHT - PLOT_LEFT) * threads / a->threads;
}

static double at_y(const struct axes *a, double speedup) {
    return PLOT_BOTTOM - (PLOT_BOTTOM - PLOT_TOP) * speedup / a->speedup;
}

/* 1, 2 or 5 times a power of ten, so that there are four or five steps at most. */
static double step_of(double most) {
    const double power = pow(10, floor(log10(most / 4)));
    const double times = most / 4 / power;
    return power * (times <= 1 ? 1 : times <= 2 ? 2 : times <= 5 ? 5 : 10);
}

/* A number of threads, if there is room between what is taken at both sides. */
static void draw_threads(FILE *file, const struct axes *a, int64_t threads, double *left,
                         double right) {
    const struct chart_number number = chart_number((double)threads);
    const double x = at_x(a, (double)threads), half = DIGIT * (double)strlen(number.text) / 2;
    if (x - half < *left || x + half > right)
        return;
    fprintf(file, "<text class=\"soft middle\" x=\"%.1f\" y=\"%d\">%s</text>", x, PLOT_BOTTOM + 18,
            number.text);
    *left = x + half + TICK_GAP;
}

/* Where the threads begin to share cores. */
static void draw_cores(FILE *file, const struct axes *a, const struct summary *s) {
    const double x = at_x(a, s->cores);
    const bool outside = x + PLACE > WIDTH;
    if (s->cores < a->threads)
        fprintf(file,
                "<path class=\"grid\" d=\"M%.1f %dV%d\"/>"
                "<text class=\"soft%s\" x=\"%.1f\" y=\"%d\">%s</text>",
                x, PLOT_TOP, PLOT_BOTTOM, outside ? " end" : "", outside ? x - 4 : x + 4,
                PLOT_TOP + 10, s->cores < s->cpus ? "SMT" : "shared");
}

static void draw_axes(FILE *file, const struct axes *a, const struct summary *s) {
    const double step = step_of(a->speedup);
    for (int i = 0; i * step <= a->speedup; i++)
        fprintf(file,
                "<path class=\"grid\" d=\"M%d %.1fH%d\"/>"
                "<text class=\"soft end\" x=\"%d\" y=\"%.1f\">%s</text>\n",
                PLOT_LEFT, at_y(a, i * step), PLOT_RIGHT, PLOT_LEFT - 6, at_y(a, i * step) + 4,
                chart_number(i * step).text);
    /* The largest has its room, whatever comes before it. */
    const int last = s->threads.count - 1;
    const int64_t most = s->threads.value[last];
    const double room = DIGIT * (double)strlen(chart_number((double)most).text) / 2 + TICK_GAP;
    double left = 0;
    for (int t = 0; t < last; t++)
        draw_threads(file, a, s->threads.value[t], &left, PLOT_RIGHT - room);
    draw_threads(file, a, most, &left, WIDTH);
    draw_cores(file, a, s);
}

/* That of the attention or of the limit; 0 where it isn't known. */
static double speedup_at(const struct summary *s, size_t isa, int t, size_t c, bool limit) {
    const struct bench_result *r = summary_at(s, isa, t, c), *base = summary_at(s, isa, 0, c);
    const double speedup = summary_speedup(s, isa, t, c);
    return limit && speedup > 0 ? r->limit.median / base->limit.median : speedup;
}

static void draw_curve(FILE *file, const struct axes *a, const struct summary *s, size_t isa,
                       size_t c, bool limit) {
    const char *pen = "M";
    fprintf(file, "<path class=\"%s i%zu\" d=\"", limit ? "limit" : "curve", isa);
    for (int t = 0; t < s->threads.count; t++) {
        const double speedup = speedup_at(s, isa, t, c, limit);
        if (!(speedup > 0))
            continue;
        fprintf(file, "%s%.1f %.1f", pen, at_x(a, (double)s->threads.value[t]), at_y(a, speedup));
        pen = "L";
    }
    fprintf(file, "\"/>\n");
    for (int t = 0; !limit && t < s->threads.count; t++) {
        const struct bench_result *r = summary_at(s, isa, t, c);
        const double speedup = speedup_at(s, isa, t, c, false);
        if (speedup > 0)
            fprintf(file,
                    "<circle class=\"i%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"><title>%s, %d "
                    "thread%s: %.2f times, %.1f %s, %.1f%% of the limit</title></circle>\n",
                    isa, at_x(a, r->threads), at_y(a, speedup), r->isa, r->threads,
                    r->threads == 1 ? "" : "s", speedup, r->rate, unit_of(r), 100 * r->share);
    }
}

void chart_scaling(FILE *file, const struct summary *s, size_t c) {
    const struct bench_result *first = summary_at(s, 0, 0, c);
    const double from = (double)s->threads.value[0];
    struct axes a = {.threads = (double)s->threads.value[s->threads.count - 1]};
    a.speedup = a.threads / from;
    for (size_t i = 0; i < s->isa_count; i++)
        for (int t = 0; t < s->threads.count; t++)
            a.speedup =
                fmax(a.speedup, fmax(speedup_at(s, i, t, c, false), speedup_at(s, i, t, c, true)));
    fprintf(file,
            "<figure><figcaption>%s <span class=\"soft\">speed-up by threads</span></figcaption>\n"
            "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s: speed-up by threads\">\n",
            first->of->name, WIDTH, PLOT_HEIGHT, first->of->name);
    draw_axes(file, &a, s);
    fprintf(file, "<path class=\"ideal\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n", at_x(&a, from),
            at_y(&a, 1), at_x(&a, a.threads), at_y(&a, a.threads / from));
    for (int limit = 1; limit >= 0; limit--)
        for (size_t i = 0; i < s->isa_count; i++)
            draw_curve(file, &a, s, i, c, limit);
    fprintf(file, "</svg></figure>\n");
}
