/* SPDX-License-Identifier: Apache-2.0 */
/* The colour ramp and the escape sequences of terminals. */
#include "cli/base/color.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char characters[] = " .:-=+*#%@";

enum { FOREGROUND = 38, BACKGROUND = 48 };

enum color_mode color_detect(FILE *out) {
    const char *no_color = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");
    const char *depth = getenv("COLORTERM");
    if ((no_color && *no_color) || !isatty(fileno(out)) || !terminal || !*terminal ||
        strcmp(terminal, "dumb") == 0)
        return COLOR_NONE;
    if (depth && (strcmp(depth, "truecolor") == 0 || strcmp(depth, "24bit") == 0))
        return COLOR_TRUE;
    return strstr(terminal, "256") ? COLOR_256 : COLOR_NONE;
}

static double clamp(double level) {
    return level > 0 ? fmin(level, 1) : 0;
}

/* Linear light to a byte of sRGB. */
static unsigned char encode(double light) {
    double x = clamp(light);
    double gamma = x <= 0.0031308 ? 12.92 * x : 1.055 * pow(x, 1 / 2.4) - 0.055;
    return (unsigned char)lround(255 * gamma);
}

/* A straight path in lightness and hue of the OKLab space, with its published matrices. */
struct color color_ramp(double level) {
    double t = clamp(level);
    double lightness = 0.22 + 0.71 * t;
    double hue = (300 - 195 * t) * 3.14159265358979 / 180;
    double chroma = 0.10 + 0.06 * t * t * t;
    double a = chroma * cos(hue), b = chroma * sin(hue);
    double l = pow(lightness + 0.3963377774 * a + 0.2158037573 * b, 3);
    double m = pow(lightness - 0.1055613458 * a - 0.0638541728 * b, 3);
    double s = pow(lightness - 0.0894841775 * a - 1.2914855480 * b, 3);
    return (struct color){
        encode(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
        encode(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
        encode(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s),
    };
}

/*
 * The same path among a terminal's 256 colours: lightness in OKLab from 0.22 to 0.97, hue from blue
 * to yellow. Colours from 16 on are the same everywhere. The colours nearest to the ramp itself
 * would make a third of its dark end one colour.
 */
static int ramp_index(double level) {
    static const int path[] = {17, 18, 19, 24, 30, 36, 78, 185, 227};
    int last = (int)(sizeof path / sizeof *path) - 1;
    return path[lround(clamp(level) * last)];
}

char color_character(double level) {
    int count = (int)sizeof characters - 1;
    int index = (int)(clamp(level) * count);
    return characters[index < count ? index : count - 1];
}

static void print_ramp(FILE *out, enum color_mode mode, int plane, double level) {
    if (mode == COLOR_TRUE) {
        struct color color = color_ramp(level);
        fprintf(out, "\033[%d;2;%d;%d;%dm", plane, color.red, color.green, color.blue);
    } else if (mode == COLOR_256) {
        fprintf(out, "\033[%d;5;%dm", plane, ramp_index(level));
    }
}

void color_background(FILE *out, enum color_mode mode, double level) {
    print_ramp(out, mode, BACKGROUND, level);
}

void color_foreground(FILE *out, enum color_mode mode, double level) {
    print_ramp(out, mode, FOREGROUND, level);
}

void color_text_on(FILE *out, enum color_mode mode, double level) {
    color_background(out, mode, level);
    if (mode != COLOR_NONE) {
        int text = level > 0.5 ? 16 : 231; /* black or white */
        fprintf(out, "\033[%d;5;%dm", FOREGROUND, text);
    }
}

void color_bold(FILE *out, enum color_mode mode) {
    if (mode != COLOR_NONE)
        fputs("\033[1m", out);
}

void color_reset(FILE *out, enum color_mode mode) {
    if (mode != COLOR_NONE)
        fputs("\033[0m", out);
}
