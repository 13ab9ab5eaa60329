# SPDX-License-Identifier: Apache-2.0
"""Processes of libraries, and runs of them in turns."""

import contextlib
import json
import math
import os
import pathlib
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import machine
import peer
import tensors

PATIENCE = 300  # seconds for an answer
SETTLE = 0.01  # between turns, and as often as threads still spin
SPINNING = 0.1  # of that time, at least
SPIN_MOST = 2.0  # seconds; what spins for longer disturbs the others
LONG = 0.02  # a run of so many seconds needs none before it to wake the caches
SLOW = 4.0  # a peer so many times slower than rapt gets two turns,
VERY_LONG = 2.0  # and one if a run has so many seconds
TURNS, FEWEST = 9, 3
COLD_BYTES = 5 * 2**28


class Failed(Exception):
    """A worker that doesn't answer any more."""


class Worker:
    """The process of one library with some threads, on as many processors."""

    def __init__(self, name, threads, variables):
        self.name, self.library = name, peer.find(name)
        self.errors = tempfile.TemporaryFile("w+")
        cpus = machine.processors()[:threads]
        self.process = subprocess.Popen(
            [sys.executable, pathlib.Path(__file__).with_name("worker.py"), name, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env={**os.environ, **variables, **self.library.environment(threads)},
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
            start_new_session=True,
        )
        self.buffer = b""
        self.cpu_seconds = 0.0
        self.alive = True

    def answer(self):
        until = time.monotonic() + PATIENCE
        while b"\n" not in self.buffer:
            wait = max(0, until - time.monotonic())
            ready, _, _ = select.select([self.process.stdout], [], [], wait)
            more = os.read(self.process.stdout.fileno(), 1 << 16) if ready else b""
            if not more:
                raise Failed(self.last_words() if ready else self.silent())
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def ask(self, **request):
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
            answer = self.answer()
        except OSError:
            raise Failed(self.last_words()) from None
        self.cpu_seconds = machine.seconds_of(self.process.pid)
        return answer

    def last_words(self):
        self.alive = False
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return f"ended: {lines[-1] if lines else f'status {self.process.wait()}'}"

    def silent(self):
        self.alive = False
        return f"no answer in {PATIENCE} s"

    def end(self):
        """With what the library has started, which would keep our pipes open."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.errors.close()


class Turns:
    """The turns of one worker in one case."""

    def __init__(self, worker, prepared, copies):
        self.worker, self.prepared = worker, prepared
        self.estimate = prepared["variants"][prepared["best"]]["ms"] / 1e3
        self.copies = copies
        self.medians, self.spent = [], 0.0

    def take(self, seconds):
        count = max(1, int(seconds / TURNS / self.estimate))
        count = min(count, self.copies) if self.copies > 1 else count
        warm = 0 if self.estimate > LONG else 1
        taken = self.worker.ask(do="repeat", count=count, warm=warm)["seconds"]
        self.medians.append(statistics.median(taken))
        self.spent += sum(taken)

    def wants(self, seconds, fastest):
        if self.estimate > max(SLOW * fastest, LONG):
            return len(self.medians) < (1 if self.estimate > VERY_LONG else 2)
        if len(self.medians) < FEWEST:
            return True
        return self.spent < seconds and len(self.medians) < TURNS


def copies_for(shape, item, workers):
    """So many that each comes from memory: all workers' together are more than the caches hold."""
    if not shape.cold:
        return 1
    bytes_each = shape.kv_bytes(item)
    wanted = max(COLD_BYTES, 4 * machine.cache_bytes()) / workers
    most = machine.memory_bytes() / 3 / workers
    return max(2, int(min(wanted, most) / bytes_each) + 1)


def rest(workers, settle):
    """Until no process is at work: threads that wait for more spin, some for longer than a run."""

    def used():
        return sum(machine.nanoseconds_of(worker.process.pid) for worker in workers)

    until, before, now = time.monotonic() + SPIN_MOST, -math.inf, used()
    while now - before > SPINNING * settle * 1e9 and time.monotonic() < until:
        time.sleep(settle)
        before, now = now, used()


def take_turns(all_turns, seconds, settle):
    """A B C A B C …, until all have had their time; the first takes part in every round."""
    first, *others = all_turns
    waiting = [first, *others]
    while waiting:
        for turns in [first, *(t for t in others if t in waiting)]:
            rest([t.worker for t in all_turns], settle)
            turns.take(seconds)
        waiting = [t for t in all_turns if t.wants(seconds, first.estimate)]


def spread(values):
    """(The largest - the smallest) / the median, the outer tenths left out."""
    values = sorted(values)
    cut = len(values) // 10
    values = values[cut : len(values) - cut]
    return (values[-1] - values[0]) / statistics.median(values)


def summarise(turns, first):
    """One library's figures in one case; the ratios are of times in the same rounds."""
    ratios = [mine / its for mine, its in zip(turns.medians, first.medians)]
    best = turns.prepared["best"]
    return {
        "variant": best,
        "ms": 1e3 * statistics.median(turns.medians),
        "spread": spread(turns.medians),
        "ratio": statistics.median(ratios),
        "ratio_spread": spread(ratios),
        "turns": len(turns.medians),
        "error": turns.prepared["variants"][best]["error"],
        "variants": turns.prepared["variants"],
    }


def prepare(workers, shape, dtype, copies, settle, results):
    """The turns of the workers that can compute the case; what others say goes to the results."""
    able = []
    for worker in workers:
        rest(workers, settle)
        prepared = worker.ask(do="prepare", shape=shape.text(), dtype=dtype, copies=copies)
        if prepared["best"]:
            able.append(Turns(worker, prepared, copies))
        elif prepared["variants"]:
            results[worker.name] = {"failed": "no right result", "variants": prepared["variants"]}
    return able


def measure(workers, shape, dtype, seconds, settle):
    """All libraries in one case, by name; those that don't have the operation are left out."""
    results = {}
    copies = copies_for(shape, tensors.ITEM[dtype], len(workers))
    able = prepare(workers, shape, dtype, copies, settle, results)
    if able and able[0].worker.name == peer.NAMES[0]:
        take_turns(able, seconds, settle)
        for turns in able:
            results[turns.worker.name] = summarise(turns, able[0])
    for turns in able:
        turns.worker.ask(do="drop")
    return results


def measure_all(workers, cases, seconds, threads, report):
    """Reports (shape, dtype, results) of each case. A library that fails is out from there on."""
    settle = SETTLE if threads > 1 else SETTLE / 10
    for shape, dtype in cases:
        failed = {}
        while True:
            present = [worker for worker in workers if worker.alive]
            try:
                results = measure(present, shape, dtype, seconds, settle)
                break
            except Failed as failure:
                dead = [worker for worker in present if not worker.alive]
                failed.update({worker.name: {"failed": str(failure)} for worker in dead})
        report(shape, dtype, {**results, **failed})
