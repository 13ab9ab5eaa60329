# SPDX-License-Identifier: Apache-2.0
"""ONNX's own conformance cases of Attention, more against its reference, and what is refused."""

import unittest
import warnings

import numpy as np
import rapt
from refusals import Case

try:
    import onnx
    import rapt.onnx
    from onnx import TensorProto, helper
    from onnx.backend.test.case.node import collect_testcases
    from onnx.backend.test.runner import Runner
    from onnx.reference import ReferenceEvaluator
except ImportError:
    onnx = None

CASES = 93  # in onnx 1.23; later packages have these and perhaps more
RNG = np.random.default_rng(2)
NAMES = ("Q", "K", "V", "attn_mask", "past_key", "past_value", "nonpad_kv_seqlen")


def random(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def model_of(given, opset=24, outputs=("Y",), **attributes):
    """A model of one node, with inputs by their names."""
    last = max(i for i, name in enumerate(NAMES) if name in given)
    names = [name if name in given else "" for name in NAMES[: last + 1]]
    node = helper.make_node("Attention", names, list(outputs), **attributes)
    types = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in given.items()}
    graph = helper.make_graph(
        [node],
        "attention",
        [helper.make_tensor_value_info(n, types[n], given[n].shape) for n in names if n],
        [
            helper.make_tensor_value_info(name, types["Q"], "b" * rank)
            for name, rank in zip(outputs, (given["Q"].ndim, 4, 4, 4))
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


@unittest.skipUnless(onnx, "no onnx")
class Conformance(unittest.TestCase):
    def test_every_case_of_the_onnx_package(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other operators' cases
            cases = [c for c in collect_testcases("Attention") if "_expanded" not in c.name]
        self.assertGreaterEqual(len(cases), CASES)
        for case in cases:
            with self.subTest(case.name):
                ready = rapt.onnx.Backend.prepare(case.model, "CPU")
                for inputs, outputs in case.data_sets:
                    found = ready.run(inputs)
                    Runner.assert_similar_outputs(outputs, found, case.rtol, case.atol)


@unittest.skipUnless(onnx, "no onnx")
class Reference(unittest.TestCase):
    """What the package's cases leave open, against its reference in NumPy."""

    def check(self, given, **attributes):
        model = model_of(given, **attributes)
        expected = ReferenceEvaluator(model).run(None, given)
        found = rapt.onnx.Backend.run_model(model, given)
        self.assertEqual(len(found), len(expected))
        for f, e in zip(found, expected):
            self.assertEqual((f.dtype, f.shape), (e.dtype, e.shape))
            np.testing.assert_allclose(f, e, atol=2e-5, rtol=2e-5)

    def arrays(self, queries=5, keys=11):
        return {
            "Q": random(2, 6, queries, 16),
            "K": random(2, 3, keys, 16),
            "V": random(2, 3, keys, 20),
        }

    def test_masks(self):
        given = self.arrays()
        for shape in ((11,), (5, 11), (6, 5, 11), (2, 1, 5, 11), (1, 1, 5, 11), (2, 6, 5, 11)):
            for mask in (RNG.random(shape) < 0.7, random(*shape)):
                # the reference has no causal mask of one dimension
                self.check({**given, "attn_mask": mask}, is_causal=int(len(shape) > 1))
        for opset, width in ((24, 7), (24, 1), (25, 3), (25, 0)):
            for mask in (RNG.random((2, 6, 5, width)) < 0.7, random(5, width)):
                self.check({**given, "attn_mask": mask}, opset=opset)
        self.check({**given, "attn_mask": random(5, 11).astype(np.float64)})
        self.check({**given, "attn_mask": RNG.integers(-3, 3, (5, 11))})

    def test_caches(self):
        given = self.arrays()
        past = {"past_key": random(2, 3, 8, 16), "past_value": random(2, 3, 8, 20)}
        outputs = ("Y", "present_key", "present_value", "scores")
        for mode in (0, 1, 2, 3):
            for causal in (0, 1):
                options = {"is_causal": causal, "qk_matmul_output_mode": mode}
                self.check({**given, **past}, outputs=outputs, **options)
                self.check(given, outputs=outputs, **options)
        self.check({**given, **past}, outputs=("Y", "present_key"))
        lengths = {"nonpad_kv_seqlen": np.array([4, 11])}
        for window in ({}, {"left_window_size": 2}, {"right_window_size": 0}):
            self.check({**given, **lengths}, is_causal=1, opset=25, **window)
            self.check({**given, **past}, opset=25, **window)
        self.check({**given, **lengths}, softcap=2.0, scale=0.3)

    def test_three_dimensions(self):
        given = {"Q": random(2, 5, 48), "K": random(2, 7, 24), "V": random(2, 7, 30)}
        heads = {"q_num_heads": 6, "kv_num_heads": 3}
        past = {"past_key": random(2, 3, 4, 8), "past_value": random(2, 3, 4, 10)}
        self.check(given, **heads, is_causal=1)
        outputs = ("Y", "present_key", "present_value", "scores")
        self.check({**given, **past}, **heads, outputs=outputs, qk_matmul_output_mode=3)

    def test_empty(self):
        given = self.arrays()
        for name, at in (("Q", 2), ("Q", 0)):
            empty = dict(given)
            for one in "QKV" if at == 0 else name:
                empty[one] = given[one][:0] if at == 0 else given[one][:, :, :0]
            self.check(empty)


@unittest.skipUnless(onnx, "no onnx")
class Backend(Case):
    def setUp(self):
        self.given = {"Q": random(1, 2, 3, 4), "K": random(1, 2, 5, 4), "V": random(1, 2, 5, 4)}
        self.expected = rapt.attention(*self.given.values())

    def test_ways_to_run(self):
        backend, inputs = rapt.onnx.Backend, list(self.given.values())
        model = model_of(self.given)
        for given in (inputs, tuple(inputs), self.given):
            [found] = backend.prepare(model).run(given)
            np.testing.assert_array_equal(found, self.expected)
        [found] = backend.run_model(model, inputs, device="CPU:0")
        np.testing.assert_array_equal(found, self.expected)
        for options in ({}, {"opset_version": 23}, {"outputs_info": None}):
            [found] = backend.run_node(model.graph.node[0], inputs, **options)
            np.testing.assert_array_equal(found, self.expected)
        self.assertTrue(backend.is_compatible(model))
        self.assertTrue(backend.supports_device("CPU"))
        for device in ("CUDA", "CUDA:1", "", None, 3, "CPUX"):
            self.assertFalse(backend.supports_device(device))

    def test_several_nodes_and_constants(self):
        q, k, v = self.given.values()
        nodes = [
            helper.make_node("Attention", ["q", "k", "v"], ["a"], is_causal=1),
            helper.make_node("Attention", ["a", "k", "v"], ["b"]),
        ]
        graph = helper.make_graph(
            nodes,
            "two",
            [helper.make_tensor_value_info("q", TensorProto.FLOAT, q.shape)],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, "bhsc") for n in "ba"],
            [onnx.numpy_helper.from_array(x, n) for n, x in (("k", k), ("v", v))],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])
        b, a = rapt.onnx.Backend.run_model(model, q)
        np.testing.assert_array_equal(a, rapt.attention(q, k, v, causal=True))
        np.testing.assert_array_equal(b, rapt.attention(a, k, v))

    def test_outputs_are_of_their_own(self):
        model = model_of(self.given, outputs=("Y", "present_key"))
        before = self.given["K"].copy()
        _, present = rapt.onnx.Backend.run_model(model, self.given)
        self.given["K"][:] = 0
        np.testing.assert_array_equal(present, before)

    def test_refuses_models(self):
        backend, unsupported = rapt.onnx.Backend, rapt.Unsupported
        node = helper.make_node("Relu", ["x"], ["y"])
        info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1,)) for n in "xy"]
        other = helper.make_model(helper.make_graph([node], "g", info[:1], info[1:]))
        self.refused("operator Relu, expected Attention", backend.prepare, other, kind=unsupported)
        self.assertFalse(backend.is_compatible(other))
        self.refused("Relu", backend.run_node, node, [random(1)], kind=unsupported)
        own = helper.make_node("Attention", ["x"], ["y"], domain="com.microsoft")
        self.refused("com.microsoft.Att", backend.run_node, own, [random(1)], kind=unsupported)
        model = model_of(self.given)
        self.refused("device", backend.prepare, model, "CUDA", kind=unsupported)
        self.refused("device", backend.run_model, model, [], "CUDA", kind=unsupported)
        self.refused("prepare: found speed", backend.prepare, model, speed=1, kind=unsupported)
        self.refused("^model: ", backend.prepare, model_of(self.given, opset=22))
        self.refused("^model: ", backend.prepare, model_of(self.given, wrong=1))
        self.refused("^model: found NoneType", backend.prepare, None, kind=rapt.InvalidType)
        self.refused("^node: found NoneType", backend.run_node, None, [], kind=rapt.InvalidType)
        node = model.graph.node[0]
        for opset in (22, 1):
            refused = {"opset_version": opset, "kind": unsupported}
            self.refused(f"opset: found {opset}", backend.run_node, node, [], **refused)
        self.refused("opset_version", backend.run_node, node, [], opset_version="23")
        node = helper.make_node("Attention", ["q", "k", "v"], ["y"], wrong=1)
        self.refused("attribute wrong", backend.run_node, node, [], kind=unsupported)
        node = helper.make_node("Attention", ["q"], ["y"])
        self.refused("^node: ", backend.run_node, node, [])
        node = helper.make_node("Attention", ["q", "k", "v"], ["y"], is_causal=1)
        node.attribute[0].ref_attr_name = "causal"
        for kind in (onnx.AttributeProto.INT, onnx.AttributeProto.UNDEFINED):
            node.attribute[0].type = kind
            self.refused("^is_causal: ", backend.run_node, node, [], kind=unsupported)
            node.attribute[0].ref_attr_name = ""
        model = model_of(self.given, is_causal=1)
        model.graph.node[0].attribute[0].ref_attr_name = "causal"
        self.refused("causal", backend.prepare, model, kind=rapt.Error)
        self.assertFalse(backend.is_compatible(model))
        for attribute in ("qk_matmul_output_mode", "softmax_precision"):
            wrong = model_of(self.given, **{attribute: 7})
            self.refused(f"^{attribute}: found 7", backend.prepare, wrong, kind=unsupported)

    def test_refuses_inputs(self):
        model = model_of(self.given)
        inputs = list(self.given.values())
        run = rapt.onnx.Backend.prepare(model).run
        q, k, v = inputs
        self.refused("inputs: found 2", run, inputs[:2])
        self.refused("inputs: found none for", run, {"Q": q})
        self.refused("inputs: found int", run, 5)
        self.refused("run: found more", run, inputs, more=1, kind=rapt.Unsupported)
        self.refused("Q: found float64", run, [q.astype(float), k, v], kind=rapt.Unsupported)
        self.refused("Q: found", run, ["text", k, v], kind=rapt.InvalidType)
        self.refused("Q: found object", run, [object(), k, v], kind=rapt.InvalidType)
        self.refused("Q, K, V: found", run, [q[0], k, v])
        self.refused("Q: found shape .*no number of heads", run, [q[0], k[0], v[0]])
        self.refused("Q: found shape", run, [q[0, 0], k[0, 0], v[0, 0]])
        self.refused("key", run, [q, k[..., :3], v])

    def test_refuses_what_does_not_fit(self):
        past, lengths = random(1, 2, 3, 4), np.array([5])
        mask = np.ones((3, 6), bool)
        for more, text in (
            ({"past_key": past}, "past_key, past_value"),
            ({"past_key": past, "past_value": past, "nonpad_kv_seqlen": lengths}, "nonpad"),
            ({"past_key": past[:, :1], "past_value": past}, "past_key"),
            ({"past_key": past.astype(np.float16), "past_value": past}, "past_key: found float16"),
            ({"past_key": past[0], "past_value": past}, "past_key"),
            ({"nonpad_kv_seqlen": np.array([6])}, "kv_len"),
            ({"nonpad_kv_seqlen": np.array([[5]])}, "nonpad_kv_seqlen"),
            ({"attn_mask": mask}, "mask"),
            ({"attn_mask": mask[0, 0]}, "attn_mask: found no dim"),
            ({"attn_mask": mask[None, None, None]}, "mask: found 5 dim"),
        ):
            given = {**self.given, **more}
            names = [name if name in given else "" for name in NAMES]
            node = helper.make_node("Attention", names, ["Y"])
            inputs = [given[name] for name in names if name]
            self.refused(text, rapt.onnx.Backend.run_node, node, inputs)
        heads = {"q_num_heads": 2, "kv_num_heads": 2}
        node = helper.make_node("Attention", ["Q", "K", "V"], ["Y"], **heads)
        inputs = list(self.given.values())
        self.refused("q_num_heads", rapt.onnx.Backend.run_node, node, inputs)
        rapt.onnx.Backend.run_node(node, inputs, opset_version=24)


if __name__ == "__main__":
    unittest.main()
