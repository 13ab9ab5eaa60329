# SPDX-License-Identifier: Apache-2.0
"""The layer against its definition, on the oracle's attention, and against torch's module."""

import copy
import functools
import gc
import importlib.util
import pickle
import threading
import unittest
import weakref

import numpy as np
import oracle
import rapt
import refusals
from caches import Turn
from exporter import Described, bf16_of

RNG = np.random.default_rng(5)
DIM, CONTEXT, HEADS, KV_HEADS, WIDE, DEEP = 24, 30, 6, 2, 10, 7
BATCH, TOKENS = 2, 9


def random(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def weights_of(context=DIM, bias=True):
    shapes = (
        (HEADS * WIDE, DIM),
        (KV_HEADS * WIDE, context),
        (KV_HEADS * DEEP, context),
        (DIM, HEADS * DEEP),
    )
    weights = [random(*shape) / shape[1] ** 0.5 for shape in shapes]
    names = ("b_query", "b_key", "b_value", "b_out")
    biases = {name: random(shape[0]) for name, shape in zip(names, shapes)} if bias else {}
    return weights, biases


def by_heads(x, heads):
    return x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)


def expected(weights, biases, x, context=None, turned=lambda x: x, **options):
    """The definition in double precision: out and weights."""
    query, key, value, output = (w.astype(float) for w in weights)
    add = {name: biases.get(f"b_{name}", 0) for name in ("query", "key", "value", "out")}
    source = x if context is None else context
    q = turned(by_heads(x @ query.T + add["query"], HEADS))
    k = turned(by_heads(source @ key.T + add["key"], KV_HEADS))
    v = by_heads(source @ value.T + add["value"], KV_HEADS)
    mixed, _, attended = oracle.attention(q, k, v, **options)
    out = mixed.swapaxes(1, 2).reshape(*x.shape[:2], -1) @ output.T + add["out"]
    return out, attended


class Case(refusals.Case):
    def near(self, found, wanted):
        np.testing.assert_allclose(found, wanted, atol=2e-5, rtol=2e-5)


class Definition(Case):
    def test_of_itself(self):
        x = random(BATCH, TOKENS, DIM)
        for bias in (False, True):
            weights, biases = weights_of(bias=bias)
            for options in (
                {},
                {"causal": True},
                {"causal": True, "window": (3, 0), "softcap": 2.0, "scale": 0.5},
            ):
                layer = rapt.MultiHeadAttention(*weights, HEADS, **biases, **options)
                for given in (
                    {},
                    {"mask": RNG.random((BATCH, 1, TOKENS, TOKENS)) < 0.7},
                    {"mask": random(HEADS, TOKENS, TOKENS)},
                    {"kv_len": [4, 9], "kv_start": 1},
                ):
                    found = layer.run(x, return_weights=True, **given)
                    for f, e in zip(found, expected(weights, biases, x, **options, **given)):
                        self.near(f, e)

    def test_of_a_context(self):
        weights, biases = weights_of(CONTEXT)
        layer = rapt.MultiHeadAttention(*weights, HEADS, **biases)
        x, context = random(BATCH, TOKENS, DIM), random(BATCH, 5, CONTEXT)
        out, attended = layer.run(x, context, return_weights=True)
        wanted = expected(weights, biases, x, context)
        self.near(out, wanted[0])
        self.near(attended, wanted[1])
        cache = layer.new_cache(capacity=5, sequences=3)
        layer.append(context[:, :2], cache, first_sequence=1)
        layer.append(context[:, 2:], cache, first_sequence=1)
        found = layer.run(x, context_cache=cache, first_sequence=1, return_weights=True)
        self.same(found[0], out)
        self.same(found[1], attended)
        self.assertEqual(cache.lengths, [0, 5, 5])

    def test_ropes(self):
        weights, biases = weights_of()
        rope = rapt.Rope(8)
        x = random(BATCH, TOKENS, DIM)
        layer = rapt.MultiHeadAttention(*weights, HEADS, rope=rope, causal=True, **biases)
        places = RNG.integers(0, 1000, (BATCH, TOKENS))
        for given, positions in ((None, None), (places, places), (places[0], places[0])):
            wanted = expected(
                weights,
                biases,
                x,
                turned=lambda x, p=positions: rope.apply(x.astype(np.float32), p),
                causal=True,
            )
            self.near(layer.run(x, positions=given), wanted[0])

    def test_types_of_weights(self):
        weights, biases = weights_of()
        halves = [w.astype(np.float16) for w in weights]
        bits = [bf16_of(w) for w in weights]
        x = random(BATCH, TOKENS, DIM)
        layer = rapt.MultiHeadAttention(*halves, HEADS, **biases)
        self.near(layer.run(x), expected(halves, biases, x)[0])
        rounded = [Described(upper, 4, 16) for upper, _ in bits]
        layer = rapt.MultiHeadAttention(*rounded, HEADS, **biases)
        self.near(layer.run(x), expected([values for _, values in bits], biases, x)[0])

    def test_sequences_end_to_end(self):
        weights, biases = weights_of()
        layer = rapt.MultiHeadAttention(*weights, HEADS, causal=True, **biases)
        x, cu = random(1, 12, DIM), [0, 5, 5, 12]
        found, attended = layer.run(x, cu=cu, return_weights=True)
        self.assertEqual(attended.shape, (1, HEADS, 12, 7))
        for at, end in zip(cu, cu[1:]):
            one, of_one = layer.run(x[:, at:end], return_weights=True)
            self.same(found[:, at:end], one)
            self.same(attended[:, :, at:end, : end - at], of_one)
        self.same(layer.run(x[0], cu=np.array(cu)), found[0])


class Forms(Case):
    def setUp(self):
        weights, biases = weights_of()
        self.layer = rapt.MultiHeadAttention(*weights, HEADS, causal=True, **biases)
        self.x = random(BATCH, TOKENS, DIM)

    def test_weights(self):
        out, attended = self.layer.run(self.x, return_weights=True)
        self.same(self.layer.run(self.x), out)
        same, mean = self.layer.run(self.x, return_weights="mean")
        self.same(same, out)
        self.near(mean, attended.mean(1))
        _, some = self.layer.run(self.x, return_weights=True, heads=[4, 0, 4])
        self.same(some, attended[:, [4, 0, 4]])
        _, some = self.layer.run(self.x, return_weights=True, heads=[1], rows=(3, 4))
        self.same(some, attended[:, 1:2, 3:7])
        _, some = self.layer.run(self.x, return_weights=True, rows=(8, 1))
        self.same(some, attended[:, :, 8:])
        _, some = self.layer.run(self.x[0], return_weights="mean")
        self.same(some, mean[0])
        _, some = self.layer.run(self.x[0], return_weights=True, heads=[2])
        self.same(some, attended[0, 2:3])

    def test_where_it_writes(self):
        out = self.layer.run(self.x)
        self.assertEqual((out.dtype, out.shape), (np.float32, self.x.shape))
        self.same(self.layer.run(self.x[1]), out[1])
        wide = np.zeros((BATCH, TOKENS, 2 * DIM), np.float32)
        target = wide[..., ::2]
        self.assertIs(self.layer.run(self.x, out=target), target)
        self.same(target, out)
        self.assertFalse(wide[..., 1::2].any())
        own = self.x.copy()
        self.assertIs(self.layer.run(own, out=own), own)
        self.same(own, out)
        self.assertEqual(self.layer.run(self.x[:0]).shape, (0, TOKENS, DIM))

    def test_steps_with_a_cache(self):
        out, attended = self.layer.run(self.x, return_weights=True)
        for options in ({}, {"page_size": 4}):
            cache = self.layer.new_cache(capacity=20, sequences=3, **options)
            at = 0
            for n in (1, 3, 5):
                found, some = self.layer.run(
                    self.x[:, at : at + n], cache=cache, first_sequence=1, return_weights=True
                )
                self.same(found, out[:, at : at + n])
                self.same(some, attended[:, :, at : at + n, : at + n])
                at += n
            self.assertEqual(cache.lengths, [0, 9, 9])
        half = self.layer.new_cache(capacity=20, sequences=2, dtype="float16")
        self.layer.run(self.x[:, :8], cache=half)
        np.testing.assert_allclose(self.layer.run(self.x[:, 8:], cache=half), out[:, 8:], atol=2e-2)

    def test_left_padding(self):
        padded = np.concatenate([random(BATCH, 2, DIM), self.x], 1)
        cache = self.layer.new_cache(capacity=20, sequences=2)
        self.layer.run(padded[:, :5], cache=cache, kv_start=2)
        found = self.layer.run(padded[:, 5:], cache=cache, kv_start=2)
        self.near(found, self.layer.run(self.x)[:, 3:])

    def test_many_threads(self):
        wanted = self.layer.run(self.x)
        wrong = []

        def work():
            for _ in range(30):
                cache = self.layer.new_cache(capacity=TOKENS, sequences=BATCH)
                for i in range(TOKENS):
                    found = self.layer.run(self.x[:, i : i + 1], cache=cache)
                    if not np.array_equal(found, wanted[:, i : i + 1]):
                        wrong.append(i)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_runs_take_turns_with_all_that_changes_a_cache(self):
        cache, x = self.layer.new_cache(capacity=40), self.x[:1]
        turn = Turn(cache)
        self.layer.run(x, cache=cache)
        self.layer.append(x, cache)
        self.layer.run(x, context_cache=cache)
        self.assertEqual(turn.lengths, [(0, TOKENS), (TOKENS, 2 * TOKENS)])

    def test_one_cache_of_many_threads(self):
        cache = self.layer.new_cache(capacity=40, sequences=8)
        wanted, wrong = self.layer.run(self.x[:1]), []

        def work(sequence):
            for i in range(TOKENS):
                given = {"cache": cache, "first_sequence": sequence}
                found = self.layer.run(self.x[:1, i : i + 1], **given)
                if not np.array_equal(found, wanted[:, i : i + 1]):
                    wrong.append((sequence, i))

        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual((wrong, cache.lengths), ([], [TOKENS] * 8))


class Refused(Case):
    def test_layers(self):
        weights, biases = weights_of()
        query, key, value, output = weights
        make = rapt.MultiHeadAttention
        self.refused("^heads", make, *weights, 0)
        self.refused("^heads", make, *weights, "6", kind=rapt.InvalidType)
        self.refused("^w_query: found 60 rows, expected a multiple of the 7", make, *weights, 7)
        odd = random(21, DIM)
        self.refused("^w_key: found 21 rows", make, query, odd, value, output, 6)
        self.refused("^w_value", make, query, key, value[:13], output, 6)
        self.refused("^w_value", make, query, key, value[:, :5], output, 6)
        self.refused("^w_out", make, query, key, value, output[:, :5], 6)
        self.refused("^w_key: found 1 dim", make, query, key[0], value, output, 6)
        self.refused("^w_out: found dtype", make, query, key, value, output.astype(float), 6)
        self.refused("^w_out: found None", make, query, key, value, None, 6, kind=rapt.InvalidType)
        self.refused("^b_key: found 2 dim", make, *weights, 6, b_key=key)
        self.refused("^b_key", make, *weights, 6, b_key=biases["b_key"][:3])
        self.refused("^rope", make, *weights, 6, rope=8, kind=rapt.InvalidType)
        self.refused("^rope: its rotary_dim", make, *weights, 6, rope=rapt.Rope(12))
        self.refused("^scale", make, *weights, 6, scale=-1)
        self.refused("^causal", make, *weights, 6, causal="no", kind=rapt.InvalidType)
        self.refused("^window", make, *weights, 6, window=4, kind=rapt.InvalidType)
        self.refused("^threads", make, *weights, 6, threads=-1)
        self.refused("^isa", make, *weights, 6, isa="z80", kind=rapt.IsaUnavailable)
        for call, name in (
            (functools.partial(make, *weights, 6), "windows"),
            (functools.partial(make.xavier, 12, 6), "b_query"),
            (functools.partial(make.from_torch, object()), "heads"),
            (functools.partial(make(*weights, 6).new_cache, 10), "kv_heads"),
            (functools.partial(make(*weights, 6).new_cache, 10), "head_dim"),
        ):
            text = rf"^MultiHeadAttention.*\(\) got an unexpected keyword argument '{name}'$"
            with self.subTest(name), self.assertRaisesRegex(TypeError, text):
                call(**{name: None})
        self.refused("^module", make.from_torch, object(), kind=rapt.InvalidType)
        layer = make(*weights, 6)
        alive = weakref.ref(weights[1])
        del weights, key
        layer.weights.clear()
        gc.collect()
        self.assertIsNotNone(alive())
        for call in (copy.copy, copy.deepcopy, pickle.dumps):
            self.refused("layer: found a copy", call, layer, kind=rapt.Unsupported)

    def test_runs(self):
        weights, biases = weights_of()
        layer = rapt.MultiHeadAttention(*weights, HEADS, **biases)
        x, run = random(BATCH, TOKENS, DIM), layer.run
        cache = layer.new_cache(capacity=20, sequences=2)
        turned = layer.new_cache(capacity=20, sequences=2, rope=rapt.Rope(4))
        self.refused("^x: found 4 dim", run, x[None])
        self.refused("^x: found dtype", run, x.astype(int))
        self.refused("^input", run, x.astype(np.float16), out=np.zeros_like(x))
        self.refused("^input", run, x[..., :5])
        self.refused("^x: found list", run, [1], kind=rapt.InvalidType)
        self.refused("^context: shape", run, x, x[:1])
        self.refused("^context", run, x, x[..., :5])
        self.refused("^context: found with a cache", run, x, x, cache=cache)
        self.refused("^context_cache: found with", run, x, x, context_cache=cache)
        self.refused("^cache: found", run, x, cache=object(), kind=rapt.InvalidType)
        self.refused("^cache: its rope", run, x, cache=turned)
        self.refused("^first_sequence", run, x, cache=cache, first_sequence=1)
        self.refused("^first_sequence", run, x, cache=cache, first_sequence=1, return_weights=True)
        self.refused("^kv_len", run, x, cache=cache, kv_len=3)
        self.refused("^kv_len", run, x, kv_len=TOKENS + 1)
        self.refused("^kv_start", run, x, kv_start=-1)
        self.refused("^mask", run, x, mask=np.ones((TOKENS, TOKENS - 1), bool))
        self.refused("^mask: found 5 dim", run, x, mask=np.ones((1, 1, 1, 1, 1), bool))
        self.refused("^positions: found shape", run, x, positions=[1])
        self.refused("^input: shape.*with cu", run, x, cu=[0, 9])
        self.refused("^cu", run, x[:1], cu=[0, 10, 9])
        self.refused("^cu", run, x[:1], cu=[0, 5, 3, 9], return_weights=True)
        self.refused("^cu", run, x[:1], cu=5, kind=rapt.InvalidType)
        self.refused("^out: found shape", run, x, out=np.zeros((1, 2, DIM), np.float32))
        self.refused("^out", run, x, out=np.zeros(x.shape, np.float16))
        self.refused("^out: found a read", run, x, out=np.broadcast_to(np.float32(0), x.shape))
        own, tokens = weights[3][:, :DIM], np.zeros((DIM, DIM), np.float32)
        self.refused("^out: its memory overlaps that of w_out", run, tokens, out=own)
        self.refused("^return_weights", run, x, return_weights="max", kind=rapt.InvalidType)
        empty = np.zeros(0, np.float32)
        self.refused("^return_weights", run, x, return_weights=empty, kind=rapt.InvalidType)
        self.refused("^heads, rows", run, x, heads=[1])
        self.refused("^heads, rows", run, x, return_weights="mean", rows=(0, 1))
        self.refused(r"^heads\[0\]", run, x, return_weights=True, heads=[6])
        self.refused(r"^heads\[0\]", run, x, return_weights=True, heads=[-1])
        for wrong in ((0, 10), (9, 1), (-1, 2), (0, 0), (1,), (1, 2, 3)):
            self.refused("^rows", run, x, return_weights=True, rows=wrong)
        self.refused("^rows", run, x, return_weights=True, rows="12", kind=rapt.InvalidType)
        self.refused("^cache: found None", layer.append, x, None, kind=rapt.InvalidType)
        self.refused("^context", layer.append, x[..., :3], cache)
        self.assertEqual(cache.lengths, [0, 0])
        self.refused("^key", layer.append, random(2, 21, DIM), cache)
        self.assertEqual(cache.lengths, [0, 0])


class Xavier(Case):
    def test_weights(self):
        layer = rapt.MultiHeadAttention.xavier(32, 4, kv_heads=2, context_dim=48, bias=True, seed=3)
        shapes = [w.shape for w in layer.weights.values()]
        self.assertEqual(shapes[:4], [(32, 32), (16, 48), (16, 48), (32, 32)])
        for name in ("w_query", "w_key", "w_value", "w_out"):
            array = layer.weights[name]
            bound = (6 / sum(array.shape)) ** 0.5
            self.assertLessEqual(np.abs(array).max(), bound)
            self.assertGreater(np.abs(array).max(), 0.95 * bound)
        self.assertFalse(layer.weights["b_out"].any())
        again = rapt.MultiHeadAttention.xavier(32, 4, kv_heads=2, context_dim=48, seed=3)
        other = rapt.MultiHeadAttention.xavier(32, 4, kv_heads=2, context_dim=48, seed=4)
        self.same(again.weights["w_key"], layer.weights["w_key"])
        self.assertFalse(np.array_equal(other.weights["w_key"], layer.weights["w_key"]))
        self.assertNotIn("b_out", again.weights)
        self.refused("^seed", rapt.MultiHeadAttention.xavier, 32, 4, seed=-1)
        self.refused("^seed", rapt.MultiHeadAttention.xavier, 32, 4, seed=2**64)
        self.refused("^model_dim: found 32", rapt.MultiHeadAttention.xavier, 32, 5)
        self.refused("^kv_heads", rapt.MultiHeadAttention.xavier, 32, 4, kv_heads=3)
        self.refused("^bias", rapt.MultiHeadAttention.xavier, 32, 4, bias=1, kind=rapt.InvalidType)
        self.assertIn("32 channels, context of 48, 4 heads of 8, 2 of keys", repr(layer))


@unittest.skipUnless(importlib.util.find_spec("torch"), "no torch")
class Torch(Case):
    def setUp(self):
        import torch

        self.torch = torch
        torch.manual_seed(1)

    def modules(self):
        make = self.torch.nn.MultiheadAttention
        yield make(DIM, 4, batch_first=True), DIM
        yield make(DIM, 3, bias=False, batch_first=True), DIM
        yield make(DIM, 4, kdim=CONTEXT, vdim=CONTEXT, batch_first=True), CONTEXT

    def test_results_are_the_modules(self):
        torch = self.torch
        for module, channels in self.modules():
            module.eval()
            for bias in (module.in_proj_bias, module.out_proj.bias):
                if bias is not None:
                    torch.nn.init.normal_(bias)
            layer = rapt.MultiHeadAttention.from_torch(module)
            x, context = torch.randn(2, 9, DIM), torch.randn(2, 5, channels)
            hidden = torch.rand(2, 5) < 0.3
            causal = torch.ones(9, 5, dtype=torch.bool).triu(1)
            for theirs, ours in (
                ({}, {}),
                ({"key_padding_mask": hidden}, {"mask": ~hidden[:, None, None]}),
                ({"attn_mask": causal}, {"mask": ~causal}),
            ):
                with torch.no_grad():
                    out, mean = module(x, context, context, **theirs)
                    _, each = module(x, context, context, average_attn_weights=False, **theirs)
                found, weights = layer.run(x, context, return_weights=True, **ours)
                self.assertIsInstance(found, torch.Tensor)
                self.near(found, out)
                self.near(weights, each)
                self.near(layer.run(x, context, return_weights="mean", **ours)[1], mean)

    def test_weights_are_the_modules_own(self):
        module = self.torch.nn.MultiheadAttention(DIM, 4, batch_first=True).eval()
        layer = rapt.MultiHeadAttention.from_torch(module)
        x = self.torch.randn(1, 3, DIM)
        before = layer.run(x)
        with self.torch.no_grad():
            module.in_proj_weight *= 2
            wanted, _ = module(x, x, x)
        self.assertGreater(abs(layer.run(x) - before).max(), 1e-3)
        self.near(layer.run(x), wanted)
        del module
        self.near(layer.run(x), wanted)

    def test_weights_that_are_taken_away(self):
        module = self.torch.nn.MultiheadAttention(DIM, 4, batch_first=True).eval()
        layer = rapt.MultiHeadAttention.from_torch(module)
        x = self.torch.randn(1, 3, DIM)
        layer.run(x)
        module.out_proj.weight.untyped_storage().resize_(0)
        with self.assertRaisesRegex(rapt.InvalidArgument, "^w_out: .*moved or freed"):
            layer.run(x)

    def test_refuses(self):
        make = self.torch.nn.MultiheadAttention
        from_torch = rapt.MultiHeadAttention.from_torch
        for options, text in (
            ({"add_bias_kv": True}, "bias_k"),
            ({"add_zero_attn": True}, "add_zero_attn"),
            ({"kdim": 5}, "kdim"),
        ):
            self.refused(text, from_torch, make(DIM, 4, **options), kind=rapt.Unsupported)
        self.refused("^module", from_torch, self.torch.nn.Linear(3, 3), kind=rapt.InvalidType)
        self.refused("w_query", from_torch, make(DIM, 4, device="meta"))
        self.refused("w_query: found dtype", from_torch, make(DIM, 4, dtype=self.torch.float64))
        bare, other = make(DIM, 4), make(DIM, 4)
        bare.out_proj = self.torch.nn.Identity()
        self.refused("^module: 'Identity' object has no attribute", from_torch, bare)
        del other.num_heads
        self.refused("^module: .*num_heads", from_torch, other)
        layer = from_torch(make(DIM, 4))
        x = self.torch.randn(1, 3, DIM, requires_grad=True)
        self.refused("^x: .*requires grad", layer.run, x)
        with self.torch.inference_mode():
            layer.run(x)
        self.refused("^x", layer.run, self.torch.randn(1, 3, DIM, device="meta"))
        self.refused("^out", layer.run, x.detach(), out=self.torch.empty(1, 3, DIM, device="meta"))


if __name__ == "__main__":
    unittest.main()
