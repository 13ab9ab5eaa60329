# SPDX-License-Identifier: Apache-2.0
"""Attention in double precision, from its definition; all arrays are (batch, head, position, …)."""

import numpy as np


def allowed(shape, *, causal, q_offset, window, kv_len, kv_start):
    """Which keys a query may attend: (batch, 1, queries, keys)."""
    batch, _, queries, keys = shape
    position = np.reshape(q_offset, (-1, 1, 1, 1)) + np.arange(queries).reshape(1, 1, -1, 1)
    key = np.arange(keys).reshape(1, 1, 1, -1)
    ok = np.ones((batch, 1, queries, keys), bool)
    if causal:
        ok &= key <= position
    left, right = (-1 if n is None else n for n in window or (-1, -1))
    if left >= 0:
        ok &= key >= position - left
    if right >= 0:
        ok &= key <= position + right
    if kv_len is not None:
        ok &= key < np.reshape(kv_len, (-1, 1, 1, 1))
    if kv_start is not None:
        ok &= key >= np.reshape(kv_start, (-1, 1, 1, 1))
    return ok


def per_head(values):
    """(heads) or (batch, heads) as (1 or batch, heads, 1, 1)."""
    return np.atleast_2d(np.asarray(values, float))[:, :, None, None]


def attention(
    q,
    k,
    v,
    *,
    scale=None,
    causal=False,
    q_offset=0,
    window=None,
    mask=None,
    kv_len=None,
    kv_start=None,
    alibi=None,
    sinks=None,
    softcap=None,
):
    """out, lse and weights."""
    q, k, v = (np.asarray(x).astype(float) for x in (q, k, v))
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, 1), np.repeat(v, group, 1)
    scores = q @ k.swapaxes(2, 3) * (scale or q.shape[3] ** -0.5)
    if softcap:
        scores = softcap * np.tanh(scores / softcap)
    ok = np.broadcast_to(
        allowed(
            scores.shape,
            causal=causal,
            q_offset=q_offset,
            window=window,
            kv_len=kv_len,
            kv_start=kv_start,
        ),
        scores.shape,
    ).copy()
    if mask is not None and mask.dtype == bool:
        ok &= mask
    elif mask is not None:
        scores = scores + mask.astype(float)
    if alibi is not None:
        position = np.reshape(q_offset, (-1, 1, 1, 1)) + np.arange(q.shape[2]).reshape(1, 1, -1, 1)
        scores = scores - per_head(alibi) * np.abs(position - np.arange(k.shape[2]))
    scores = np.where(ok, scores, -np.inf)
    most = scores.max(3, keepdims=True)
    if sinks is not None:
        most = np.maximum(most, per_head(sinks))
    most = np.where(np.isfinite(most), most, 0)
    terms = np.exp(scores - most)
    total = terms.sum(3, keepdims=True)
    if sinks is not None:
        total = total + np.exp(per_head(sinks) - most)
    weights = np.divide(terms, total, out=np.zeros_like(terms), where=total > 0)
    with np.errstate(divide="ignore"):
        lse = (np.log(total) + most)[..., 0]
    return weights @ v, lse, weights
