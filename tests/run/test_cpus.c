/* SPDX-License-Identifier: Apache-2.0 */
/* How many threads a call takes by itself: affinity, cores, control groups, OpenMP's number. */
#include <rapt/threads.h>

#include <errno.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/helpers.h"
#include "src/run/cpus.h"

/* docs/threads.md has this table. */
Test(cpus, the_number_follows_from_the_machine) {
    const struct {
        struct rapt_machine machine;
        int threads;
    } rows[] = {
        {{.cores = 8}, 8},
        {{.cores = 8, .openmp = 16}, 8}, /* siblings */
        {{.cores = 8, .openmp = 3}, 3},
        {{.cores = 8, .openmp = 16, .told = true}, 16},
        {{.cores = 2, .quota = 1, .openmp = 5, .told = true}, 5},
        {{.cores = 8, .quota = 0.5}, 1},
        {{.cores = 8, .quota = 1}, 1},
        {{.cores = 8, .quota = 2.9}, 2},
        {{.cores = 8, .quota = 2.9, .openmp = 8}, 2},
        {{.cores = 8, .quota = 2.9, .openmp = 1}, 1},
        {{.cores = 8, .quota = 8}, 8},
        {{.cores = 8, .quota = 1e300}, 8},
        {{.cores = 8, .told = true}, 8}, /* a build without OpenMP */
        {{.cores = 1}, 1},
        {{.cores = 0}, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect_eq(rapt_threads_on(&rows[i].machine), rows[i].threads, "row %zu", i);
}

Test(cpus, a_number_that_is_asked_for_is_obeyed) {
    cr_expect_eq(rapt_threads(1), 1);
    cr_expect_eq(rapt_threads(1000), 1000);
    cr_expect_eq(rapt_threads(0), rapt_default_threads());
}

#if defined(__linux__)

static void bind_to_first(int count) {
    size_t size;
    cpu_set_t *set = rapt_allowed_cpus(&size);
    cr_assert(set);
    for (size_t cpu = 0; cpu < 8 * size; cpu++)
        if (CPU_ISSET_S(cpu, size, set) && --count < 0)
            CPU_CLR_S(cpu, size, set);
    cr_assert_eq(sched_setaffinity(0, size, set), 0);
    CPU_FREE(set);
}

Test(cpus, affinity_is_respected) {
    const int before = rapt_default_threads();
    cr_expect(before >= 1);
    bind_to_first(1);
    cr_expect_eq(rapt_default_threads(), 1);
}

/* Writes a file below a folder, and the folders on the way. */
static void put(const char *root, const char *path, const char *text) {
    char name[512];
    snprintf(name, sizeof name, "%s%s", root, path);
    for (char *slash = name + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        cr_assert(mkdir(name, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(name, "w");
    cr_assert(file);
    fputs(text, file);
    cr_assert_eq(fclose(file), 0);
}

/* A new folder in place of "/". */
static const char *new_root(void) {
    static char root[64];
    snprintf(root, sizeof root, "/tmp/rapt-cpus-XXXXXX");
    cr_assert(mkdtemp(root));
    return root;
}

static void remove_root(const char *root) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    cr_assert_eq(system(command), 0);
}

Test(cpus, quotas_of_the_unified_hierarchy) {
    const char *root = new_root();
    cr_expect_eq(rapt_cpu_quota(root), 0, "no control groups");
    put(root, "/proc/self/cgroup", "0::/a/b\n");
    cr_expect_eq(rapt_cpu_quota(root), 0, "no files");
    put(root, "/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    cr_expect_eq(rapt_cpu_quota(root), 0);
    put(root, "/sys/fs/cgroup/a/b/cpu.max", "250000 100000\n");
    cr_expect_eq(rapt_cpu_quota(root), 2.5);
    put(root, "/sys/fs/cgroup/a/cpu.max", "50000 100000\n");
    cr_expect_eq(rapt_cpu_quota(root), 0.5, "a group above has less");
    put(root, "/sys/fs/cgroup/a/cpu.max", "9900000 100000\n");
    cr_expect_eq(rapt_cpu_quota(root), 2.5);
    put(root, "/proc/self/cgroup", "0::/\n");
    put(root, "/sys/fs/cgroup/cpu.max", "300000 100000\n");
    cr_expect_eq(rapt_cpu_quota(root), 3, "a container sees its own group as the root");
    put(root, "/sys/fs/cgroup/cpu.max", "nonsense\n");
    cr_expect_eq(rapt_cpu_quota(root), 0);
    remove_root(root);
}

Test(cpus, quotas_of_the_older_hierarchies) {
    const char *root = new_root();
    put(root, "/proc/self/cgroup", "3:cpuset:/x\n2:cpu,cpuacct:/pod/box\n1:name=systemd:/\n0::/\n");
    put(root, "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "150000\n");
    put(root, "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    cr_expect_eq(rapt_cpu_quota(root), 1.5, "the levels of the host aren't seen");
    put(root, "/sys/fs/cgroup/cpu,cpuacct/pod/box/cpu.cfs_quota_us", "-1\n");
    put(root, "/sys/fs/cgroup/cpu,cpuacct/pod/box/cpu.cfs_period_us", "100000\n");
    cr_expect_eq(rapt_cpu_quota(root), 1.5);
    put(root, "/sys/fs/cgroup/cpu,cpuacct/pod/box/cpu.cfs_quota_us", "20000\n");
    cr_expect_float_eq(rapt_cpu_quota(root), 0.2, 1e-9);
    put(root, "/proc/self/cgroup", "2:cpuacct:/pod/box\n3:cpuset:/pod/box\n");
    cr_expect_eq(rapt_cpu_quota(root), 0, "not of another controller");
    remove_root(root);
}

#endif
