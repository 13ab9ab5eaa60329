/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/base/outputs.h"

#include "cli/base/args.h"
#include "cli/base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__linux__)
#    include <sys/xattr.h>
#endif

static bool fail(const struct outputs *outputs, const struct output *output, const char *reason) {
    args_fail(outputs->command, "--%s: %s: %s", output->option,
              output->standard ? "standard output" : output->path, reason);
    return false;
}

/* The same with the reason in errno. */
static bool fail_errno(const struct outputs *outputs, const struct output *output) {
    return fail(outputs, output, strerror(errno ? errno : EIO));
}

/* Opens the folder of a path and finds the name in it. */
static bool open_folder(struct output *output, const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    output->place.name = strdup(slash ? slash + 1 : path);
    if (folder && output->place.name)
        output->place.folder = open(folder, O_DIRECTORY | O_CLOEXEC |
#ifdef O_PATH
                                                O_PATH);
#else
                                                O_RDONLY);
#endif
    const int reason = folder && output->place.name ? errno : ENOMEM;
    free(folder);
    errno = reason;
    return output->place.folder >= 0;
}

/* Finds where the output goes. status is that of a file which it will replace, or its mode is 0. */
static bool find_target(const struct outputs *outputs, struct output *output, struct stat *status) {
    char *target = NULL;
    if (stat(output->path, status) == 0) {
        if (S_ISDIR(status->st_mode))
            return fail(outputs, output, "is a directory, expected a file to write");
        if (!S_ISREG(status->st_mode))
            return fail(outputs, output,
                        "is no regular file, expected one, or - for standard output");
        if (access(output->path, W_OK) != 0 || !(target = realpath(output->path, NULL)))
            return fail_errno(outputs, output);
    } else if (errno != ENOENT) {
        return fail_errno(outputs, output);
    } else if (lstat(output->path, status) == 0) {
        return fail(outputs, output, "is a symbolic link to a file that doesn't exist");
    } else {
        status->st_mode = 0;
    }
    const bool opened = open_folder(output, target ? target : output->path);
    free(target);
    return opened || fail_errno(outputs, output);
}

/* Copies the access list, in which the bits of the group may mean another one. */
static bool copy_access(const char *from, int to) {
#if defined(__linux__)
    static const char name[] = "system.posix_acl_access";
    char list[4096];
    const ssize_t size = getxattr(from, name, list, sizeof list);
    if (size >= 0)
        return fsetxattr(to, name, list, (size_t)size, 0) == 0;
    const bool none = errno == ENODATA || errno == ENOTSUP;
    if (none)
        fremovexattr(to, name); /* which the folder may give to new files */
    return none;
#else
    (void)from, (void)to;
    return true;
#endif
}

/* Gives a file what the one that it replaces has. Who had no access to that gets none. */
static bool take_after(int fd, const char *path, const struct stat *old) {
    struct stat status;
    mode_t mode = old->st_mode & 0777;
    if (fstat(fd, &status) != 0)
        return false;
    bool group = status.st_gid == old->st_gid;
    if (status.st_uid != old->st_uid || !group) {
        /* Root can give a file away, and others to the groups that they are in. */
        group =
            fchown(fd, old->st_uid, old->st_gid) == 0 || fchown(fd, (uid_t)-1, old->st_gid) == 0;
    }
    if (!group || !copy_access(path, fd))
        mode &= ~(mode_t)070 | (mode & 07) << 3;
    return fchmod(fd, mode) == 0;
}

static bool open_file(const struct outputs *outputs, struct output *output) {
    struct stat old, folder;
    if (!find_target(outputs, output, &old))
        return false;
    if (fstat(output->place.folder, &folder) != 0)
        return fail_errno(outputs, output);
    const bool replaces = old.st_mode != 0;
    if (!files_add_output(outputs->command, output->option, output->path, replaces ? &old : NULL,
                          &folder, output->place.name))
        return false;
    const int fd = place_open(&output->place, replaces ? 0600 : 0666);
    if (fd < 0)
        return fail_errno(outputs, output);
    if ((replaces && !take_after(fd, output->path, &old)) ||
        !(output->place.file = fdopen(fd, "wb"))) {
        fail_errno(outputs, output);
        close(fd);
        return false;
    }
    return true;
}

/* Takes standard output for itself: what others print there is lost. */
static bool open_standard(const struct outputs *outputs, struct output *output,
                          enum output_kind kind) {
    if (!files_add_output(outputs->command, output->option, output->path, NULL, NULL, NULL))
        return false;
    if (kind == OUTPUT_BINARY && isatty(STDOUT_FILENO))
        return fail(outputs, output, "is a terminal, expected a file or a pipe");
    fflush(stdout);
    const int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    output->place.file = fd < 0 ? NULL : fdopen(fd, "wb");
    const int nowhere = output->place.file ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1;
    const bool done = nowhere >= 0 && dup2(nowhere, STDOUT_FILENO) >= 0;
    if (!done)
        fail_errno(outputs, output);
    if (!output->place.file && fd >= 0)
        close(fd);
    if (nowhere >= 0)
        close(nowhere);
    return done;
}

bool outputs_add(struct outputs *outputs, const char *option, const char *path,
                 enum output_kind kind) {
    struct output *output = &outputs->list[outputs->count++];
    *output = (struct output){.option = option, .path = path, .place.folder = -1};
    output->standard = files_is_standard(path);
    return output->standard ? open_standard(outputs, output, kind) : open_file(outputs, output);
}

bool outputs_have_standard(const struct outputs *outputs) {
    for (int i = 0; i < outputs->count; i++)
        if (outputs->list[i].standard)
            return true;
    return false;
}

/* A disk that is full by now must be known before a name says that the file is there. */
static bool complete(const struct outputs *outputs, struct output *output) {
    errno = 0;
    if (fflush(output->place.file) != 0 || ferror(output->place.file))
        return (output->standard && errno == EPIPE) || fail_errno(outputs, output);
    if (output->standard || fsync(fileno(output->place.file)) == 0)
        return true;
    /* Where there is nothing that a file could be brought to. */
    return errno == EINVAL || errno == ENOTSUP || errno == ENOSYS || fail_errno(outputs, output);
}

/* Gives all but standard output their names. */
static bool place_files(struct outputs *outputs) {
    struct output *files[OUTPUTS_MOST] = {NULL};
    struct place *places[OUTPUTS_MOST];
    int count = 0, failed = 0;
    for (int i = 0; i < outputs->count; i++) {
        if (outputs->list[i].standard)
            continue;
        files[count] = &outputs->list[i];
        places[count] = &files[count]->place;
        count++;
    }
    return place_all(places, count, &failed) || fail_errno(outputs, files[failed]);
}

bool outputs_write(struct outputs *outputs, output_writer *write, const void *context) {
    /* What is on standard output can't be taken back, so all else has to be complete. */
    for (int standard = 0; standard < 2; standard++) {
        for (int i = 0; i < outputs->count; i++) {
            struct output *output = &outputs->list[i];
            if (output->standard != standard)
                continue;
            errno = 0;
            if (!write(output->place.file, i, context)) {
                /* A reader that has read enough is no failure. */
                if (output->standard && errno == EPIPE)
                    continue;
                return errno ? fail_errno(outputs, output) : false;
            }
            if (!complete(outputs, output))
                return false;
        }
    }
    return place_files(outputs);
}

void outputs_close(struct outputs *outputs) {
    for (int i = 0; i < outputs->count; i++) {
        struct output *output = &outputs->list[i];
        if (output->place.file)
            fclose(output->place.file);
        place_remove(&output->place);
        if (output->place.folder >= 0)
            close(output->place.folder);
        free(output->place.name);
    }
    outputs->count = 0;
}
