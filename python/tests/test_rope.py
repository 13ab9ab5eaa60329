# SPDX-License-Identifier: Apache-2.0
"""Rotary embeddings against their definition in double precision."""

import copy
import importlib.util
import pickle
import types
import unittest

import numpy as np
import rapt
from refusals import Case

RNG = np.random.default_rng(3)


def turned(x, positions, dim, frequencies, pairing):
    """(batch, heads, tokens, channels), turned by (batch, tokens) positions."""
    x = np.asarray(x, float)
    angles = np.broadcast_to(positions, (x.shape[0], x.shape[2]))[:, None, :, None] * frequencies
    first, second = (
        (slice(0, dim // 2), slice(dim // 2, dim))
        if pairing == "halves"
        else (slice(0, dim, 2), slice(1, dim, 2))
    )
    out = x.copy()
    out[..., first] = x[..., first] * np.cos(angles) - x[..., second] * np.sin(angles)
    out[..., second] = x[..., second] * np.cos(angles) + x[..., first] * np.sin(angles)
    return out


class Rope(Case):
    def test_definition(self):
        x = RNG.standard_normal((2, 3, 7, 20)).astype(np.float32)
        positions = RNG.integers(-5000, 5000, (2, 7))
        own = RNG.random(8)
        for pairing in ("halves", "neighbours"):
            for options, frequencies in (
                ({}, 10000.0 ** (-np.arange(8) / 8)),
                ({"base": 500.0, "position_scale": 0.25}, 0.25 * 500.0 ** (-np.arange(8) / 8)),
                ({"frequencies": own}, own),
                ({"frequencies": list(own), "position_scale": 2}, 2 * own),
            ):
                rope = rapt.Rope(16, pairing=pairing, **options)
                for given, places in (
                    (None, np.arange(7)),
                    (positions[0], positions[0]),
                    (positions, positions),
                    (positions.tolist(), positions),
                ):
                    expected = turned(x, places, 16, frequencies, pairing)
                    np.testing.assert_allclose(rope.apply(x, given), expected, atol=3e-6)

    def test_layouts_ranks_types_and_out(self):
        rope = rapt.Rope(12)
        x = RNG.standard_normal((2, 3, 7, 20)).astype(np.float32)
        expected = rope.apply(x)
        self.assertEqual(expected.dtype, np.float32)
        np.testing.assert_array_equal(rope.apply(x[0]), expected[0])
        np.testing.assert_array_equal(rope.apply(x[0, 0], np.arange(7)), expected[0, 0])
        other = rope.apply(x.swapaxes(1, 2), layout="bshd")
        np.testing.assert_array_equal(other.swapaxes(1, 2), expected)
        out = np.zeros((2, 3, 7, 20), np.float16)
        self.assertIs(rope.apply(x, out=out), out)
        np.testing.assert_array_equal(out, expected.astype(np.float16))
        half = rope.apply(x.astype(np.float16))
        self.assertEqual(half.dtype, np.float16)
        self.assertIs(rope.apply(x, out=x), x)
        np.testing.assert_array_equal(x, expected)
        self.assertEqual(rope.apply(x[:, :, :0]).shape, (2, 3, 0, 20))

    def test_refuses(self):
        for wrong in (0, 3, -2, 2**31, "8", 8.0, True):
            self.refused("^rotary_dim: found", rapt.Rope, wrong)
        self.refused("^base: found 0.5", rapt.Rope, 8, base=0.5)
        for wrong in ("1", True, None, [1.0], 1j, np.ones(2), 10**400):
            self.refused("^base: found", rapt.Rope, 8, base=wrong, kind=rapt.InvalidType)
        self.refused("^base: found nan", rapt.Rope, 8, base=float("nan"))
        self.refused("^position_scale", rapt.Rope, 8, position_scale=-1)
        self.refused(r"^frequencies\[1\]: found", rapt.Rope, 4, frequencies=[1, 1001])
        self.refused(r"^frequencies\[1\]: found", rapt.Rope, 4, frequencies=[1, None])
        for wrong in ([1.0], "ab", 3, np.ones((2, 2)), {1: 2, 3: 4}):
            self.refused(r"^frequencies", rapt.Rope, 4, frequencies=wrong, kind=rapt.InvalidType)
        self.refused("^pairing", rapt.Rope, 4, pairing="both")
        self.refused("^isa", rapt.Rope, 4, isa="z80", kind=rapt.IsaUnavailable)

    def test_apply_refuses(self):
        rope, x = rapt.Rope(8), np.ones((2, 3, 4, 8), np.float32)
        self.refused("in: shape", rope.apply, x[..., :6])
        self.refused("^x: found dtype int64, expected [^=]*$", rope.apply, x.astype(int))
        self.refused("^x: found 1 dim", rope.apply, x[0, 0, 0])
        self.refused("^x: found list", rope.apply, [1], kind=rapt.InvalidType)
        self.refused("^layout", rope.apply, x, layout=1)
        for wrong in ([1, 2], np.ones((4, 2), int), np.ones((1, 2, 4), int), [[1, 2, 3, 4]], 1):
            self.refused("^positions: found", rope.apply, x, wrong)
        whole = np.ones(4)
        for wrong in ([1, 2, 3, 4.0], [True] * 4, "1234", [[1, 2], [3]], whole, {1: 1}, [None] * 4):
            self.refused("^positions", rope.apply, x, wrong, kind=rapt.InvalidType)
        self.refused("^positions", rope.apply, x, [1, 2, 3, 2**31 + 1])
        self.refused("^positions", rope.apply, x, [1, 2, 3, 2**64])
        locked = np.ones_like(x)
        locked.flags.writeable = False
        self.refused("^out: found a read-only", rope.apply, x, out=locked)
        self.refused("^out", rope.apply, x, out=np.ones((2, 3, 4, 9), np.float32))
        self.refused("^out: its memory overlaps", rope.apply, x[:, :, 1:], out=x[:, :, :3])

    def test_is_not_copied_and_says_what_it_is(self):
        rope = rapt.Rope(8, pairing="neighbours")
        self.assertEqual(repr(rope), "<rapt.Rope rotary_dim=8, pairing='neighbours'>")
        for call in (copy.copy, copy.deepcopy, pickle.dumps):
            self.refused("rope: found a copy", call, rope, kind=rapt.Unsupported)


@unittest.skipUnless(importlib.util.find_spec("transformers"), "no transformers")
class Config(unittest.TestCase):
    """The rope of a configuration turns as the model does."""

    def check(self, config, module, layer_type=None):
        import torch

        named = {} if layer_type is None else {"layer_type": layer_type}
        cosines, sines = module(torch.zeros(1, 1, 1), torch.arange(0, 4000, 37)[None], **named)
        rope = rapt.Rope.from_config(config, layer_type)
        half = rope.rotary_dim // 2
        one = np.zeros((1, 1, cosines.shape[1], rope.rotary_dim), np.float32)
        one[..., :half] = 1
        found = rope.apply(one, np.arange(0, 4000, 37))[0, 0]
        np.testing.assert_allclose(found[:, :half], cosines[0, :, :half], atol=5e-4)
        np.testing.assert_allclose(found[:, half:], sines[0, :, :half], atol=5e-4)

    def test_llama(self):
        from transformers import LlamaConfig
        from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

        stretched = {
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 512,
        }
        for parameters in (
            {"rope_type": "default", "rope_theta": 1e4},
            {"rope_type": "linear", "rope_theta": 5e5, "factor": 4.0},
            {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, **stretched},
        ):
            config = LlamaConfig(hidden_size=128, num_attention_heads=2, rope_parameters=parameters)
            self.check(config, LlamaRotaryEmbedding(config))

    def test_part_of_the_channels(self):
        from transformers import GPTNeoXConfig
        from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXRotaryEmbedding

        config = GPTNeoXConfig(hidden_size=256, num_attention_heads=4)
        self.assertEqual(rapt.Rope.from_config(config).rotary_dim, 16)
        self.check(config, GPTNeoXRotaryEmbedding(config))

    def test_kinds_of_layers(self):
        from transformers import Gemma3TextConfig
        from transformers.models.gemma3.modeling_gemma3 import Gemma3RotaryEmbedding

        config = Gemma3TextConfig()
        for layer_type in ("sliding_attention", "full_attention"):
            self.check(config, Gemma3RotaryEmbedding(config), layer_type)


class RefusedConfig(Case):
    def test_configurations(self):
        def make(layer_type=None, **parameters):
            rope = {"rope_type": "default", "rope_theta": 1e4, **parameters}
            config = types.SimpleNamespace(head_dim=64, rope_parameters=rope)
            return rapt.Rope.from_config(config, layer_type)

        self.refused("rope_type: found 'yarn'", make, rope_type="yarn", kind=rapt.Unsupported)
        for wrong in (np.zeros(2), ["default"], None):
            self.refused("rope_type: found", make, rope_type=wrong, kind=rapt.Unsupported)
        self.refused("layer_type: found .'full'., expected one of full", make, ["full"], full={})
        self.refused("rope_theta", make, rope_theta=None, kind=rapt.InvalidType)
        self.refused("rope_theta: found 0", make, rope_theta=0.0)
        self.refused("factor", make, rope_type="linear", kind=rapt.InvalidType)
        self.refused("factor: found 0", make, rope_type="linear", factor=0)
        low = {"low_freq_factor": 4, "high_freq_factor": 4, "factor": 8}
        low["original_max_position_embeddings"] = 8192
        self.refused("the lower first", make, rope_type="llama3", **low)
        self.refused("layer_type: found 'full'", make, "full")
        self.refused("layer_type: found None, expected one of full", make, full={})
        self.refused("rotary_dim", make, partial_rotary_factor=0.1 / 64)
        for wrong in (0, 2, float("nan"), float("inf")):
            self.refused("partial_rotary_factor", make, partial_rotary_factor=wrong)
        self.refused("config: found", rapt.Rope.from_config, object(), kind=rapt.InvalidType)
        bare = types.SimpleNamespace(rope_parameters={"rope_theta": 1e4}, hidden_size=64)
        text = "config.num_attention_heads: found None"
        self.refused(text, rapt.Rope.from_config, bare, kind=rapt.InvalidType)


if __name__ == "__main__":
    unittest.main()
