# SPDX-License-Identifier: Apache-2.0
"""Long calls that signals end, and calls in forked processes."""

import multiprocessing
import os
import signal
import threading
import time
import types
import unittest
import unittest.mock

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

    def send_when_asked(self, event):
        """What a call asks whether it is to end; the signal comes when it asks first."""

        def asked(context):
            if not self.sent:
                self.sent = True
                signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)
            return event.is_set()

        return asked

    def ended(self, run):
        """Whether a signal ended a call that would have taken minutes."""
        self.sent = False
        with self.assertRaises(Late):
            run()
        self.assertTrue(self.sent)

    def test_signals_come_while_the_thread_starts(self):
        start, done = threading.Thread.start, []
        call = _calls.Call(types.SimpleNamespace(), 2 * _calls._LONG)

        def work():
            done.append("begun")
            call._stop.wait()
            done.append("ended")

        def start_and_be_late(thread):
            start(thread)
            while begins and not done:
                time.sleep(0.001)
            raise Late

        def be_late(thread):
            raise Late

        for begins, starts in (True, start_and_be_late), (False, be_late):
            done.clear()
            with unittest.mock.patch.object(threading.Thread, "start", starts):
                with self.assertRaises(Late):
                    call.make(work)
            self.assertEqual(done, ["begun", "ended"] if begins else [])

    def test_without_threads_calls_are_direct(self):
        call = _calls.Call(types.SimpleNamespace(), 2 * _calls._LONG)
        made = []
        none = unittest.mock.patch.object(threading.Thread, "start", side_effect=RuntimeError)
        with none:
            call.make(lambda: made.append(threading.current_thread()))
            with self.assertRaises(ZeroDivisionError):
                call.make(lambda: 1 // 0)
        self.assertEqual(made, [threading.main_thread()])

    @unittest.mock.patch.object(_calls, "_stop_of")
    def test_long_calls_are_ended(self, stop_of):
        stop_of.side_effect = self.send_when_asked
        q = rng.standard_normal((1, 1, 1, 64)).astype(np.float32)
        one = np.lib.stride_tricks.as_strided(q, (1, 64, 1 << 17, 64), (256, 0, 0, 4))
        queries = np.broadcast_to(q, (1, 64, 1 << 12, 64))
        keys = np.broadcast_to(one, (1, 64, 1 << 17, 64))
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
