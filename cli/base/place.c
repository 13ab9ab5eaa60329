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

/* How a file got its name. */
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

static int open_named(struct place *place, mode_t mode) {
    int fd = -1;
    ending_hold();
    errno = EEXIST;
    for (int i = 0; i < ATTEMPTS && fd < 0 && errno == EEXIST; i++) {
        choose_name(place->temporary, sizeof place->temporary);
        fd = openat(place->folder, place->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    }
    const int reason = errno;
    if (fd >= 0)
        ending_note(place->folder, place->temporary);
    else
        place->temporary[0] = '\0';
    ending_release();
    errno = reason;
    return fd;
}

int place_open(struct place *place, mode_t mode) {
    const int fd = open_unnamed(place->folder, mode);
    return fd >= 0 ? fd : open_named(place, mode);
}

void place_remove(struct place *place) {
    if (!place->temporary[0])
        return;
    ending_hold();
    unlinkat(place->folder, place->temporary, 0);
    ending_forget(place->temporary);
    place->temporary[0] = '\0';
    ending_release();
}

static bool link_unnamed(const struct place *place, const char *name) {
    char path[48];
    proc_path(path, sizeof path, fileno(place->file));
    return linkat(AT_FDCWD, path, place->folder, name, AT_SYMLINK_FOLLOW) == 0;
}

/* A name beside the target, by which it can be replaced. */
static bool link_temporary(struct place *place) {
    errno = EEXIST;
    for (int i = 0; i < ATTEMPTS && errno == EEXIST; i++) {
        choose_name(place->temporary, sizeof place->temporary);
        if (link_unnamed(place, place->temporary))
            return true;
    }
    place->temporary[0] = '\0';
    return false;
}

/*
 * Whether a name can be taken: not from a folder, nor from another output. Two names may mean the
 * same file where upper and lower case are the same.
 */
static bool may_replace(struct place *const *places, int count, const struct place *place,
                        const struct stat *there) {
    struct stat ours;
    if (S_ISDIR(there->st_mode)) {
        errno = EISDIR;
        return false;
    }
    for (int i = 0; i < count; i++) {
        if (places[i] != place && fstat(fileno(places[i]->file), &ours) == 0 &&
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
static bool set_aside(struct place *place) {
    char old[sizeof place->temporary];
    choose_name(old, sizeof old);
    if (linkat(place->folder, place->name, place->folder, old, 0) != 0 &&
        (errno == EEXIST || renameat(place->folder, place->name, place->folder, old) != 0))
        return false;
    if (renameat(place->folder, place->temporary, place->folder, place->name) == 0) {
        memcpy(place->temporary, old, sizeof old);
        return true;
    }
    const int reason = errno;
    renameat(place->folder, old, place->folder, place->name);
    unlinkat(place->folder, old, 0); /* it's left if both names are those of one file */
    errno = reason;
    return false;
}

/* Replaces a file, and keeps the old one under the temporary name. */
static bool replace_kept(struct place *place) {
    struct stat old;
    const int folder = place->folder;
    if (!exchange(folder, place->temporary, place->name))
        return (errno == EINVAL || errno == ENOSYS || errno == ENOTSUP) && set_aside(place);
    if (fstatat(folder, place->temporary, &old, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(old.st_mode))
        return true;
    exchange(folder, place->temporary, place->name);
    errno = EISDIR;
    return false;
}

static enum placed put(struct place *const *places, int count, struct place *place, bool last) {
    const int folder = place->folder;
    struct stat there;
    const bool unnamed = !place->temporary[0];
    bool exists = fstatat(folder, place->name, &there, AT_SYMLINK_NOFOLLOW) == 0;
    if (unnamed && !exists) {
        if (link_unnamed(place, place->name))
            return NEW;
        if (errno != EEXIST)
            return NOT;
        exists = fstatat(folder, place->name, &there, AT_SYMLINK_NOFOLLOW) == 0;
    }
    if ((exists && !may_replace(places, count, place, &there)) ||
        (unnamed && !link_temporary(place)))
        return NOT;
    /* While the others may fail, the old file is needed. */
    if (exists && !last)
        return replace_kept(place) ? EXCHANGED : NOT;
    if (renameat(folder, place->temporary, folder, place->name) != 0)
        return NOT;
    ending_forget(place->temporary);
    place->temporary[0] = '\0';
    return exists ? REPLACED : NEW;
}

static void take_back(struct place *place, enum placed placed) {
    if (placed == NEW)
        unlinkat(place->folder, place->name, 0);
    if (placed == EXCHANGED) {
        /* Where even that fails, the old file is better under another name than lost. */
        renameat(place->folder, place->temporary, place->folder, place->name);
        place->temporary[0] = '\0';
    }
}

/* Brings the names to the disk. */
static bool sync_folders(struct place *const *places, int count, int *failed) {
    for (int i = 0; i < count; i++) {
        const int fd = openat(places[i]->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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
static bool put_all(struct place *const *places, int count, int *failed) {
    enum placed placed[PLACE_MOST] = {NOT};
    for (int i = 0; i < count; i++) {
        /* An old file under this name mustn't be removed by a fault in between. */
        ending_forget(places[i]->temporary);
        placed[i] = put(places, count, places[i], i == count - 1);
        if (placed[i] != NOT)
            continue;
        const int reason = errno;
        *failed = i;
        for (int k = i - 1; k >= 0; k--)
            take_back(places[k], placed[k]);
        errno = reason;
        return false;
    }
    return true;
}

bool place_all(struct place *const *places, int count, int *failed) {
    ending_hold();
    const bool placed = put_all(places, count, failed);
    const int reason = errno;
    for (int i = 0; i < count; i++) {
        struct place *place = places[i];
        if (place->temporary[0])
            unlinkat(place->folder, place->temporary, 0);
        ending_forget(place->temporary);
        place->temporary[0] = '\0';
    }
    ending_release();
    errno = reason;
    return placed && sync_folders(places, count, failed);
}
