# SPDX-License-Identifier: Apache-2.0
"""Attention to a cache has the bits of attention to the dense tensors that were appended."""

import unittest

import numpy as np
import rapt
from caches import (
    CAPACITY,
    DIM,
    GROUP,
    HEADS,
    RNG,
    VALUE_DIM,
    new_cache,
    pages_or_none,
    queries,
    random,
    tokens,
)
from exporter import Described, bf16_of
from refusals import Case


class Attend(Case):
    """The bits of attention to dense tensors, sequence by sequence."""

    def filled(self, lengths, **options):
        cache = new_cache(sequences=len(lengths), **options)
        dense = [tokens(n) for n in lengths]
        for i, (k, v) in enumerate(dense):
            for at in range(0, lengths[i], 5):
                cache.append(k[:, :, at : at + 5], v[:, :, at : at + 5], sequences=i)
        return cache, dense

    def test_one_sequence(self):
        for options in pages_or_none():
            cache, [(k, v)] = self.filled([33], **options)
            q = queries(6)
            for given in (
                {"causal": True},
                {"causal": True, "window": (9, 0), "softcap": 3.0},
                {"kv_start": 4, "sinks": random(HEADS * GROUP), "scale": 0.3},
                {"alibi": np.float32([0.5, 0.25, 0.1, 0.0]), "q_offset": 20},
            ):
                expected = rapt.attention(q, k, v, **{"q_offset": 27, **given})
                self.same(cache.attend(q, **given), expected)

    def test_sequences_of_several_lengths(self):
        for options in pages_or_none():
            lengths = [13, 0, 33, 40]
            cache, dense = self.filled(lengths, **options)
            q = queries(3, batch=4)
            out, lse = cache.attend(q, causal=True, return_lse=True)
            for i, (k, v) in enumerate(dense):
                at = {"causal": True, "q_offset": lengths[i] - 3, "return_lse": True}
                one, one_lse = rapt.attention(q[i : i + 1], k, v, **at)
                self.same(out[i : i + 1], one)
                self.same(lse[i : i + 1], one_lse)
            for chosen in ([2], 3, [0, 2], [3, 2], [2, 2, 2], range(1, 4), np.array([1, 3]), []):
                which = [chosen] if isinstance(chosen, int) else list(chosen)
                found = cache.attend(q[: len(which)], causal=True, sequences=chosen)
                for row, i in enumerate(which):
                    k, v = dense[i]
                    at = {"causal": True, "q_offset": lengths[i] - 3}
                    self.same(found[row : row + 1], rapt.attention(q[row : row + 1], k, v, **at))

    def test_any_sequences_of_pages(self):
        lengths = [13, 5, 33, 40]
        cache, dense = self.filled(lengths, page_size=8)
        q, chosen = queries(2, batch=3), [3, 0, 1]
        found = cache.attend(q, sequences=chosen)
        for row, i in enumerate(chosen):
            self.same(found[row : row + 1], rapt.attention(q[row : row + 1], *dense[i]))
        contiguous, _ = self.filled(lengths)
        self.refused("evenly spaced", contiguous.attend, q, sequences=chosen, kind=rapt.Unsupported)

    def test_ragged_queries(self):
        for options in pages_or_none():
            lengths, cu = [13, 20, 33], [0, 1, 1, 5]
            cache, dense = self.filled(lengths, **options)
            q = queries(5)
            found = cache.attend(q, causal=True, cu_q=cu)
            for i, (k, v) in enumerate(dense):
                own = slice(cu[i], cu[i + 1])
                at = {"causal": True, "q_offset": lengths[i] - (cu[i + 1] - cu[i])}
                self.same(found[:, :, own], rapt.attention(q[:, :, own], k, v, **at))

    def test_outputs_of_all_keys(self):
        for options in pages_or_none():
            cache, [(k, v)] = self.filled([33], **options)
            q, mask = queries(4), RNG.random((4, 33)) < 0.5
            asked = {"mask": mask, "return_weights": True, "return_received": True}
            expected = rapt.attention(q, k, v, **asked)
            found = cache.attend(q, **asked)
            self.same(found.out, expected.out)
            self.same(found.weights[..., :33], expected.weights)
            self.same(found.received[..., :33], expected.received)
            self.assertFalse(found.weights[..., 33:].any())
            columns = {None: 33, 7: 42, 16: 48}[options.get("page_size")]
            self.assertEqual(found.weights.shape[-1], columns)

    def test_layouts_and_ranks(self):
        for options in ({}, {"page_size": 8}, {"dtype": "int8"}, {"dtype": "int8", "page_size": 8}):
            cache, _ = self.filled([33], **options)
            q = queries(4)
            expected = cache.attend(q, causal=True)
            self.same(cache.attend(q[0], causal=True), expected[0])
            turned = cache.attend(q.swapaxes(1, 2), causal=True, layout="bshd")
            self.same(turned.swapaxes(1, 2), expected)
            self.same(cache.attend(q[0].swapaxes(0, 1), causal=True, layout="bshd"), turned[0])
            out = np.zeros((*q.shape[:3], VALUE_DIM), np.float32)
            self.assertIs(cache.attend(q, causal=True, out=out), out)
            self.same(out, expected)

    def test_grows_token_by_token(self):
        for options in pages_or_none():
            cache = new_cache(sequences=2, **options)
            k, v = tokens(CAPACITY, batch=2)
            q = queries(CAPACITY, batch=2)
            expected = rapt.attention(q, k, v, causal=True)
            for i in range(CAPACITY):
                now = slice(i, i + 1)
                cache.append(k[:, :, now], v[:, :, now])
                self.same(cache.attend(q[:, :, now], causal=True), expected[:, :, now])


class Types(Case):
    def test_floats(self):
        k, v = tokens(20)
        q = queries(4)
        for name in ("float32", "float16", np.float16, np.dtype("float16")):
            kind = np.dtype(name)
            cache = new_cache(dtype=name)
            cache.append(k, v)
            self.same(cache.attend(q), rapt.attention(q, k.astype(kind), v.astype(kind)))
        cache = new_cache(dtype="bfloat16", value_dtype="float16")
        cache.append(k, v)
        rounded = Described(bf16_of(k)[0], 4, 16)
        self.same(cache.attend(q), rapt.attention(q, rounded, v.astype(np.float16)))

    def test_int8(self):
        k, v = tokens(20)
        q = queries(4)

        def quantized(x):
            scale = np.abs(x).max(-1) / np.float32(127)
            return np.rint(x / scale[..., None]).astype(np.int8), scale

        (k8, ks), (v8, vs) = quantized(k), quantized(v)
        expected = rapt.attention(q, k8, v8, key_scale=ks, value_scale=vs)
        for options in pages_or_none():
            cache = new_cache(dtype="int8", **options)
            cache.append(k, v)
            self.same(cache.attend(q), expected)

    def test_q8_0(self):
        k, v = tokens(20)
        q = queries(4)

        def quantized(x):
            blocks = x.reshape(*x.shape[:-1], -1, 32)
            scale = np.abs(blocks).max(-1, keepdims=True) / np.float32(127)
            bytes_of = np.rint(blocks / scale).astype(np.int8).view(np.uint8)
            both = np.concatenate([scale.astype(np.float16).view(np.uint8), bytes_of], -1)
            return both.reshape(*x.shape[:-1], -1)

        expected = rapt.attention(q, quantized(k), quantized(v))
        for options in pages_or_none():
            cache = new_cache(dtype="q8_0", sequences=3, **options)
            cache.append(k, v, sequences=2)
            self.same(cache.attend(q, sequences=2), expected)

    def test_what_is_appended(self):
        k, v = tokens(9)
        expected = new_cache()
        expected.append(k.astype(np.float16).astype(np.float32), v)
        found = new_cache()
        found.append(k.astype(np.float16)[:, :, ::1], np.asfortranarray(v))
        q = queries(2)
        self.same(found.attend(q), expected.attend(q))
        turned = new_cache()
        turned.append(k.swapaxes(1, 2).astype(np.float16), v.swapaxes(1, 2), layout="bshd")
        self.same(turned.attend(q), expected.attend(q))
        single = new_cache()
        single.append(k[0].astype(np.float16), v[0])
        self.same(single.attend(q), expected.attend(q))


class Ropes(Case):
    def test_turns_keys_and_queries(self):
        rope = rapt.Rope(16, base=500.0)
        for options in pages_or_none():
            cache = new_cache(rope=rope, sequences=2, **options)
            k, v = tokens(30, batch=2)
            q = queries(5, batch=2)
            for at in range(0, 30, 6):
                cache.append(k[:, :, at : at + 6], v[:, :, at : at + 6])
            turned = rope.apply(q, np.arange(25, 30))
            expected = rapt.attention(turned, rope.apply(k), v, causal=True, q_offset=25)
            self.same(cache.attend(q, causal=True), expected)
            ragged = q.transpose(1, 0, 2, 3).reshape(1, HEADS * GROUP, 10, DIM)
            found = cache.attend(ragged, causal=True, cu_q=[0, 5, 9])
            self.same(found[:, :, :9], cache.attend(ragged[:, :, :9], causal=True, cu_q=[0, 5, 9]))
            found = cache.attend(ragged, causal=True, cu_q=[0, 5, 10])
            self.same(found[:, :, :5], expected[:1])
            self.same(found[:, :, 5:], expected[1:])

    def test_turns_by_positions(self):
        rope = rapt.Rope(DIM)
        k, v = tokens(8, batch=2)
        q = queries(2, batch=2)
        places = RNG.integers(-1000, 1000, (2, 8))
        cache = new_cache(rope=rope, sequences=2)
        cache.append(k, v, positions=places)
        expected = rapt.attention(rope.apply(q, [5, 6]), rope.apply(k, places), v)
        self.same(cache.attend(q, positions=[5, 6]), expected)
        self.refused("positions: found", new_cache().attend, queries(1), positions=[1])
        self.refused("positions: found shape", cache.append, k, v, positions=[1, 2, 3])
        self.refused("positions", cache.append, k, v, positions=[2**31 + 1] * 8)
        self.refused("positions", cache.append, k, v, positions=[2**70] * 8)
        self.refused("positions", cache.append, k, v, positions=[0.5] * 8, kind=rapt.InvalidType)
        self.assertEqual(cache.lengths, [8, 8])


if __name__ == "__main__":
    unittest.main()
