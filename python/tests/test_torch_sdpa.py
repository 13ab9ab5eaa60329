# SPDX-License-Identifier: Apache-2.0
"""rapt.torch.scaled_dot_product_attention() beside PyTorch's function, on what that one takes."""

import itertools
import unittest
from unittest import mock

from torch_cases import TOLERANCE, Case, bool_mask, gradients, tensors

import torch
import torch.nn.functional as F

import rapt
import rapt.torch
from rapt.torch import scaled_dot_product_attention as attention

Q, K = 5, 7
FOUR = (2, 4, Q, 8), (2, 4, K, 8), (2, 4, K, 8)
SHAPES = {
    "4-D": FOUR,
    "other channels of values": ((2, 4, Q, 8), (2, 4, K, 8), (2, 4, K, 6)),
    "3-D": ((3, Q, 8), (3, K, 8), (3, K, 8)),
    "2-D": ((Q, 8), (K, 8), (K, 8)),
    "5-D": ((2, 2, 3, Q, 8), (2, 2, 3, K, 8), (2, 2, 3, K, 8)),
    "one batch of queries": ((1, 4, Q, 8), (2, 4, K, 8), (2, 4, K, 8)),
    "one head of keys": ((2, 4, Q, 8), (2, 1, K, 8), (2, 1, K, 8)),
    "keys without a batch": ((2, 4, Q, 8), (4, K, 8), (K, 8)),
    "one query": ((2, 4, 1, 8), (2, 4, K, 8), (2, 4, K, 8)),
    "no queries": ((2, 4, 0, 8), (2, 4, K, 8), (2, 4, K, 8)),
    "no keys": ((2, 4, Q, 8), (2, 4, 0, 8), (2, 4, 0, 8)),
    "no batch": ((0, 4, Q, 8), (0, 4, K, 8), (0, 4, K, 8)),
}
GROUPED = {
    "4-D": ((2, 4, Q, 8), (2, 2, K, 8), (2, 2, K, 8)),
    "3-D": ((4, Q, 8), (2, K, 8), (2, K, 8)),
    "5-D": ((2, 3, 4, Q, 8), (2, 3, 1, K, 8), (2, 3, 1, K, 6)),
    "equal heads": FOUR,
}


class Same(Case):
    def compare(self, inputs, **options):
        """Both functions on the same, and that it was rapt that computed one of them."""
        with rapt.torch.use() as done:
            found = attention(*inputs, **options)
        self.assertEqual((done.calls, done.passed), (1, 0))
        self.assert_close(found, F.scaled_dot_product_attention(*inputs, **options))
        return found

    def test_shapes(self):
        for (name, shapes), causal, dtype in itertools.product(
            SHAPES.items(), (False, True), TOLERANCE
        ):
            with self.subTest(name, causal=causal, dtype=dtype):
                self.compare(tensors(*shapes, dtype=dtype), is_causal=causal)

    def test_grouped_heads(self):
        for (name, shapes), causal in itertools.product(GROUPED.items(), (False, True)):
            with self.subTest(name, causal=causal):
                self.compare(tensors(*shapes), is_causal=causal, enable_gqa=True)

    def test_masks(self):
        shapes = ((Q, K), (2, 1, Q, K), (1, 4, Q, K), (2, 4, Q, K), (2, 1, 1, K), (1, K), (Q, 1))
        for shape, (name, inputs) in itertools.product(shapes, list(SHAPES.items())[:2]):
            with self.subTest(name, mask=shape):
                mask = bool_mask(*shape)
                out = self.compare(tensors(*inputs), attn_mask=mask)
                if len(mask) == Q:
                    self.assertEqual(out[:, :, 1].abs().max(), 0)
                self.compare(tensors(*inputs), attn_mask=tensors(shape, seed=3)[0])

    def test_masks_of_other_shapes(self):
        for name, shapes in (("3-D", (3, Q, K)), ("5-D", (2, 1, 3, Q, K)), ("5-D", (2, 3, Q, K))):
            with self.subTest(name, mask=shapes):
                self.compare(tensors(*SHAPES[name]), attn_mask=bool_mask(*shapes))

    def test_masks_of_half_types(self):
        for dtype, mask in itertools.product((torch.bfloat16, torch.float16), range(2)):
            mask = tensors((Q, K), dtype=(dtype, torch.float32)[mask], seed=2)[0]
            with self.subTest(dtype, mask=mask.dtype):
                self.compare(tensors(*FOUR, dtype=dtype), attn_mask=mask)

    def test_rows_without_keys_are_zero(self):
        inputs = tensors(*FOUR)
        for mask in (bool_mask(Q, K), torch.zeros(Q, K).masked_fill(~bool_mask(Q, K), -torch.inf)):
            self.assertEqual(self.compare(inputs, attn_mask=mask)[:, :, 1].abs().max(), 0)

    def test_scale(self):
        for scale in (None, 0.5, 3.0):
            self.compare(tensors(*FOUR), scale=scale)

    def test_strides(self):
        q, k, v = (t.transpose(1, 2) for t in tensors((2, Q, 4, 8), (2, K, 4, 8), (2, K, 4, 8)))
        out = self.compare((q, k[..., ::2, :], v[:, :, ::2]))
        self.assertEqual(out.stride(), q.stride())
        negated = torch.imag(torch.complex(k, k).conj())
        self.assertTrue(negated.is_neg())
        self.compare((q, negated, v))

    def test_zeros_without_memory(self):
        for which in range(3):
            inputs = tensors(*FOUR)
            inputs[which] = torch.zeros(FOUR[which])
            expected = attention(*inputs)
            inputs[which] = torch._efficientzerotensor(FOUR[which])
            self.assert_close(attention(*inputs), expected)

    def test_threads_are_torchs(self):
        with mock.patch("rapt.torch._op.rapt.attention", wraps=rapt.attention) as called:
            attention(*tensors(*FOUR))
        self.assertEqual(called.call_args.kwargs["threads"], torch.get_num_threads())

    def test_autocast(self):
        for dtype in (torch.bfloat16, torch.float16):
            with torch.autocast("cpu", dtype):
                out = self.compare(tensors(*FOUR), attn_mask=tensors((Q, K))[0])
            self.assertEqual(out.dtype, dtype)


class Passed(Case):
    def compare(self, inputs, **options):
        with rapt.torch.use() as done:
            found = F.scaled_dot_product_attention(*inputs, **options)
        self.assertEqual((done.calls, done.passed), (0, 1))
        torch.testing.assert_close(
            found, F.scaled_dot_product_attention(*inputs, **options), equal_nan=True
        )

    def test_to_pytorch(self):
        self.compare(tensors(*FOUR, dtype=torch.float64))
        self.compare(tensors(*FOUR), scale=-1.0)
        self.compare(tensors((2, 4, Q, 0), (2, 4, K, 0), (2, 4, K, 3)))
        grouped = tensors((2, 4, Q, 8), (2, 2, K, 8), (2, 1, K, 8))
        self.compare(grouped, enable_gqa=True)
        meta = [tensor.to("meta") for tensor in tensors(*FOUR)]
        self.assertEqual(attention(*meta).device.type, "meta")

    def test_dropout(self):
        torch.manual_seed(0)
        found = attention(*tensors(*FOUR), dropout_p=0.5)
        torch.manual_seed(0)
        expected = F.scaled_dot_product_attention(*tensors(*FOUR), dropout_p=0.5)
        torch.testing.assert_close(found, expected)

    def test_transforms(self):
        inputs = [torch.stack([tensor, 2 * tensor]) for tensor in tensors(*FOUR)]
        expected = torch.stack([F.scaled_dot_product_attention(*each) for each in zip(*inputs)])
        self.assert_close(torch.vmap(attention)(*inputs), expected)
        each = torch.vmap(torch.func.grad(lambda *qkv: attention(*qkv).square().sum()))(*inputs)
        self.assertEqual(each.shape, inputs[0].shape)

    def test_errors_are_pytorchs(self):
        q, k, v = tensors(*FOUR)
        wrong = {
            "types": ((q, k.bfloat16(), v), {}),
            "heads": ((q, k[:, :2], v[:, :2]), {}),
            "grouped heads": ((q, k[:, :3], v[:, :3]), {"enable_gqa": True}),
            "channels": ((q, k[..., :7], v), {}),
            "dimensions": ((q[0, 0, 0], k, v), {}),
            "mask's type": ((q, k, v), {"attn_mask": torch.ones(Q, K, dtype=torch.int64)}),
            "mask's shape": ((q, k, v), {"attn_mask": torch.ones(Q, K - 1)}),
            "dropout": ((q, k, v), {"dropout_p": 2.0}),
        }
        for name, (inputs, options) in wrong.items():
            with self.subTest(name):
                with self.assertRaises(Exception) as expected:
                    F.scaled_dot_product_attention(*inputs, **options)
                with self.assertRaises(type(expected.exception)) as found:
                    attention(*inputs, **options)
                self.assertEqual(str(found.exception), str(expected.exception))

    def test_arguments_of_other_types(self):
        """Taken and refused as PyTorch's function does, in its words."""
        tensor = torch.tensor([1.0, 2.0])
        values = {
            "query": (None, [1], 3),
            "value": (None,),
            "attn_mask": (3, "x"),
            "dropout_p": (None, "x", False),
            "is_causal": (None, "x", 1),
            "scale": ("x", 1j, tensor, tensor[0], True, 2, 10**400),
            "enable_gqa": (None, "x", 1),
        }
        for (name, each), autocast in itertools.product(values.items(), (False, True)):
            for value in each:
                with self.subTest(name, value=value), torch.autocast("cpu", enabled=autocast):
                    inputs, options = tensors(*FOUR), {}
                    if name in ("query", "value"):
                        inputs[0 if name == "query" else 2] = value
                    else:
                        options[name] = value
                    self.assert_same_outcome(inputs, options)

    def assert_same_outcome(self, inputs, options):
        try:
            expected = F.scaled_dot_product_attention(*inputs, **options)
        except Exception as error:
            with self.assertRaises(type(error)) as found:
                attention(*inputs, **options)
            self.assertEqual(str(found.exception), str(error))
        else:
            self.assert_close(attention(*inputs, **options), expected)

    def test_values_that_are_missing(self):
        q, k, v = tensors(*FOUR)
        with self.assertRaisesRegex(rapt.InvalidArgument, "value"):  # PyTorch reads beyond them
            attention(q, k, v[:, :, :6])


class Gradients(Case):
    def compare(self, shapes, tolerance=1e-5, dtype=torch.float32, mask=None, **options):
        inputs = tensors(*shapes, dtype=dtype)
        if mask is not None and mask.is_floating_point():
            inputs.append(mask)
            mask = None
        if mask is not None:
            options["attn_mask"] = mask
        self.assert_all_close(
            gradients(attention, inputs, **options),
            gradients(F.scaled_dot_product_attention, inputs, **options),
            tolerance,
        )

    def test_shapes(self):
        for name, causal in itertools.product(SHAPES, (False, True)):
            with self.subTest(name, causal=causal):
                self.compare(SHAPES[name], is_causal=causal)

    def test_grouped_heads(self):
        for name in GROUPED:
            with self.subTest(name):
                self.compare(GROUPED[name], enable_gqa=True)

    def test_masks(self):
        for name, shape in itertools.product(
            ("4-D", "other channels of values"), ((Q, K), (2, 1, Q, K), (1, 4, 1, K))
        ):
            with self.subTest(name, mask=shape):
                self.compare(SHAPES[name], mask=bool_mask(*shape))
                self.compare(SHAPES[name], mask=tensors(shape, seed=3)[0])

    def test_bfloat16(self):
        self.compare(FOUR, 5e-2, torch.bfloat16, is_causal=True)

    def test_no_gradient_is_asked_for(self):
        inputs = tensors(*FOUR, grad=True)
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                self.assertFalse(attention(*inputs).requires_grad)
        self.assertTrue(attention(*inputs).requires_grad)


if __name__ == "__main__":
    unittest.main()
