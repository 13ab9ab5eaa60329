# SPDX-License-Identifier: Apache-2.0
"""Masks as numbers: which patterns are, that they mean the dense mask, and the bits they give."""

import itertools
import unittest

from transformers_cases import DECODERS, LAYERS, Case, make, padded, prompts

import torch
from transformers import AttentionInterface, masking_utils

import rapt.transformers
from rapt.transformers._attention import attention
from rapt.transformers._pattern import Padding, Pattern, mask

CAUSAL = masking_utils.causal_mask_function
BOTH_WAYS = masking_utils.bidirectional_mask_function
FUNCTIONS = {
    "causal": CAUSAL,
    "window": masking_utils.sliding_window_causal_mask_function(6),
    "both ways": BOTH_WAYS,
    "window to both sides": masking_utils.sliding_window_bidirectional_mask_function(4),
}
LAYER = torch.nn.Module()


def tensors(batch, heads, queries, keys, channels=16):
    source = torch.Generator().manual_seed(0)
    sizes = (heads, queries), (heads // 2, keys), (heads // 2, keys)
    return [torch.randn(batch, *size, channels, generator=source) for size in sizes]


class Patterns(Case):
    def test_recognised(self):
        spans = (True, -1, -1), (True, 5, -1), (False, -1, -1), (False, 4, 4)
        for (name, function), span in zip(FUNCTIONS.items(), spans):
            with self.subTest(name):
                made = mask(2, 3, 9, 6, 0, function)
                self.assertEqual((type(made), made.shape), (Pattern, (2, 1, 3, 9)))
                self.assertEqual((made.span, made.q_offset, made.padding), (span, 6, Padding()))

    def test_not_recognised(self):
        position = torch.tensor([[0, 1, 2, 0, 1]])
        others = (
            masking_utils.chunked_causal_mask_function(2, torch.zeros(1, dtype=torch.int64)),
            masking_utils.or_masks(CAUSAL, BOTH_WAYS),
            masking_utils.and_masks(CAUSAL, CAUSAL, BOTH_WAYS),
            masking_utils.remap_positions_for_packed_sequence(CAUSAL, position),
            lambda batch, head, query, key: key <= query,
        )
        for function in others:
            made = mask(1, 5, 5, 0, 0, function)
            self.assertEqual((type(made), made.dtype), (torch.Tensor, torch.bool))
        self.assertIs(type(mask(1, 5, 5, 0, 0, CAUSAL, use_vmap=True)), torch.Tensor)

    def test_they_mean_the_dense_mask(self):
        kept = {
            "none": None,
            "all": torch.ones(2, 9, dtype=torch.bool),
            "shorter": torch.ones(2, 7, dtype=torch.bool),
            "nothing": torch.zeros(2, 9, dtype=torch.bool),
            **{side: padded(side, 9).bool() for side in ("left", "right", "gaps")},
        }
        for (name, function), (side, keys), (queries, first) in itertools.product(
            FUNCTIONS.items(), kept.items(), ((9, 0), (3, 6), (1, 8), (4, 0))
        ):
            with self.subTest(name, side=side, queries=queries):
                made = mask(2, queries, 9, torch.tensor(first), 0, function, keys)
                q, k, v = tensors(2, 4, queries, 9)
                found = attention(LAYER, q, k, v, made)[0]
                expected = attention(LAYER, q, k, v, made.dense())[0]
                rows = torch.ones(2, queries, dtype=torch.bool)
                if keys is not None and side != "shorter":  # padding gives rows of no meaning
                    rows = keys[:, first : first + queries]
                torch.testing.assert_close(found[rows], expected[rows], rtol=1e-5, atol=1e-6)

    def test_cache_that_has_dropped_keys(self):
        kept = padded("left", 20).bool()
        made = mask(2, 2, 7, 18, 13, FUNCTIONS["window"], kept)
        self.assertEqual((made.q_offset, made.padding), (5, Padding()))
        q, k, v = tensors(2, 4, 2, 7)
        found, expected = (attention(LAYER, q, k, v, m)[0] for m in (made, made.dense()))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)

    def test_some_rows_are_numbers_still(self):
        made = mask(2, 9, 9, 0, 0, CAUSAL, padded("left", 9).bool())
        for rows in (slice(-1, None), slice(2, 5), slice(7, 100)):
            part = made[:, :, rows, :]
            self.assertIs(type(part), Pattern)
            self.assertTrue(torch.equal(part.dense(), made.dense()[:, :, rows]))
            q, k, v = tensors(2, 4, part.shape[2], 9)
            found, expected = (attention(LAYER, q, k, v, m)[0] for m in (part, part.dense()))
            kept = padded("left", 9).bool()[:, rows]
            torch.testing.assert_close(found[kept], expected[kept], rtol=1e-5, atol=1e-6)

    def test_whoever_else_looks_gets_the_dense_mask(self):
        made = mask(2, 3, 9, 6, 0, CAUSAL)
        dense = made.dense()
        for look in (
            lambda m: m & torch.ones(9, dtype=torch.bool),
            lambda m: m[..., :4],
            lambda m: torch.where(m, 0.0, -1.0),
            lambda m: torch.zeros(2, 1, 3, 9).masked_fill(~m, -1),
            lambda m: m.clone(),
        ):
            found = look(made)
            self.assertIs(type(found), torch.Tensor)
            self.assertTrue(torch.equal(found, look(dense)))
        self.assertIn("causal=True", repr(made))

    def test_arithmetic_is_refused(self):
        made = mask(2, 3, 9, 6, 0, CAUSAL)
        for compute in (lambda: made + 1.0, lambda: torch.ones(9) * made, lambda: made == 0):
            with self.assertRaisesRegex(rapt.Unsupported, "attention_mask"):
                compute()

    def test_other_sizes_are_refused(self):
        q, k, v = tensors(2, 4, 3, 8)
        with self.assertRaisesRegex(rapt.InvalidArgument, "attention_mask.*9.*8"):
            attention(LAYER, q, k, v, mask(2, 3, 9, 6, 0, CAUSAL))
        with self.assertRaisesRegex(rapt.InvalidArgument, "mask"):
            attention(LAYER, q, k, v, torch.ones(2, 1, 3, 8, dtype=torch.int64))


class Bits(Case):
    """A sequence's attention is the same alone, in a padded batch and in another cut."""

    LENGTH, PAD = 420, 77

    def recorded(self, model, kept):
        """Each attention of a run in a padded batch: what went in, and what came out."""
        calls = []

        def record(module, query, key, value, given, **options):
            out = attention(module, query, key, value, given, **options)
            calls.append((module, (query, key, value), given, options, out[0]))
            return out

        with torch.no_grad(), rapt.transformers.use(model):
            AttentionInterface.register("rapt", record)
            try:
                model(prompts(length=self.LENGTH), attention_mask=kept)
            finally:
                rapt.transformers.register()
        self.assertEqual(len(calls), LAYERS)
        return calls

    def test_alone_and_in_a_padded_batch(self):
        for name, side in itertools.product(("llama", "gemma2", "gpt_oss"), ("left", "right")):
            kept = torch.ones(2, self.LENGTH, dtype=torch.int64)
            here = slice(self.PAD, None) if side == "left" else slice(0, self.LENGTH - self.PAD)
            kept[0] = 0
            kept[0, here] = 1
            model = make(DECODERS[name], max_position_embeddings=512)
            for layer, inputs, given, options, out in self.recorded(model, kept):
                with self.subTest(name, side=side):
                    self.assertIs(type(given), Pattern)
                    alone = [tensor[:1, :, here] for tensor in inputs]
                    self.compare(layer, alone, given.span, options, out[:1, here])
                    other = [tensor[1:] for tensor in inputs]
                    self.compare(layer, other, given.span, options, out[1:])

    def compare(self, layer, inputs, span, options, expected):
        """At once, and in another cut."""
        query, key, value = inputs
        length = query.shape[2]
        for cuts in ((0, length), (0, 100, 250, length - 1, length)):
            found = []
            for a, b in zip(cuts, cuts[1:]):
                size = (1, 1, b - a, b)
                given = Pattern(size, span, a, Padding(), lambda: self.fail("dense"))
                part = query[:, :, a:b], key[:, :, :b], value[:, :, :b]
                with torch.no_grad():
                    found.append(attention(layer, *part, given, **options)[0])
            self.assertTrue(torch.equal(torch.cat(found, 1), expected), cuts)


if __name__ == "__main__":
    unittest.main()
