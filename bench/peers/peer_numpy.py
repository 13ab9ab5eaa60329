# SPDX-License-Identifier: Apache-2.0
"""NumPy and the BLAS that it comes with: two products and a softmax for each head of keys, in
memory that is allocated once."""

import numpy as np
from peer import Peer


class Library(Peer):
    name = "numpy"
    title = "NumPy"
    pip = "numpy"

    def environment(self, threads):
        names = ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB_MAXIMUM")
        return {f"{name}_NUM_THREADS": str(threads) for name in names}

    def load(self, threads):
        pass

    def version(self):
        try:
            blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        except TypeError:  # before NumPy 1.25
            return np.__version__
        return f"{np.__version__}, {blas['name']} {blas['version']}"

    def variants(self, shape, dtype):
        return ["matmul"] if dtype == "f32" else []

    def prepare(self, variant, shape, dtype, q, copies):
        rows = shape.group * shape.queries
        q = q.reshape(shape.batch, shape.kv_heads, rows, shape.dim) * np.float32(shape.dim**-0.5)
        out = np.empty_like(q)
        scores = np.empty((rows, shape.keys), np.float32)
        by_head = scores.reshape(shape.group, shape.queries, shape.keys)
        bias = None
        if shape.alibi or not (shape.decode or shape.mask() is None):
            bias = np.where(shape.mask(), np.float32(0), np.float32(-np.inf))
        slopes = shape.slopes().reshape(shape.kv_heads, shape.group, 1, 1)
        apart = np.abs(
            shape.q_offset + np.arange(shape.queries)[:, None] - np.arange(shape.keys)
        ).astype(np.float32)

        def head(b, h, k, v):
            np.matmul(q[b, h], k[b, h].T, out=scores)
            if shape.softcap:
                np.divide(scores, shape.softcap, out=scores)
                np.tanh(scores, out=scores)
                np.multiply(scores, shape.softcap, out=scores)
            if shape.alibi:
                np.subtract(by_head, slopes[h] * apart, out=by_head)
            if bias is not None:
                np.add(by_head, bias, out=by_head)
            np.subtract(scores, scores.max(1, keepdims=True), out=scores)
            np.exp(scores, out=scores)
            total = scores.sum(1, keepdims=True)
            np.matmul(scores, v[b, h], out=out[b, h])
            np.divide(out[b, h], total, out=out[b, h])

        def run(copy):
            for b in range(shape.batch):
                for h in range(shape.kv_heads):
                    head(b, h, *copies[copy])
            return out.reshape(shape.batch, shape.q_heads, shape.queries, shape.dim)

        return run

    def to_numpy(self, out):
        return out
