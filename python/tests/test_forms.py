# SPDX-License-Identifier: Apache-2.0
"""Plans kept by form: what is one form, and that a kept plan has a fresh one's results."""

import sys
import threading
import unittest
from unittest import mock

import numpy as np
import oracle
import rapt
from rapt import _attention, _forms
from test_attention import tensors


class Forms(unittest.TestCase):
    def setUp(self):
        _forms._own.forms.clear()

    def made(self):
        return len(_forms._own.forms)

    def test_one_form(self):
        for _ in range(3):
            q, k, v = tensors()
            first = rapt.attention(q, k, v, scale=0.5, window=(3, 1))
            np.testing.assert_array_equal(first, rapt.Plan(q, k, v, scale=0.5, window=[3, 1]).run())
        rapt.attention(q, k, v, scale=np.float32(0.5), window=np.array([3, 1]))
        self.assertEqual(self.made(), 1)

    def test_a_form_seen_before_is_not_looked_into(self):
        q, k, v = tensors()
        options = {"causal": True, "window": (3, 1), "return_lse": True, "threads": 1}
        expected = rapt.attention(q, k, v, kv_len=20, **options)
        with mock.patch.object(_forms._problem, "Problem", side_effect=AssertionError):
            found = rapt.attention(q, k, v, kv_len=20, **options)
            with mock.patch.object(_attention, "canonical", side_effect=AssertionError):
                rapt.attention(q, k, v, kv_len=21, **options)
        np.testing.assert_array_equal(found.out, expected.out)

    def test_numbers_are_no_part_of_it(self):
        q, k, v = tensors(queries=1, keys=40)
        for length in range(1, 41):
            options = {"kv_len": length, "q_offset": length - 1, "causal": True}
            found = rapt.attention(q, k, v, **options)
            np.testing.assert_array_equal(found, rapt.Plan(q, k, v, **options).run())
        self.assertEqual(self.made(), 1)
        with self.assertRaisesRegex(rapt.InvalidArgument, "kv_len.*41"):
            rapt.attention(q, k, v, kv_len=41, q_offset=0, causal=True)
        found = rapt.attention(q, k, v, kv_len=[3, 9], q_offset=[1, 2], causal=True, kv_start=1)
        plan = rapt.Plan(q, k, v, kv_len=[3, 9], q_offset=[1, 2], causal=True, kv_start=1)
        np.testing.assert_array_equal(found, plan.run())

    def test_no_numbers_are_no_numbers(self):
        q, k, v = tensors(batch=64, queries=3, keys=9)
        for options in ({"causal": True}, {"window": (1, 1)}):
            expected, _, _ = oracle.attention(q, k, v, **options)
            np.testing.assert_allclose(rapt.attention(q, k, v, **options), expected, atol=2e-6)

    def test_tables_are_no_part_of_it(self):
        q, k, v = tensors(batch=1, kv_heads=2, keys=12)
        pages = [np.ascontiguousarray(x.reshape(2, 3, 4, -1).swapaxes(0, 1)) for x in (k, v)]
        for table in ([[0, 1, 2]], np.array([[2, 0, 1]]), np.array([[1, 2, 0]], np.int8)):
            rows = np.ravel(table)
            order = [x.reshape(1, 2, 3, 4, -1)[:, :, rows].reshape(1, 2, 12, -1) for x in (k, v)]
            for length in (12, 5):
                found = rapt.attention(q, *pages, kv_len=length, block_table=table)
                np.testing.assert_array_equal(found, rapt.attention(q, *order, kv_len=length))
        with self.assertRaisesRegex(rapt.InvalidArgument, "block_table.*3"):
            rapt.attention(q, *pages, kv_len=12, block_table=[[0, 1, 3]])

    def test_equal_values_of_other_types(self):
        """1 is no flag, and stays none when True has been seen."""
        q, k, v = tensors()
        rapt.attention(q, k, v, causal=True, window=(4, 0), threads=1, return_lse=True)
        for wrong in (
            {"causal": 1},
            {"causal": np.int64(1)},
            {"return_lse": 1},
            {"window": (4.0, 0)},
            {"threads": True},
            {"threads": 1.0},
        ):
            options = {"causal": True, "window": (4, 0), "threads": 1, "return_lse": True, **wrong}
            with self.assertRaises(rapt.InvalidType):
                rapt.attention(q, k, v, **options)

    def test_each_part_counts(self):
        q, k, v = tensors()
        options = [
            {},
            {"causal": True},
            {"scale": 0.5},
            {"softcap": 2.0},
            {"window": (2, 2)},
            {"window": (2, 3)},
            {"mask": np.ones((19, 37), bool)},
            {"mask": np.zeros((19, 37), np.float32)},
            {"mask": np.ones((1, 37), bool)},
            {"sinks": np.zeros(6)},
            {"alibi": np.zeros(6)},
            {"sinks": np.zeros((2, 6))},
            {"kv_len": 5},
            {"kv_start": 5},
            {"q_offset": 5},
            {"isa": "scalar"},
            {"threads": 1},
            {"segments": [0, 3]},
            {"segments": [0, 4]},
            {"diagonals": [0]},
            {"diagonals": [1]},
            {"top_k": 1},
            {"return_weights": True},
            {"return_weights": True, "weights_kind": "masked"},
            {"out": np.zeros(q.shape, np.float16)},
            {"out": np.zeros_like(q)},
        ]
        for n, option in enumerate(options):
            rapt.attention(q, k, v, **option)
            self.assertEqual(self.made(), n + 1, option)
        for arrays in (
            (q.astype(np.float16), k, v),
            (np.asfortranarray(q), k, v),
            (q, k[:, :, :30], v[:, :, :30]),
        ):
            n = self.made()
            rapt.attention(*arrays)
            self.assertEqual(self.made(), n + 1)

    def test_failures_keep_nothing(self):
        q, k, v = tensors()
        for wrong in ({"scale": -1}, {"isa": "none"}, {"sinks": [1]}, {"out": q[:1].copy()}):
            with self.assertRaises(rapt.Error):
                rapt.attention(q, k, v, **wrong)
        self.assertEqual(self.made(), 0)

    def test_there_is_an_end(self):
        q, k, v = tensors()
        with mock.patch.object(_forms, "_MOST", 4):
            for n in range(20):
                found = rapt.attention(q, k[:, :, : n + 1], v[:, :, : n + 1])
                self.assertLessEqual(self.made(), 4)
        np.testing.assert_array_equal(found, rapt.Plan(q, k[:, :, :20], v[:, :, :20]).run())

    def test_results_are_new(self):
        q, k, v = tensors()
        first = rapt.attention(q, k, v)
        copy = first.copy()
        rapt.attention(-q, k, v)
        np.testing.assert_array_equal(first, copy)

    def test_each_thread_has_its_own(self):
        q, k, v = tensors()
        expected, found, made = rapt.attention(q, k, v), [], []

        def work():
            for _ in range(50):
                found.append(rapt.attention(q, k, v, threads=1))
            made.append(self.made())

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(made, [1] * 4)
        for out in found:
            np.testing.assert_array_equal(out, expected)

    def test_arrays_are_let_go(self):
        q, k, v = tensors()
        before = [sys.getrefcount(x) for x in (q, k, v)]
        rapt.attention(q, k, v)
        self.assertEqual([sys.getrefcount(x) for x in (q, k, v)], before)


if __name__ == "__main__":
    unittest.main()
