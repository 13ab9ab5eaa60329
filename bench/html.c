/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/html.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "bench/charts.h"
#include "bench/machine.h"
#include "bench/roofline.h"
#include "bench/topology.h"

/* bench/page.css, by scripts/embed.py */
extern const uint32_t page_css[];
extern const size_t page_css_size;

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<title>rapt bench</title>\n";

static void write_style(FILE *file) {
    const char *style = (const char *)page_css;
    size_t size = page_css_size;
    while (style[size - 1] == '\n') /* embed.py adds some */
        size--;
    fprintf(file, "<style>\n%.*s\n</style>", (int)size, style);
}

static void write_text(FILE *file, const char *text) {
    for (; *text; text++)
        if (*text == '<' || *text == '&')
            fprintf(file, "&#%d;", *text);
        else
            putc(*text, file);
}

/* What was measured, on what and when. False if there is no memory. */
static bool write_machine(FILE *file, double others) {
    static const char *const keys[] = {"cpu", "os", "compiler", "rapt", "date"};
    cJSON *machine = machine_json(others);
    if (!machine)
        return false;
    fprintf(file, "<p class=\"soft\">");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (i)
            fprintf(file, " · ");
        fprintf(file, "<span class=\"fact\">%s", strcmp(keys[i], "rapt") == 0 ? "rapt " : "");
        write_text(file, cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(machine, keys[i])));
        fprintf(file, "</span>");
    }
    fprintf(file,
            "</p>\n<p class=\"soft\">%d CPUs of %d cores%s; others took %.0f%% of the CPU "
            "time</p>\n",
            topology_cpus_usable(), topology_cores_usable(),
            cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(machine, "pinned")) ? ", threads pinned"
                                                                               : "",
            100 * others);
    cJSON_Delete(machine);
    return true;
}

static void write_legend(FILE *file, const struct summary *s) {
    fprintf(file, "<p>");
    for (size_t i = 0; i < s->isa_count; i++)
        fprintf(file, "<span class=\"key i%zu\"></span>%s", i, summary_at(s, i, 0, 0)->isa);
    fprintf(file, "</p>\n");
}

/* The largest rate or limit of one unit with so many threads. */
static double find_most(const struct summary *s, int t, bool memory) {
    double most = 0;
    for (size_t i = 0; i < s->isa_count; i++)
        for (size_t c = 0; c < s->case_count; c++) {
            const struct bench_result *r = summary_at(s, i, t, c);
            if (r->correct && r->of->memory == memory)
                most = fmax(most, fmax(r->rate, r->limit.median));
        }
    return most;
}

static bool has_roofs(const struct summary *s) {
    bool roofs = false;
    for (size_t i = 0; i < s->case_count * s->isa_count * (size_t)s->threads.count; i++)
        roofs = roofs || s->results[i].roof.peak > 0;
    return roofs;
}

static void write_bars(FILE *file, const struct summary *s) {
    if (s->isa_count < 2 && (s->threads.count > 1 || has_roofs(s)))
        return; /* the charts above say it all */
    fprintf(file, "<h2>Instruction sets</h2>\n<p>Each bar lies on a track as long as the "
                  "instruction set's own limit, measured in the same run: the peak of fused "
                  "multiply-adds or, in GB/s, the bandwidth of reading the same memory.</p>\n");
    write_legend(file, s);
    for (int t = 0; t < s->threads.count; t++) {
        const int threads = (int)s->threads.value[t];
        fprintf(file, "<h3>%d thread%s</h3>\n<div class=\"grid-of\">\n", threads,
                threads == 1 ? "" : "s");
        for (size_t c = 0; c < s->case_count; c++)
            chart_bars(file, s, t, c, find_most(s, t, summary_at(s, 0, t, c)->of->memory));
        fprintf(file, "</div>\n");
    }
}

static void write_scaling(FILE *file, const struct summary *s) {
    if (s->threads.count < 2)
        return;
    fprintf(file, "<h2>Scaling</h2>\n<p>Solid: attention. Dotted: the limit with as many threads. "
                  "Dashed: if each thread added as much as the first.</p>\n");
    write_legend(file, s);
    fprintf(file, "<div class=\"grid-of\">\n");
    for (size_t c = 0; c < s->case_count; c++)
        chart_scaling(file, s, c);
    fprintf(file, "</div>\n");
}

static void write_rooflines(FILE *file, const struct summary *s) {
    if (!has_roofs(s))
        return;
    fprintf(file,
            "<h2>Roofline</h2>\n<p>Each case by its FLOP per byte of compulsory traffic (queries, "
            "keys and values read once, outputs written once). The line is what the machine can "
            "do: the bandwidth of memory, then the peak of fused multiply-adds. A stem goes up to "
            "a case's own roof, above the line where a cache holds its keys and values.</p>\n"
            "<div class=\"rooflines\">\n");
    for (size_t i = 0; i < s->isa_count; i++)
        for (int t = 0; t < s->threads.count; t++)
            roofline_chart(file, s, i, t);
    fprintf(file, "</div>\n");
}

static void write_row(FILE *file, const struct bench_result *r) {
    fprintf(file, "<tr><td>%s%s</td><td>%s</td><td>%d</td>", r->of->name, r->cut ? " *" : "",
            r->isa, r->threads);
    if (r->correct)
        fprintf(file,
                "<td>%.3f</td><td>%.1f%%</td><td>%.1f %s</td><td>%.1f</td><td>%.1f%%</td>"
                "<td>%.0e</td></tr>\n",
                1e3 * r->time.median, 100 * r->time.spread, r->rate,
                r->of->memory ? "GB/s" : "GFLOP/s", r->limit.median, 100 * r->share, r->max_error);
    else
        fprintf(file, "<td colspan=\"6\">wrong result</td></tr>\n");
}

static void write_table(FILE *file, const struct summary *s) {
    bool cut = false;
    fprintf(file, "<h2>All runs</h2>\n<div class=\"wide\"><table><thead><tr><th>case</th>"
                  "<th>ISA</th><th>threads</th><th>ms</th><th>spread</th><th>rate</th>"
                  "<th>limit</th><th>share</th><th>error</th></tr></thead><tbody>\n");
    for (size_t i = 0; i < s->isa_count; i++)
        for (int t = 0; t < s->threads.count; t++)
            for (size_t c = 0; c < s->case_count; c++) {
                write_row(file, summary_at(s, i, t, c));
                cut = cut || summary_at(s, i, t, c)->cut;
            }
    fprintf(file,
            "</tbody></table></div>\n<p class=\"soft\">ms: median; spread: (slowest - fastest) / "
            "median, the outer tenths left out; error: the largest against the oracle.%s</p>\n",
            cut ? " * only some of the case's queries, with all of its keys." : "");
}

bool html_write(FILE *file, const struct summary *s, double others) {
    fputs(head, file);
    write_style(file);
    fputs("</head><body>\n<h1>rapt bench</h1>\n", file);
    if (!write_machine(file, others)) {
        errno = ENOMEM;
        return false;
    }
    write_rooflines(file, s);
    write_scaling(file, s);
    write_bars(file, s);
    write_table(file, s);
    fprintf(file, "</body></html>\n");
    return !ferror(file);
}
