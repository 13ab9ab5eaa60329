/* SPDX-License-Identifier: Apache-2.0 */
/* Draws a figure into each file that was asked for. */
#include "pictures.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "figure.h"
#include "outputs.h"
#include "png_file.h"
#include "svg.h"

static bool is_stdout(const char *path) {
    return path && strcmp(path, "-") == 0;
}

bool pictures_wanted(const struct pictures *pictures) {
    return pictures->png || pictures->svg;
}

bool pictures_check(const char *command, const struct pictures *pictures) {
    if (pictures->png && !png_available) {
        args_fail(command, "--png: this build has no PNG, which needs libpng, FreeType and "
                           "fontconfig; expected --svg");
        return false;
    }
    if (is_stdout(pictures->png) && is_stdout(pictures->svg)) {
        args_fail(command, "--png: found \"-\", which is also --svg, expected another file");
        return false;
    }
    if (is_stdout(pictures->png) && isatty(STDOUT_FILENO)) {
        args_fail(command, "--png: found \"-\", but standard output is a terminal; expected a file "
                           "or a pipe");
        return false;
    }
    return true;
}

/*
 * One picture, into a file that is open. The message of a failure is the writer's or errno's; a
 * reader of standard output that has read enough is none.
 */
static bool write_picture(const char *command, const char *option, const char *path, FILE *file,
                          const struct figure *figure) {
    char error[PNG_ERROR_SIZE] = "";
    errno = 0;
    bool drawn =
        strcmp(option, "png") == 0 ? png_write(file, figure, error) : svg_write(file, figure);
    if ((drawn && fflush(file) == 0 && !ferror(file)) || (file == stdout && errno == EPIPE)) {
        return true;
    }
    int reason = errno ? errno : drawn ? EIO : ENOMEM;
    args_fail(command, "--%s: %s: %s", option, file == stdout ? "standard output" : path,
              *error ? error : strerror(reason));
    return false;
}

static void tell(const char *const paths[2], const struct figure *figure) {
    const int scales[] = {PNG_SCALE, 1};
    for (int i = 0; i < 2; i++) {
        if (paths[i]) {
            printf("%s: %d x %d pixels, %d head%s\n", paths[i], figure->width * scales[i],
                   figure->height * scales[i], figure->panels, figure->panels == 1 ? "" : "s");
        }
    }
}

bool pictures_save(const char *command, const struct pictures *pictures, const struct look *look) {
    const char *const options[] = {"png", "svg"};
    const char *const paths[] = {pictures->png, pictures->svg};
    struct outputs outputs = {.command = command};
    struct figure figure;
    bool good = figure_create(&figure, look);
    if (!good) {
        args_fail(command, "%s", rapt_status_text(RAPT_OUT_OF_MEMORY));
    }
    for (int i = 0; good && i < 2; i++) {
        FILE *file = stdout;
        if (paths[i] && !is_stdout(paths[i])) {
            good = outputs_add(&outputs, options[i], paths[i]);
            file = good ? outputs.list[outputs.count - 1].file : NULL;
        }
        good = good && (!paths[i] || write_picture(command, options[i], paths[i], file, &figure));
    }
    good = good && outputs_commit(&outputs);
    if (good && !is_stdout(pictures->png) && !is_stdout(pictures->svg)) {
        tell(paths, &figure);
    }
    outputs_close(&outputs);
    figure_destroy(&figure);
    return good;
}
