# SPDX-License-Identifier: Apache-2.0
"""attention() against the oracle: every option, layouts and strides, types, errors."""

import itertools
import threading
import unittest

import numpy as np
import oracle
import rapt
from exporter import Described, Exported, bf16_of

RNG = np.random.default_rng(7)


def tensors(batch=2, q_heads=6, kv_heads=2, queries=19, keys=37, dim=20, value_dim=None):
    """Random q, k and v in float32."""
    shapes = (
        (batch, q_heads, queries, dim),
        (batch, kv_heads, keys, dim),
        (batch, kv_heads, keys, value_dim or dim),
    )
    return tuple(RNG.standard_normal(shape, np.float32) for shape in shapes)


def floats_mask():
    mask = RNG.standard_normal((2, 1, 19, 37)).astype(np.float32)
    mask[0, 0, 3] = -np.inf
    return mask


OPTIONS = {
    "scale": [{"scale": 0.3}],
    "causal": [{"causal": True}, {"causal": True, "q_offset": 18}],
    "q_offset": [{"causal": True, "q_offset": [-3, 18]}],
    "window": [
        {"window": (5, 2)},
        {"window": (4, -1), "q_offset": 9},
        {"window": (None, 3)},
        {"window": (7, 0), "causal": True, "q_offset": np.array([2, 11])},
    ],
    "mask": [
        {"mask": RNG.random((2, 6, 19, 37)) < 0.6},
        {"mask": RNG.random((19, 37)) < 0.6},
        {"mask": floats_mask()},
        {"mask": floats_mask().astype(np.float16)},
    ],
    "kv_len": [{"kv_len": 21}, {"kv_len": [0, 30]}],
    "kv_start": [{"kv_start": 5}, {"kv_start": [36, 2], "kv_len": [20, 30], "causal": True}],
    "alibi": [{"alibi": 2.0 ** -np.arange(1, 7)}, {"alibi": RNG.random((2, 6)), "q_offset": 18}],
    "sinks": [{"sinks": RNG.standard_normal(6)}, {"sinks": [[1, 2, 3, 4, 5, 6]]}],
    "softcap": [{"softcap": 1.5}],
}


class Attention(unittest.TestCase):
    def check(self, q, k, v, tolerance=2e-6, **options):
        expected = oracle.attention(q, k, v, **options)
        found = rapt.attention(q, k, v, return_lse=True, return_weights=True, **options)
        self.assertEqual(found[0].dtype, q.dtype)
        for f, e, name in zip(found, expected, ("out", "lse", "weights")):
            bound = tolerance if name == "out" else max(2e-6, tolerance / 100)
            np.testing.assert_allclose(f, e, rtol=bound, atol=bound, err_msg=f"{name} {options}")

    def test_options_alone(self):
        for options in itertools.chain.from_iterable(OPTIONS.values()):
            with self.subTest(options=list(options)):
                self.check(*tensors(), **options)

    def test_options_together(self):
        for a, b in itertools.combinations(OPTIONS.values(), 2):
            with self.subTest(options=[*a[-1], *b[-1]]):
                self.check(*tensors(), **{**a[-1], **b[-1]})

    def test_heads_and_sizes(self):
        for sizes in (
            {"kv_heads": 6},
            {"kv_heads": 1},
            {"value_dim": 7},
            {"batch": 1, "queries": 1, "keys": 1, "dim": 1},
            {"queries": 1, "keys": 700, "dim": 64},
        ):
            with self.subTest(**sizes):
                self.check(*tensors(**sizes), scale=0.2)

    def test_instruction_sets_agree(self):
        q, k, v = tensors()
        first, *others = (rapt.attention(q, k, v, isa=isa, threads=2) for isa in rapt.isas())
        for other in others:
            np.testing.assert_array_equal(first, other)

    def test_f16(self):
        q, k, v = (x.astype(np.float16) for x in tensors())
        self.check(q, k, v, tolerance=1e-3)
        self.check(q.astype(np.float32), k, v)

    def test_strides(self):
        q, k, v = tensors(kv_heads=6, queries=19, keys=19)
        expected = rapt.attention(q, k, v, causal=True)
        packed = np.stack([x.transpose(0, 2, 1, 3) for x in (q, k, v)], 2)  # (B, S, 3, H, D)
        views = [packed[:, :, i].transpose(0, 2, 1, 3) for i in range(3)]
        np.testing.assert_array_equal(rapt.attention(*views, causal=True), expected)
        mirrored = [x[:, :, ::-1, ::-1].copy()[:, :, ::-1, ::-1] for x in (q, k, v)]
        np.testing.assert_array_equal(rapt.attention(*mirrored, causal=True), expected)
        spread = [np.repeat(x, 2, 3)[..., ::2] for x in (q, k, v)]
        np.testing.assert_array_equal(rapt.attention(*spread, causal=True), expected)

    def test_layout(self):
        q, k, v = tensors()
        expected = rapt.attention(q, k, v)
        swapped = [np.ascontiguousarray(x.swapaxes(1, 2)) for x in (q, k, v)]
        out, lse = rapt.attention(*swapped, layout="bshd", return_lse=True)
        np.testing.assert_array_equal(out.swapaxes(1, 2), expected)
        self.assertEqual(lse.shape, (2, 6, 19))

    def test_out(self):
        q, k, v = tensors()
        memory = np.zeros((2, 19, 6, 20), np.float16)
        out = memory.swapaxes(1, 2)
        self.assertIs(rapt.attention(q, k, v, out=out), out)
        np.testing.assert_array_equal(out, rapt.attention(q, k, v).astype(np.float16))

    def test_nothing_to_attend(self):
        q, k, v = tensors()
        out, lse, weights = rapt.attention(
            q, k, v, kv_len=[0, 37], return_lse=True, return_weights=True
        )
        self.assertTrue((out[0] == 0).all() and (weights[0] == 0).all())
        self.assertTrue((lse[0] == -np.inf).all() and np.isfinite(lse[1]).all())

    def test_dlpack(self):
        q, k, v = tensors()
        expected = rapt.attention(q, k, v)
        np.testing.assert_array_equal(rapt.attention(*map(Exported, (q, k, v))), expected)
        out = np.zeros_like(q)
        rapt.attention(q, Exported(k), Described(v, 2, 32, skip=8), out=Exported(out))
        np.testing.assert_array_equal(out, expected)

    def test_dlpack_bf16(self):
        q, k, v = tensors()
        bits, values = bf16_of(k)
        found = rapt.attention(q, Described(bits, 4, 16, read_only=True), v)
        np.testing.assert_array_equal(found, rapt.attention(q, values, v))
        out = np.zeros(q.shape, np.uint16)
        rapt.attention(q, k, v, out=Described(out, 4, 16, read_only=False))
        np.testing.assert_array_equal(out, bf16_of(rapt.attention(q, k, v))[0])

    def test_threads_of_python(self):
        q, k, v = tensors()
        expected, found = rapt.attention(q, k, v), {}

        def work(n):
            found[n] = [rapt.attention(q, k, v, threads=1) for _ in range(20)]

        workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        for out in itertools.chain.from_iterable(found.values()):
            np.testing.assert_array_equal(out, expected)


class Optional(unittest.TestCase):
    """What only runs where the other package is there."""

    def test_torch(self):
        try:
            import torch
        except ImportError:
            self.skipTest("torch is not here")
        for dtype, bound in ((torch.float32, 2e-6), (torch.bfloat16, 2e-2)):
            q, k, v = (torch.from_numpy(x).to(dtype) for x in tensors())
            out, lse = rapt.attention(q, k, v, return_lse=True)
            self.assertEqual((out.dtype, lse.dtype), (dtype, torch.float32))
            expected = oracle.attention(*(x.float().numpy() for x in (q, k, v)))[0]
            np.testing.assert_allclose(out.float().numpy(), expected, rtol=bound, atol=bound)
        with self.assertRaisesRegex(rapt.InvalidArgument, "^q: "):
            rapt.attention(q.float().requires_grad_(), k, v)

    def test_ml_dtypes(self):
        try:
            import ml_dtypes
        except ImportError:
            self.skipTest("ml_dtypes is not here")
        q, k, v = (x.astype(ml_dtypes.bfloat16) for x in tensors())
        out = rapt.attention(q, k, v)
        self.assertEqual(out.dtype, ml_dtypes.bfloat16)
        expected = oracle.attention(*(x.astype(np.float32) for x in (q, k, v)))[0]
        np.testing.assert_allclose(out.astype(np.float32), expected, rtol=2e-2, atol=2e-2)


class Errors(unittest.TestCase):
    def refused(self, text, *arrays, kind=rapt.InvalidArgument, **options):
        with self.assertRaisesRegex(kind, text):
            rapt.attention(*(arrays or tensors()), **options)

    def test_arrays(self):
        q, k, v = tensors()
        self.refused("q: found dtype float64", q.astype(float), k, v)
        self.refused("k: found list", q, [1, 2], v)
        self.refused("v: found 3 dimensions, expected 4, as q has", q, k, v[0])
        self.refused("key: shape.1.", q, k[:, [0, 0, 0, 0]], v[:, [0, 0, 0, 0]])
        odd = np.zeros(q.nbytes + 64, np.uint8)
        odd = np.ndarray(q.shape, np.float32, odd, 0, (q.strides[0], q.strides[1], 81, 4))
        self.refused("q: found strides", odd, k, v)
        self.refused("big|>f4", q.astype(">f4"), k, v)

    def test_dlpack(self):
        q, k, v = tensors()
        self.refused("k: found a tensor on another device", q, Described(k, 2, 32, device=2), v)
        self.refused("k: found dtype int32", q, Described(k, 0, 32), v)
        self.refused("out: found a read-only", q, k, v, out=Described(q, 2, 32, read_only=True))

    def test_outputs(self):
        q, k, v = tensors()
        out = np.zeros_like(q)
        out.flags.writeable = False
        self.refused("out: found a read-only", q, k, v, out=out)
        self.refused("out: its memory overlaps", q, k, v, out=q)
        self.refused("out: shape.2.", q, k, v, out=np.zeros_like(q[:, :, :5]))

    def test_options(self):
        self.refused("layout: found 'sbhd'", layout="sbhd")
        self.refused("scale: found 0", scale=0)
        self.refused("scale: found nan", scale=float("nan"))
        self.refused("softcap", softcap=-1.0)
        self.refused("kv_len: found 3 numbers, expected 1 or 2", kv_len=[1, 2, 3])
        self.refused("kv_len", kv_len=38)
        self.refused("kv_start: found 3 numbers, expected 1 or 2", kv_start=[1, 2, 3])
        self.refused("kv_start", kv_start=-1)
        self.refused("mask: found 5 dimensions", mask=np.ones((1, 1, 1, 1, 1), bool))
        self.refused("mask: shape.3.", mask=np.ones((19, 36), bool))
        self.refused("alibi: found 0 dimensions", alibi=0.5)
        self.refused("sink: shape.1.", sinks=[1, 2])
        self.refused("threads", threads=-1)
        self.refused('isa: found "sse"', isa="sse", kind=rapt.IsaUnavailable)
        with self.assertRaises(TypeError):
            rapt.attention(*tensors(), casual=True)


if __name__ == "__main__":
    unittest.main()
