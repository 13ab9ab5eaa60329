/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/base/files.h"

#include "cli/base/args.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum role { INPUT, MODEL, OUTPUT, STANDARD_OUTPUT };

struct file {
    enum role role;
    const char *option, *path; /* the caller's; a model's files have none */
    bool exists, regular;      /* regular: or not there yet */
    dev_t device; /* of the file or, if there is none, of the folder that it will be in */
    ino_t inode;
    char *name; /* in that folder */
};

static struct file *list;
static size_t count, room;

bool files_is_standard(const char *path) {
    return strcmp(path, "-") == 0;
}

static bool fail(const char *command, const char *option, const char *path, const char *reason) {
    args_fail(command, "%s%s%s%s: %s", option ? "--" : "", option ? option : "", option ? ": " : "",
              path, reason);
    return false;
}

static bool same(const struct file *a, const struct file *b) {
    if (a->exists != b->exists || a->device != b->device || a->inode != b->inode)
        return false;
    return a->exists || (a->name && b->name && strcmp(a->name, b->name) == 0);
}

/* Whether two can't be what they are at once. */
static bool collide(const struct file *a, const struct file *b) {
    if (a->role == b->role && a->path && b->path && files_is_standard(a->path) &&
        files_is_standard(b->path))
        return true;
    if (!same(a, b))
        return false;
    if (a->role == INPUT && b->role == INPUT)
        return !a->regular; /* the bytes of a pipe come once */
    return a->role >= OUTPUT || b->role >= OUTPUT;
}

/* Says that a file is also another one, which has been there before. */
static bool fail_same(const char *command, const struct file *file, const struct file *other) {
    /* Where one of them is an output, its option is what is wrong. */
    const bool swap = file->role != OUTPUT && other->role == OUTPUT;
    const struct file *wrong = swap ? other : file, *right = swap ? file : other;
    char text[160];
    if (right->role == MODEL)
        snprintf(text, sizeof text, "is also a file of the model, expected another file");
    else if (right->role == STANDARD_OUTPUT)
        snprintf(text, sizeof text, "is also standard output, expected another file");
    else
        snprintf(text, sizeof text, "is also %s%s%s, expected another file",
                 right->role == OUTPUT ? ""
                 : right->option       ? "the input "
                                       : "the input",
                 right->option ? "--" : "", right->option ? right->option : "");
    return fail(command, wrong->option, wrong->path ? wrong->path : "the model", text);
}

static bool check(const char *command, const struct file *file) {
    for (size_t i = 0; i < count; i++)
        if (collide(file, &list[i]))
            return fail_same(command, file, &list[i]);
    return true;
}

static bool append(const char *command, const struct file *file) {
    if (count == room) {
        const size_t more = room ? 2 * room : 32;
        struct file *larger = realloc(list, more * sizeof *list);
        if (!larger)
            return fail(command, file->option, file->path ? file->path : "the model",
                        strerror(ENOMEM));
        list = larger;
        room = more;
    }
    list[count++] = *file;
    return true;
}

static struct file describe(enum role role, const char *option, const char *path,
                            const struct stat *status) {
    return (struct file){.role = role,
                         .option = option,
                         .path = path,
                         .exists = true,
                         .regular = S_ISREG(status->st_mode),
                         .device = status->st_dev,
                         .inode = status->st_ino};
}

/* What is printed goes to a file that the shell has opened: it is the first in the list. */
static bool add_standard_output(const char *command) {
    struct stat status;
    if (count || fstat(STDOUT_FILENO, &status) != 0 || !S_ISREG(status.st_mode))
        return true;
    const struct file file = describe(STANDARD_OUTPUT, NULL, NULL, &status);
    return append(command, &file);
}

static bool add(const char *command, const struct file *file) {
    return add_standard_output(command) && check(command, file) && append(command, file);
}

FILE *files_open(const char *command, const char *option, const char *path) {
    const bool standard = files_is_standard(path);
    struct stat status;
    /* Before it is opened: a pipe that is read already would wait for another writer. */
    if ((standard ? fstat(STDIN_FILENO, &status) : stat(path, &status)) != 0) {
        fail(command, option, path, strerror(errno));
        return NULL;
    }
    if (S_ISDIR(status.st_mode)) {
        fail(command, option, path, "is a directory, expected a file");
        return NULL;
    }
    const struct file file = describe(INPUT, option, path, &status);
    if (!add(command, &file))
        return NULL;
    FILE *opened = standard ? stdin : fopen(path, "rbe");
    if (!opened || fstat(fileno(opened), &status) != 0) {
        fail(command, option, path, strerror(errno));
        files_close(opened);
        return NULL;
    }
    if (status.st_dev == file.device && status.st_ino == file.inode)
        return opened;
    /* Another file has taken its name in between. */
    const struct file really = describe(INPUT, option, path, &status);
    if (add(command, &really))
        return opened;
    files_close(opened);
    return NULL;
}

void files_close(FILE *file) {
    if (file && file != stdin)
        fclose(file);
}

enum { LEVELS = 3 }; /* of folders below a model's, which modules.json may name */

static bool is_model_file(const char *name) {
    static const char *const ends[] = {".json", ".txt", ".safetensors"};
    const size_t length = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (length > strlen(ends[i]) && strcmp(name + length - strlen(ends[i]), ends[i]) == 0)
            return true;
    return false;
}

/* What can't be looked at is left to who reads it. */
static bool add_folder(const char *command, int parent, const char *path, int levels) {
    const int fd = openat(parent, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    bool good = true;
    if (!folder && fd >= 0)
        close(fd);
    for (struct dirent *entry; good && folder && (entry = readdir(folder));) {
        struct stat status;
        if (entry->d_name[0] == '.' || fstatat(fd, entry->d_name, &status, 0) != 0)
            continue;
        const struct file file = describe(MODEL, NULL, NULL, &status);
        if (S_ISDIR(status.st_mode))
            good = levels == 0 || add_folder(command, fd, entry->d_name, levels - 1);
        else if (is_model_file(entry->d_name))
            good = add(command, &file);
    }
    if (folder)
        closedir(folder);
    return good;
}

bool files_add_model(const char *command, const char *folder) {
    return add_folder(command, AT_FDCWD, folder, LEVELS);
}

bool files_add_output(const char *command, const char *option, const char *path,
                      const struct stat *existing, const struct stat *folder, const char *name) {
    struct file file = {.role = OUTPUT, .option = option, .path = path};
    if (existing) {
        file = describe(OUTPUT, option, path, existing);
    } else if (folder) {
        file.regular = true;
        file.device = folder->st_dev;
        file.inode = folder->st_ino;
        file.name = strdup(name);
        if (!file.name)
            return fail(command, option, path, strerror(ENOMEM));
    }
    if (add(command, &file))
        return true;
    free(file.name);
    return false;
}

char *files_read(FILE *file, size_t most, size_t *size) {
    char *text = NULL;
    size_t capacity = 0;
    *size = 0;
    errno = 0;
    do {
        capacity = capacity ? 2 * capacity : 1 << 16;
        char *larger = realloc(text, capacity + 1);
        if (!larger) {
            free(text);
            errno = ENOMEM;
            return NULL;
        }
        text = larger;
        *size += fread(text + *size, 1, capacity - *size, file);
    } while (*size == capacity && *size <= most);
    if (ferror(file) || *size > most) {
        const int reason = ferror(file) ? errno : EFBIG;
        free(text);
        errno = reason ? reason : EIO;
        return NULL;
    }
    text[*size] = '\0';
    return text;
}
