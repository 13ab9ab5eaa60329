# SPDX-License-Identifier: Apache-2.0
"""The machine: its processors, caches and memory, and who else uses them."""

import datetime
import glob
import os
import pathlib
import platform
import re


def read(path, default=""):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return default


def processors():
    """Those that this process may use, the first of each core before its siblings."""
    first, siblings, seen = [], [], set()
    for cpu in sorted(os.sched_getaffinity(0)):
        core = read(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", str(cpu))
        (siblings if core in seen else first).append(cpu)
        seen.add(core)
    return first + siblings


def cache_bytes():
    """Of the largest cache; 0 if not known."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    sizes = [read(path) for path in glob.glob("/sys/devices/system/cpu/cpu0/cache/index*/size")]
    return max(
        (int(size[:-1]) * units[size[-1]] for size in sizes if size[-1:] in units), default=0
    )


def memory_bytes():
    """What the machine can still give."""
    for line in read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 4 * 2**30


def amx(held_off):
    """Who computes with AMX, or None if the processors have none."""
    flags = re.search("^flags.*", read("/proc/cpuinfo"), re.MULTILINE)
    if not flags or "amx_tile" not in flags[0].split():
        return None
    return "for nobody" if held_off else "for those that use it"


def facts(no_amx=False):
    model = [line for line in read("/proc/cpuinfo").splitlines() if line.startswith("model name")]
    name = model[0].split(":", 1)[1].strip() if model else platform.machine()
    return {
        "cpu": name,
        "cpus": len(processors()),
        "amx": amx(no_amx),
        "cache_mib": cache_bytes() >> 20,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
    }


class Load:
    """The share of the processors that processes other than ours took since it was made."""

    def __init__(self):
        self.start = self.total(), self.busy()
        self.own = 0.0

    @staticmethod
    def times():
        return [int(n) for n in read("/proc/stat").split("\n")[0].split()[1:9]]

    def total(self):
        return sum(self.times())

    def busy(self):
        times = self.times()
        return sum(times) - times[3] - times[4]  # idle, and waiting for a disk

    def others(self, own_seconds):
        total, busy = self.total() - self.start[0], self.busy() - self.start[1]
        own = own_seconds * os.sysconf("SC_CLK_TCK")
        return min(max((busy - own) / total, 0), 1) if total else 0.0


def nanoseconds_of(pid):
    """CPU time of a process's threads until now, to about a tick; 0 if the kernel doesn't say."""
    paths = glob.glob(f"/proc/{pid}/task/*/schedstat")
    return sum(int(read(path, "0").split()[0]) for path in paths)


def seconds_of(pid):
    """CPU time that a running process has used."""
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0
