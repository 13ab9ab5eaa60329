# SPDX-License-Identifier: Apache-2.0
"""Decoders by rapt give eager's tokens and logits, in every layer and step, by masks of numbers."""

import unittest

from transformers_cases import DECODERS, LAYERS, NEW, PROMPT, Case, make, padded, prompts

import torch
from transformers import DynamicCache, StaticCache

UNPACKED = ("gpt_oss",)  # its masks don't know of positions, in eager either


class Decoders(Case):
    def each(self):
        return [(name, make(case)) for name, case in DECODERS.items()]

    def test_generate(self):
        for name, model in self.each():
            for cache in ("dynamic", "static"):
                for side in (None, "left"):
                    with self.subTest(name, cache=cache, side=side):
                        kept = padded(side) if side else torch.ones_like(prompts())
                        self.same(
                            model,
                            lambda model: model.generate(
                                prompts(),
                                attention_mask=kept,
                                max_new_tokens=NEW,
                                do_sample=False,
                                cache_implementation=cache,
                            ),
                            LAYERS * NEW,
                        )

    def test_beams(self):
        for name, model in self.each():
            with self.subTest(name):
                self.same(
                    model,
                    lambda model: model.generate(
                        prompts(),
                        attention_mask=padded("left"),
                        max_new_tokens=NEW,
                        num_beams=3,
                        do_sample=False,
                    ),
                    LAYERS * NEW,
                )

    def test_logits(self):
        for name, model in self.each():
            for side in ("left", "right", "gaps"):
                with self.subTest(name, side=side):
                    kept = padded(side)
                    self.same(
                        model,
                        lambda model: model(prompts(), attention_mask=kept).logits[kept.bool()],
                        LAYERS,
                    )

    def test_prompt_in_chunks(self):
        for name, model in self.each():
            for static in (False, True):
                with self.subTest(name, static=static):
                    self.in_chunks(model, static)

    def in_chunks(self, model, static):
        kept = padded("left", 3 * PROMPT)
        whole = prompts(length=3 * PROMPT)
        cuts = (0, 8, 17, 3 * PROMPT)

        def run(model):
            made = StaticCache(model.config, max_cache_len=40) if static else None
            cache = made or DynamicCache(config=model.config)
            logits = [
                model(whole[:, a:b], attention_mask=kept[:, :b], past_key_values=cache).logits
                for a, b in zip(cuts, cuts[1:])
            ]
            return torch.cat(logits, 1)[kept.bool()]

        found = self.same(model, run, 3 * LAYERS)
        alone = self.same(
            model, lambda model: model(whole, attention_mask=kept).logits[kept.bool()], LAYERS
        )
        torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-4)

    def test_packed_sequences_have_a_dense_mask(self):
        positions = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6]])
        for name, model in self.each():
            with self.subTest(name):
                self.same(
                    model,
                    lambda model: model(prompts(1), position_ids=positions, use_cache=False).logits,
                    LAYERS,
                    dense=0 if name in UNPACKED else LAYERS,
                )

    def test_callers_mask(self):
        allowed = torch.ones(PROMPT, PROMPT).tril().bool()
        allowed[6:, 2] = False
        floats = torch.zeros(1, 1, PROMPT, PROMPT).masked_fill(~allowed, torch.finfo().min)
        for name, model in self.each():
            if "sliding_attention" in (getattr(model.config, "layer_types", None) or ()):
                continue  # takes a mask for each kind of layer
            with self.subTest(name):
                self.same(
                    model,
                    lambda model: model(prompts(), attention_mask=floats).logits,
                    LAYERS,
                    biases=LAYERS,
                )

    def test_half_types(self):
        for name, model in self.each():
            with self.subTest(name):
                found, expected, done = self.both(
                    model.bfloat16(),
                    lambda model: model(prompts(), attention_mask=padded("left")).logits[:, -1],
                )
                self.assertEqual((found.dtype, done.calls), (torch.bfloat16, LAYERS))
                torch.testing.assert_close(found, expected, rtol=0.1, atol=0.1)


if __name__ == "__main__":
    unittest.main()
