# SPDX-License-Identifier: Apache-2.0
"""One library at work: a process that run.py starts, with a line of JSON for each request.

Libraries get processes of their own because most can set their threads only once, and because
threads that wait for work by spinning would disturb whoever runs next.
"""

import json
import os
import sys
import time

import peer
import shapes
import tensors

LOOK = 0.06  # seconds to find a variant's time
SLOW = 1.0  # a first run of so many seconds is enough of a look


def since(start):
    """Seconds, one nanosecond at least: a coarse clock stands still for what is short."""
    return max(time.perf_counter() - start, 1e-9)


class Worker:
    def __init__(self, library):
        self.library = library
        self.run = None
        self.copies = self.next = 0

    def timed(self, run):
        """Runs on the next copy, and for how long."""
        self.next = (self.next + 1) % self.copies
        start = time.perf_counter()
        run(self.next)
        return since(start)

    def look(self, run, first):
        """About how long a run takes."""
        if first > SLOW:
            return first
        seconds = [self.timed(run)]
        while sum(seconds) < LOOK:
            seconds.append(self.timed(run))
        return sorted(seconds)[len(seconds) // 2]

    def prepare(self, request):
        """Checks the result of each variant, and keeps the fastest of those that are right."""
        shape, dtype = shapes.parse(request["shape"]), request["dtype"]
        self.run, self.copies, self.next = None, request["copies"], 0
        found, best = {}, None
        for variant in self.library.variants(shape, dtype):
            found[variant], run = self.try_variant(variant, shape, dtype)
            ms = found[variant].get("ms")
            if ms is not None and (best is None or ms < found[best]["ms"]):
                self.run, best = run, variant
        return {"variants": found, "best": best}

    def try_variant(self, variant, shape, dtype):
        try:
            q, k, v = tensors.make(shape, dtype)
            copies = [(k.copy(), v.copy()) for _ in range(self.copies)]
            run = self.library.prepare(variant, shape, dtype, q.copy(), copies)
            del copies
            start = time.perf_counter()
            out = run(0)
            first = since(start)
            error = tensors.error(shape, q, k, v, self.library.to_numpy(out))
        except Exception as problem:  # whatever a library raises is its answer
            return {"refused": f"{type(problem).__name__}: {problem}".splitlines()[0][:300]}, None
        if not error <= tensors.BOUND[dtype]:
            return {"wrong": error}, None
        return {"error": error, "ms": 1e3 * self.look(run, first)}, run

    def repeat(self, request):
        for _ in range(request["warm"]):
            self.timed(self.run)
        return {"seconds": [self.timed(self.run) for _ in range(request["count"])]}

    def drop(self, _):
        self.run = None
        return {}


def main():
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    library, threads = peer.find(sys.argv[1]), int(sys.argv[2])

    def answer(content):
        print(json.dumps(content), file=answers, flush=True)

    try:
        library.load(threads)
        answer({"version": library.version()})
    except ImportError as problem:
        answer({"missing": str(problem).splitlines()[0]})
        return
    worker = Worker(library)
    for line in sys.stdin:
        request = json.loads(line)
        answer(getattr(worker, request["do"])(request))


if __name__ == "__main__":
    main()
