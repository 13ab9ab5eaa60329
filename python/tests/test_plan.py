# SPDX-License-Identifier: Apache-2.0
"""Plans, and what the package says of the library."""

import threading
import unittest
from unittest import mock

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

    def test_one_plan_for_all_tokens(self):
        q, k, v = tensors(keys=700, dim=64)
        batch, _, queries, _ = q.shape
        plan = rapt.Plan(q, k, v, causal=True, kv_len=700, q_offset=700 - queries)
        for length in (queries, 191, 192, 193, 500, 700):
            numbers = {"kv_len": length, "kv_start": length // 3, "q_offset": length - queries}
            expected = rapt.attention(q, k, v, causal=True, **numbers)
            np.testing.assert_array_equal(plan.run(**numbers), expected)
        numbers = {"kv_len": list(range(650, 650 + batch)), "q_offset": np.arange(batch) + 600}
        expected = rapt.attention(q, k, v, causal=True, **numbers)
        np.testing.assert_array_equal(plan.run(k=k.copy(), **numbers), expected)
        np.testing.assert_array_equal(
            plan.run(), rapt.attention(q, k, v, causal=True, q_offset=700 - queries)
        )
        with self.assertRaisesRegex(rapt.InvalidArgument, "kv_len.*701"):
            plan.run(kv_len=701)
        with self.assertRaisesRegex(rapt.InvalidArgument, "q_offset"):
            plan.run(q_offset=[0] * (batch + 1))
        with self.assertRaisesRegex(rapt.InvalidArgument, "block_table"):
            plan.run(block_table=np.zeros((batch, 3), int))

    def test_pages(self):
        q, k, v = tensors(keys=60)
        batch, heads, _, channels = k.shape
        table = np.arange(4 * batch)[::-1].reshape(batch, 4)
        pools = []
        for dense in (k, v):
            pages = dense.reshape(batch, heads, 4, 15, channels).transpose(0, 2, 1, 3, 4)
            pools.append(np.ascontiguousarray(pages.reshape(4 * batch, heads, 15, channels)[::-1]))
        found = rapt.attention(q, *pools, kv_len=60, block_table=table)
        np.testing.assert_array_equal(found, rapt.attention(q, k, v))
        plan = rapt.Plan(q, *pools, kv_len=60, block_table=np.zeros_like(table))
        for length in (1, 15, 16, 59, 60):
            table[:, (length + 14) // 15 :] = -1
            found = plan.run(kv_len=length, block_table=table)
            np.testing.assert_array_equal(found, rapt.attention(q, k, v, kv_len=length))
            table = np.arange(4 * batch)[::-1].reshape(batch, 4).copy()
        for bad in (table[:, :3], table.astype(float), table[0], table + 2**32):
            with self.assertRaisesRegex(rapt.InvalidArgument, "block_table"):
                plan.run(block_table=bad)
        with self.assertRaisesRegex(rapt.InvalidArgument, "block_table.*-1"):
            plan.run(block_table=-np.ones_like(table))
        with self.assertRaisesRegex(rapt.InvalidArgument, "kv_len"):
            rapt.attention(q, *pools, block_table=table)

    def test_keeps_tensors(self):
        q, k, v = tensors(keys=4000, dim=64)
        expected = rapt.attention(q, k, v)
        plan = rapt.Plan(q.copy(), k.copy(), v.copy(), sinks=None)
        np.testing.assert_array_equal(plan.run(), expected)

    def test_other_forms_are_refused(self):
        q, k, v = tensors()
        plan = rapt.Plan(q, k, v)
        for other in (q[:1], q.astype(np.float16), np.repeat(q, 2, 3)[..., ::2]):
            with self.assertRaisesRegex(rapt.InvalidArgument, "q: found shape"):
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

    def test_who_takes_turns(self):
        """Runs that write what the plan owns; all others go side by side."""
        q, k, v = tensors()
        out = np.zeros_like(q)
        for options, given, turns in (
            ({}, {}, 1),
            ({}, {"out": out}, 0),
            ({"return_lse": True}, {"out": out}, 1),
        ):
            plan = rapt.Plan(q, k, v, **options)
            plan._turns = mock.Mock(lock=mock.MagicMock())
            plan.run(**given)
            self.assertEqual(plan._turns.lock.__enter__.call_count, turns)


class Library(unittest.TestCase):
    def test_facts(self):
        self.assertRegex(rapt.__version__, r"^\d+\.\d+\.\d+$")
        best_first = [name for name in rapt.isas() if name != "amx"]  # which is the best for none
        self.assertEqual(best_first[-1], "scalar")
        self.assertEqual(rapt.isas()[: len(best_first)], best_first)


if __name__ == "__main__":
    unittest.main()
