# SPDX-License-Identifier: Apache-2.0
"""What tests of caches share."""

import numpy as np
import rapt

RNG = np.random.default_rng(7)
HEADS, GROUP, DIM, VALUE_DIM = 2, 2, 32, 64
CAPACITY = 40


def random(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def tokens(n, batch=1):
    return random(batch, HEADS, n, DIM), random(batch, HEADS, n, VALUE_DIM)


def queries(n, batch=1):
    return random(batch, HEADS * GROUP, n, DIM)


def new_cache(**options):
    options = {"capacity": CAPACITY, "value_dim": VALUE_DIM, **options}
    return rapt.KVCache(HEADS, DIM, **options)


def pages_or_none():
    return ({}, {"page_size": 7}, {"page_size": 16, "pages": 12})


class Turn:
    """In place of a cache's lock: notes how long its first sequence is before and after."""

    def __init__(self, cache):
        self.cache, self.lengths, self.start = cache, [], None
        cache._turns.lock = self

    def __enter__(self):
        self.start = self.cache.lengths[0]

    def __exit__(self, *error):
        self.lengths.append((self.start, self.cache.lengths[0]))
