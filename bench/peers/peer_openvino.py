# SPDX-License-Identifier: Apache-2.0
"""OpenVINO: a model of one ScaledDotProductAttention."""

import numpy as np
from peer import Peer, numpy_type


class Library(Peer):
    name = "openvino"
    title = "OpenVINO"
    pip = "openvino"

    def load(self, threads):
        import openvino
        from openvino import opset13

        self.ov, self.ops = openvino, opset13
        self.settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
        }

    def version(self):
        return self.ov.__version__.split("-")[0]

    def variants(self, shape, dtype):
        if shape.softcap:
            return []
        # With one query the heads that share keys can stand where queries do.
        return ["sdpa", "sdpa grouped"] if shape.decode and shape.group > 1 else ["sdpa"]

    def repeated(self, x, shape):
        """Keys or values with a head for each of the query's, as models that share them say it."""
        parts = [shape.batch, shape.kv_heads, 1, shape.keys, shape.dim]
        wide = [shape.batch, shape.kv_heads, shape.group, shape.keys, shape.dim]
        whole = [shape.batch, shape.q_heads, shape.keys, shape.dim]
        x = self.ops.reshape(x, np.array(parts, np.int64), False)
        x = self.ops.broadcast(x, np.array(wide, np.int64))
        return self.ops.reshape(x, np.array(whole, np.int64), False)

    def model(self, variant, shape, dtype, q, k):
        ops = self.ops
        inputs = [ops.parameter(list(x), getattr(self.ov.Type, dtype)) for x in (q, k, k)]
        query, key, value = inputs
        if shape.group > 1 and variant == "sdpa":
            key, value = self.repeated(key, shape), self.repeated(value, shape)
        mask, causal = [], shape.plainly_causal and not shape.alibi
        if not causal and not shape.decode:
            bias = self.bias(shape)
            if bias is not None:
                mask = [ops.convert(ops.constant(bias), dtype)]
        node = ops.scaled_dot_product_attention(query, key, value, *mask, causal=causal)
        model = self.ov.Model([ops.result(node)], inputs, "attention")
        settings = {**self.settings, "INFERENCE_PRECISION_HINT": dtype}
        return self.ov.Core().compile_model(model, "CPU", settings)

    def bias(self, shape):
        ok = shape.mask()
        if ok is None:
            return None
        bias = np.zeros((1, 1, shape.queries, shape.keys), np.float32)
        if shape.alibi:
            query = shape.q_offset + np.arange(shape.queries)[:, None]
            bias = bias - shape.slopes()[:, None, None] * np.abs(query - np.arange(shape.keys))
        return np.where(ok, bias, np.float32(-np.inf))

    def prepare(self, variant, shape, dtype, q, copies):
        if variant == "sdpa grouped":
            q = q.reshape(shape.batch, shape.kv_heads, shape.group, shape.dim)
        compiled = self.model(variant, shape, dtype, q.shape, copies[0][0].shape)
        kind = numpy_type(dtype)
        requests = []
        for k, v in copies:
            request = compiled.create_infer_request()
            for i, x in enumerate((q, k, v)):
                request.set_input_tensor(i, self.tensor(x, kind, dtype))
            requests.append(request)

        def run(copy):
            requests[copy].infer(share_outputs=True)
            return requests[copy].get_output_tensor(0), shape

        return run

    def tensor(self, array, kind, dtype):
        tensor = self.ov.Tensor(getattr(self.ov.Type, dtype), array.shape)
        tensor.data[:] = array.astype(kind).view(tensor.data.dtype)
        return tensor

    def to_numpy(self, out):
        tensor, shape = out
        data = tensor.data
        if tensor.element_type == self.ov.Type.bf16:
            data = data.view(numpy_type("bf16"))
        whole = (shape.batch, shape.q_heads, shape.queries, shape.dim)
        return data.astype(np.float32).reshape(whole)
