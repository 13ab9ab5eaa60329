/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/base/place.h"

#include "cli/base/ending.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ATTEMPTS = 100 };

/* How an output got its name. */
enum placed { NOT, NEW, EXCHANGED, REPLACED };

/* A name that nobody else has: on another machine a process may have the same number. */
static void choose_name(char *name, size_t size) {
    static unsigned number;
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(name, size, ".rapt-%ld-%ld-%u", (long)getpid(), now.tv_nsec, number++);
}

static void proc_path(char *path, size_t size, int fd) {
    snprintf(path, size, "/proc/self/fd/%d", fd);
}

/* A file without a name is gone with the process, whatever ends that. */
static int open_unnamed(int folder, mode_t mode) {
#ifdef O_TMPFILE
    const int fd = openat(folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
    char path[48];
    if (fd < 0)
        return -1;
    proc_path(path, sizeof path, fd);
    if (access(path, F_OK) == 0) /* it will get its name by that path */
        return fd;
    close(fd);
#else
    (void)folder, (void)mode;
#endif
    errno = ENOTSUP;
    return -1;
}

static int open_named(struct output *output, mode_t mode) {
    int fd = -1;
    ending_hold();
    errno = EEXIST;
    for (int i = 0; i < ATTEMPTS && fd < 0 && errno == EEXIST; i++) {
        choose_name(output->temporary, sizeof output->temporary);
        fd = openat(output->folder, output->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                    mode);
    }
    const int reason = errno;
    if (fd >= 0)
        ending_note(output->folder, output->temporary);
    else
        output->temporary[0] = '\0';
    ending_release();
    errno = reason;
    return fd;
}

int place_open(struct output *output, mode_t mode) {
    const int fd = open_unnamed(output->folder, mode);
    return fd >= 0 ? fd : open_named(output, mode);
}

void place_remove(struct output *output) {
    if (!output->temporary[0])
        return;
    ending_hold();
    unlinkat(output->folder, output->temporary, 0);
    ending_forget(output->temporary);
    output->temporary[0] = '\0';
    ending_release();
}

static bool link_unnamed(const struct output *output, const char *name) {
    char path[48];
    proc_path(path, sizeof path, fileno(output->file));
    return linkat(AT_FDCWD, path, output->folder, name, AT_SYMLINK_FOLLOW) == 0;
}

/* A name beside the target, by which it can be replaced. */
static bool link_temporary(struct output *output) {
    errno = EEXIST;
    for (int i = 0; i < ATTEMPTS && errno == EEXIST; i++) {
        choose_name(output->temporary, sizeof output->temporary);
        if (link_unnamed(output, output->temporary))
            return true;
    }
    output->temporary[0] = '\0';
    return false;
}

/*
 * Whether a name can be taken: not from a folder, nor from an output of ours, which two names mean
 * where upper and lower case are the same.
 */
static bool may_replace(const struct outputs *outputs, const struct output *output,
                        const struct stat *there) {
    struct stat ours;
    if (S_ISDIR(there->st_mode)) {
        errno = EISDIR;
        return false;
    }
    for (int i = 0; i < outputs->count; i++) {
        const struct output *other = &outputs->list[i];
        if (other != output && !other->standard && fstat(fileno(other->file), &ours) == 0 &&
            ours.st_dev == there->st_dev && ours.st_ino == there->st_ino) {
            errno = EEXIST;
            return false;
        }
    }
    return true;
}

static bool exchange(int folder, const char *a, const char *b) {
#ifdef RENAME_EXCHANGE
    return renameat2(folder, a, folder, b, RENAME_EXCHANGE) == 0;
#else
    (void)folder, (void)a, (void)b;
    errno = ENOSYS;
    return false;
#endif
}

/* The same in steps, where the system can't do it at once: the old file gets a second name. */
static bool set_aside(struct output *output) {
    char old[sizeof output->temporary];
    choose_name(old, sizeof old);
    if (linkat(output->folder, output->name, output->folder, old, 0) != 0 &&
        (errno == EEXIST || renameat(output->folder, output->name, output->folder, old) != 0))
        return false;
    if (renameat(output->folder, output->temporary, output->folder, output->name) == 0) {
        memcpy(output->temporary, old, sizeof old);
        return true;
    }
    const int reason = errno;
    renameat(output->folder, old, output->folder, output->name);
    unlinkat(output->folder, old, 0); /* it's left if both names are those of one file */
    errno = reason;
    return false;
}

/* Replaces a file, and keeps the old one under the temporary name. */
static bool replace_kept(struct output *output) {
    struct stat old;
    const int folder = output->folder;
    if (!exchange(folder, output->temporary, output->name))
        return (errno == EINVAL || errno == ENOSYS || errno == ENOTSUP) && set_aside(output);
    if (fstatat(folder, output->temporary, &old, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(old.st_mode))
        return true;
    exchange(folder, output->temporary, output->name);
    errno = EISDIR;
    return false;
}

static enum placed place(const struct outputs *outputs, struct output *output, bool last) {
    const int folder = output->folder;
    struct stat there;
    const bool unnamed = !output->temporary[0];
    bool exists = fstatat(folder, output->name, &there, AT_SYMLINK_NOFOLLOW) == 0;
    if (unnamed && !exists) {
        if (link_unnamed(output, output->name))
            return NEW;
        if (errno != EEXIST)
            return NOT;
        exists = fstatat(folder, output->name, &there, AT_SYMLINK_NOFOLLOW) == 0;
    }
    if ((exists && !may_replace(outputs, output, &there)) || (unnamed && !link_temporary(output)))
        return NOT;
    /* While the others may fail, the old file is needed. */
    if (exists && !last)
        return replace_kept(output) ? EXCHANGED : NOT;
    if (renameat(folder, output->temporary, folder, output->name) != 0)
        return NOT;
    ending_forget(output->temporary);
    output->temporary[0] = '\0';
    return exists ? REPLACED : NEW;
}

static void take_back(struct output *output, enum placed placed) {
    if (placed == NEW)
        unlinkat(output->folder, output->name, 0);
    if (placed == EXCHANGED) {
        /* Where even that fails, the old file is better under another name than lost. */
        renameat(output->folder, output->temporary, output->folder, output->name);
        output->temporary[0] = '\0';
    }
}

/* Brings the names to the disk. */
static bool sync_folders(const struct outputs *outputs, int *failed) {
    for (int i = 0; i < outputs->count; i++) {
        if (outputs->list[i].standard)
            continue;
        const int fd = openat(outputs->list[i].folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const bool synced = fd < 0 || fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP;
        const int reason = errno;
        if (fd >= 0) /* a folder may be closed to readers */
            close(fd);
        errno = reason;
        *failed = i;
        if (!synced)
            return false;
    }
    return true;
}

/* Returns whether all have their names; otherwise which one hasn't, and none has. */
static bool place_held(struct outputs *outputs, int *failed) {
    enum placed placed[OUTPUTS_MOST] = {NOT};
    int last = outputs->count - 1;
    while (last > 0 && outputs->list[last].standard)
        last--;
    for (int i = 0; i <= last; i++) {
        struct output *output = &outputs->list[i];
        if (output->standard)
            continue;
        /* An old file under this name mustn't be removed by a fault in between. */
        ending_forget(output->temporary);
        placed[i] = place(outputs, output, i == last);
        if (placed[i] != NOT)
            continue;
        const int reason = errno;
        *failed = i;
        for (int k = i - 1; k >= 0; k--)
            take_back(&outputs->list[k], placed[k]);
        errno = reason;
        return false;
    }
    return true;
}

bool place_all(struct outputs *outputs) {
    int failed = 0, reason;
    ending_hold();
    const bool placed = place_held(outputs, &failed);
    reason = errno;
    for (int i = 0; i < outputs->count; i++) {
        struct output *output = &outputs->list[i];
        if (output->temporary[0])
            unlinkat(output->folder, output->temporary, 0);
        ending_forget(output->temporary);
        output->temporary[0] = '\0';
    }
    ending_release();
    errno = reason;
    return (placed && sync_folders(outputs, &failed)) ||
           outputs_fail(outputs, &outputs->list[failed]);
}
