# SPDX-License-Identifier: Apache-2.0
"""attention() on torch's tensors: what is read where it lies, and what is refused."""

import unittest
import warnings

import numpy as np
import rapt
from test_attention import tensors

try:
    import torch
except ImportError:
    torch = None


@unittest.skipUnless(torch, "torch is not here")
class Tensors(unittest.TestCase):
    def setUp(self):
        self.arrays = tensors()
        self.expected = rapt.attention(*self.arrays, causal=True)
        self.q, self.k, self.v = map(torch.from_numpy, self.arrays)

    def same(self, found):
        np.testing.assert_array_equal(found.numpy(), self.expected)

    def refused(self, text, *arrays, **options):
        for call in rapt.attention, lambda *args, **named: rapt.Plan(*args, **named).run():
            with self.assertRaisesRegex(rapt.InvalidArgument, text):
                call(*(arrays or (self.q, self.k, self.v)), **options)

    def test_results_are_tensors(self):
        found = rapt.attention(
            self.q, self.k, self.v, causal=True, return_lse=True, top_k=2, return_received=True
        )
        self.same(found.out)
        self.assertEqual(found.top_key.dtype, torch.int32)
        self.assertEqual(found.lse.dtype, torch.float32)

    def test_out_has_the_order_of_q(self):
        """What a model's projections leave goes on without a copy."""
        rows = [x.transpose(1, 2).contiguous() for x in (self.q, self.k, self.v)]
        found = rapt.attention(*(x.transpose(1, 2) for x in rows), causal=True)
        self.same(found)
        self.assertTrue(found.transpose(1, 2).is_contiguous())

    def test_types(self):
        for dtype in torch.float16, torch.bfloat16:
            q, k, v = (x.to(dtype) for x in (self.q, self.k, self.v))
            found = rapt.attention(q, k, v, causal=True)
            self.assertEqual(found.dtype, dtype)
            full = rapt.attention(q.float(), k.float(), v.float(), causal=True)
            self.assertTrue(torch.equal(found, full.to(dtype)))
        q = torch.randn(1, 2, 3, 8, dtype=torch.bfloat16)
        slopes = torch.nn.Parameter(torch.randn(2, dtype=torch.bfloat16))
        self.assertTrue(
            torch.equal(
                rapt.attention(q, q, q, sinks=slopes),
                rapt.attention(q, q, q, sinks=slopes.tolist()),
            )
        )

    def test_views(self):
        wide = torch.stack([self.q] * 2, -1)[..., 1]
        self.same(rapt.attention(wide, self.k, self.v, causal=True))
        shared = self.k[:, :1].expand(-1, 2, -1, -1)
        same = rapt.attention(self.q, shared, self.v)
        self.assertTrue(torch.equal(same, rapt.attention(self.q, shared.clone(), self.v)))
        self.same(rapt.attention(self.q, self.arrays[1], self.v, causal=True))

    def test_grad(self):
        q = self.q.clone().requires_grad_()
        self.refused("^q: .*requires grad.*no_grad", q, self.k, self.v)
        for context in torch.no_grad(), torch.inference_mode():
            with context:
                self.same(rapt.attention(q, self.k, self.v, causal=True))
                self.same(rapt.attention(torch.nn.Parameter(q), self.k, self.v, causal=True))
        self.refused("^q: .*requires grad", q, self.k, self.v)
        with torch.inference_mode():
            inside = self.q.clone()
        self.same(rapt.attention(inside, self.k, self.v, causal=True))

    def test_out(self):
        out = torch.zeros_like(self.q)
        self.assertIs(rapt.attention(self.q, self.k, self.v, causal=True, out=out), out)
        self.same(out)
        self.refused("^out: .*overlap", out=self.q)
        self.refused("^out: ", out=torch.zeros(1).expand(self.q.shape))
        self.refused("^out: .*requires grad", out=torch.zeros_like(self.q).requires_grad_())

    def test_what_has_no_memory_here(self):
        from torch._subclasses.fake_tensor import FakeTensorMode

        k, v = self.k, self.v
        self.refused("^q: .*device, meta", self.q.to("meta"), k, v)
        with FakeTensorMode() as mode:
            fake = torch.zeros(self.q.shape)
            self.refused("^q: ", mode.from_tensor(self.q), k, v)
        self.refused("^q: .*", fake, k, v)
        self.refused("^q: .*sparse", self.q.to_sparse(), k, v)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch means to leave these out one day
            quantized = torch.quantize_per_tensor(self.q, 0.1, 0, torch.qint8)
        self.refused("^q: found a quantized", quantized, k, v)
        lazy = torch.complex(self.q, self.q).conj().imag
        self.assertTrue(lazy.is_neg())
        self.refused("^q: .*lazily", lazy, k, v)
        self.refused("^q: found dtype complex64", torch.complex(self.q, self.q), k, v)
        self.refused("^q: found dtype float64", self.q.double(), k, v)
        self.same(rapt.attention(self.q.double(), k, v, causal=True, convert=True))
        empty = self.q.clone()
        empty.untyped_storage().resize_(0)
        self.refused("^q: .*without memory", empty, k, v)
        nested = torch.nested.nested_tensor([self.q[0], self.q[1]], layout=torch.jagged)
        self.refused("^q: ", nested, k, v)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            padded = torch.nested.nested_tensor([self.q[0], self.q[1]])
        self.refused("^q: found a nested", padded, k, v)
        self.refused("^q: ", torch.nn.parameter.UninitializedParameter(), k, v)

    def test_memory_that_is_taken_away(self):
        big = torch.zeros(2, 2, 4000, 20)
        for take in (
            lambda t: setattr(t, "data", torch.zeros(1)),
            lambda t: t.set_(torch.zeros(3)),
            lambda t: t.resize_(2, 2, 9000, 20),
            lambda t: t.untyped_storage().resize_(0),
            lambda t: t.untyped_storage().resize_(16),
        ):
            k = big.clone()
            plan = rapt.Plan(self.q, k, k)
            expected = plan.run().clone()
            take(k)
            with self.assertRaisesRegex(rapt.InvalidArgument, "^key: .*moved or freed"):
                plan.run()
            self.assertTrue(torch.equal(plan.run(k=big, v=big), expected))
        shrunk = torch.zeros_like(self.q)
        shrunk.untyped_storage().resize_(16)
        self.refused("^out: .*beyond its storage of 16", out=shrunk)
        self.refused("^q: .*beyond its storage of 16", shrunk, self.k, self.v)

    def test_transformations(self):
        def call(q):
            return rapt.attention(q, self.k, self.v)

        with self.assertRaisesRegex(rapt.InvalidArgument, "^q: "):
            torch.func.vmap(call)(self.q[None])
        with self.assertRaisesRegex(rapt.InvalidArgument, "^q: "):
            torch.func.grad(lambda q: call(q).sum())(self.q)
        with self.assertRaisesRegex(rapt.InvalidArgument, "^q: "):
            torch.func.functionalize(call)(self.q)

    def test_default_device(self):
        with torch.device("meta"):
            self.same(rapt.attention(self.q, self.k, self.v, causal=True))
            bits = rapt.attention(self.q, self.k, self.v, return_lse=True).lse
        self.assertEqual(bits.device.type, "cpu")

    def test_subclasses(self):
        class Named(torch.Tensor):
            pass

        found = rapt.attention(self.q.as_subclass(Named), self.k, self.v, causal=True)
        self.same(found.as_subclass(torch.Tensor))


if __name__ == "__main__":
    unittest.main()
