# SPDX-License-Identifier: Apache-2.0
"""Caches that change, are refused something, and are used by several threads and processes."""

import copy
import mmap
import os
import pickle
import threading
import unittest

import numpy as np
import rapt
from caches import CAPACITY, DIM, HEADS, Turn, new_cache, pages_or_none, queries, tokens
from refusals import Case


class Changes(Case):
    def test_truncate(self):
        for options in pages_or_none():
            cache = new_cache(sequences=3, **options)
            k, v = tokens(30, batch=3)
            cache.append(k, v)
            cache.truncate([11, 0, 30])
            self.assertEqual(cache.lengths, [11, 0, 30])
            cache.truncate(10, sequences=[0, 2])
            self.assertEqual(cache.lengths, [10, 0, 10])
            self.refused("length: found 11, .* 0 to 10", cache.truncate, [5, 11], sequences=[0, 2])
            self.refused("length: found 1,", cache.truncate, 1)
            self.refused("length", cache.truncate, -1)
            self.assertEqual(cache.lengths, [10, 0, 10])
            q = queries(1)
            expected = rapt.attention(q, k[2:, :, :10], v[2:, :, :10])
            self.same(cache.attend(q, sequences=2), expected)

    def test_fork(self):
        for options in ({}, {"page_size": 8, "pages": 9}):
            cache = new_cache(sequences=2, **options)
            k, v = tokens(20)
            cache.append(k, v, sequences=0)
            before = cache.pages_free
            cache.fork(0, 1)
            self.assertEqual(cache.pages_free, before)
            more = tokens(3)
            cache.append(*more, sequences=1)
            self.assertEqual(cache.pages_free, max(0, before - 1))
            q = queries(2)
            self.same(cache.attend(q, sequences=0), rapt.attention(q, k, v))
            joined = [np.concatenate(pair, 2) for pair in ((k, more[0]), (v, more[1]))]
            self.same(cache.attend(q, sequences=1), rapt.attention(q, *joined))
            self.refused("source", cache.fork, 2, 0)
            self.refused("target", cache.fork, 0, -1)
            self.refused("source", cache.fork, "0", 1, kind=rapt.InvalidType)

    def test_nothing_has_changed_after_an_error(self):
        cache = new_cache(sequences=3, page_size=8, pages=5)
        k, v = tokens(16, batch=3)
        self.refused("pages", cache.append, k, v, kind=rapt.OutOfMemory)
        self.assertEqual((cache.lengths, cache.pages_free), ([0, 0, 0], 5))
        self.refused("each once", cache.append, k[:2], v[:2], sequences=[1, 1])
        self.refused("expected 3, one", cache.append, k, v, sequences=[0])
        self.refused("sequences.* found 3", cache.append, k[:1], v[:1], sequences=3)
        self.refused("sequences.* found -1", cache.append, k[:1], v[:1], sequences=[-1])
        self.refused("v: shape", cache.append, k, v[:2])
        self.refused("key", cache.append, k[..., :3], v)
        self.refused("value", cache.append, k, v[..., :3])
        self.refused("key", cache.append, k[:, :1], v)
        self.refused("k: found", cache.append, [1, 2], v, kind=rapt.InvalidType)
        self.refused("k: found dtype", cache.append, k.astype(int), v)
        self.refused("v: found 5", cache.append, k, v[None])
        self.assertEqual((cache.lengths, cache.pages_free), ([0, 0, 0], 5))
        full = new_cache()
        self.refused("key: shape.*41", full.append, *tokens(41))

    def test_attend_refuses(self):
        cache = new_cache(sequences=2)
        cache.append(*tokens(5, batch=2))
        q = queries(1, batch=2)
        self.refused("sequences", cache.attend, q[:1])
        self.refused("sequences", cache.attend, q, sequences=[0, 2])
        self.refused("sequences", cache.attend, q, sequences="01", kind=rapt.InvalidType)
        self.refused("sequences", cache.attend, q, sequences=0.5, kind=rapt.InvalidType)
        self.refused("found 2 numbers, expected 1, one", cache.attend, q[0], sequences=[0, 1])
        self.refused("q: found 2 dim", cache.attend, q[0, 0], sequences=1)
        self.refused("q: found", cache.attend, None, kind=rapt.InvalidType)
        self.refused("layout", cache.attend, q, layout="bsdh")
        self.refused("query|key", cache.attend, q[..., :5])
        self.refused("q_offset", cache.attend, q, q_offset=[1])
        self.refused("cu_q", cache.attend, q[:1], cu_q=[0, 5, 1])
        self.refused("cu_q", cache.attend, q[:1], cu_q=5, kind=rapt.InvalidType)
        with self.assertRaises(TypeError):
            cache.attend(q, kv_len=3)


class Objects(Case):
    def test_arguments(self):
        for name in "kv_heads head_dim capacity sequences value_dim pages page_size".split():
            for wrong in (0, -1, 2**31, 2**64, "3", 1.5, True):
                given = {"kv_heads": 1, "head_dim": 8, "capacity": 4, "page_size": 2, name: wrong}
                self.refused(f"^{name}: found", rapt.KVCache, **given)
        self.refused("pages", new_cache, pages=3)
        for wrong in ("float64", np.int32, None, 3, "q4_0"):
            self.refused("^dtype: found", new_cache, dtype=wrong)
        self.refused("^value_dtype", new_cache, value_dtype=np.float64)
        self.refused("^head_dim|^key_dtype", rapt.KVCache, 1, 33, capacity=4, dtype="q8_0")
        self.refused("^rope: found", new_cache, rope=object(), kind=rapt.InvalidType)
        self.refused("^rope: its rotary_dim", new_cache, rope=rapt.Rope(DIM + 2))
        self.refused("^isa", new_cache, isa="z80", kind=rapt.IsaUnavailable)
        self.refused("address space", new_cache, capacity=2**31 - 1, sequences=2**31 - 1)

    def test_memory_of_the_callers(self):
        size = new_cache().nbytes
        for memory in (bytearray(size), mmap.mmap(-1, size), np.zeros(size // 4 + 1, np.float32)):
            cache = new_cache(memory=memory)
            k, v = tokens(9)
            cache.append(k, v)
            q = queries(1)
            self.same(cache.attend(q), rapt.attention(q, k, v))
            self.assertTrue(any(bytes(memory)[: size // 2]))
        del memory
        self.same(cache.attend(q), rapt.attention(q, k, v))
        held = bytearray(size)
        cache = new_cache(memory=held)
        with self.assertRaises(BufferError):
            held.clear()
        for wrong in (bytes(size), 5, "x", np.zeros((size, 2), np.uint8)[:, 0]):
            self.refused("^memory: found", new_cache, memory=wrong, kind=rapt.InvalidType)
        self.refused("^memory_size", new_cache, memory=bytearray(size - 1))

    def test_says_what_it_is(self):
        cache = new_cache(sequences=3, page_size=8, dtype="int8", value_dtype="float16")
        cache.append(*tokens(9), sequences=1)
        text = "<rapt.KVCache 2 heads x 32 and 64 channels of int8 and float16, 3 sequences, "
        text += "0 to 9 of 40 tokens, 13 free pages of 8>"
        self.assertEqual(repr(cache), text)
        self.assertEqual((cache.capacity, cache.sequences, cache.page_size), (40, 3, 8))

    def test_is_made_once(self):
        cache = new_cache()
        cache.append(*tokens(3))
        again = {"capacity": 9, "kind": rapt.Unsupported}
        self.refused("^cache: found one that is made", cache.__init__, 1, 8, **again)
        self.assertEqual((cache.lengths, cache.kv_heads), ([3], HEADS))
        rope, layer = rapt.Rope(8), rapt.MultiHeadAttention.xavier(8, 2)
        self.refused("^rope: found one", rope.__init__, 8, kind=rapt.Unsupported)
        weights = layer.weights.values()
        self.refused("^layer: found one", layer.__init__, *weights, 2, kind=rapt.Unsupported)

    def test_is_not_copied(self):
        for call in (copy.copy, copy.deepcopy, pickle.dumps):
            self.refused("cache: found a copy", call, new_cache(), kind=rapt.Unsupported)

    def test_keeps_its_rope(self):
        cache = new_cache(rope=rapt.Rope(DIM))
        k, v = tokens(6)
        cache.append(k, v)
        q = queries(6)
        rope = rapt.Rope(DIM)
        self.same(cache.attend(q), rapt.attention(rope.apply(q), rope.apply(k), v))

    def test_has_no_other_arguments(self):
        """What a cache knows itself is no argument of its calls, though attention() takes it."""
        cache, q = new_cache(), queries(2)
        cache.append(*tokens(6))
        for name in ("k", "v", "kv_len", "block_table", "cu_k", "key_scale", "value_scale", "any"):
            text = rf"^KVCache.attend\(\) got an unexpected keyword argument '{name}'$"
            with self.subTest(name), self.assertRaisesRegex(TypeError, text):
                cache.attend(q, **{name: 5})
        self.refused("^convert", cache.attend, q, convert=1, kind=rapt.InvalidType)

    def test_refuses_bool(self):
        cache, (k, v) = new_cache(), tokens(6)
        self.refused("^key: dtype is bool", cache.append, k > 0, v)
        self.refused("^value: dtype is bool", cache.append, k, v > 0)
        self.assertEqual(cache.lengths, [0])

    def test_converts_queries_before_its_rope(self):
        cache, q = new_cache(rope=rapt.Rope(DIM)), queries(2)
        cache.append(*tokens(6))
        self.same(cache.attend(q.astype(float), convert=True), cache.attend(q))


class Threads(Case):
    def test_each_thread_has_a_sequence(self):
        count, k, v = 6, *tokens(CAPACITY, batch=6)
        q = queries(CAPACITY, batch=count)
        expected = rapt.attention(q, k, v, causal=True, threads=1)
        for options in pages_or_none()[:2]:
            cache, wrong = new_cache(sequences=count, **options), []

            def decode(i, cache=cache, wrong=wrong):
                own = slice(i, i + 1)
                for t in range(CAPACITY):
                    now = slice(t, t + 1)
                    cache.append(k[own, :, now], v[own, :, now], sequences=i)
                    out = cache.attend(q[own, :, now], sequences=i, causal=True, threads=1)
                    if not np.array_equal(out, expected[own, :, now]):
                        wrong.append((i, t))

            threads = [threading.Thread(target=decode, args=(i,)) for i in range(count)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(wrong, [])
            self.assertEqual(cache.lengths, [CAPACITY] * count)

    def test_changes_take_turns(self):
        cache = new_cache(sequences=2)
        turn = Turn(cache)
        cache.append(*tokens(5, batch=2))
        cache.truncate(3)
        cache.append(*tokens(4), sequences=1)
        cache.fork(1, 0)
        cache.attend(queries(1, batch=2))
        self.assertEqual(turn.lengths, [(0, 5), (5, 3), (3, 3), (3, 7), (7, 7)])

    def test_one_sequence_that_changes_under_readers(self):
        cache, stop = new_cache(page_size=8, pages=7, sequences=2), threading.Event()
        k, v = tokens(CAPACITY)
        q = queries(3)
        cache.append(k[:, :, :20], v[:, :, :20], sequences=0)
        cache.append(k[:, :, :9], v[:, :, :9], sequences=1)
        steady, errors = cache.attend(q, sequences=1), []

        def read():
            try:
                while not stop.is_set():
                    cache.attend(q, sequences=0)
                    self.same(cache.attend(q, sequences=1), steady)
            except BaseException as error:
                errors.append(error)

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for _ in range(300):
            cache.truncate(2, sequences=0)
            cache.append(k[:, :, 2:30], v[:, :, 2:30], sequences=0)
        stop.set()
        for reader in readers:
            reader.join()
        self.assertEqual(errors, [])

    @unittest.skipUnless(hasattr(os, "fork"), "no fork")
    def test_a_forked_process_has_its_own(self):
        cache = new_cache(sequences=2)
        k, v = tokens(20)
        q = queries(1)
        cache.append(k[:, :, :10], v[:, :, :10], sequences=0)
        expected = rapt.attention(q, k, v)
        with cache._turns.lock:
            child = os.fork()
            if child == 0:
                thread = threading.Thread(
                    target=lambda: cache.append(k[:, :, 10:], v[:, :, 10:], sequences=0),
                    daemon=True,
                )
                thread.start()
                thread.join(30)
                right = np.array_equal(cache.attend(q, sequences=0, threads=1), expected)
                os._exit(0 if right else 1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(cache.lengths, [10, 0])


if __name__ == "__main__":
    unittest.main()
