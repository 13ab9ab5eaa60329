# SPDX-License-Identifier: Apache-2.0
"""Rotary embeddings against their definition in double precision."""

import copy
import doctest
import pickle
import unittest

import numpy as np
import rapt
from rapt import _rope

RNG = np.random.default_rng(3)


def load_tests(loader, tests, pattern):
    tests.addTests(doctest.DocTestSuite(_rope))
    return tests


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


class Rope(unittest.TestCase):
    def refused(self, text, call, *args, kind=rapt.InvalidArgument, **options):
        with self.assertRaises(kind) as caught:
            call(*args, **options)
        self.assertIsInstance(caught.exception, rapt.Error)
        self.assertRegex(str(caught.exception), text)

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
                for given, places in ((None, np.arange(7)), (positions[0], positions[0]),
                                      (positions, positions), (positions.tolist(), positions)):
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
        self.refused("^x: found dtype", rope.apply, x.astype(int))
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


if __name__ == "__main__":
    unittest.main()
