# SPDX-License-Identifier: Apache-2.0
"""Long calls that signals end, and calls in forked processes."""

import multiprocessing
import os
import signal
import threading
import unittest

import numpy as np

import rapt
from rapt import _calls

rng = np.random.default_rng(7)


def arrays(heads, tokens, channels):
    return [rng.standard_normal((1, heads, tokens, channels)).astype(np.float32) for _ in range(3)]


class Late(Exception):
    pass


class Signals(unittest.TestCase):
    def setUp(self):
        self.before = signal.signal(signal.SIGALRM, self.raise_late)
        self.long = _calls._LONG

    def tearDown(self):
        signal.signal(signal.SIGALRM, self.before)
        _calls._LONG = self.long

    def raise_late(self, number, frame):
        raise Late

    def ended(self, run):
        """Whether a signal ended a call that would have taken days."""
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with self.assertRaises(Late):
            run()

    def test_long_calls_are_ended(self):
        q = rng.standard_normal((1, 1, 1, 64)).astype(np.float32)
        one = np.lib.stride_tricks.as_strided(q, (1, 64, 1 << 20, 64), (256, 0, 0, 4))
        out = np.empty((1, 1, 1, 64), np.float32)
        del out
        queries = np.broadcast_to(q, (1, 64, 1 << 12, 64))
        keys = np.broadcast_to(one, (1, 64, 1 << 20, 64))
        self.ended(lambda: rapt.attention(queries, keys, keys))
        plan = rapt.Plan(queries, keys, keys, threads=2)
        self.ended(plan.run)
        self.ended(lambda: plan.run(q=queries))

    def test_a_plan_runs_again(self):
        _calls._LONG = 0  # all calls are long
        q, k, v = arrays(4, 70, 16)
        plan = rapt.Plan(q, k, v)
        expected = plan.run().copy()
        plan._problem.call._stop.set()  # as a signal does, but before the run
        plan.run()
        self.assertTrue(np.array_equal(plan.run(), expected))

    def test_errors_of_long_calls_are_raised(self):
        _calls._LONG = 0
        q, k, v = arrays(4, 70, 16)
        with self.assertRaises(rapt.InvalidArgument):
            rapt.attention(q, k, v, out=q)
        with self.assertRaises(rapt.IsaUnavailable):
            rapt.attention(q, k, v, isa="none")

    def test_other_threads_call_directly(self):
        _calls._LONG = 0
        q, k, v = arrays(2, 30, 8)
        results = []
        thread = threading.Thread(target=lambda: results.append(rapt.attention(q, k, v)))
        thread.start()
        thread.join()
        self.assertTrue(np.array_equal(results[0], rapt.attention(q, k, v)))


def compute(q, k, v):
    return rapt.attention(q, k, v, threads=4)


class Forks(unittest.TestCase):
    def child(self, work):
        """What work() returns in a forked process."""
        receive, send = multiprocessing.get_context("fork").Pipe(duplex=False)
        process = os.fork()
        if process == 0:
            signal.alarm(100)  # a hang ends so
            try:
                send.send(work())
            finally:
                os._exit(0)
        send.close()
        try:
            return receive.recv()
        finally:
            os.waitpid(process, 0)

    def test_children_compute(self):
        q, k, v = arrays(8, 300, 64)
        expected = compute(q, k, v)
        plan = rapt.Plan(q, k, v, threads=4)
        plan.run()
        self.assertTrue(np.array_equal(self.child(lambda: compute(q, k, v)), expected))
        self.assertTrue(np.array_equal(self.child(plan.run), expected))
        grandchild = self.child(lambda: self.child(plan.run))
        self.assertTrue(np.array_equal(grandchild, expected))
        self.assertTrue(np.array_equal(plan.run(), expected))

    def test_a_pool_of_processes(self):
        q, k, v = arrays(8, 200, 32)
        expected = compute(q, k, v)
        with multiprocessing.get_context("fork").Pool(3) as pool:
            for out in pool.starmap_async(compute, [(q, k, v)] * 6).get(100):
                self.assertTrue(np.array_equal(out, expected))

    def test_a_plan_that_another_thread_runs(self):
        q, k, v = arrays(4, 100, 16)
        plan = rapt.Plan(q, k, v)
        expected = plan.run().copy()
        with plan._lock:  # as a run of another thread has it
            self.assertTrue(np.array_equal(self.child(plan.run), expected))


if __name__ == "__main__":
    unittest.main()
