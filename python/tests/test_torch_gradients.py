# SPDX-License-Identifier: Apache-2.0
"""Gradients of rapt.torch: however tensors lie in memory, and what has none."""

import itertools
import unittest

from torch_cases import Case, tensors

import torch
import torch.nn.functional as F
from torch.autograd import forward_ad

import rapt.torch
from rapt.torch import scaled_dot_product_attention as attention

SHAPE = 1, 2, 8, 5
BACKWARDS = {
    "flash": ([SHAPE] * 3, False),
    "a mask's": ([SHAPE] * 3, True),
    "other channels": ([SHAPE, SHAPE, (1, 2, 8, 3)], False),
}


def views(shape):
    """A tensor of a shape, in each way that PyTorch can have one lie."""
    batch, heads, positions, channels = shape

    def one(*shape):
        return tensors(shape, seed=9)[0]

    return {
        "transposed": one(batch, heads, channels, positions).mT,
        "one channel": one(batch, heads, positions, 1).expand(shape),
        "one position": one(batch, heads, 1, channels).expand(shape),
        "one number": one(1, 1, 1, 1).expand(shape),
        "every second": one(batch, heads, positions, 2 * channels)[..., ::2],
        "overlapping": one(heads * positions * channels).as_strided(shape, (0, 20, 3, 1)),
        "heads inside": one(batch, positions, heads, channels).transpose(1, 2),
    }


class Strides(Case):
    def gradients(self, function, inputs):
        """Of three inputs, which are not copied, and a gradient of the output."""
        *inputs, grad = (tensor.detach() for tensor in inputs)
        inputs = [tensor.requires_grad_() for tensor in inputs]
        return torch.autograd.grad(function(*inputs), inputs, grad)

    def compare(self, function, inputs):
        found = self.gradients(function, inputs)
        plain = [tensor.clone(memory_format=torch.contiguous_format) for tensor in inputs]
        expected = self.gradients(F.scaled_dot_product_attention, plain)
        self.assert_all_close(found, expected, 1e-4)

    def test_every_view(self):
        for which, name in itertools.product(range(4), views(SHAPE)):
            with self.subTest(name, which=which):
                inputs = tensors(*[SHAPE] * 4)
                inputs[which] = views(SHAPE)[name]
                self.compare(attention, inputs)

    def test_compiled(self):
        for which, name in itertools.product(range(3), ("transposed", "one channel")):
            with self.subTest(name, which=which):
                torch._dynamo.reset()
                inputs = tensors(*[SHAPE] * 4)
                inputs[which] = views(SHAPE)[name]
                self.compare(torch.compile(attention, backend="aot_eager"), inputs)

    def test_sum(self):
        """The gradient of a sum is one number that is expanded."""
        inputs, others = (tensors(*[SHAPE] * 3, grad=True) for _ in range(2))
        attention(*(tensor.mT.contiguous().mT for tensor in inputs)).sum().backward()
        F.scaled_dot_product_attention(*others).sum().backward()
        for one, other in zip(inputs, others):
            self.assert_close(one.grad, other.grad, 1e-5)


class Empty(Case):
    def test_all_are_zero(self):
        cases = {
            "no batch": [(0, 17, 8)] * 3,
            "no batch, 4-D": [(0, 0, 3, 8)] * 3,
            "no heads": [(2, 0, 3, 8)] * 3,
            "no queries": [(2, 3, 0, 8), (2, 3, 4, 8), (2, 3, 4, 6)],
            "no keys": [(2, 3, 4, 8), (2, 3, 0, 8), (2, 3, 0, 8)],
        }
        for name, shapes in cases.items():
            with self.subTest(name):
                inputs = tensors(*shapes, grad=True)
                attention(*inputs).sum().backward()
                for tensor in inputs:
                    self.assertTrue(torch.equal(tensor.grad, torch.zeros_like(tensor)))


class Second(Case):
    def test_derivatives_are_an_error(self):
        for (name, (shapes, masked)), factor in itertools.product(BACKWARDS.items(), (1, 2)):
            with self.subTest(name, factor=factor):
                inputs = tensors(*shapes, grad=True)
                mask = torch.zeros(8, 8, requires_grad=True) if masked else None
                out = attention(*inputs, attn_mask=mask)
                # The gradient of the output has a derivative itself, or has none.
                first = torch.autograd.grad(out.pow(factor).sum(), inputs, create_graph=True)
                with self.assertRaisesRegex(RuntimeError, "derivative for .* not implemented"):
                    torch.autograd.grad(sum(each.square().sum() for each in first), inputs)


class Forward(Case):
    def test_derivatives_are_an_error(self):
        inputs = tensors(*[SHAPE] * 3)
        mask = torch.zeros(8, 8)
        functions = {
            "function": lambda q, k, v, mask: attention(q, k, v, attn_mask=mask),
            "operator": rapt.torch._op.attention,
            "within models": rapt.torch._op.attend,
        }
        for (name, function), which in itertools.product(functions.items(), range(4)):
            with self.subTest(name, which=which), forward_ad.dual_level():
                given = [*inputs, mask]
                given[which] = forward_ad.make_dual(given[which], torch.ones_like(given[which]))
                if name == "operator":
                    given.append(None)
                with self.assertRaises(NotImplementedError):
                    function(*given)

    def test_tensors_without_any(self):
        inputs = tensors(*[SHAPE] * 3)
        expected = attention(*inputs)
        with forward_ad.dual_level():
            self.assert_close(attention(*inputs), expected)
            self.assert_close(rapt.torch._op.attend(*inputs), expected)


if __name__ == "__main__":
    assert rapt.torch
    unittest.main()
