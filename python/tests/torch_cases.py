# SPDX-License-Identifier: Apache-2.0
"""What the tests of rapt.torch share; they are skipped where torch can't be imported."""

import unittest

try:
    import torch
except ImportError:
    raise unittest.SkipTest("torch can't be imported") from None

TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}


def tensors(*shapes, dtype=torch.float32, seed=0, grad=False):
    """Random tensors, the same for the same seed."""
    source = torch.Generator().manual_seed(seed)
    made = [torch.randn(shape, generator=source).to(dtype) for shape in shapes]
    return [tensor.requires_grad_(grad) for tensor in made]


def bool_mask(*shape, seed=1):
    """A mask with some keys for most queries, and none for the second one."""
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.4
    if shape[-2] > 1:
        mask[..., 1, :] = False
    return mask


def gradients(function, inputs, *more, **options):
    """The output, and the gradients of the inputs and of what else requires any."""
    inputs = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    out = function(*inputs, *more, **options)
    (out * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum().backward()
    return [out.detach()] + [tensor.grad for tensor in inputs]


class Case(unittest.TestCase):
    def assert_close(self, found, expected, tolerance=None):
        self.assertEqual(found.shape, expected.shape)
        self.assertEqual(found.dtype, expected.dtype)
        tolerance = tolerance or TOLERANCE[found.dtype]
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)

    def assert_all_close(self, found, expected, tolerance=None):
        self.assertEqual(len(found), len(expected))
        for one, other in zip(found, expected):
            self.assert_close(one, other, tolerance)
