# SPDX-License-Identifier: Apache-2.0
"""rapt in the place of PyTorch's attention: in a block, and by its hook for flash attention."""

import doctest
import importlib
import threading
import unittest

from torch_cases import Case, bool_mask, gradients, tensors

import torch
import torch.nn.functional as F
from torch.nn.attention import (
    activate_flash_attention_impl,
    current_flash_attention_impl,
    restore_flash_attention_impl,
)

import rapt.torch
from rapt.torch._op import Counts

SHAPES = [(2, 4, 5, 8)] * 3


class Block(Case):
    def test_it_counts(self):
        q, k, v = tensors(*SHAPES)
        with rapt.torch.use() as done:
            F.scaled_dot_product_attention(q, k, v)
            F.scaled_dot_product_attention(q, key=k, value=v, is_causal=True)
            F.scaled_dot_product_attention(*(tensor.double() for tensor in (q, k, v)))
        F.scaled_dot_product_attention(q, k, v)
        self.assertEqual((done.calls, done.passed), (2, 1))

    def test_other_threads_are_left_alone(self):
        with rapt.torch.use() as done:
            thread = threading.Thread(target=F.scaled_dot_product_attention, args=tensors(*SHAPES))
            thread.start()
            thread.join()
        self.assertEqual((done.calls, done.passed), (0, 0))

    def test_multihead_attention(self):
        torch.manual_seed(0)
        layer = torch.nn.TransformerEncoderLayer(32, 4, 48, dropout=0.0, batch_first=True)
        (x,) = tensors((2, 6, 32))
        padding = torch.tensor([[False] * 6, [False] * 4 + [True] * 2])
        kept = ~padding
        for training in (False, True):
            layer.train(training)
            expected = layer(x, src_key_padding_mask=padding)
            with rapt.torch.use() as done:
                found = layer(x, src_key_padding_mask=padding)
            self.assertEqual((done.calls, done.passed), (1, 0))
            self.assert_close(found[kept], expected[kept])

    def test_multihead_attention_compiled(self):
        layer = torch.nn.MultiheadAttention(32, 4, batch_first=True)
        (x,) = tensors((2, 6, 32))

        def model(x):
            return layer(x, x, x, need_weights=False)[0]

        torch._dynamo.reset()
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        with rapt.torch.use() as done:
            found = compiled(x)
        self.assertEqual(done.calls, 1)
        self.assert_close(found, model(x))

    def test_it_ends_with_an_error(self):
        with self.assertRaises(ZeroDivisionError), rapt.torch.use() as done:
            1 / 0
        F.scaled_dot_product_attention(*tensors(*SHAPES))
        self.assertEqual(done.calls, 0)
        self.assertEqual(torch.overrides._len_torch_function_stack(), 0)


class Docstrings(Case):
    def test_examples(self):
        for name in ("_sdpa", "_use", "_flash"):
            result = doctest.testmod(importlib.import_module(f"rapt.torch.{name}"))
            self.assertEqual((result.failed, result.attempted > 2), (0, True), name)


class Flash(Case):
    def setUp(self):
        self.addCleanup(lambda: current_flash_attention_impl() and restore_flash_attention_impl())

    def counted(self, function, *args, **options):
        done = Counts()
        result = function(*args, **options)
        return done.calls, result

    def test_registered_and_not_activated(self):
        self.assertIn("rapt", torch.nn.attention.list_flash_attention_impls())
        self.assertIsNone(current_flash_attention_impl())
        calls, _ = self.counted(F.scaled_dot_product_attention, *tensors(*SHAPES))
        self.assertEqual(calls, 0)

    def test_gradients(self):
        grouped = [(2, 4, 5, 8), (2, 2, 5, 8), (2, 2, 5, 8)]
        cases = (
            (SHAPES, {}),
            (SHAPES, {"is_causal": True}),
            (SHAPES, {"attn_mask": bool_mask(2, 1, 5, 5)}),
            (grouped, {"enable_gqa": True, "is_causal": True}),
        )
        function = F.scaled_dot_product_attention
        for shapes, options in cases:
            with self.subTest(options=options):
                expected = gradients(function, tensors(*shapes), **options)
                activate_flash_attention_impl("rapt")
                calls, found = self.counted(gradients, function, tensors(*shapes), **options)
                restore_flash_attention_impl()
                self.assertEqual(calls, 1)
                self.assert_all_close(found, expected)

    def test_the_rest_is_left_to_pytorch(self):
        double = tensors(*SHAPES, dtype=torch.float64)
        cases = (
            (double, {}),
            (double, {"is_causal": True, "scale": 0.3}),
            (double, {"attn_mask": bool_mask(2, 1, 5, 5)}),
            *((tensors(*SHAPES), {"scale": scale}) for scale in (-1.0, 0.0, torch.nan)),
        )
        function = F.scaled_dot_product_attention
        for inputs, options in cases:
            with self.subTest(inputs[0].dtype, options=options):
                expected = gradients(function, inputs, **options)
                activate_flash_attention_impl("rapt")
                calls, found = self.counted(gradients, function, inputs, **options)
                restore_flash_attention_impl()
                self.assertEqual(calls, 0)
                torch.testing.assert_close(found, expected, equal_nan=True)

    def test_it_leaves_no_trace(self):
        name = "aten::_scaled_dot_product_flash_attention_for_cpu"
        before = torch._C._dispatch_dump(name)
        expected = F.scaled_dot_product_attention(*tensors(*SHAPES))
        for _ in range(2):
            activate_flash_attention_impl("rapt")
            self.assertNotEqual(torch._C._dispatch_dump(name), before)
            restore_flash_attention_impl()
            self.assertEqual(torch._C._dispatch_dump(name), before)
        calls, found = self.counted(F.scaled_dot_product_attention, *tensors(*SHAPES))
        self.assertEqual(calls, 0)
        self.assertTrue(torch.equal(found, expected))

    def test_compiled(self):
        def model(query, key, value):
            return 2 * F.scaled_dot_product_attention(query, key, value, is_causal=True)

        expected = gradients(model, tensors(*SHAPES))
        torch._dynamo.reset()
        activate_flash_attention_impl("rapt")
        compiled = torch.compile(model, fullgraph=True)
        calls, found = self.counted(gradients, compiled, tensors(*SHAPES))
        self.assertEqual(calls, 1)
        self.assert_all_close(found, expected)


if __name__ == "__main__":
    unittest.main()
