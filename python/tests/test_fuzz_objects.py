# SPDX-License-Identifier: Apache-2.0
"""Whatever caches, layers, ropes and the like are given, they compute or say no by an error of
rapt's; and a cache stays what was appended to it."""

import unittest

import numpy as np
import rapt
from test_fuzz import anything, arrays, strategies

try:
    from hypothesis import HealthCheck, given, settings
except ImportError:
    strategies = None

try:
    import rapt.onnx
    from onnx import helper
except ImportError:
    helper = None

X = np.ones((2, 3, 24), np.float32)
Q = np.ones((2, 4, 3, 8), np.float32)
K = np.ones((2, 2, 5, 8), np.float32)
WEIGHTS = [np.ones(shape, np.float32) for shape in ((32, 24), (16, 24), (16, 24), (24, 32))]
SAYS = r"^[\w ,'.]+(\[[^\]]*\])*: "  # it names what is wrong


def works_or_says_no(case, call):
    try:
        return call()
    except rapt.Error as error:
        case.assertRegex(str(error), SAYS)
    return None


if strategies:
    many = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))

    def options(*names):
        return strategies.dictionaries(
            strategies.sampled_from(names), anything() | arrays(), max_size=3
        )


@unittest.skipUnless(strategies, "hypothesis is not here")
class Fuzz(unittest.TestCase):
    if strategies:

        @many
        @given(
            options(*"rotary_dim base frequencies position_scale pairing isa".split()),
            options("x", "positions", "layout", "out"),
        )
        def test_rope(self, made, applied):
            rope = works_or_says_no(self, lambda: rapt.Rope(**{"rotary_dim": 8, **made}))
            if rope is not None:
                works_or_says_no(self, lambda: rope.apply(**{"x": Q.copy(), **applied}))

        @many
        @given(options("outs", "lses", "layout", "out"))
        def test_merge(self, changed):
            lse = np.zeros((2, 4, 3), np.float32)
            arguments = {"outs": [Q, Q], "lses": [lse, lse], **changed}
            works_or_says_no(self, lambda: rapt.merge(**arguments))

        @many
        @given(
            options(*"q k v layout scale causal window mask kv_len cu_q cu_k alibi isa".split()),
            options("weights", "residual", "threads"),
        )
        def test_summaries(self, changed, rolled):
            works_or_says_no(self, lambda: rapt.summarize(**{"q": Q, "k": K, "v": K, **changed}))
            layer = np.full((2, 3, 4, 4), 0.25, np.float32)
            works_or_says_no(self, lambda: rapt.rollout(**{"weights": [layer, layer], **rolled}))

        @many
        @given(
            options(
                *"capacity sequences value_dim dtype value_dtype page_size pages rope memory "
                "isa".split()
            ),
            options("k", "v", "sequences", "positions", "layout"),
            options(
                *"q sequences positions q_offset layout mask window cu_q out top_k kv_start "
                "return_weights segments".split()
            ),
            options("length", "sequences"),
            options("source", "target"),
        )
        def test_cache(self, made, appended, attended, cut, forked):
            small = {"kv_heads": 2, "head_dim": 8, "capacity": 20, "sequences": 2}
            cache = works_or_says_no(self, lambda: rapt.KVCache(**{**small, **made}))
            if cache is None or cache.sequences > 1000:
                return
            for _ in range(2):
                works_or_says_no(self, lambda: cache.append(**{"k": K, "v": K, **appended}))
                works_or_says_no(self, lambda: cache.attend(**{"q": Q.copy(), **attended}))
                works_or_says_no(self, lambda: cache.truncate(**{"length": 1, **cut}))
                works_or_says_no(self, lambda: cache.fork(**{"source": 0, "target": 1, **forked}))
            self.assertIn("KVCache", repr(cache))
            self.assertTrue(all(0 <= n <= cache.capacity for n in cache.lengths))

        @many
        @given(
            options(
                *"w_query w_key w_value w_out heads kv_heads b_query b_key b_value b_out rope "
                "scale softcap causal window threads isa".split()
            ),
            options(
                *"x context cache context_cache first_sequence mask kv_len kv_start positions "
                "cu out return_weights heads rows".split()
            ),
        )
        def test_layer(self, made, ran):
            names = ("w_query", "w_key", "w_value", "w_out")
            given = {**dict(zip(names, WEIGHTS)), "heads": 4, **made}
            layer = works_or_says_no(self, lambda: rapt.MultiHeadAttention(**given))
            if layer is None:
                return
            works_or_says_no(self, lambda: layer.run(**{"x": X.copy(), **ran}))
            cache = layer.new_cache(capacity=6, sequences=2)
            plain = {name: value for name, value in ran.items() if "context" not in name}
            works_or_says_no(self, lambda: layer.run(**{"x": X.copy(), **plain, "cache": cache}))
            works_or_says_no(self, lambda: layer.append(ran.get("context", X), cache))

        @many
        @given(
            options(*"x weight bias activation outer outer_bias out threads isa".split()),
            options("tables", "ids", "out"),
        )
        def test_linear_and_embed(self, changed, summed):
            works_or_says_no(self, lambda: rapt.linear(**{"x": X, "weight": WEIGHTS[0], **changed}))
            tables = {"tables": [X[0], X[1]], "ids": [[0, 2], None]}
            works_or_says_no(self, lambda: rapt.embed(**{**tables, **summed}))

        @unittest.skipUnless(helper, "no onnx")
        @many
        @given(
            strategies.dictionaries(
                strategies.sampled_from(range(7)), anything() | arrays(), max_size=2
            ),
            strategies.dictionaries(
                strategies.sampled_from(
                    "is_causal scale softcap q_num_heads kv_num_heads qk_matmul_output_mode "
                    "softmax_precision left_window_size right_window_size".split()
                ),
                strategies.sampled_from([0, 1, 2, 3, -1, -2, 7, 0.5, -1.0]),
                max_size=3,
            ),
        )
        def test_onnx(self, changed, attributes):
            inputs = [Q, K, K]
            for at in sorted(changed):
                inputs[at : at + 1] = [changed[at]]
            names = [f"x{i}" for i in range(len(inputs))]
            outputs = ["y", "", "", "scores"]
            node = helper.make_node("Attention", names, outputs, **attributes)
            works_or_says_no(self, lambda: rapt.onnx.Backend.run_node(node, inputs))


@unittest.skipUnless(strategies, "hypothesis is not here")
class Model(unittest.TestCase):
    """A cache against lists of tokens, through any steps."""

    if strategies:
        steps = strategies.lists(
            strategies.tuples(
                strategies.sampled_from(["append", "truncate", "fork"]),
                strategies.integers(0, 2),
                strategies.integers(0, 7),
                strategies.integers(0, 2),
            ),
            max_size=25,
        )

        @many
        @given(steps, strategies.sampled_from([{}, {"page_size": 4, "pages": 9}, {"page_size": 1}]))
        def test_steps(self, steps, options):
            cache = rapt.KVCache(1, 4, capacity=12, sequences=3, **options)
            held, count = [[], [], []], 0
            for what, sequence, n, other in steps:
                before = [list(tokens) for tokens in held]
                if what == "append":
                    new = list(range(count, count + n))
                    count += n
                    rows = np.float32(new).reshape(1, 1, n, 1) * np.ones(4, np.float32)
                    held[sequence] += new
                    call = lambda: cache.append(rows, rows, sequences=sequence)  # noqa: E731
                elif what == "truncate":
                    fits = n <= len(held[sequence])
                    held[sequence] = held[sequence][:n]
                    call = lambda: cache.truncate(n, sequences=sequence)  # noqa: E731
                    if not fits:
                        self.assertRaises(rapt.InvalidArgument, call)
                        held = before
                        continue
                else:
                    held[other] = list(held[sequence])
                    call = lambda: cache.fork(sequence, other)  # noqa: E731
                try:
                    call()
                except (rapt.OutOfMemory, rapt.InvalidArgument):  # full
                    held = before
                self.check(cache, held)

        def check(self, cache, held):
            self.assertEqual(cache.lengths, [len(tokens) for tokens in held])
            q = np.zeros((3, 1, 1, 4), np.float32)
            found = cache.attend(q, return_weights=True).out[:, 0, 0, 0]
            expected = [np.mean(tokens) if tokens else 0 for tokens in held]
            np.testing.assert_allclose(found, expected, rtol=1e-5)


if __name__ == "__main__":
    unittest.main()
