# SPDX-License-Identifier: Apache-2.0
"""Plans, and what the package says of the library."""

import threading
import unittest

import numpy as np
import rapt
from test_attention import tensors


class Plan(unittest.TestCase):
    def test_runs_again(self):
        q, k, v = tensors()
        plan = rapt.Plan(q, k, v, causal=True)
        first = plan.run()
        np.testing.assert_array_equal(first, rapt.attention(q, k, v, causal=True))
        q *= 2
        self.assertIs(plan.run(), first)
        np.testing.assert_array_equal(first, rapt.attention(q, k, v, causal=True))

    def test_other_tensors(self):
        q, k, v = tensors()
        plan = rapt.Plan(q, k, v, return_lse=True)
        others, out = tensors(), np.zeros_like(q)
        expected = rapt.attention(*others, return_lse=True)
        found = plan.run(*others, out=out)
        self.assertIs(found[0], out)
        for f, e in zip(found, expected):
            np.testing.assert_array_equal(f, e)
        found, _ = plan.run(k=others[1])
        np.testing.assert_array_equal(found, rapt.attention(q, others[1], v))
        np.testing.assert_array_equal(plan.run()[0], rapt.attention(q, k, v))

    def test_numbers_are_copied(self):
        q, k, v = tensors()
        lengths = np.array([5, 9])
        plan = rapt.Plan(q, k, v, kv_len=lengths)
        lengths[:] = 1
        np.testing.assert_array_equal(plan.run(), rapt.attention(q, k, v, kv_len=[5, 9]))

    def test_keeps_tensors(self):
        q, k, v = tensors(keys=4000, dim=64)
        expected = rapt.attention(q, k, v)
        plan = rapt.Plan(q.copy(), k.copy(), v.copy(), sinks=None)
        np.testing.assert_array_equal(plan.run(), expected)

    def test_other_forms_are_refused(self):
        q, k, v = tensors()
        plan = rapt.Plan(q, k, v)
        for other in (q[:1], q.astype(np.float16), np.repeat(q, 2, 3)[..., ::2]):
            with self.assertRaisesRegex(rapt.InvalidArgument, "query: found shape"):
                plan.run(other)
        with self.assertRaisesRegex(rapt.InvalidArgument, "out: its memory overlaps"):
            plan.run(out=q)

    def test_facts(self):
        q, k, v = tensors()
        plan = rapt.Plan(q, k, v, threads=1, isa="scalar")
        self.assertEqual((plan.threads, plan.isa), (1, "scalar"))
        self.assertGreater(plan.workspace_size, 0)

    def test_threads_of_python(self):
        q, k, v = tensors()
        plan, expected, failed = rapt.Plan(q, k, v), rapt.attention(q, k, v), []

        def work():
            out = np.zeros_like(q)
            for _ in range(20):
                plan.run(out=out)
                failed.extend([] if np.array_equal(out, expected) else [1])

        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.assertEqual(failed, [])


class Library(unittest.TestCase):
    def test_facts(self):
        self.assertRegex(rapt.__version__, r"^\d+\.\d+\.\d+$")
        best_first = [name for name in rapt.isas() if name != "amx"]  # which is the best for none
        self.assertEqual(best_first[-1], "scalar")
        self.assertEqual(rapt.isas()[: len(best_first)], best_first)


if __name__ == "__main__":
    unittest.main()
