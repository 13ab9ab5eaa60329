# SPDX-License-Identifier: Apache-2.0
"""What a page of rapt.show() carries, read by what pack.h says of it alone."""

import base64
import re
import unittest

import numpy as np

rng = np.random.default_rng(11)
WORDS = "the cat sat on the mat by the door".split()


def softmax(scores):
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def random_weights(*shape, causal=False):
    scores = rng.standard_normal(shape)
    if causal:
        rows, columns = shape[-2:]
        scores[..., ~np.tri(rows, columns, columns - rows, dtype=bool)] = -np.inf
    return softmax(scores).astype(np.float32)


def described(page):
    return page._data


def blocks(page):
    """The numbers of every head, by its name."""
    found = re.findall(r'<script type="text/plain" id="([^"]+)">([^<]*)<', page.html)
    return {name: np.frombuffer(base64.b64decode(code), np.uint16) for name, code in found}


def values(codes):
    """The weights of their codes, from the description of these alone."""
    codes = codes.astype(np.int64)
    numbers = (1000 + (codes - 1) % 9000) * 10.0 ** ((codes - 1) // 9000 - 10)
    return np.where(codes > 0, numbers, 0)


def carried(page, name, seen):
    """A head's weights [row][column] as the page has them; `seen` tells which there are."""
    rows = seen.shape[0]
    numbers = blocks(page)[name]
    weights = np.zeros(seen.shape)
    assert len(numbers) == seen.sum() + rows, (len(numbers), seen.sum(), rows)
    weights[seen] = values(numbers[:-rows])
    return weights, numbers[-rows:] / 1000


def entropies(weights):
    return -(weights * np.log(np.maximum(weights, 1e-30))).sum(-1)


class PageCase(unittest.TestCase):
    """A test that looks into pages."""

    def expect(self, page, name, weights, seen=None):
        """One head's weights, but for their rounding."""
        seen = np.ones(weights.shape, bool) if seen is None else seen
        found, entropy = carried(page, name, seen)
        np.testing.assert_allclose(found, np.where(seen, weights, 0), rtol=5.1e-4, atol=2e-7)
        np.testing.assert_allclose(entropy, entropies(weights), atol=6e-4)
