# SPDX-License-Identifier: Apache-2.0
"""Every output and input of attention() beside those of test_attention, against definitions."""

import unittest
from unittest import mock

import numpy as np
import oracle
import rapt
from rapt import _calls, _forms
from test_attention import RNG, tensors


def close(found, expected, bound=3e-6):
    np.testing.assert_allclose(found, expected, rtol=bound, atol=bound)


class Outputs(unittest.TestCase):
    OPTIONS = {"causal": True, "q_offset": 18, "kv_len": [30, 37]}

    def setUp(self):
        self.arrays = tensors()
        _, self.lse, self.weights = oracle.attention(*self.arrays, **self.OPTIONS)
        self.positions = 18 + np.arange(19)[:, None]
        self.keys = np.arange(37)

    def ask(self, **options):
        return rapt.attention(*self.arrays, **self.OPTIONS, **options)

    def test_numbers_of_rows(self):
        found = self.ask(return_entropy=True, return_distance=True, return_max=True)
        logs = np.log(self.weights, out=np.zeros_like(self.weights), where=self.weights > 0)
        close(found.entropy, -(self.weights * logs).sum(3))
        close(found.distance, (self.weights * abs(self.positions - self.keys)).sum(3), 1e-5)
        close(found.max, np.log(self.weights.max(3)) + self.lse)
        self.assertEqual(len(found), 4)
        np.testing.assert_array_equal(found[0], self.ask())

    def test_largest(self):
        found = self.ask(top_k=40)
        order = np.argsort(-self.weights, 3, kind="stable")
        expected = np.take_along_axis(self.weights, order, 3)
        close(found.top_weight[..., :37], expected)
        self.assertEqual(found.top_key.dtype, np.int32)
        there = expected > 0
        np.testing.assert_array_equal(found.top_key[..., :37][there], order[there])
        self.assertTrue((found.top_key[..., :37][~there] == -1).all())
        self.assertTrue((found.top_key[..., 37:] == -1).all())

    def test_places(self):
        found = self.ask(segments=[0, 3, 3, 20, 99], diagonals=(0, -1, -18, 2))
        for i, (first, end) in enumerate([(0, 3), (3, 3), (3, 20), (20, 37)]):
            close(found.segments[..., i], self.weights[..., first:end].sum(3))
        for i, offset in enumerate((0, -1, -18, 2)):
            at = self.positions + offset == self.keys
            close(found.diagonals[..., i], (self.weights * at).sum(3))

    def test_received(self):
        close(self.ask(return_received=True).received, self.weights.sum(2), 1e-5)

    def test_kinds_of_weights(self):
        q, k, v = self.arrays
        scaled = np.einsum("bhqd,bhkd->bhqk", q, np.repeat(k, 3, 1).astype(float)) * 0.2
        capped = 3 * np.tanh(scaled / 3)
        masked = np.where(np.tri(19, 37, dtype=bool), capped, -np.inf)
        for kind, expected in ("scaled", scaled), ("capped", capped), ("masked", masked):
            found = rapt.attention(
                q,
                k,
                v,
                scale=0.2,
                softcap=3,
                causal=True,
                return_weights=True,
                weights_kind=kind,
            )
            close(found.weights, expected, 1e-5)
        with self.assertRaisesRegex(rapt.InvalidArgument, 'weights_kind: found .* "masked"'):
            rapt.attention(q, k, v, weights_kind="raw")

    ALL = {
        "return_received": True,
        "return_lse": True,
        "return_weights": True,
        "top_k": 2,
        "diagonals": [0],
        "segments": [0, 1],
        "return_entropy": True,
        "return_distance": True,
        "return_max": True,
    }

    def test_order_and_names(self):
        found = self.ask(**self.ALL)
        names = (
            "out lse max weights entropy top_weight top_key distance segments diagonals received"
        ).split()
        self.assertEqual(list(vars(found)), names)
        for value, name in zip(found, names):
            self.assertIs(value, getattr(found, name))
        self.assertIn("received", repr(found))
        with self.assertRaises(AttributeError):
            self.ask(return_lse=True).entropy

    def test_all_ways_give_all(self):
        expected = self.ask(**self.ALL)
        plan = rapt.Plan(*self.arrays, **self.OPTIONS, **self.ALL)
        out = np.zeros_like(self.arrays[0])
        with mock.patch.object(_calls, "_LONG", 0):
            _forms._own.forms.clear()
            alone = self.ask(**self.ALL)
        for found in plan.run(), plan.run(out=out), alone, self.ask(out=out, **self.ALL):
            self.assertEqual(list(vars(found)), list(vars(expected)))
            for f, e in zip(found, expected):
                np.testing.assert_array_equal(f, e)

    def test_lists_that_say_nothing(self):
        for name, wrong in (
            ("segments", [3]),
            ("segments", 5),
            ("segments", [3, 2]),
            ("segments", [0, 1.5]),
            ("diagonals", []),
            ("diagonals", "0"),
            ("diagonals", [2**21]),
            ("top_k", -1),
            ("top_k", 1025),
            ("top_k", True),
        ):
            with self.assertRaises(rapt.InvalidArgument):
                self.ask(**{name: wrong})


class Ranks(unittest.TestCase):
    """Arrays without the first dimensions are those of one batch, of one head."""

    FLAGS = {"return_lse": True, "return_weights": True, "top_k": 3, "return_received": True}

    def test_fewer_dimensions(self):
        q, k, v = tensors(batch=1, q_heads=1, kv_heads=1)
        full = rapt.attention(q, k, v, **self.FLAGS)
        for dropped in (1, 2):
            index = (0,) * dropped
            found = rapt.attention(q[index], k[index], v[index], **self.FLAGS)
            for f, e in zip(found, full):
                np.testing.assert_array_equal(f, e[index])

    def test_layout(self):
        q, k, v = (x[0] for x in tensors(batch=1))
        expected = rapt.attention(q, k, v)
        swapped = [np.ascontiguousarray(x.swapaxes(0, 1)) for x in (q, k, v)]
        found, lse = rapt.attention(*swapped, layout="bshd", return_lse=True)
        np.testing.assert_array_equal(found.swapaxes(0, 1), expected)
        self.assertEqual(lse.shape, q.shape[:2])
        mask = np.tri(19, 37, dtype=bool)
        flat = rapt.attention(q[0], k[0], v[0], layout="bshd", mask=mask)
        np.testing.assert_array_equal(flat, rapt.attention(q[:1], k[:1], v[:1], mask=mask)[0])

    def test_out(self):
        q, k, v = (x[0, 0] for x in tensors(q_heads=2))
        out = np.zeros_like(q)
        self.assertIs(rapt.attention(q, k, v, out=out), out)
        np.testing.assert_array_equal(out, rapt.attention(q, k, v))

    def test_what_does_not_fit(self):
        q, k, v = tensors()
        for arrays in ((q[0], k, v), (q, k[0], v), (q[0, 0], k[0, 0], v[0]), (q[None],) * 3):
            with self.assertRaisesRegex(rapt.InvalidArgument, "dimensions, expected"):
                rapt.attention(*arrays)
        with self.assertRaisesRegex(rapt.InvalidArgument, "q: found 1 dim"):
            rapt.attention(q[0, 0, 0], k[0, 0, 0], v[0, 0, 0])


class Ragged(unittest.TestCase):
    LENGTHS = [(5, 9), (0, 3), (7, 7), (7, 1)]

    def test_sequences(self):
        cu_q = np.cumsum([0] + [q for q, _ in self.LENGTHS])
        cu_k = [0, 9, 12, 19, 20]
        q, _, _ = tensors(batch=1, queries=19)
        _, k, v = tensors(batch=1, keys=20)
        found = rapt.attention(
            q, k, v, cu_q=cu_q, cu_k=cu_k, causal=True, return_received=True, return_lse=True
        )
        self.assertEqual(found.received.shape, (4, 6, 9))
        for b, (queries, keys) in enumerate(self.LENGTHS):
            rows, columns = slice(cu_q[b], cu_q[b + 1]), slice(cu_k[b], cu_k[b + 1])
            alone = rapt.attention(
                q[:, :, rows],
                k[:, :, columns],
                v[:, :, columns],
                causal=True,
                return_received=True,
                return_lse=True,
            )
            np.testing.assert_array_equal(found.out[:, :, rows], alone.out)
            np.testing.assert_array_equal(found.lse[:, :, rows], alone.lse)
            np.testing.assert_array_equal(found.received[b, :, :keys], alone.received[0])

    def test_bounds_are_part_of_the_form(self):
        q, k, v = tensors(batch=1, queries=8, keys=8)
        for cu in ([0, 3, 8], [0, 5, 8]):
            found = rapt.attention(q, k, v, cu_q=cu, cu_k=cu)
            last = rapt.attention(q[:, :, cu[1] :], k[:, :, cu[1] :], v[:, :, cu[1] :])
            np.testing.assert_array_equal(found[:, :, cu[1] :], last)

    def test_mask_start(self):
        q, k, v = tensors(queries=4, keys=12)
        tree = RNG.random((4, 4)) < 0.5
        mask = np.concatenate([np.ones((4, 8), bool), tree], 1)
        for start in (8, [8, 8]):
            found = rapt.attention(q, k, v, mask=tree, mask_start=start)
            np.testing.assert_array_equal(found, rapt.attention(q, k, v, mask=mask))


class Quantized(unittest.TestCase):
    def test_int8(self):
        q, k, v = tensors()
        stored, dense = {}, {}
        for name, array in ("key", k), ("value", v):
            scale = abs(array).max(3) / 127
            whole = np.rint(array / scale[..., None]).astype(np.int8)
            stored[name] = whole, scale.astype(np.float32)
            dense[name] = whole * stored[name][1][..., None].astype(float)
        found = rapt.attention(
            q,
            stored["key"][0],
            stored["value"][0],
            key_scale=stored["key"][1],
            value_scale=stored["value"][1],
        )
        close(found, oracle.attention(q, dense["key"], dense["value"])[0])
        swapped = [x[0].swapaxes(1, 2) for x in stored.values()]
        again = rapt.attention(
            q.swapaxes(1, 2),
            *swapped,
            layout="bshd",
            key_scale=stored["key"][1].swapaxes(1, 2),
            value_scale=stored["value"][1].swapaxes(1, 2),
        )
        np.testing.assert_array_equal(again.swapaxes(1, 2), found)
        with self.assertRaisesRegex(rapt.InvalidArgument, "key_scale"):
            rapt.attention(q, stored["key"][0], v)

    @staticmethod
    def blocks(array):
        """q8_0: a scale in f16 and 32 whole numbers, in 34 bytes; and what they stand for."""
        parts = array.reshape(*array.shape[:-1], -1, 32)
        scale = (abs(parts).max(-1, keepdims=True) / 127).astype(np.float16)
        whole = np.rint(parts / scale.astype(np.float32)).clip(-127, 127).astype(np.int8)
        data = np.concatenate([scale.view(np.uint8), whole.view(np.uint8)], -1)
        stands_for = whole * scale.astype(float)
        return data.reshape(*array.shape[:-1], -1), stands_for.reshape(array.shape)

    def test_q8_0(self):
        q, k, v = tensors(dim=64, value_dim=32)
        (k8, k_dense), (v8, v_dense) = self.blocks(k), self.blocks(v)
        close(rapt.attention(q, k8, v8), oracle.attention(q, k_dense, v_dense)[0], 1e-5)
        spread = np.zeros((2, 37, 3, 68), np.uint8)
        spread[:, :, :2] = k8.swapaxes(1, 2)
        view = spread[:, :, :2].swapaxes(1, 2)
        np.testing.assert_array_equal(rapt.attention(q, view, v8), rapt.attention(q, k8, v8))
        for wrong in (k8[..., :60], k8[..., ::2], np.zeros((2, 2, 37, 68, 2), np.uint8)[..., 0]):
            with self.assertRaisesRegex(rapt.InvalidArgument, "blocks of q8_0"):
                rapt.attention(q, wrong, v8)
        with self.assertRaisesRegex(rapt.InvalidArgument, "q: found dtype uint8"):
            rapt.attention(k8, k8, v8)


class Convert(unittest.TestCase):
    def test_what_is_asked_for(self):
        q, k, v = tensors()
        expected = rapt.attention(q, k, v, mask=np.tri(19, 37, dtype=bool))
        found = rapt.attention(
            q.astype(float), k, v, mask=np.tri(19, 37).astype(">i4"), convert=True
        )
        self.assertEqual(found.dtype, np.float32)
        np.testing.assert_array_equal(found, expected)
        with self.assertRaisesRegex(rapt.InvalidArgument, "q: found dtype float64.*convert=True"):
            rapt.attention(q.astype(float), k, v)
        with self.assertRaisesRegex(rapt.InvalidArgument, "mask: found dtype int64.*convert=True"):
            rapt.attention(q, k, v, mask=np.tri(19, 37, dtype=int))
        whole = (q * 3).astype(int)
        np.testing.assert_array_equal(
            rapt.attention(whole, k, v, convert=True),
            rapt.attention(whole.astype(np.float32), k, v),
        )
        bias = RNG.standard_normal((19, 37))
        plan = rapt.Plan(q, k, v, mask=bias, convert=True)
        np.testing.assert_array_equal(
            plan.run(), rapt.attention(q, k, v, mask=bias.astype(np.float32))
        )

    def test_what_is_not(self):
        q, k, v = tensors()
        for wrong in (q.astype(complex), q > 0, q.astype("M8[s]"), list(q)):
            with self.assertRaises(rapt.InvalidArgument):
                rapt.attention(wrong, k, v, convert=True)
        with self.assertRaisesRegex(rapt.InvalidArgument, "key_scale"):
            rapt.attention(q, k.astype(np.int8), v, convert=True)


if __name__ == "__main__":
    unittest.main()
