# SPDX-License-Identifier: Apache-2.0
"""JAX: jax.nn.dot_product_attention compiled by jit; with a softcap, which that function hasn't,
the formula."""

import os

import numpy as np
from peer import Peer


class Library(Peer):
    name = "jax"
    title = "JAX"
    pip = "jax"

    def environment(self, threads):
        # Its pool has as many threads as there are CPUs that the process may use, or NPROC.
        return {"JAX_PLATFORMS": "cpu", "NPROC": str(threads), "OMP_NUM_THREADS": str(threads)}

    def load(self, threads):
        import jax

        self.jax = jax
        self.numpy = jax.numpy
        assert len(os.sched_getaffinity(0)) >= threads
        self.types = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}

    def version(self):
        return self.jax.__version__

    def variants(self, shape, dtype):
        if dtype == "f16":
            return []  # "not supported by dot_general on CPU"
        return ["formula"] if shape.softcap else ["dot_product_attention"]

    def capped(self, shape, mask):
        jnp = self.numpy

        def attend(q, k, v):  # all (batch, position, head, channel)
            q = q.reshape(shape.batch, shape.queries, shape.kv_heads, shape.group, shape.dim)
            s = jnp.einsum("bqhgd,bkhd->bhgqk", q, k, preferred_element_type="float32")
            s = shape.softcap * jnp.tanh(s * (shape.dim**-0.5 / shape.softcap))
            s = s if mask is None else jnp.where(mask, s, -jnp.inf)
            p = self.jax.nn.softmax(s, axis=-1).astype(v.dtype)
            out = jnp.einsum("bhgqk,bkhd->bqhgd", p, v)
            return out.reshape(shape.batch, shape.queries, shape.q_heads, shape.dim)

        return attend

    def plain(self, shape, mask):
        jnp, bias = self.numpy, None
        if shape.alibi:
            query = shape.q_offset + np.arange(shape.queries)[:, None]
            bias = -shape.slopes()[:, None, None] * np.abs(query - np.arange(shape.keys))
            bias = jnp.asarray(bias[None])
        causal = shape.plainly_causal
        mask = None if causal or mask is None else mask[None, None]

        def attend(q, k, v, bias, mask):
            return self.jax.nn.dot_product_attention(q, k, v, bias, mask, is_causal=causal)

        return lambda q, k, v: attend(q, k, v, bias, mask)

    def prepare(self, variant, shape, dtype, q, copies):
        jnp, kind = self.numpy, self.types[dtype]
        mask = shape.mask() if not shape.decode else None
        mask = None if mask is None else jnp.asarray(mask)
        attend = self.jax.jit((self.capped if variant == "formula" else self.plain)(shape, mask))
        q, *copies = (
            [jnp.asarray(x.swapaxes(1, 2)).astype(kind) for x in xs] for xs in ([q], *copies)
        )
        return lambda copy: attend(q[0], *copies[copy]).block_until_ready()

    def to_numpy(self, out):
        return np.asarray(out.astype("float32")).swapaxes(1, 2)
