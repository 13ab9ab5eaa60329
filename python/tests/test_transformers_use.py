# SPDX-License-Identifier: Apache-2.0
"""Which models are taken and which are refused, what comes and goes with it, and gradients."""

import doctest
import itertools
import unittest
import warnings
from unittest import mock

import transformers_cases
from transformers_cases import DECODERS, ENCODERS, LAYERS, T5, Case, make, padded, prompts

import torch
import transformers as t

import rapt.transformers
from rapt.torch._op import Counts

_SMALL = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
REFUSED = {
    "bloom": (
        t.BloomForCausalLM,
        t.BloomConfig,
        {"vocab_size": 64, "hidden_size": 32, "n_layer": 1, "n_head": 4},
    ),
    "falcon": (t.FalconForCausalLM, t.FalconConfig, _SMALL),
    "mpt": (
        t.MptForCausalLM,
        t.MptConfig,
        {"d_model": 32, "n_heads": 4, "n_layers": 1, "expansion_ratio": 2, "vocab_size": 64},
    ),
    "gpt_neo": (
        t.GPTNeoForCausalLM,
        t.GPTNeoConfig,
        {
            **_SMALL,
            "num_layers": 1,
            "num_heads": 4,
            "attention_types": [[["global"], 1]],
        },
    ),
    "deepseek_v32": (
        t.DeepseekV32ForCausalLM,
        t.DeepseekV32Config,
        {
            **_SMALL,
            "intermediate_size": 48,
            "moe_intermediate_size": 16,
            "num_key_value_heads": 4,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "n_group": 1,
            "topk_group": 1,
            "q_lora_rank": 16,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
            "index_topk": 4,
            "index_n_heads": 2,
            "index_head_dim": 16,
        },
    ),
}


class Refused(Case):
    def test_models(self):
        for name, case in REFUSED.items():
            with self.subTest(name):
                model = make(case)
                before = model.config._attn_implementation
                with self.assertRaisesRegex(rapt.Unsupported, type(model).__name__):
                    rapt.transformers.use(model)
                self.assertEqual(model.config._attn_implementation, before)
                self.assertEqual(model(prompts()).logits.shape, (2, 11, 64))

    def test_by_name(self):
        rapt.transformers.register()
        for name, case in REFUSED.items():
            with self.subTest(name):
                model = make(case)
                for part in model.modules():
                    if hasattr(part, "config"):
                        part.config._attn_implementation_internal = "rapt"
                with self.assertRaises((rapt.Unsupported, KeyError)):
                    model(prompts())

    def test_what_is_no_model(self):
        with self.assertRaisesRegex(rapt.InvalidType, "Linear"):
            rapt.transformers.use(torch.nn.Linear(2, 2))

    def test_float64(self):
        model = make(DECODERS["llama"]).double()
        with self.assertRaisesRegex(rapt.Unsupported, "LlamaForCausalLM.*float64"):
            rapt.transformers.use(model)
        self.assertNotEqual(model.config._attn_implementation, "rapt")

    def test_dropout(self):
        model = make(ENCODERS["bert"]).train()
        with rapt.transformers.use(model), self.assertRaisesRegex(rapt.Unsupported, "dropout"):
            model(prompts())

    def test_what_rapt_does_not_know(self):
        x = torch.randn(1, 4, 3, 8)
        for name in ("indices", "block_indices", "sinks"):
            with self.assertRaisesRegex(rapt.Unsupported, name):
                rapt.transformers._use.attention(torch.nn.Module(), x, x, x, None, **{name: x})


class Used(Case):
    def test_until_restored(self):
        model = make(DECODERS["llama"])
        before = model.config._attn_implementation
        used = rapt.transformers.use(model)
        self.assertEqual(model.config._attn_implementation, "rapt")
        model(prompts())
        self.assertEqual(used.calls, LAYERS)
        used.restore()
        self.assertEqual(model.config._attn_implementation, before)
        model(prompts())
        self.assertEqual(used.calls, LAYERS)

    def test_all_parts(self):
        model = make(T5)
        with rapt.transformers.use(model):
            self.assertEqual(model.encoder.config._attn_implementation, "rapt")
            self.assertEqual(model.decoder.config._attn_implementation, "rapt")
        for part in (model, model.encoder, model.decoder):
            self.assertNotEqual(part.config._attn_implementation, "rapt")

    def test_by_name(self):
        rapt.transformers.register()
        config = t.LlamaConfig(**DECODERS["llama"][2])
        model = t.AutoModelForCausalLM.from_config(config, attn_implementation="rapt").eval()
        counts = Counts()
        found = model(prompts()).logits
        self.assertEqual(counts.calls, LAYERS)
        model.set_attn_implementation("eager")
        torch.testing.assert_close(found, model(prompts()).logits, rtol=1e-5, atol=1e-5)

    def test_weights(self):
        kept = padded("left")
        rows = kept.bool()[:, None, :, None]
        for name in ("llama", "gemma2", "gpt_oss", "gpt2"):
            with self.subTest(name):
                found, expected, _ = self.both(
                    make(DECODERS[name]),
                    lambda model: (
                        model(prompts(), attention_mask=kept, output_attentions=True).attentions
                    ),
                )
                self.assertEqual(len(found), LAYERS)
                for one, other in zip(found, expected):
                    torch.testing.assert_close(one * rows, other * rows, rtol=1e-4, atol=1e-5)

    def test_a_version_that_was_not_tested(self):
        found = rapt.transformers._use.transformers
        with (
            mock.patch.object(found, "__version__", "6.1.0"),
            warnings.catch_warnings(record=True) as given,
        ):
            warnings.simplefilter("always")
            rapt.transformers.register()
        self.assertIn("6.1.0", str(given[0].message))


class Nested(Case):
    """Uses that end in any order give back what was there before the first."""

    def test_models(self):
        for order in itertools.permutations(range(3)):
            with self.subTest(order=order):
                model = make(T5)
                model.set_attn_implementation("eager")
                uses = [rapt.transformers.use(part) for part in (model.encoder, model, model)]
                for i in order:
                    self.assertEqual(model.encoder.config._attn_implementation, "rapt")
                    uses[i].restore()
                    uses[i].restore()  # it is over already
                for part in (model, model.encoder, model.decoder):
                    self.assertEqual(part.config._attn_implementation, "eager")

    def test_a_faulty_use_ends_no_other(self):
        model = make(DECODERS["llama"])
        with rapt.transformers.use(model):
            kept = mock.patch.object(model, "set_attn_implementation", lambda name: None)
            model.config._attn_implementation_internal = "eager"
            with kept, self.assertRaises(rapt.Unsupported):
                rapt.transformers.use(model)
            model.config._attn_implementation_internal = "rapt"
            with rapt.transformers.use(model):
                pass
            self.assertEqual(model.config._attn_implementation, "rapt")
        self.assertEqual(model.config._attn_implementation, "sdpa")

    def test_a_use_that_nobody_can_end_stays(self):
        model = make(DECODERS["llama"])
        rapt.transformers.use(model)
        with rapt.transformers.use(model):
            pass
        self.assertEqual(model.config._attn_implementation, "rapt")

    def test_in_place_of_sdpa(self):
        before = [each["sdpa"] for each in (t.AttentionInterface(), t.AttentionMaskInterface())]
        for first in range(2):
            blocks = [rapt.transformers.in_place_of_sdpa() for _ in range(2)]
            for block in blocks:
                block.__enter__()
            blocks[first].__exit__(None, None, None)
            self.assertIsNot(t.AttentionInterface()["sdpa"], before[0])
            blocks[1 - first].__exit__(None, None, None)
            after = [each["sdpa"] for each in (t.AttentionInterface(), t.AttentionMaskInterface())]
            self.assertEqual(after, before)


class InPlaceOfSdpa(Case):
    def test_float64_is_left_to_pytorch(self):
        for name, kept in itertools.product(("llama", "gemma3"), (None, padded("left"))):
            with self.subTest(name, kept=kept):
                model = make(DECODERS[name]).double()
                model.set_attn_implementation("sdpa")
                rows = slice(None) if kept is None else kept.bool()
                with torch.no_grad():
                    expected = model(prompts(), attention_mask=kept).logits[rows]
                    with rapt.transformers.in_place_of_sdpa() as done:
                        found = model(prompts(), attention_mask=kept).logits[rows]
                self.assertEqual(done.calls, 0)
                torch.testing.assert_close(found, expected)


class Docstrings(Case):
    def test_examples(self):
        result = doctest.testmod(rapt.transformers._use)
        self.assertEqual((result.failed, result.attempted > 2), (0, True))


class Gradients(Case):
    def test_of_weights(self):
        cases = {
            "llama": (DECODERS["llama"], 1, {}),
            "gemma2": (DECODERS["gemma2"], 1, {}),
            "gpt_oss": (DECODERS["gpt_oss"], 1, {}),
            "t5": (T5, 0.5, {"labels": prompts(length=5)}),
        }
        for name, (case, factor, more) in cases.items():
            with self.subTest(name):
                model = make(case, factor)

                def run():
                    model.zero_grad()
                    inputs = {"attention_mask": padded("right"), "labels": prompts(), **more}
                    model(prompts(), **inputs).loss.backward()
                    return {
                        n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None
                    }

                model.set_attn_implementation("eager")
                expected = run()
                with rapt.transformers.use(model) as done:
                    found = run()
                self.assertGreaterEqual(done.calls, LAYERS)
                self.assertEqual(found.keys(), expected.keys())
                for parameter, value in expected.items():
                    most = value.abs().max()
                    torch.testing.assert_close(
                        found[parameter], value, rtol=1e-3, atol=float(1e-4 * most), msg=parameter
                    )


class Compiled(Case):
    def test_whole_graph(self):
        kept = padded("left")
        model = make(DECODERS["gemma2"])
        expected = model(prompts(), attention_mask=kept, use_cache=False).logits
        torch._dynamo.reset()
        with torch.no_grad(), rapt.transformers.use(model) as done:
            compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
            found = compiled(prompts(), attention_mask=kept, use_cache=False).logits
        self.assertEqual((done.calls, done.dense), (LAYERS, LAYERS))
        rows = kept.bool()
        torch.testing.assert_close(found[rows], expected[rows], rtol=1e-5, atol=1e-5)

    def test_export(self):
        model = make(DECODERS["llama"])
        with torch.no_grad(), rapt.transformers.use(model):
            program = torch.export.export(
                model.model, (), {"input_ids": prompts(), "use_cache": False}, strict=False
            )
        names = [str(node.target) for node in program.graph.nodes]
        self.assertEqual(names.count("rapt.attention.default"), LAYERS)


class Continuous(Case):
    def test_batches(self):
        settings = t.GenerationConfig(
            max_new_tokens=8, do_sample=False, eos_token_id=-1, pad_token_id=0
        )
        requests = [prompts(1, length)[0].tolist() for length in (5, 11, 17)]

        def run(model):
            made = model.generate_batch(
                inputs=requests,
                generation_config=settings,
                continuous_batching_config=t.ContinuousBatchingConfig(
                    block_size=8, num_blocks=16, max_batch_tokens=64
                ),
            )
            return [result.generated_tokens for result in made.values()]

        for name in ("llama", "gemma3"):
            with self.subTest(name):
                model = make(DECODERS[name])
                model.set_attn_implementation("sdpa")
                expected = run(model)
                with rapt.transformers.in_place_of_sdpa() as done:
                    self.assertEqual(run(model), expected)
                self.assertEqual((done.calls, done.dense), (LAYERS * 8, 0))
                after = Counts()
                self.assertEqual(run(model), expected)
                self.assertEqual(after.calls, 0)


if __name__ == "__main__":
    assert transformers_cases
    unittest.main()
