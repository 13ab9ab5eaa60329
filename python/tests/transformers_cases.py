# SPDX-License-Identifier: Apache-2.0
"""Small models for the tests of rapt.transformers; skipped where that can't be imported."""

import os
import unittest

os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
try:
    import torch
    import transformers as t
except ImportError:
    raise unittest.SkipTest("torch or transformers can't be imported") from None

import rapt.transformers

torch.set_num_threads(1)  # small sums; other threads would only wait for their turn

LAYERS, WINDOW, NEW = 2, 6, 10
PROMPT = 11
_SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
}
_TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": None}
_DECODER = {**_SIZES, **_TOKENS, "num_key_value_heads": 2, "max_position_embeddings": 128}
_HEADS = {"head_dim": 8, "sliding_window": WINDOW}
_MIXED = {"layer_types": ["sliding_attention", "full_attention"]}

DECODERS = {
    "llama": (t.LlamaForCausalLM, t.LlamaConfig, _DECODER),
    "qwen2": (
        t.Qwen2ForCausalLM,
        t.Qwen2Config,
        {**_DECODER, "use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "qwen3": (t.Qwen3ForCausalLM, t.Qwen3Config, {**_DECODER, "head_dim": 8}),
    "mistral": (t.MistralForCausalLM, t.MistralConfig, {**_DECODER, "sliding_window": WINDOW}),
    "gemma2": (
        t.Gemma2ForCausalLM,
        t.Gemma2Config,
        {**_DECODER, **_HEADS, "query_pre_attn_scalar": 8, "attn_logit_softcapping": 5.0},
    ),
    "gemma3": (
        t.Gemma3ForCausalLM,
        t.Gemma3TextConfig,
        {**_DECODER, **_HEADS, **_MIXED, "query_pre_attn_scalar": 8},
    ),
    "gpt_oss": (
        t.GptOssForCausalLM,
        t.GptOssConfig,
        {**_DECODER, **_HEADS, "num_local_experts": 2, "num_experts_per_tok": 1},
    ),
    "gpt2": (
        t.GPT2LMHeadModel,
        t.GPT2Config,
        {"vocab_size": 64, "n_embd": 32, "n_layer": LAYERS, "n_head": 4, **_TOKENS},
    ),
}
_ENCODER = {**_SIZES, "pad_token_id": 0}
ENCODERS = {
    "bert": (t.BertModel, t.BertConfig, _ENCODER),
    "modernbert": (
        t.ModernBertModel,
        t.ModernBertConfig,
        {
            **_ENCODER,
            "local_attention": 4,
            "global_attn_every_n_layers": 2,
            **{f"{name}_token_id": 1 for name in ("bos", "eos", "cls", "sep")},
        },
    ),
}
T5 = (
    t.T5ForConditionalGeneration,
    t.T5Config,
    {
        "vocab_size": 64,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 48,
        "num_layers": LAYERS,
        "num_heads": 4,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": None,
    },
)
WHISPER = (
    t.WhisperForConditionalGeneration,
    t.WhisperConfig,
    {
        "vocab_size": 64,
        "d_model": 32,
        "encoder_layers": LAYERS,
        "decoder_layers": LAYERS,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "num_mel_bins": 8,
        "max_source_positions": 20,
        "max_target_positions": 32,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 1,
        "begin_suppress_tokens": None,
        "suppress_tokens": None,
    },
)


def make(case, factor=6, **more):
    """A model with random weights, the same for each call, that are larger than usual by a factor:
    with the usual ones all tokens are alike."""
    model_class, config_class, options = case
    torch.manual_seed(0)
    model = model_class(config_class(**{**options, **more})).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(factor)
        for name, sinks in model.named_parameters():
            if name.endswith("sinks"):
                sinks.copy_(torch.linspace(-1, 1, len(sinks)))
    return model


def prompts(batch=2, length=PROMPT):
    return torch.randint(3, 64, (batch, length), generator=torch.Generator().manual_seed(1))


def padded(side, length=PROMPT):
    """Which tokens of two sequences exist: four of the first are missing at a side, or anywhere."""
    kept = torch.ones(2, length, dtype=torch.int64)
    kept[0, {"left": slice(0, 4), "right": slice(7, None), "gaps": slice(3, 6)}[side]] = 0
    return kept


class Case(unittest.TestCase):
    """Runs models by eager and by rapt."""

    def both(self, model, run):
        """What a run gives by eager, by rapt, and what was counted meanwhile."""
        model.set_attn_implementation("eager")
        with torch.no_grad():
            expected = run(model)
            with rapt.transformers.use(model) as done:
                found = run(model)
        self.assertEqual(model.config._attn_implementation, "eager")
        return found, expected, done

    def same(self, model, run, calls, dense=0, biases=0):
        """Tokens are equal, numbers close; rapt has computed so many attentions."""
        found, expected, done = self.both(model, run)
        if expected.is_floating_point():
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        else:
            self.assertGreater(len(set(expected.flatten().tolist())), 12)
            self.assertEqual(found.tolist(), expected.tolist())
        self.assertEqual((done.calls, done.dense, done.biases), (calls, dense, biases))
        return found
