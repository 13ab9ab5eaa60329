# SPDX-License-Identifier: Apache-2.0
"""PyTorch's function of attention, by rapt."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from ._op import attend, is_transformed, tally

Shape = tuple[int, ...]
TYPES = (torch.float32, torch.bfloat16, torch.float16)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """What torch.nn.functional.scaled_dot_product_attention() means, computed by rapt.

    query, key and value are (..., heads, positions, channels) of one type, which broadcast as they
    do in PyTorch. attn_mask broadcasts to (..., heads, queries, keys): bool, true means attend, or
    floats that are added to the scores. is_causal aligns the first query with the first key. A row
    without keys is 0. Gradients are PyTorch's, from the output and the log-sum-exp of rows.

    float32, float16 and bfloat16 on the CPU are computed by rapt, with torch.get_num_threads()
    threads. All else is passed to PyTorch's function, which computes it or raises its own error:
    dropout, float64, other devices, nested and sparse tensors, subclasses that wrap tensors, calls
    that torch.func transforms (vmap, grad), forward-mode derivatives, and arguments of other types.

    >>> import torch, rapt.torch
    >>> q = torch.randn(1, 4, 3, 16)
    >>> rapt.torch.scaled_dot_product_attention(q, q, q, is_causal=True).shape
    torch.Size([1, 4, 3, 16])
    """
    typed = _are_typed(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)
    if typed and torch.is_autocast_enabled("cpu"):
        query, key, value, attn_mask = _cast(query, key, value, attn_mask)
    if (
        not typed
        or dropout_p != 0.0
        or is_transformed()
        or not takes_scale(scale)
        or not _is_ours(query, key, value)
        or not (attn_mask is None or _is_mask(attn_mask, query))
        or not (shapes := _shapes(query, key, value, attn_mask, enable_gqa))
    ):
        if not torch.compiler.is_compiling():
            tally.add("passed")
        return F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=attn_mask,
            dropout_p=dropout_p,
            is_causal=is_causal,
            scale=scale,
            enable_gqa=enable_gqa,
        )
    q, k, v = (_four(x, s) for x, s in zip((query, key, value), shapes))
    mask = attn_mask if attn_mask is None else _four_mask(attn_mask, shapes[0])
    out = attend(q, k, v, mask, causal=is_causal, scale=scale)
    return out if len(shapes[0]) == 2 else out.reshape(shapes[0] + out.shape[2:])


def _are_typed(
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    dropout_p: Any,
    is_causal: Any,
    scale: Any,
    enable_gqa: Any,
) -> bool:
    """Whether arguments have the types that are declared; others are left to PyTorch."""
    return (
        isinstance(query, Tensor)
        and isinstance(key, Tensor)
        and isinstance(value, Tensor)
        and (mask is None or isinstance(mask, Tensor))
        and isinstance(dropout_p, float | int)
        and isinstance(is_causal, bool)
        and (scale is None or isinstance(scale, float | int) and not isinstance(scale, bool))
        and isinstance(enable_gqa, bool)
    )


def takes_scale(scale: float | None) -> bool:
    """Whether it is a scale of rapt's; PyTorch's function has a meaning for others too."""
    return scale is None or 1e-30 <= scale <= 1e30


def _cast(*tensors: Tensor | None) -> list[Any]:
    """As autocast casts for PyTorch's function."""
    dtype = torch.get_autocast_dtype("cpu")
    return [
        t.to(dtype)
        if t is not None and t.is_floating_point() and t.dtype != torch.float64 and t.is_cpu
        else t
        for t in tensors
    ]


def _is_ours(query: Tensor, key: Tensor, value: Tensor) -> bool:
    # That there is a value for each key is rapt's to check: PyTorch would read beyond the values.
    return (
        query.dtype in TYPES
        and query.dtype == key.dtype == value.dtype
        and _is_memory(query)
        and _is_memory(key)
        and _is_memory(value)
        and query.dim() > 1
        and key.dim() > 1
        and value.dim() > 1
        and query.shape[-1] == key.shape[-1] > 0
        and value.shape[-1] > 0
    )


def _is_memory(tensor: Tensor) -> bool:
    """On the CPU, in strides; a fake tensor passes for what it stands for."""
    return (
        tensor.is_cpu
        and tensor.layout == torch.strided
        and not tensor.is_nested
        and (type(tensor) is Tensor or not is_traceable_wrapper_subclass(tensor))
    )


def _is_mask(mask: Tensor, query: Tensor) -> bool:
    return mask.dtype in (torch.bool, torch.float32, query.dtype) and _is_memory(mask)


def _shapes(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, enable_gqa: bool
) -> tuple[Shape, Shape, Shape] | None:
    """What comes before positions, of query, key and value; None if PyTorch has to say why not."""
    shapes: tuple[Shape, Shape, Shape]
    lead = query.shape[:-2]
    if lead == key.shape[:-2] == value.shape[:-2]:
        shapes = lead, lead, lead
    elif enable_gqa:
        if key.dim() < 3 or len(lead) < 1 or key.shape[:-2] != value.shape[:-2]:
            return None
        if key.dim() != query.dim() or key.shape[-3] == 0 or lead[-1] % key.shape[-3]:
            return None
        batch = _broadcast(lead[:-1], key.shape[:-3])
        if batch is None:
            return None
        grouped = batch + key.shape[-3:-2]
        shapes = batch + lead[-1:], grouped, grouped
    else:
        both = _broadcast(key.shape[:-2], value.shape[:-2])
        whole = both and _broadcast(lead, both)
        if not whole:
            return None
        shapes = whole, whole, whole
    if mask is not None:
        scores = shapes[0] + (query.shape[-2], key.shape[-2])
        if mask.dim() > len(scores) or _broadcast(scores, mask.shape) != tuple(scores):
            return None
    return shapes


def _broadcast(a: Shape, b: Shape) -> Shape | None:
    """The shape that two shapes have in common, or None."""
    a, b = tuple(a), tuple(b)
    more = (1,) * abs(len(a) - len(b))
    a, b = (more + a, b) if len(a) < len(b) else (a, more + b)
    if any(m != n and m != 1 and n != 1 for m, n in zip(a, b)):
        return None
    return tuple(n if m == 1 else m for m, n in zip(a, b))


def _four(tensor: Tensor, lead: Shape) -> Tensor:
    """As (batch, heads, positions, channels), expanded to the shape that it broadcasts to."""
    if tensor.shape[:-2] != lead:
        tensor = tensor.expand(*lead, *tensor.shape[-2:])
    return tensor.flatten(0, -4) if len(lead) > 2 else tensor[(None,) * (2 - len(lead))]


def _four_mask(mask: Tensor, lead: Shape) -> Tensor:
    """As (1 or batch, 1 or heads, 1 or queries, 1 or keys)."""
    if len(lead) > 2 and mask.dim() > 3:
        return mask.expand(*lead, *mask.shape[-2:]).flatten(0, -4)
    return mask[(None,) * (4 - mask.dim())]
