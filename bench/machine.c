/* SPDX-License-Identifier: Apache-2.0 */
/* Facts about the machine, without which a benchmark's figures mean little. */
#include "bench/machine.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <rapt/isa.h>
#include <rapt/version.h>

#include "bench/pin.h"
#include "bench/topology.h"
#include "cli/base/system.h"

struct machine_load machine_load_now(void) {
    struct machine_load load = {0};
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    load.own = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    FILE *file = fopen("/proc/stat", "r");
    if (!file)
        return load;
    /* user, nice, system, idle, iowait, irq, softirq, steal */
    double t[8], sum = 0;
    if (fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &t[0], &t[1], &t[2], &t[3], &t[4],
               &t[5], &t[6], &t[7]) == 8) {
        const double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
        for (int i = 0; i < 8; i++)
            sum += t[i] * tick;
        load.total = sum;
        load.busy = sum - (t[3] + t[4]) * tick;
    }
    fclose(file);
    return load;
}

double machine_load_others(struct machine_load before, struct machine_load after) {
    const double total = after.total - before.total;
    const double others = (after.busy - before.busy) - (after.own - before.own);
    return total > 0 && others > 0 ? others / total : 0;
}

double machine_memory_available(void) {
    char text[64];
    system_field("/proc/meminfo", "MemAvailable", text, sizeof text);
    const double kib = strtod(text, NULL);
    return kib > 0 ? 1024 * kib : (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
}

double machine_cache_size(void) {
#ifdef _SC_LEVEL3_CACHE_SIZE
    const long size = sysconf(_SC_LEVEL3_CACHE_SIZE);
    return size > 0 ? (double)size : 0;
#else
    return 0;
#endif
}

static void os_name(char *text, size_t size) {
    struct utsname system;
    text[0] = '\0';
    if (uname(&system) == 0)
        snprintf(text, size, "%s %s %s", system.sysname, system.release, system.machine);
}

static const char *compiler(void) {
#if defined(__clang__)
    return __VERSION__;
#elif defined(__GNUC__)
    return "gcc " __VERSION__;
#else
    return "unknown";
#endif
}

struct cJSON *machine_json(double others) {
    char cpu[256], os[256], date[32] = "";
    const time_t now = time(NULL);
    struct tm utc;
    system_cpu_model(cpu, sizeof cpu);
    os_name(os, sizeof os);
    if (gmtime_r(&now, &utc))
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);

    cJSON *json = cJSON_CreateObject();
    int count;
    const int *cpus = pin_list(&count);
    cJSON *pinned = cpus ? cJSON_CreateIntArray(cpus, count) : cJSON_CreateFalse();
    bool complete = cJSON_AddStringToObject(json, "cpu", cpu) &&
                    cJSON_AddStringToObject(json, "features", rapt_cpu_features()) &&
                    cJSON_AddNumberToObject(json, "cpus", topology_cpus_online()) &&
                    cJSON_AddNumberToObject(json, "threads", topology_cpus_usable()) &&
                    cJSON_AddNumberToObject(json, "cores", topology_cores_usable()) &&
                    cJSON_AddStringToObject(json, "compiler", compiler()) &&
                    cJSON_AddStringToObject(json, "os", os) &&
                    cJSON_AddStringToObject(json, "rapt", rapt_version()) &&
                    cJSON_AddStringToObject(json, "date", date) &&
                    cJSON_AddNumberToObject(json, "other_cpu_share", others);
    if (!cJSON_AddItemToObject(json, "pinned", pinned)) {
        cJSON_Delete(pinned);
        complete = false;
    }
    if (complete)
        return json;
    cJSON_Delete(json);
    return NULL;
}
