/* SPDX-License-Identifier: Apache-2.0 */
/* Ctrl-C while a command computes or writes: it ends, and leaves no file. */
#include "tests/support/models.h"

#include <sys/ioctl.h>

TestSuite(interrupts, .init = enter_model, .fini = leave_model, .timeout = 600);

/* Whether the process has a file open that has no name. */
static bool has_output(pid_t pid) {
    char path[64], link[1024];
    snprintf(path, sizeof path, "/proc/%ld/fd", (long)pid);
    DIR *folder = opendir(path);
    bool found = false;
    for (struct dirent *entry; folder && !found && (entry = readdir(folder));) {
        const ssize_t length = readlinkat(dirfd(folder), entry->d_name, link, sizeof link - 1);
        link[length > 0 ? length : 0] = '\0';
        found = strstr(link, "/w/") && strstr(link, " (deleted)");
    }
    if (folder)
        closedir(folder);
    return found;
}

/* Nobody reads what it prints, so it may also be waiting in a write. */
static bool has_filled(int pipe_end) {
    int bytes = 0;
    return ioctl(pipe_end, FIONREAD, &bytes) == 0 && bytes >= 1 << 16;
}

static pid_t start(const char *line, int out) {
    char copy[512], name[] = "rapt", *words[MAX_WORDS] = {name};
    pid_t pid;
    int count = 1;
    strcpy(copy, line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        words[count++] = word;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t usual;
    sigemptyset(&usual);
    sigaddset(&usual, SIGINT);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_addopen(&actions, 2, "../err", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert(posix_spawn(&pid, getenv("RAPT_COMMAND"), &actions, &attributes, words, environ) ==
              0);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return pid;
}

/* The commands would run for minutes: only the signal ends them. */
static void interrupt(const char *line) {
    int ends[2], status = 0;
    const int files = count_files();
    cr_assert(pipe2(ends, O_CLOEXEC) == 0);
    const pid_t pid = start(line, ends[1]);
    close(ends[1]);
    while (!has_output(pid) && !has_filled(ends[0])) {
        const bool ended = waitpid(pid, &status, WNOHANG) == pid;
        if (ended)
            slurp("../err", err_text);
        cr_assert(!ended, "rapt %s: ended with %x: %s", line, status, err_text);
        usleep(1000);
    }
    cr_assert(kill(pid, SIGINT) == 0 && waitpid(pid, &status, 0) == pid);
    close(ends[0]);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT, "rapt %s: %x", line, status);
    cr_expect(count_files() == files, "rapt %s: leaves a file", line);
    remove("../err");
}

Test(interrupts, end_an_attention) {
    save("big.npy", "<f4", "(262144, 16)", false, "", 0);
    cr_assert(truncate("big.npy", 128 + INT64_C(262144) * 16 * 4) == 0);
    interrupt("run --q big.npy --k big.npy --v big.npy --out O.npy --lse L.npy --isa scalar");
}

Test(interrupts, end_embeddings) {
    enum { LINES = 1 << 20 };
    FILE *file = fopen("lines", "w");
    for (int i = 0; i < LINES; i++)
        fputs("the cat sat on the mat\n", file);
    fclose(file);
    interrupt("embed lines --model tiny --npy E.npy --isa scalar --batch 1 --threads 1");
}

Test(interrupts, end_lessons) {
    interrupt("study all --isa scalar --threads 1 --json S.json");
}

Test(interrupts, end_measurements) {
    interrupt("bench --shape 1,1,1,64,64,64 --threads 1 --isa scalar --time 3600 --json B.json");
}

Test(interrupts, end_pages_and_pictures) {
    interrupt("attend --html -");
    interrupt("attend --layer all --head all --svg -");
}
