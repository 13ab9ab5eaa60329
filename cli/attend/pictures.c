/* SPDX-License-Identifier: Apache-2.0 */
/* Draws a figure into each file of an option. */
#include "cli/attend/pictures.h"

#include <errno.h>

#include "cli/attend/figure.h"
#include "cli/attend/png_file.h"
#include "cli/attend/svg.h"
#include "cli/base/args.h"
#include "cli/base/outputs.h"

bool pictures_wanted(const struct pictures *pictures) {
    return pictures->png || pictures->svg;
}

bool pictures_check(const char *command, const struct pictures *pictures) {
    if (pictures->png && !png_file_available) {
        args_fail(command, "--png: this build has no PNG, which needs libpng, FreeType and "
                           "fontconfig; expected --svg");
        return false;
    }
    return true;
}

/* The outputs are those of these that have a path, in this order. */
struct drawing {
    const char *options[2], *paths[2];
    const struct figure *figure;
    const char *command;
};

static bool is_png(const struct drawing *drawing, int i) {
    return i == 0 && drawing->paths[0];
}

static bool draw(FILE *file, int i, const void *context) {
    const struct drawing *drawing = context;
    char error[PNG_FILE_ERROR_SIZE] = "";
    const bool drawn = is_png(drawing, i) ? png_file_write(file, drawing->figure, error)
                                          : svg_write(file, drawing->figure);
    if (drawn || errno == EPIPE)
        return drawn;
    if (*error) {
        args_fail(drawing->command, "--png: %s: %s", drawing->paths[0], error);
        errno = 0;
    } else if (!errno) {
        errno = ENOMEM;
    }
    return false;
}

static void tell(const char *const paths[2], const struct figure *figure) {
    const int scales[] = {PNG_FILE_SCALE, 1};
    for (int i = 0; i < 2; i++) {
        if (paths[i]) {
            printf("%s: %d x %d pixels, %d head%s\n", paths[i], figure->width * scales[i],
                   figure->height * scales[i], figure->panels, figure->panels == 1 ? "" : "s");
        }
    }
}

bool pictures_save(const char *command, const struct pictures *pictures,
                   const struct heads_view *view) {
    struct figure figure;
    const struct drawing drawing = {
        {"png", "svg"}, {pictures->png, pictures->svg}, &figure, command};
    static const enum output_kind kinds[] = {OUTPUT_BINARY, OUTPUT_TEXT};
    struct outputs outputs = {.command = command};
    bool good = figure_create(&figure, view);
    if (!good)
        args_fail(command, "%s", rapt_status_text(RAPT_OUT_OF_MEMORY));
    for (int i = 0; good && i < 2; i++) {
        good = !drawing.paths[i] ||
               outputs_add(&outputs, drawing.options[i], drawing.paths[i], kinds[i]);
    }
    good = good && outputs_write(&outputs, draw, &drawing);
    if (good)
        tell(drawing.paths, &figure);
    outputs_close(&outputs);
    figure_destroy(&figure);
    return good;
}
