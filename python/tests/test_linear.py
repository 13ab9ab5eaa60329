# SPDX-License-Identifier: Apache-2.0
"""Linear layers and embeddings against their definitions."""

import math
import unittest

import numpy as np
import rapt
from refusals import Case

RNG = np.random.default_rng(9)


def random(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


class Linear(Case):
    def test_definition(self):
        x, weight, bias = random(2, 5, 20), random(33, 20), random(33)
        outer, outer_bias = random(7, 33), random(7)
        inner = x.astype(float) @ weight.T.astype(float)
        gelu = np.vectorize(lambda n: n / 2 * (1 + math.erf(n / 2**0.5)))
        for options, expected in (
            ({}, inner),
            ({"bias": bias}, inner + bias),
            ({"bias": bias, "activation": "gelu"}, gelu(inner + bias)),
            ({"outer": outer, "activation": "gelu"}, gelu(inner) @ outer.T),
            (
                {"bias": bias, "outer": outer, "outer_bias": outer_bias, "threads": 1},
                (inner + bias) @ outer.T + outer_bias,
            ),
        ):
            found = rapt.linear(x, weight, **options)
            np.testing.assert_allclose(found, expected, atol=2e-4)
            np.testing.assert_array_equal(rapt.linear(x[1], weight, **options), found[1])
        half = weight.astype(np.float16)
        np.testing.assert_array_equal(
            rapt.linear(x, half, bias), rapt.linear(x, half.astype(np.float32), bias)
        )
        square = random(20, 20)
        expected = rapt.linear(x, square)
        self.assertIs(rapt.linear(x, square, out=x), x)
        np.testing.assert_array_equal(x, expected)

    def test_refuses(self):
        x, weight = random(2, 5, 20), random(33, 20)
        self.refused("^x: found 1 dim", rapt.linear, x[0, 0], weight)
        self.refused("^weight: found 3 dim", rapt.linear, x, x)
        self.refused("^weight", rapt.linear, x, weight[:, :3])
        self.refused("^weight: found None", rapt.linear, x, None, kind=rapt.InvalidType)
        self.refused("^bias", rapt.linear, x, weight, random(3))
        self.refused("^outer", rapt.linear, x, weight, outer=random(3, 3))
        self.refused("outer_bias", rapt.linear, x, weight, outer_bias=random(33))
        self.refused("^activation", rapt.linear, x, weight, activation="relu")
        self.refused("^out", rapt.linear, x, weight, out=x)
        self.refused("^input", rapt.linear, x.astype(np.float16), weight)
        self.refused("^threads", rapt.linear, x, weight, threads=1.5, kind=rapt.InvalidType)


class Embed(Case):
    def test_definition(self):
        words, places = random(30, 6), random(9, 6).astype(np.float16)
        ids = RNG.integers(0, 30, (2, 5))
        expected = words[ids] + places[:5].astype(np.float32)
        for given in (ids, ids.tolist(), ids.astype(np.uint8), tuple(map(tuple, ids))):
            found = rapt.embed([words, places], [given, None])
            np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(rapt.embed([words], [ids[0]]), words[ids[0]])
        two = rapt.embed([places, words], [[[3, 4]], [[8, 9]]])
        expected = places[[3, 4]].astype(np.float32) + words[[8, 9]]
        np.testing.assert_array_equal(two, expected[None])
        out = np.zeros((2, 5, 6), np.float16)
        self.assertIs(rapt.embed([words], [ids], out=out), out)
        np.testing.assert_array_equal(out, words[ids].astype(np.float16))
        self.assertEqual(rapt.embed([words], [np.zeros((0, 5), int)]).shape, (0, 5, 6))

    def test_refuses(self):
        words = random(30, 6)
        self.refused("^ids: found 0 for 1", rapt.embed, [words], [])
        self.refused("^ids: found 0 for 0", rapt.embed, [], [])
        self.refused("^ids: found None", rapt.embed, [words], [None])
        self.refused("^tables: found 3", rapt.embed, 3, [[1]], kind=rapt.InvalidType)
        self.refused("^ids: found 3", rapt.embed, [words], 3, kind=rapt.InvalidType)
        self.refused("^ids", rapt.embed, [words], [[1, 30]])
        self.refused("^ids", rapt.embed, [words], [[-1]])
        self.refused("^ids.0.", rapt.embed, [words], [[1.5]], kind=rapt.InvalidType)
        self.refused("^ids.1.: found shape", rapt.embed, [words, words], [[1, 2], [1]])
        self.refused("^tables.0.: found 1 dim", rapt.embed, [words[0]], [[1]])
        self.refused("^tables", rapt.embed, [words, words[:, :3]], [[1], None])
        self.refused("^out", rapt.embed, [words], [[1, 2]], out=words[:1])


if __name__ == "__main__":
    unittest.main()
