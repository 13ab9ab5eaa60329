# SPDX-License-Identifier: Apache-2.0
"""What caches, ropes, layers and the like return is of the kind that came in: torch's, and JAX's,
imitated."""

import sys
import types
import unittest
from unittest import mock

import numpy as np
import rapt
from exporter import Exported

try:
    import torch
except ImportError:
    torch = None

RNG = np.random.default_rng(4)


def random(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


class JaxArray(Exported):
    __module__ = "jaxlib._jax"


def results(kind):
    """Results of all calls, on arrays that `kind` makes of NumPy's."""
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(s).astype(np.float32) for s in ((1, 4, 3, 8), (1, 2, 5, 8))]
    q, k = map(kind, arrays)
    x, weight = kind(arrays[1][0]), kind(arrays[1][0, 0])
    cache = rapt.KVCache(2, 8, capacity=9, rope=rapt.Rope(4))
    cache.append(k, k)
    yield cache.attend(q, causal=True)
    yield from cache.attend(q, return_lse=True)
    yield rapt.Rope(4).apply(q)
    lse = kind(np.zeros((1, 4, 3), np.float32))
    yield from rapt.merge([q, q], [lse, lse])
    yield rapt.rollout([kind(np.full((1, 2, 3, 3), 1 / 3, np.float32))])
    yield rapt.linear(x, weight)
    yield rapt.embed([weight], [[1, 2]])
    layer = rapt.MultiHeadAttention.xavier(8, 2)
    yield from layer.run(x, return_weights=True)
    yield layer.run(x, return_weights="mean")[1]


class Kinds(unittest.TestCase):
    @unittest.skipUnless(torch, "no torch")
    def test_torch(self):
        for found, expected in zip(results(torch.from_numpy), results(np.asarray), strict=True):
            self.assertIsInstance(found, torch.Tensor)
            np.testing.assert_array_equal(found.numpy(), expected)

    @unittest.skipUnless(torch, "no torch")
    def test_torch_types(self):
        q, k = torch.randn(1, 4, 3, 8), torch.randn(1, 2, 5, 8)
        rope = rapt.Rope(8)
        for dtype in (torch.bfloat16, torch.float16):
            cache = rapt.KVCache(2, 8, capacity=9, dtype=dtype)
            cache.append(k, k)
            found = cache.attend(q.to(dtype))
            self.assertEqual(found.dtype, dtype)
            expected = rapt.attention(q.to(dtype), k.to(dtype), k.to(dtype))
            self.assertTrue(torch.equal(found, expected))
            turned = rope.apply(q.to(dtype))
            self.assertEqual(turned.dtype, dtype)
            self.assertTrue(torch.equal(turned, rope.apply(q.to(dtype).float()).to(dtype)))
        positions = torch.tensor([[3, 1, 4]])
        self.assertTrue(torch.equal(rope.apply(q, positions), rope.apply(q, [3, 1, 4])))

    @unittest.skipUnless(torch, "no torch")
    def test_tensors_without_numbers(self):
        from torch._subclasses.fake_tensor import FakeTensorMode

        q = torch.randn(1, 4, 3, 8)
        cache = rapt.KVCache(4, 8, capacity=9)
        cache.append(q, q)
        with FakeTensorMode():
            fake = torch.randn(1, 4, 3, 8)
        odd = [
            q.to("meta"),
            fake,
            torch.randn(1, 4, 3, 8, requires_grad=True),
            torch._neg_view(q),
            q.to_sparse(),
            q.double(),
        ]
        layer = rapt.MultiHeadAttention.xavier(8, 2)
        lse = torch.zeros(1, 4, 3)
        for wrong in odd:
            for call in (
                lambda: cache.append(wrong, wrong),
                lambda: cache.append(q, wrong),
                lambda: cache.attend(wrong),
                lambda: rapt.Rope(4).apply(wrong),
                lambda: rapt.Rope(4).apply(q, out=wrong),
                lambda: rapt.merge([q, wrong], [lse, lse]),
                lambda: rapt.rollout([wrong]),
                lambda: rapt.summarize(q, q, wrong),
                lambda: layer.run(wrong),
                lambda: layer.run(q[0], wrong),
                lambda: rapt.linear(wrong, q[0, 0]),
                lambda: rapt.embed([q[0, 0]], [[1]], out=wrong),
            ):
                with self.assertRaises(rapt.Error) as caught:
                    call()
                self.assertNotIn("dimensions", str(caught.exception))
        self.assertEqual(cache.lengths, [3])

    def test_jax(self):
        fake = types.SimpleNamespace(numpy=types.SimpleNamespace(array=JaxArray))
        with mock.patch.dict(sys.modules, jax=fake):
            found = list(results(JaxArray))
            with self.assertRaisesRegex(rapt.InvalidArgument, "^out: found a JAX array"):
                rapt.Rope(4).apply(random(1, 1, 2, 8), out=JaxArray(random(1, 1, 2, 8)))
        for one, expected in zip(found, results(np.asarray), strict=True):
            self.assertIsInstance(one, JaxArray)
            np.testing.assert_array_equal(one.array, expected)


if __name__ == "__main__":
    unittest.main()
