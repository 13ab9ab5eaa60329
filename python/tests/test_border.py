# SPDX-License-Identifier: Apache-2.0
"""What comes in from Python: every number, flag, array and exporter is taken for what it says or
refused by an error of rapt's."""

import copy
import decimal
import fractions
import gc
import itertools
import pickle
import sys
import threading
import types
import unittest
from unittest import mock

import numpy as np
import rapt
from exporter import Copying, Described, Exported, Lazy, Refusing, bf16_of
from rapt import _plan
from test_attention import RNG, tensors

HUGE = 10**5000  # more digits than Python writes


class Case(unittest.TestCase):
    def refused(self, text, *arrays, kind=rapt.InvalidArgument, **options):
        for call in (rapt.attention, rapt.Plan):
            with self.assertRaises(rapt.Error) as caught:
                call(*(arrays or tensors()), **options)
            self.assertRegex(str(caught.exception), text)
            self.assertIsInstance(caught.exception, kind)

    def same(self, found, **options):
        """Options as they are found, and as they are meant."""
        q, k, v = tensors()
        np.testing.assert_array_equal(
            rapt.attention(q, k, v, **found), rapt.attention(q, k, v, **options)
        )


class Numbers(Case):
    """Nothing wraps, is cut or becomes 0 on its way into C."""

    def test_integers_out_of_range(self):
        for number in (2**63, 2**64, 2**64 + 3, -(2**63) - 1, HUGE):
            self.refused("^kv_len: found", kv_len=number)
            self.refused("^q_offset: found", q_offset=number)
            self.refused(r"^kv_len\[1\]: found", kv_len=[3, number])
            self.refused(r"^q_offset\[0\]: found", q_offset=[number, 0])
            self.refused(r"^window\[0\]: found", window=(number, 0))
            self.refused(r"^window\[1\]: found", window=(0, number))
            self.refused("^threads: found", threads=number)
        for number in (2**31, 2**32 + 1, -1):
            self.refused("^threads: found .* expected 0 to 2147483647", threads=number)
        self.refused(r"^window\[0\]: found -2, expected -1 to", window=(-2, 0))
        self.refused(r"q_offset\[0\]: found 1152921504606846977", q_offset=2**60 + 1)
        self.refused(r"kv_len\[0\]: found -1", kv_len=-1)

    def test_largest_integers(self):
        self.same({"window": (2**63 - 1, 2**63 - 1)})
        self.same({"q_offset": 2**60, "causal": True})
        self.same({"threads": np.int64(1)}, threads=1)

    def test_integers_of_all_kinds(self):
        class Index:
            def __index__(self):
                return 5

        for five in (np.int8(5), np.uint64(5), np.array(5), Index()):
            self.same({"kv_len": five}, kv_len=5)
            self.same({"q_offset": five, "causal": True}, q_offset=5, causal=True)
            self.same({"window": (five, five)}, window=(5, 5))
            self.same({"threads": five}, threads=5)
        for many in (np.array([5, 9]), np.array([5, 9], np.uint8), (5, np.int32(9)), iter([5, 9])):
            self.same({"kv_len": many}, kv_len=[5, 9])

    def test_what_is_no_integer(self):
        for wrong in (True, np.True_, 5.0, np.float32(5), "5", b"5", None, [5], {}, object()):
            if wrong is not None and not isinstance(wrong, list):
                self.refused("^q_offset", q_offset=wrong, kind=rapt.InvalidType)
            if wrong is not None:
                self.refused("^threads", threads=wrong, kind=rapt.InvalidType)
            self.refused("^window", window=(wrong if wrong is not None else "5", 0), kind=TypeError)
            if wrong is not None and not isinstance(wrong, list):
                self.refused("^kv_len", kv_len=wrong, kind=rapt.InvalidType)
            self.refused(r"^kv_len\[1\]", kv_len=[5, wrong], kind=rapt.InvalidType)
        self.refused("^kv_len", kv_len=np.array([5.0, 9.0]), kind=rapt.InvalidType)
        self.refused("^kv_len", kv_len=np.array([True, False]), kind=rapt.InvalidType)
        self.refused("^kv_len: found 3 numbers", kv_len=itertools.count())
        self.refused("^kv_len: found 1000000 numbers", kv_len=range(10**6))
        self.refused("^kv_len: found 0 numbers", kv_len=[])
        self.refused("^kv_len: found more than 2 numbers", kv_len=range(2**70))

    def test_factors(self):
        for name in ("scale", "softcap"):
            for number in (1e-50, 1e-31, 1e31, 1e300, HUGE, -1, -HUGE, float("nan"), float("inf")):
                self.refused(f"^{name}: found", **{name: number})
            for wrong in ("1", b"1", True, np.True_, 1j, np.complex64(1), [1.0], np.array([1.0])):
                self.refused(f"^{name}: found", kind=rapt.InvalidType, **{name: wrong})
            for half in (
                np.float16(0.5),
                np.float64(0.5),
                np.array(0.5),
                fractions.Fraction(1, 2),
                decimal.Decimal("0.5"),
            ):
                self.same({name: half}, **{name: 0.5})
            self.same({name: np.int32(3)}, **{name: 3.0})
            for edge in (1e-30, 1e30):
                rapt.attention(*tensors(), **{name: edge})
        self.refused("^scale: found 0", scale=0)
        self.refused("^scale: found -0", scale=-0.0)
        for none in (None, 0, 0.0, np.float32(0)):
            self.same({"softcap": none})

    def test_flags(self):
        for name in ("causal", "return_lse", "return_weights"):
            for wrong in ("no", 0, 1, None, 1.0, [], np.array([True, False])):
                self.refused(f"^{name}: found .* expected True or False", **{name: wrong})
        self.same({"causal": np.True_}, causal=True)
        self.same({"causal": np.False_})

    def test_window(self):
        for wrong in (4096, "12", (1,), (1, 2, 3), [], {1: 2, 3: 4}, np.ones((2, 2), int)):
            self.refused(r"^window: found .* expected \(left, right\)", window=wrong)
        self.refused(r"\(n - 1, 0\)", window=4096, kind=TypeError)
        self.same({"window": np.array([4, 1])}, window=(4, 1))
        self.same({"window": [4, None]}, window=(4, -1))

    def test_names(self):
        isa = rapt.isas()[-1]
        self.refused("^isa", isa=f"{isa}\0zzz", kind=rapt.IsaUnavailable)
        self.refused("^isa", isa="avx²", kind=rapt.IsaUnavailable)
        self.refused("^isa", isa="\ud800", kind=rapt.IsaUnavailable)
        for wrong in (isa.encode(), 2, True, [isa]):
            self.refused("^isa", isa=wrong, kind=rapt.InvalidType)
        for wrong in (None, 0, ["bhsd"], np.array(["bhsd", "bshd"])):
            self.refused("^layout: found", layout=wrong)

    def test_heads(self):
        values = RNG.standard_normal(6).astype(np.float32)
        bits, rounded = bf16_of(values)
        half = values.astype(np.float16)
        for name in ("alibi", "sinks"):
            for found, meant in (
                (Described(bits, 4, 16), rounded),
                (Exported(half), half),
                (Exported(values[None]), values),
                (Exported(np.repeat(values, 2)[::2]), values),
                (list(values), values),
                (values.astype(float), values),
                (np.arange(6), np.arange(6.0)),
            ):
                self.same({name: found}, **{name: meant})
            for wrong in (
                "123456",
                [True] * 6,
                np.ones(6, bool),
                np.ones(6, complex),
                [[1, 2], [3]],
                [HUGE] * 6,
                [None] * 6,
                np.ma.masked_array(values),
            ):
                self.refused(f"^{name}: ", kind=rapt.InvalidType, **{name: wrong})
            self.refused(f"^{name}: .*beyond", **{name: [1e300] * 6})
            self.refused(f"^{name}: .*device", **{name: Described(values, 2, 32, device=2)})


class Empty(Case):
    """Sizes of 0 have results of that size; keys of 0 rows without keys."""

    def test_shapes(self):
        for kind in (np.asarray, Exported):
            for b, h, s in ((0, 6, 19), (2, 0, 19), (2, 6, 0), (0, 0, 0)):
                q, k = np.zeros((b, h, s, 8), np.float32), np.zeros((b, h, 5, 8), np.float32)
                out, lse, weights = rapt.attention(
                    *map(kind, (q, k, k)), return_lse=True, return_weights=True, causal=True
                )
                self.assertEqual(
                    (out.shape, lse.shape, weights.shape), (q.shape, (b, h, s), (b, h, s, 5))
                )
                plan = rapt.Plan(*map(kind, (q, k, k)), kv_len=[3] * b)
                self.assertEqual(plan.run(kind(q)).shape, q.shape)

    def test_keys(self):
        q, k, v = tensors(keys=0)
        sinks = np.arange(6.0)
        out, lse, weights = rapt.attention(
            q, k, v, return_lse=True, return_weights=True, mask=np.ones((19, 0), bool)
        )
        self.assertTrue((out == 0).all() and (lse == -np.inf).all() and weights.shape[3] == 0)
        _, lse = rapt.attention(q, k, v, sinks=sinks, return_lse=True)
        np.testing.assert_array_equal(lse, np.broadcast_to(sinks[:, None], lse.shape))

    def test_null(self):
        def null(array):
            """As torch exports what has no elements."""
            described = Described(array, 2, 32)
            described.managed.data = None
            return described

        q = np.zeros((2, 0, 3, 8), np.float32)
        self.assertEqual(rapt.attention(null(q), null(q), null(q)).shape, q.shape)
        q, k, v = tensors()
        for call in (rapt.attention, lambda *arrays: rapt.Plan(*arrays).run()):
            with self.assertRaisesRegex(rapt.InvalidArgument, "^key: data is NULL"):
                call(q, null(k), v)
        self.refused("^sinks: data is NULL", sinks=null(np.zeros(6, np.float32)))

    def test_channels(self):
        q = np.zeros((1, 2, 3, 0), np.float32)
        self.refused("query: shape.3. .channels. is 0", q, q, q)


class Exporters(Case):
    def test_lives_as_long_as_the_plan(self):
        q, k, v = tensors(keys=4000, dim=64)
        expected = rapt.attention(q, k, v)
        np.testing.assert_array_equal(rapt.attention(*map(Copying, (q, k, v))), expected)
        exporters = [Copying(x) for x in (q, k, v)]
        plan = rapt.Plan(*exporters)
        gc.collect()
        self.assertEqual([len(e.alive) for e in exporters], [1, 1, 1])
        np.testing.assert_array_equal(plan.run(), expected)
        del plan
        gc.collect()
        self.assertEqual([len(e.alive) for e in exporters], [0, 0, 0])

    def test_lives_as_long_as_a_run(self):
        q, k, v = tensors(keys=4000, dim=64)
        plan, other = rapt.Plan(*tensors(keys=4000, dim=64)), Copying(k)
        run, alive = _plan.lib.rapt_plan_run, []

        def watched(*arguments):
            alive.append(len(other.alive))
            return run(*arguments)

        with mock.patch.object(_plan.lib, "rapt_plan_run", watched):
            found = plan.run(q, other, v)
        np.testing.assert_array_equal(found, rapt.attention(q, k, v))
        gc.collect()
        self.assertEqual((alive, other.alive), ([1], []))

    def test_lazy_tensors(self):
        q, k, v = tensors()
        self.refused("^q: .*lazily", Lazy(q, neg=True), k, v)
        self.refused("^v: .*lazily", q, k, Lazy(v, conj=True))
        self.refused("^mask: .*lazily", mask=Lazy(np.ones((19, 37), np.float32), neg=True))
        self.refused("^out: .*lazily", q, k, v, out=Lazy(np.zeros_like(q), neg=True))
        with self.assertRaisesRegex(rapt.InvalidArgument, "^q: .*lazily"):
            rapt.Plan(q, k, v).run(Lazy(q, neg=True))
        np.testing.assert_array_equal(rapt.attention(Lazy(q), k, v), rapt.attention(q, k, v))

    def test_whatever_they_do(self):
        q, k, v = tensors()
        used = Exported(q)
        for wrong in (
            Refusing(result=None),
            Refusing(result=q),
            Refusing(result=7),
            Refusing(error=BufferError("no")),
            Refusing(error=AssertionError("no")),
            Refusing(error=ZeroDivisionError("no")),
            Refusing(device=None),
            Refusing(device=()),
            Described(q, 2, 32, read_only=False, major=2),
            Described(q, 2, 64),
            Described(q, 1, 32),
        ):
            self.refused("^q: ", wrong, k, v)
            with self.assertRaisesRegex(rapt.InvalidArgument, "^q: "):
                rapt.Plan(q, k, v).run(wrong)
        np.testing.assert_array_equal(rapt.attention(used, k, v), rapt.attention(q, k, v))

    def test_arrays(self):
        q, k, v = tensors()
        self.refused("^q: .*masked", np.ma.masked_array(q), k, v, kind=rapt.InvalidType)
        self.refused("^k: found NoneType", q, None, v, kind=rapt.InvalidType)
        self.refused("^q: found bool|^query: ", q > 0, k, v)
        huge = np.broadcast_to(q[:1, :1, :1, :1], (2**20, 2**10, 2**20, 2**10))
        self.refused("^out: no memory", huge, huge, huge, kind=MemoryError)

    def test_bf16_without_ml_dtypes(self):
        q, k, v = tensors()
        bits, values = bf16_of(q)
        with mock.patch.dict(sys.modules, ml_dtypes=None):
            self.refused("ml_dtypes", Described(bits, 4, 16), k, v, kind=rapt.Unsupported)
            out = np.zeros_like(q)
            rapt.attention(Described(bits, 4, 16), k, v, out=out)
        np.testing.assert_array_equal(out, rapt.attention(values, k, v))

    def test_what_describes_nothing(self):
        q, k, v = tensors()
        wrong = types.SimpleNamespace(__array_interface__={"shape": "x"})
        self.refused("^q: ", wrong, k, v)
        for table in (
            np.float32,
            np.broadcast_to(np.int32(0), (2**20, 2**30)),
            [[1], 2],
            [object()],
        ):
            self.refused("^block_table", block_table=table, kv_len=1)

    def test_outputs(self):
        q, k, v = tensors()
        fixed = np.zeros_like(q)
        fixed.flags.writeable = False
        plan = rapt.Plan(q, k, v)
        for out in (fixed, Described(q, 2, 32, read_only=True)):
            self.refused("^out: found a read-only", q, k, v, out=out)
            with self.assertRaisesRegex(rapt.InvalidArgument, "^out: found a read-only"):
                plan.run(out=out)
        self.assertTrue((fixed == 0).all())


class Jax(Case):
    """Arrays that don't change, imitated."""

    class Array(Exported):
        __module__ = "jaxlib._jax"

    def test_out(self):
        q, k, v = tensors()
        out = np.zeros_like(q)
        self.refused("^out: found a JAX array", q, k, v, out=self.Array(out))
        with self.assertRaisesRegex(rapt.InvalidArgument, "^out: found a JAX array"):
            rapt.Plan(q, k, v).run(out=self.Array(out))
        self.assertTrue((out == 0).all())

    def test_results(self):
        q, k, v = tensors()
        expected = rapt.attention(q, k, v, return_lse=True)
        fake = types.SimpleNamespace(numpy=types.SimpleNamespace(array=self.Array))
        with mock.patch.dict(sys.modules, jax=fake):
            found = rapt.attention(self.Array(q), k, v, return_lse=True)
            plain = rapt.attention(q, self.Array(k), v)
            planned = rapt.Plan(self.Array(q), k, v).run()
            out = np.zeros_like(q)
            given = rapt.attention(self.Array(q), k, v, out=out, return_lse=True)
        for f, e in zip(found, expected):
            self.assertIsInstance(f, self.Array)
            np.testing.assert_array_equal(f.array, e)
        self.assertIs(given[0], out)
        self.assertIsInstance(given[1], self.Array)
        self.assertIsInstance(plain, np.ndarray)
        self.assertIsInstance(planned, np.ndarray)


class Plans(Case):
    def test_no_copies(self):
        plan = rapt.Plan(*tensors())
        expected = plan.run().copy()
        within = {"layers": [plan]}
        for double, found in (
            (copy.copy, plan),
            (copy.deepcopy, plan),
            (copy.deepcopy, within),
            (pickle.dumps, plan),
            (pickle.dumps, within),
            (rapt.Plan.__reduce__, plan),
        ):
            with self.assertRaisesRegex(rapt.Unsupported, "^plan: found a copy"):
                double(found)
        gc.collect()
        with self.assertRaisesRegex(rapt.Unsupported, "^plan: found one that is made"):
            plan.__init__(*tensors())
        np.testing.assert_array_equal(plan.run(), expected)

    def test_failures_leave_nothing(self):
        q, k, v = tensors()
        plan = object.__new__(rapt.Plan)
        with self.assertRaises(rapt.InvalidArgument):
            plan.__init__(q, k, v, kv_len=38)
        del plan
        gc.collect()

    def test_destroyed_while_it_runs(self):
        q, k, v = tensors(keys=3000, dim=64)
        expected = rapt.attention(q, k, v)
        plans, found = [rapt.Plan(q, k, v, threads=1) for _ in range(8)], []

        def work():
            while plans:
                try:
                    plan = plans[-1]
                except IndexError:
                    break
                out = np.zeros_like(q)
                plan.run(q, k, v, out=out)
                found.append(np.array_equal(out, expected))

        workers = [threading.Thread(target=work) for _ in range(3)]
        for worker in workers:
            worker.start()
        while plans:
            if len(found) % 3 == 0:
                plans.pop()
        for worker in workers:
            worker.join()
        self.assertTrue(all(found))


if __name__ == "__main__":
    unittest.main()
