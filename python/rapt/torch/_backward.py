# SPDX-License-Identifier: Apache-2.0
"""Gradients of attention, from its output and the log-sum-exp of its rows."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Gradients = tuple[Tensor | None, ...]


def attention_backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    sinks: Tensor | None,
    out: Tensor,
    lse: Tensor,
    *,
    needed: Sequence[bool],
    causal: bool = False,
    scale: float | None = None,
    softcap: float | None = None,
    counted: bool = False,
    **span: Any,
) -> Gradients:
    """Of query, key, value, mask and sinks. PyTorch's own kernel computes them where it can."""
    if not query.numel() * key.numel():  # nothing is attended
        inputs = query, key, value, mask, sinks
        return tuple(
            torch.zeros_like(tensor) if tensor is not None and need else None
            for tensor, need in zip(inputs, needed)
        )
    # A row without keys has no weights: any finite number makes them exp(-inf) = 0.
    lse = lse.masked_fill(lse == -torch.inf, 0)
    scale = scale or query.shape[-1] ** -0.5
    if (
        query.shape[-1] == value.shape[-1]
        and query.dtype == key.dtype == value.dtype
        and not (needed[3] or sinks is not None or softcap or _has_span(**span))
    ):
        if mask is not None:
            mask = _as_float(mask, query.dtype)
            mask = mask.expand(*query.shape[:-1], key.shape[-2])
        grad, query, key, value, out = map(_in_rows, (grad, query, key, value, out))
        found = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            grad, query, key, value, out, lse, 0.0, causal, attn_mask=mask, scale=scale
        )
        return *found, None, None
    allowed = _allowed(query.shape[-2], key.shape[-2], query.device, causal, **span)
    # Only with create_graph=True are gradients enabled here.
    formula: Any = _OnceDifferentiable.apply if torch.is_grad_enabled() else _by_formula
    gradients: Gradients = formula(
        grad, query, key, value, mask, sinks, out, lse, needed, scale, softcap, allowed
    )
    return gradients


def _in_rows(tensor: Tensor) -> Tensor:
    """With channels next to each other, which PyTorch's kernel takes for granted."""
    if tensor.stride(-1) == 1 and tensor.stride(-2) >= tensor.shape[-1]:
        return tensor
    return tensor.clone(memory_format=torch.contiguous_format)


def _has_span(
    left: int = -1,
    right: int = -1,
    q_offset: int = 0,
    kv_start: Sequence[int] | None = None,
    kv_len: Sequence[int] | None = None,
) -> bool:
    return left >= 0 or right >= 0 or q_offset != 0 or bool(kv_start or kv_len)


def _as_float(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, -torch.inf)


def _allowed(
    queries: int,
    keys: int,
    device: torch.device,
    causal: bool,
    left: int = -1,
    right: int = -1,
    q_offset: int = 0,
    kv_start: Sequence[int] | None = None,
    kv_len: Sequence[int] | None = None,
) -> Tensor:
    """Which keys a query may attend: (1 or batch, 1, 1, queries, keys)."""
    position = torch.arange(queries, device=device)[:, None] + q_offset
    key = torch.arange(keys, device=device)[None]
    allowed = torch.ones(queries, keys, dtype=torch.bool, device=device)
    if causal:
        allowed = allowed & (key <= position)
    if left >= 0:
        allowed = allowed & (key >= position - left)
    if right >= 0:
        allowed = allowed & (key <= position + right)
    allowed = allowed[None, None, None]
    if kv_start:
        allowed = allowed & (
            key >= torch.tensor(kv_start, device=device)[:, None, None, None, None]
        )
    if kv_len:
        allowed = allowed & (key < torch.tensor(kv_len, device=device)[:, None, None, None, None])
    return allowed


def _by_formula(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    sinks: Tensor | None,
    out: Tensor,
    lse: Tensor,
    needed: Sequence[bool],
    scale: float,
    softcap: float | None,
    allowed: Tensor,
) -> Gradients:
    """All in float32, with the weights of a whole layer in memory: heads of a key are a group."""
    kv_heads = key.shape[1]

    def grouped(tensor: Tensor) -> Tensor:
        batch, heads, *rest = tensor.shape
        return tensor.float().view(batch, kv_heads, heads // kv_heads, *rest)

    q, g, o = grouped(query), grouped(grad), grouped(out)
    k, v = key.float().unsqueeze(2), value.float().unsqueeze(2)
    scores = scale * (q @ k.mT)
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    biased = scores.masked_fill(~allowed, -torch.inf)
    if mask is not None:
        full = _as_float(mask, torch.float32).expand(*query.shape[:-1], key.shape[-2])
        biased = biased + grouped(full)
    weights = torch.exp(biased - grouped(lse).unsqueeze(-1))
    delta = (g * o).sum(-1, keepdim=True)
    by_score = weights * (g @ v.mT - delta)
    by_mask = by_sinks = None
    if mask is not None and needed[3]:
        by_mask = by_score.flatten(1, 2).sum_to_size(_four(mask)).view(mask.shape).to(mask.dtype)
    if sinks is not None and needed[4]:
        row = sinks.float().unsqueeze(-1)  # (heads, 1) or (batch, heads, 1)
        each = -torch.exp(row - lse) * delta.flatten(1, 2).squeeze(-1)
        by_sinks = each.sum(-1).sum_to_size(sinks.shape).to(sinks.dtype)
    if softcap:
        by_score = by_score * (1 - (scores / softcap).square())
    by_query = scale * (by_score @ k).flatten(1, 2)
    by_key = scale * (by_score.mT @ q).sum(2)
    by_value = (weights.mT @ g).sum(2)
    return (
        by_query.to(query.dtype),
        by_key.to(key.dtype),
        by_value.to(value.dtype),
        by_mask,
        by_sinks,
    )


class _OnceDifferentiable(torch.autograd.Function):
    """_by_formula(), whose result has no derivative, as that of PyTorch's own kernel has none."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Gradients:
        return _by_formula(*inputs)

    @staticmethod
    def backward(ctx: Any, *_: Any) -> None:
        raise NotImplementedError(
            "derivative for the gradients of rapt::attention is not implemented"
        )


def _four(mask: Tensor) -> list[int]:
    return [1] * (4 - mask.dim()) + list(mask.shape)
