/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/cpus.h"

#include <rapt/threads.h>

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/run/parallel.h"

int rapt_threads_on(const struct rapt_machine *m) {
    int threads = m->cores > 0 ? m->cores : 1;
    /* More would be stopped together for the rest of each period. */
    if (m->quota > 0 && m->quota < threads)
        threads = m->quota < 1 ? 1 : (int)m->quota;
    /* The user says more, or the host less. */
    return m->openmp > 0 && (m->told || m->openmp < threads) ? m->openmp : threads;
}

int rapt_threads(int asked) {
    return asked ? asked : rapt_default_threads();
}

#if defined(__linux__)

cpu_set_t *rapt_allowed_cpus(size_t *size) {
    /* The kernel refuses a mask smaller than its own, and doesn't tell how large that is. */
    for (int bits = CPU_SETSIZE; bits <= 1 << 20; bits *= 2) {
        cpu_set_t *set = CPU_ALLOC(bits);
        *size = CPU_ALLOC_SIZE(bits);
        if (set && sched_getaffinity(0, *size, set) == 0)
            return set;
        CPU_FREE(set);
    }
    return NULL;
}

static int read_first_sibling(int cpu) {
    char path[96];
    int first = cpu;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    FILE *file = fopen(path, "re");
    if (!file)
        return cpu;
    if (fscanf(file, "%d", &first) != 1 || first < 0)
        first = cpu;
    fclose(file);
    return first;
}

int rapt_first_sibling(int cpu) {
    static atomic_int known[CPU_SETSIZE]; /* plus 1 */
    if (cpu < 0 || cpu >= CPU_SETSIZE)
        return read_first_sibling(cpu);
    int first = atomic_load_explicit(&known[cpu], memory_order_relaxed) - 1;
    if (first < 0) {
        first = read_first_sibling(cpu);
        atomic_store_explicit(&known[cpu], first + 1, memory_order_relaxed);
    }
    return first;
}

/* Counts the CPUs of the mask of which no earlier one shares the core. */
static int count_cores(void) {
    cpu_set_t usual, *large = NULL, *set = &usual;
    size_t size = sizeof usual;
    if (sched_getaffinity(0, size, &usual) != 0)
        set = large = rapt_allowed_cpus(&size);
    if (!set)
        return 0;
    bool seen[CPU_SETSIZE] = {false}; /* first siblings; CPUs beyond it count as cores */
    int cores = 0, left = CPU_COUNT_S(size, set);
    for (int cpu = 0; left > 0; cpu++) {
        if (!CPU_ISSET_S((size_t)cpu, size, set))
            continue;
        left--;
        const int first = rapt_first_sibling(cpu);
        cores += first >= CPU_SETSIZE || !seen[first];
        if (first < CPU_SETSIZE)
            seen[first] = true;
    }
    CPU_FREE(large);
    return cores;
}

enum { GROUP_MAX = 2048 }; /* bytes of a path; longer ones are cut, and then not found */

/* Reads up to two numbers of a file in a group's folder; "max" is none. Returns how many. */
static int read_numbers(const char *group, const char *name, double *first, double *second) {
    char path[GROUP_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", group, name);
    FILE *file = fopen(path, "re");
    const int read = file ? fscanf(file, "%lf %lf", first, second) : 0;
    if (file)
        fclose(file);
    return read;
}

/* The quota of one group of either kind of hierarchy; 0 without one. */
static double group_quota(const char *group) {
    double most = 0, period = 0, none;
    if (read_numbers(group, "cpu.max", &most, &period) == 2 ||
        (read_numbers(group, "cpu.cfs_quota_us", &most, &none) == 1 &&
         read_numbers(group, "cpu.cfs_period_us", &period, &none) == 1))
        return most > 0 && period > 0 ? most / period : 0;
    return 0;
}

/* The least quota of a group and those above it, up to the root of `length` characters. Levels that
 * a container hides are passed over. The path is cut. */
static double least_quota(char *group, size_t length) {
    double least = 0;
    for (;;) {
        const double found = group_quota(group);
        if (found > 0 && (least == 0 || found < least))
            least = found;
        char *slash = strrchr(group, '/');
        if (!slash || slash < group + length)
            return least;
        *slash = 0;
    }
}

/* Whether "cpu" is one of the controllers in a list with commas. */
static bool has_cpu(const char *controllers) {
    for (const char *at = controllers; (at = strstr(at, "cpu")) != NULL; at += 3)
        if ((at == controllers || at[-1] == ',') && (at[3] == 0 || at[3] == ','))
            return true;
    return false;
}

double rapt_cpu_quota(const char *root) {
    char name[256], line[GROUP_MAX / 2], group[GROUP_MAX];
    double least = 0;
    snprintf(name, sizeof name, "%.200s/proc/self/cgroup", root);
    FILE *file = fopen(name, "re");
    while (file && fgets(line, sizeof line, file)) {
        /* number:controllers:path, the controllers empty for the unified hierarchy */
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = 0;
        controllers++;
        if (*controllers && !has_cpu(controllers))
            continue;
        const int length = snprintf(group, sizeof group, "%.200s/sys/fs/cgroup%s%s", root,
                                    *controllers ? "/" : "", controllers);
        snprintf(group + length, sizeof group - (size_t)length, "%s", path[1] ? path : "");
        const double found = least_quota(group, (size_t)length);
        if (found > 0 && (least == 0 || found < least))
            least = found;
    }
    if (file)
        fclose(file);
    return least;
}

#else

int rapt_first_sibling(int cpu) {
    return cpu;
}

static int count_cores(void) {
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 && online < INT_MAX ? (int)online : 0;
}

double rapt_cpu_quota(const char *root) {
    (void)root;
    return 0;
}

#endif

static pthread_once_t once = PTHREAD_ONCE_INIT;
static double quota;
static bool told;

static void ask_once(void) {
    const char *number = getenv("OMP_NUM_THREADS");
    quota = rapt_cpu_quota("");
    told = number && *number;
}

int rapt_default_threads(void) {
    int cancel; /* files are open meanwhile */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    pthread_once(&once, ask_once);
    const struct rapt_machine machine = {count_cores(), quota, rapt_openmp_threads(), told};
    pthread_setcancelstate(cancel, &cancel);
    return rapt_threads_on(&machine);
}
