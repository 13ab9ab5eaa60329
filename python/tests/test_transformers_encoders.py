# SPDX-License-Identifier: Apache-2.0
"""Encoders, and what has both an encoder and a decoder: cross-attention and position biases."""

import unittest

from transformers_cases import (
    ENCODERS,
    LAYERS,
    NEW,
    T5,
    WHISPER,
    Case,
    make,
    padded,
    prompts,
)

import torch


class Encoders(Case):
    def test_padding(self):
        for name, case in ENCODERS.items():
            for side in ("left", "right", "gaps"):
                with self.subTest(name, side=side):
                    kept = padded(side)
                    self.same(
                        make(case),
                        lambda model: model(prompts(), attention_mask=kept).last_hidden_state[
                            kept.bool()
                        ],
                        LAYERS,
                    )

    def test_without_padding(self):
        for name, case in ENCODERS.items():
            with self.subTest(name):
                self.same(make(case), lambda model: model(prompts()).last_hidden_state, LAYERS)

    def test_decoder_of_bert(self):
        model = make(ENCODERS["bert"], is_decoder=True)
        self.same(model, lambda model: model(prompts()).last_hidden_state, LAYERS)


class Both(Case):
    @staticmethod
    def sampled(model, kept):
        """By chance, the same in each run: the likeliest tokens of random weights are all alike."""
        torch.manual_seed(0)
        return model.generate(prompts(), attention_mask=kept, max_new_tokens=20, do_sample=True)

    def test_t5(self):
        for side in ("left", "right", "gaps"):
            with self.subTest(side):
                kept = padded(side)
                # The encoder has a bias of queries x keys, each step of the decoder a row.
                self.same(
                    make(T5, 1),
                    lambda model: self.sampled(model, kept),
                    LAYERS + 2 * LAYERS * 20,
                    biases=LAYERS,
                )

    def test_t5_logits(self):
        kept = padded("right")
        self.same(
            make(T5, 1),
            lambda model: (
                model(prompts(), attention_mask=kept, decoder_input_ids=prompts(length=7)).logits
            ),
            3 * LAYERS,
            biases=3 * LAYERS,
        )

    def test_whisper(self):
        sound = torch.randn(2, 8, 40, generator=torch.Generator().manual_seed(0))
        self.same(
            make(WHISPER),
            lambda model: model(input_features=sound, decoder_input_ids=prompts()).logits,
            3 * LAYERS,
        )

    def test_whisper_generates(self):
        sound = torch.randn(2, 8, 40, generator=torch.Generator().manual_seed(0))
        found, expected, done = self.both(
            make(WHISPER),
            lambda model: model.generate(input_features=sound, max_new_tokens=NEW, do_sample=False),
        )
        self.assertEqual(found.tolist(), expected.tolist())
        steps = found.shape[1]
        self.assertGreaterEqual(done.calls, LAYERS + 2 * LAYERS * (steps - 1))
        self.assertEqual(done.dense, 0)


if __name__ == "__main__":
    unittest.main()
