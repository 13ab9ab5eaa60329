# SPDX-License-Identifier: Apache-2.0
"""Summaries of heads and rollout, against their definitions on a matrix of weights."""

import unittest

import numpy as np
import oracle
import rapt
from test_attention import tensors

RNG = np.random.default_rng(11)


def expected_head(weights, offset):
    """The numbers of HeadSummary from one head's weights of causal attention."""
    rows = []
    for i, row in enumerate(weights):
        position = offset + i
        n = min(position + 1, len(row))
        if n < 2:
            continue
        row, key = row[:n], np.arange(n)
        entropy = -np.sum(row * np.log(np.where(row > 0, row, 1)))
        far = np.abs(position - key)
        rows.append(
            (
                entropy / np.log(2),
                1 - entropy / np.log(n),
                row @ far,
                far.mean(),
                row[position - 1],
                row[position],
                row[0],
            )
        )
    means = np.mean(rows, axis=0)
    means[3] = 1 - means[2] / means[3]
    return len(rows), means


class Summarize(unittest.TestCase):
    def test_definition(self):
        q, k, v = tensors(keys=19)
        q *= 3
        _, _, weights = oracle.attention(q, k, v, causal=True)
        found = rapt.summarize(q, k, v, causal=True)
        self.assertEqual((len(found), len(found[0])), (2, 6))
        for b in range(2):
            for h in range(6):
                head = found[b][h]
                queries, numbers = expected_head(weights[b, h], 0)
                self.assertEqual(head.queries, queries)
                values = (head.entropy, head.focus, head.distance, head.locality)
                values += (head.previous, head.self, head.first)
                np.testing.assert_allclose(values, numbers, atol=1e-5)
                self.assertIn(head.kind, ("previous", "self", "first", "local", "focused", "broad"))

    def test_kinds(self):
        plain = np.eye(16, dtype=np.float32)
        eye = 30 * plain

        def kind(q, k):
            [[head]] = rapt.summarize(q[None, None], k[None, None], eye[None, None], causal=True)
            return head.kind

        self.assertEqual(kind(eye, eye), "self")
        self.assertEqual(kind(eye, np.roll(eye, 1, 1)), "previous")
        self.assertEqual(kind(plain[:1] + 0 * eye, 9 * eye * plain[:, :1]), "first")
        self.assertEqual(kind(0 * eye, eye), "broad")

    def test_takes_attentions_inputs(self):
        q, k, v = tensors(keys=19)
        expected = rapt.summarize(q, k, v, causal=True, window=(5, 0))
        for layout in ("bshd",):
            turned = (x.swapaxes(1, 2) for x in (q, k, v))
            found = rapt.summarize(*turned, causal=True, window=(5, 0), layout=layout)
            self.assertEqual(found, expected)
        self.assertEqual(rapt.summarize(q[0], k[0], v[0], causal=True, window=(5, 0)), expected[:1])
        ragged = [x.transpose(1, 0, 2, 3).reshape(1, x.shape[1], 38, 20) for x in (q, k, v)]
        bounds = [0, 19, 38]
        both = {"cu_q": bounds, "cu_k": bounds}
        found = rapt.summarize(*ragged, **both, causal=True, window=(5, 0), threads=1)
        self.assertEqual(found, expected)
        self.assertEqual(rapt.summarize(q[:0], k[:0], v[:0]), [])

    def test_refuses(self):
        q, k, v = tensors()
        for options, text in (
            ({"causal": 1}, "^causal"),
            ({"window": 4}, "^window"),
            ({"kv_len": [1, 2, 3]}, "^kv_len"),
            ({"layout": "x"}, "^layout"),
        ):
            with self.assertRaisesRegex(rapt.Error, text):
                rapt.summarize(q, k, v, **options)
        with self.assertRaisesRegex(rapt.Error, "^k|key"):
            rapt.summarize(q, k[..., :3], v)
        for name in ("windows", "return_lse", "top_k", "out", "segments", "weights_kind"):
            with self.subTest(name), self.assertRaisesRegex(TypeError, rf"^summarize.*'{name}'$"):
                rapt.summarize(q, k, v, **{name: None})


class Rollout(unittest.TestCase):
    def weights(self, layers=3, batch=2, heads=4, tokens=9):
        rows = RNG.random((layers, batch, heads, tokens, tokens)).astype(np.float32)
        return rows / rows.sum(-1, keepdims=True)

    def expected(self, weights, residual):
        out = np.eye(weights.shape[-1])
        for layer in weights.astype(float):
            matrix = (1 - residual) * layer.mean(1) + residual * np.eye(weights.shape[-1])
            out = matrix / matrix.sum(-1, keepdims=True) @ out
        return out

    def test_definition(self):
        weights = self.weights()
        for residual in (0, 0.5, np.float32(0.25), 0.9):
            expected = self.expected(weights, float(residual))
            np.testing.assert_allclose(rapt.rollout(weights, residual), expected, atol=1e-6)
        one = rapt.rollout(list(weights))
        self.assertEqual(one.dtype, np.float32)
        np.testing.assert_array_equal(rapt.rollout(tuple(weights), threads=1), one)
        np.testing.assert_array_equal(rapt.rollout([layer[1] for layer in weights]), one[1])
        single = rapt.rollout([layer[0, 0] for layer in weights])
        np.testing.assert_allclose(single, self.expected(weights[:, :1, :1], 0.5)[0], atol=1e-6)

    def test_rows_of_no_sum(self):
        layer = np.float32([[1, 0, 0], [np.nan, 0.5, 0], [0, 0, 0]])
        found = rapt.rollout([layer, layer], 0)
        np.testing.assert_array_equal(found, [[1, 0, 0], [np.nan] * 3, [0, 0, 0]])
        np.testing.assert_array_equal(rapt.rollout([layer, layer])[2], [0, 0, 1])

    def test_refuses(self):
        weights = self.weights()
        for wrong, text, kind in (
            ([], "^weights: found no layer", rapt.InvalidArgument),
            (None, "^weights", rapt.InvalidType),
            ("ab", "^weights", rapt.InvalidType),
            ([3], r"^weights\[0\]", rapt.InvalidType),
            (weights.astype(np.float16), "^weights", rapt.InvalidArgument),
            ([weights[0], weights[1, :, :, :8, :8]], "^weights: shape", rapt.InvalidArgument),
            (weights[..., :8], "^weights", rapt.InvalidArgument),
            ([weights[0, 0, 0, 0]], "^weights.* 1 dim", rapt.InvalidArgument),
            ([weights], "^weights.* 5 dim", rapt.InvalidArgument),
        ):
            with self.assertRaisesRegex(kind, text):
                rapt.rollout(wrong)
        for wrong in (1, -0.1, float("nan"), 2):
            with self.assertRaisesRegex(rapt.InvalidArgument, "^residual"):
                rapt.rollout(weights, wrong)
        for wrong in ("0.5", None, True, [0.5]):
            with self.assertRaisesRegex(rapt.InvalidType, "^residual"):
                rapt.rollout(weights, wrong)
        with self.assertRaisesRegex(rapt.Error, "^threads"):
            rapt.rollout(weights, threads=-1)


if __name__ == "__main__":
    unittest.main()
