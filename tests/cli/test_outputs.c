/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs appear all together or not at all, whatever the file system lacks or refuses. */
#include "tests/support/written.h"

#include <sys/mount.h>
#include <sys/xattr.h>

#if defined(__linux__)
#    include <sched.h>
#endif

TestSuite(outputs, .init = enter, .fini = leave, .timeout = 600);

#define DESCRIBED "%d files, existing %x, lacking %x, event %d at call %d, number %d"
#define DESCRIPTION(p)                                                                             \
    (p)->files, (p)->existing, (p)->lacking, (int)(p)->event, (p)->at, (p)->number

/* The kinds of file systems, from ext4 to FAT. */
static const int lackings[] = {0, NO_EXCHANGE, NO_UNNAMED, NO_UNNAMED | NO_EXCHANGE,
                               NO_UNNAMED | NO_EXCHANGE | NO_LINKS};
enum { KINDS = sizeof lackings / sizeof *lackings };

/* The next number of files, which of them exist, and kind of file system; false after the last. */
static bool next_case(struct plan *p, int *kind) {
    if (++*kind == KINDS) {
        *kind = 0;
        if (++p->existing == 1 << p->files) {
            p->existing = 0;
            p->files++;
        }
    }
    p->lacking = lackings[*kind];
    return p->files <= MOST_FILES;
}

#define FOR_EVERY_CASE(p) for (int kind = ((p)->files = 1, -1); next_case(p, &kind);)

Test(outputs, are_written_on_every_file_system) {
    struct plan p = {.at = -1};
    FOR_EVERY_CASE(&p) {
        const int status = write_apart(&p);
        cr_expect(WIFEXITED(status) && (WEXITSTATUS(status) & WRITTEN), DESCRIBED, DESCRIPTION(&p));
        cr_expect(all_new(&p) && count_names(false) == p.files, DESCRIBED, DESCRIPTION(&p));
    }
}

/* One call after the other fails, until there is none left. */
Test(outputs, are_as_they_were_when_a_call_fails) {
    struct plan p = {.event = FAIL, .number = EIO};
    int failures = 0, restored = 0;
    FOR_EVERY_CASE(&p) {
        for (p.at = 0;; p.at++) {
            const int status = write_apart(&p), told = WEXITSTATUS(status);
            cr_assert(WIFEXITED(status), DESCRIBED, DESCRIPTION(&p));
            if (!(told & REACHED))
                break;
            /* A folder that can't be brought to the disk is told, but all is in place. */
            const bool new = told &(WRITTEN | FOLDER_FAILED);
            cr_expect(new ? all_new(&p) : all_old(&p), DESCRIBED, DESCRIPTION(&p));
            cr_expect(count_names(false) == count_expected(&p, new), DESCRIBED, DESCRIPTION(&p));
            failures += !(told & WRITTEN);
            restored += !new &&p.existing;
        }
        cr_assert(p.at > 2 * p.files, "there are more calls than that");
    }
    cr_expect(failures > 100 && restored > 100, "%d failures, %d restored", failures, restored);
}

/* The folder has come since the output was opened, so one of the names can't be given. */
Test(outputs, give_way_to_a_folder) {
    struct plan p = {.event = FOLDER_IN_THE_WAY};
    int refused = 0;
    FOR_EVERY_CASE(&p) {
        for (p.number = 0; p.number < p.files; p.number++) {
            for (p.at = 0;; p.at++) {
                const int status = write_apart(&p), told = WEXITSTATUS(status);
                cr_assert(WIFEXITED(status), DESCRIBED, DESCRIPTION(&p));
                if (!(told & REACHED))
                    break;
                if (told & (WRITTEN | FOLDER_FAILED))
                    continue; /* it came after the name was given */
                refused++;
                for (int i = 0; i < p.files; i++)
                    cr_expect(i == p.number || is_old(&p, i), DESCRIBED, DESCRIPTION(&p));
                struct stat status_there;
                cr_expect(lstat(file_names[p.number], &status_there) == 0 &&
                              S_ISDIR(status_there.st_mode),
                          DESCRIBED, DESCRIPTION(&p));
                const int others = p.existing & ~(1 << p.number);
                cr_expect(count_names(false) == __builtin_popcount((unsigned)others) + 1, DESCRIBED,
                          DESCRIPTION(&p));
            }
        }
    }
    cr_expect(refused > 100, "%d", refused);
}

static bool expect_mode(FILE *file, int i, const void *mode) {
    struct stat status;
    (void)i;
    return fstat(fileno(file), &status) == 0 && fprintf(file, "new a\n") > 0 &&
           (status.st_mode & 07777) == *(const mode_t *)mode;
}

/* The mode while it is written, and after. */
static int write_mode(const void *mode) {
    struct outputs outputs = {.command = "test"};
    plan = (struct plan){.at = -1};
    umask(0);
    const bool done = outputs_add(&outputs, "option", "a", OUTPUT_TEXT) &&
                      outputs_write(&outputs, expect_mode, mode);
    outputs_close(&outputs);
    return done && opened_with == 0600 ? WRITTEN : 0;
}

Test(outputs, have_the_mode_of_what_they_replace) {
    static const mode_t modes[][2] = {{0600, 0600}, {0644, 0644},  {0666, 0666},  {0755, 0755},
                                      {0660, 0660}, {04755, 0755}, {02775, 0775}, {01644, 0644}};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct stat status;
        cr_assert(put("a", "old\n") && chmod("a", modes[i][0]) == 0);
        cr_expect(WEXITSTATUS(run_apart(write_mode, &modes[i][1])) == WRITTEN, "%o", modes[i][0]);
        cr_expect(holds("a", "new a\n") && stat("a", &status) == 0 &&
                      (status.st_mode & 07777) == modes[i][1],
                  "%o", modes[i][0]);
    }
}

static int write_plainly(const void *unused) {
    (void)unused;
    return write_files(&(const struct plan){.files = 1, .at = -1});
}

/* Who could read the old file may read the new one, and nobody else. */
Test(outputs, have_the_owner_and_access_list_of_what_they_replace) {
    /* Version 2; owner rw, user 1234 r, group none, mask r, others none. */
    static const unsigned char list[] = {2,   0,   0,   0,   1,   0,   6,  0,   255, 255, 255,
                                         255, 2,   0,   4,   0,   210, 4,  0,   0,   4,   0,
                                         0,   0,   255, 255, 255, 255, 16, 0,   4,   0,   255,
                                         255, 255, 255, 32,  0,   0,   0,  255, 255, 255, 255};
    unsigned char found[sizeof list + 8];
    struct stat status;
    cr_assert(put("a", "old\n"));
    if (geteuid() == 0)
        cr_assert(chown("a", 1234, 2345) == 0 && chmod("a", 0640) == 0);
    const bool lists = setxattr("a", "system.posix_acl_access", list, sizeof list, 0) == 0;
    cr_assert(lists || errno == ENOTSUP, "%s", strerror(errno));
    cr_expect(WEXITSTATUS(run_apart(write_plainly, NULL)) & WRITTEN);
    cr_expect(holds("a", "new a\n") && stat("a", &status) == 0);
    if (geteuid() == 0)
        cr_expect(status.st_uid == 1234 && status.st_gid == 2345);
    if (lists) {
        cr_expect(getxattr("a", "system.posix_acl_access", found, sizeof found) == sizeof list);
        cr_expect(memcmp(found, list, sizeof list) == 0);
    }
}

Test(outputs, keep_symbolic_links_and_leave_hard_ones_behind) {
    cr_assert(put("target", "old\n") && symlink("target", "a") == 0 &&
              link("target", "other") == 0);
    cr_expect(WEXITSTATUS(run_apart(write_plainly, NULL)) & WRITTEN);
    struct stat status;
    cr_expect(lstat("a", &status) == 0 && S_ISLNK(status.st_mode));
    cr_expect(holds("target", "new a\n") && holds("other", "old\n") && count_names(false) == 3);
}

/* Root may write anywhere, so it becomes somebody else. */
static int write_unprivileged(const void *unused) {
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
        return 0;
    return write_plainly(unused);
}

Test(outputs, are_refused_by_a_folder_or_file_for_reading_only) {
    cr_assert(chmod(".", 0555) == 0);
    cr_expect(WEXITSTATUS(run_apart(write_unprivileged, NULL)) & REFUSED);
    cr_assert(chmod(".", 0755) == 0);
    cr_expect(count_names(false) == 0);
    cr_assert(put("a", "old\n") && chmod("a", 0444) == 0 && chmod(".", 0777) == 0);
    cr_expect(WEXITSTATUS(run_apart(write_unprivileged, NULL)) & REFUSED);
    cr_expect(holds("a", "old\n") && count_names(false) == 1);
}

static bool write_much(FILE *file, int i, const void *unused) {
    (void)unused;
    for (int k = 0; i == 1 && k < 1 << 20; k++)
        if (putc('x', file) == EOF)
            return false;
    return fprintf(file, "new\n") > 0;
}

/* A small disk in memory, which nobody else sees. False where that isn't allowed. */
static bool mount_small_disk(void) {
#if defined(__linux__)
    char user[64], group[64];
    const bool root = geteuid() == 0;
    snprintf(user, sizeof user, "0 %ld 1", (long)geteuid());
    snprintf(group, sizeof group, "0 %ld 1", (long)getegid());
    if (unshare(root ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) != 0 ||
        (!root && (!put("/proc/self/uid_map", user) || !put("/proc/self/setgroups", "deny") ||
                   !put("/proc/self/gid_map", group))))
        return false;
    return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", scratch, "tmpfs", 0, "size=64k") == 0 && chdir(scratch) == 0;
#else
    return false;
#endif
}

static int fill_disk(const void *unused) {
    (void)unused;
    plan = (struct plan){.at = -1};
    if (!mount_small_disk())
        return REACHED;
    struct outputs outputs = {.command = "test"};
    bool done = put("a", "old\n") && outputs_add(&outputs, "option", "a", OUTPUT_TEXT) &&
                outputs_add(&outputs, "other", "b", OUTPUT_TEXT);
    const bool opened = done;
    done = done && outputs_write(&outputs, write_much, NULL);
    outputs_close(&outputs);
    return opened && !done && holds("a", "old\n") && count_names(false) == 1 ? WRITTEN : 0;
}

Test(outputs, are_as_they_were_when_the_disk_is_full) {
    const int status = run_apart(fill_disk, NULL);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) != 0);
}
