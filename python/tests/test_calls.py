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

    def send_when_asked(self, question):
        """What a call asks whether it is to end; the signal comes when it asks first."""

        def asked(call):
            is_stopped = question(call)

            def ask(context):
                if not self.sent:
                    self.sent = True
                    signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)
                return is_stopped(context)

            return ask

        return asked

    def ended(self, run):
        """Whether a signal ended a call that would have taken minutes."""
        self.sent = False
        with self.assertRaises(Late):
            run()
        self.assertTrue(self.sent)

    def test_signals_come_while_the_thread_starts(self):
        start, done = _calls._thread.start_new_thread, []
        call = _calls.Call(types.SimpleNamespace(), 2 * _calls._LONG)

        def work():
            done.append("begun")
            while not all(run.stop for run in call._runs.values()):
                time.sleep(0.001)
            done.append("ended")

        def start_and_be_late(function, arguments):
            start(function, arguments)
            while not done:
                time.sleep(0.001)
            raise Late

        def be_late(function, arguments):
            raise Late

        for begins, starts in (True, start_and_be_late), (False, be_late):
            done.clear()
            with unittest.mock.patch.object(_calls._thread, "start_new_thread", starts):
                with self.assertRaises(Late):
                    call.make(work)
            self.assertEqual(done, ["begun", "ended"] if begins else [])

    def test_without_threads_calls_are_direct(self):
        call = _calls.Call(types.SimpleNamespace(), 2 * _calls._LONG)
        made = []
        none = unittest.mock.patch.object(
            _calls._thread, "start_new_thread", side_effect=RuntimeError
        )
        with none:
            call.make(lambda: made.append(threading.current_thread()))
            with self.assertRaises(ZeroDivisionError):
                call.make(lambda: 1 // 0)
        self.assertEqual(made, [threading.main_thread()])

    def test_long_calls_are_ended(self):
        asked = unittest.mock.patch.object(
            _calls, "_question", self.send_when_asked(_calls._question)
        )
        q = rng.standard_normal((1, 1, 1, 64)).astype(np.float32)
        one = np.lib.stride_tricks.as_strided(q, (1, 64, 1 << 17, 64), (256, 0, 0, 4))
        queries = np.broadcast_to(q, (1, 64, 1 << 12, 64))
        keys = np.broadcast_to(one, (1, 64, 1 << 17, 64))
        with asked:
            self.ended(lambda: rapt.attention(queries, keys, keys))
            plan = rapt.Plan(queries, keys, keys, threads=2)
            self.ended(plan.run)
            self.ended(lambda: plan.run(q=queries))

    def storm(self, run):
        """Many signals during a run, until one has come through."""
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.01, 5e-5)
                run()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except Late:
            pass

    def end_of_signals(self):
        """No handler runs from here on, also not for a signal that another thread has taken."""
        while True:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, signal.SIG_IGN)
                break
            except Late:
                pass

    def test_many_signals_leave_a_plan_whole(self):
        _calls._LONG = 0
        q, k, v = arrays(8, 600, 64)
        plan = rapt.Plan(q, k, v)
        expected = plan.run().copy()
        for _ in range(15):
            for run in plan.run, lambda: plan.run(q=q):
                while True:
                    try:
                        self.storm(run)
                        break
                    except Late:
                        pass
            self.end_of_signals()
            self.assertTrue(np.array_equal(plan.run(), expected))
            signal.signal(signal.SIGALRM, self.raise_late)

    def test_handlers_may_run_the_plan(self):
        q, k, v = arrays(4, 70, 16)
        for long in self.long, 0:
            _calls._LONG = long
            plan = rapt.Plan(q, k, v)
            expected = plan.run().copy()
            results = []
            own = plan._run

            def run_again(number, frame):
                plan._run = own
                results.append(plan.run().copy())

            def send_and_run(*arguments):
                signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)
                own(*arguments)

            signal.signal(signal.SIGALRM, run_again)
            plan._run = send_and_run
            plan.run()
            while not results:
                time.sleep(0.001)
            self.assertTrue(all(np.array_equal(result, expected) for result in results))

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
        with plan._turns.lock:  # as a run of another thread has it
            self.assertTrue(np.array_equal(self.child(plan.run), expected))


if __name__ == "__main__":
    unittest.main()
