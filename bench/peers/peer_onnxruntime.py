# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime: models of one node each, of ONNX's Attention and of ONNX Runtime's own
MultiHeadAttention and GroupQueryAttention."""

import numpy as np
from peer import Peer, numpy_type

OPSET = 23  # the first with Attention


class Library(Peer):
    name = "onnxruntime"
    title = "ONNX Runtime"
    pip = "onnxruntime onnx"

    def load(self, threads):
        import onnx
        import onnxruntime

        self.onnx, self.runtime, self.threads = onnx, onnxruntime, threads

    def version(self):
        return self.runtime.__version__

    def variants(self, shape, dtype):
        if dtype == "bf16":
            return []  # its CPU kernels have float and float16
        names = ["Attention"]
        if shape.group == 1 and not shape.softcap:
            names.append("MultiHeadAttention")
        if (shape.causal or shape.decode) and not shape.alibi:
            names.append("GroupQueryAttention")
        return names

    def model(self, op, inputs, outputs, domain="", **attributes):
        """A session of one node; None stands for an input that is left out."""
        helper, proto = self.onnx.helper, self.onnx.TensorProto
        types = {
            np.dtype(name): proto.DataType.Value(value)
            for name, value in (("f4", "FLOAT"), ("f2", "FLOAT16"), ("i4", "INT32"), ("?", "BOOL"))
        }
        node = helper.make_node(
            op,
            [name if value is not None else "" for name, value in inputs.items()],
            list(outputs),
            domain=domain,
            **attributes,
        )
        graph = helper.make_graph(
            [node],
            "attention",
            [
                helper.make_tensor_value_info(n, types[a.dtype], a.shape)
                for n, a in inputs.items()
                if a is not None
            ],
            [helper.make_tensor_value_info(n, types[a.dtype], a.shape) for n, a in outputs.items()],
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        options.log_severity_level = 3
        return self.runtime.InferenceSession(
            made.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def bound(self, session, inputs, outputs):
        """The tensors in place, so that a run copies and allocates nothing."""
        binding, value = session.io_binding(), self.runtime.OrtValue.ortvalue_from_numpy
        values = {}
        for name, array in [*inputs.items(), *outputs.items()]:
            if array is not None and id(array) not in values:
                values[id(array)] = value(array)
        for name, array in inputs.items():
            if array is not None:
                binding.bind_ortvalue_input(name, values[id(array)])
        for name, array in outputs.items():
            binding.bind_ortvalue_output(name, values[id(array)])
        return binding

    def prepare(self, variant, shape, dtype, q, copies):
        kind = numpy_type(dtype)
        describe = {
            "Attention": self.standard,
            "MultiHeadAttention": self.multi_head,
            "GroupQueryAttention": self.grouped,
        }[variant]
        all_inputs = [describe(shape, kind, q, k, v) for k, v in copies]
        inputs, outputs, domain, attributes = all_inputs[0]
        session = self.model(variant, inputs, outputs, domain, **attributes)
        bindings = [self.bound(session, *each[:2]) for each in all_inputs]
        heads_last = variant != "Attention"

        def run(copy):
            session.run_with_iobinding(bindings[copy])
            return bindings[copy], shape, heads_last

        return run

    def standard(self, shape, kind, q, k, v):
        inputs = {"Q": q.astype(kind, copy=False), "K": k.astype(kind), "V": v.astype(kind)}
        if not shape.plainly_causal or shape.alibi:
            inputs["mask"] = self.bias(shape, kind)
        attributes = {"is_causal": int(shape.plainly_causal)}
        if shape.softcap:
            attributes["softcap"] = shape.softcap
        return inputs, {"Y": np.empty(q.shape, kind)}, "", attributes

    def multi_head(self, shape, kind, q, k, v):
        inputs = {name: tokens(x, kind) for name, x in (("query", q), ("key", k), ("value", v))}
        bias = None if shape.plainly_causal and not shape.alibi else self.bias(shape, kind)
        if bias is not None:
            inputs.update(bias=None, key_padding_mask=None, attention_bias=bias)
        attributes = {"num_heads": shape.q_heads, "unidirectional": int(shape.plainly_causal)}
        return inputs, {"Y": np.empty(inputs["query"].shape, kind)}, "com.microsoft", attributes

    def grouped(self, shape, kind, q, k, v):
        """The past is all keys but those of this call, in memory that past and present share."""
        new = slice(shape.keys - shape.queries, None)
        inputs = {
            "query": tokens(q, kind),
            "key": tokens(k[:, :, new], kind),
            "value": tokens(v[:, :, new], kind),
            "past_key": k.astype(kind, copy=False),
            "past_value": v.astype(kind, copy=False),
            "seqlens_k": np.full(shape.batch, shape.keys - 1, np.int32),
            "total_sequence_length": np.full(1, shape.keys, np.int32),
        }
        outputs = {
            "Y": np.empty(inputs["query"].shape, kind),
            "present_key": inputs["past_key"],
            "present_value": inputs["past_value"],
        }
        attributes = {"num_heads": shape.q_heads, "kv_num_heads": shape.kv_heads}
        if shape.window:
            attributes["local_window_size"] = shape.window
        if shape.softcap:
            attributes["softcap"] = shape.softcap
        return inputs, outputs, "com.microsoft", attributes

    def bias(self, shape, kind):
        """An additive mask, or None if every query attends every key."""
        ok = shape.mask()
        if not shape.alibi and (ok is None or shape.decode):
            return None
        bias = np.zeros((1, 1, shape.queries, shape.keys), np.float32)
        if shape.alibi:
            query = shape.q_offset + np.arange(shape.queries)[:, None]
            bias = bias - shape.slopes()[:, None, None] * np.abs(query - np.arange(shape.keys))
        return np.where(ok, bias, -np.inf).astype(kind, copy=False)

    def to_numpy(self, out):
        binding, shape, heads_last = out
        array = binding.get_outputs()[0].numpy().astype(np.float32)
        if heads_last:
            array = array.reshape(shape.batch, shape.queries, shape.q_heads, shape.dim)
            array = array.swapaxes(1, 2)
        return array


def tokens(x, kind):
    """(batch, head, position, channel) as (batch, position, all heads' channels)."""
    batch, _, positions, _ = x.shape
    return (
        np.ascontiguousarray(x.swapaxes(1, 2))
        .reshape(batch, positions, -1)
        .astype(kind, copy=False)
    )
