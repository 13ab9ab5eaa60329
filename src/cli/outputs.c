/* SPDX-License-Identifier: Apache-2.0 */
/* Output files that appear all together or not at all. */
#include "outputs.h"

#include "args.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The temporary files that exist, for the signal handler. */
static char *volatile temporaries[MAX_OUTPUTS];

static void remove_temporaries(int signal_number) {
    for (int i = 0; i < MAX_OUTPUTS; i++)
        if (temporaries[i])
            unlink(temporaries[i]);
    raise(signal_number); /* SA_RESETHAND: with its default action */
}

static void catch_signals(void) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = remove_temporaries, .sa_flags = SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction before;
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
            sigaction(signals[i], &action, NULL);
    }
}

static bool fail(const struct outputs *outputs, const struct output *output, const char *reason) {
    args_fail(outputs->command, "--%s: %s: %s", output->option, output->path, reason);
    return false;
}

bool outputs_fail(const struct outputs *outputs, const struct output *output) {
    return fail(outputs, output, strerror(errno ? errno : EIO));
}

/* The absolute path of a file that doesn't exist yet, in a folder that does; or NULL and errno. */
static char *resolve_new(const char *path) {
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    char *resolved = folder ? realpath(folder, NULL) : NULL, *target = NULL;
    if (resolved && asprintf(&target, "%s/%s", strcmp(resolved, "/") ? resolved : "", name) < 0)
        target = NULL;
    free(resolved);
    free(folder);
    return target;
}

/* Finds the target. *mode is that of a file which the output will replace, or 0. */
static bool find_target(const struct outputs *outputs, struct output *output, mode_t *mode) {
    struct stat status;
    *mode = 0;
    output->target = realpath(output->path, NULL);
    if (!output->target) {
        if (errno != ENOENT)
            return outputs_fail(outputs, output);
        if (lstat(output->path, &status) == 0)
            return fail(outputs, output, "is a symbolic link to a file that doesn't exist");
        output->target = resolve_new(output->path);
        return output->target || outputs_fail(outputs, output);
    }
    if (stat(output->target, &status) != 0)
        return outputs_fail(outputs, output);
    if (S_ISDIR(status.st_mode))
        return fail(outputs, output, "is a directory, expected a file to write");
    if (!S_ISREG(status.st_mode))
        return fail(outputs, output, "is no regular file, expected a file to write");
    if (access(output->target, W_OK) != 0)
        return outputs_fail(outputs, output);
    *mode = status.st_mode & 07777;
    return true;
}

/* Creates a file of a new name beside the target, which has the target's mode if that exists. */
static bool create_temporary(const struct outputs *outputs, struct output *output, mode_t mode) {
    enum { ATTEMPTS = 100 };
    const int folder = (int)(strrchr(output->target, '/') - output->target);
    int fd = -1;
    errno = EEXIST;
    for (int i = 0; i < ATTEMPTS && fd < 0 && errno == EEXIST; i++) {
        free(output->temporary);
        output->temporary = NULL;
        char *name;
        if (asprintf(&name, "%.*s/.rapt-%ld-%d", folder, output->target, (long)getpid(), i) < 0)
            return outputs_fail(outputs, output);
        fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0) {
            const int reason = errno;
            free(name);
            errno = reason;
        } else {
            output->temporary = name;
        }
    }
    if (fd < 0)
        return outputs_fail(outputs, output);
    temporaries[output - outputs->list] = output->temporary;
    if ((mode && fchmod(fd, mode) != 0) || !(output->file = fdopen(fd, "wb"))) {
        outputs_fail(outputs, output);
        close(fd);
        return false;
    }
    return true;
}

bool outputs_add(struct outputs *outputs, const char *option, const char *path) {
    if (outputs->count == 0)
        catch_signals();
    struct output *output = &outputs->list[outputs->count++];
    *output = (struct output){.option = option, .path = path};
    mode_t mode;
    if (!find_target(outputs, output, &mode))
        return false;
    for (const struct output *other = outputs->list; other < output; other++) {
        if (strcmp(other->target, output->target) == 0) {
            args_fail(outputs->command, "--%s: %s: is also --%s, expected another file", option,
                      path, other->option);
            return false;
        }
    }
    return create_temporary(outputs, output, mode);
}

bool outputs_check_input(const struct outputs *outputs, const char *option, const char *path) {
    char *resolved = realpath(path, NULL);
    bool fine = true;
    for (int i = 0; resolved && fine && i < outputs->count; i++) {
        const struct output *output = &outputs->list[i];
        fine = strcmp(resolved, output->target) != 0;
        if (!fine)
            args_fail(outputs->command, "--%s: %s: is also the input --%s, expected another file",
                      output->option, output->path, option);
    }
    free(resolved);
    return fine;
}

bool outputs_commit(struct outputs *outputs) {
    for (int i = 0; i < outputs->count; i++) {
        struct output *output = &outputs->list[i];
        FILE *file = output->file;
        output->file = NULL;
        if (fclose(file) != 0)
            return outputs_fail(outputs, output);
    }
    for (int i = 0; i < outputs->count; i++) {
        struct output *output = &outputs->list[i];
        if (rename(output->temporary, output->target) != 0) {
            outputs_fail(outputs, output);
            while (--i >= 0)
                unlink(outputs->list[i].target);
            return false;
        }
        temporaries[i] = NULL;
        free(output->temporary);
        output->temporary = NULL;
    }
    return true;
}

void outputs_close(struct outputs *outputs) {
    for (int i = 0; i < outputs->count; i++) {
        struct output *output = &outputs->list[i];
        if (output->file)
            fclose(output->file);
        if (output->temporary)
            unlink(output->temporary);
        temporaries[i] = NULL;
        free(output->temporary);
        free(output->target);
    }
    outputs->count = 0;
}
