# SPDX-License-Identifier: Apache-2.0
"""What transformers' AttentionInterface calls for each layer."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.utils import output_capturing

import rapt
from rapt import InvalidArgument, Unsupported
from rapt.torch._op import attend

from ._pattern import Padding, Pattern

# Some models give attention what it would have to know, and leave it out of the mask.
_UNKNOWN = ("indices", "block_indices", "sinks")


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    position_bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """(batch, heads, positions, channels) to (batch, positions, heads, channels), and weights.

    Windows come from the mask alone. Without a mask the first query is aligned with the first key,
    where the layer is causal and there are several queries. Weights are made if the caller wants
    output_attentions.
    """
    name = type(module).__name__
    for unknown in _UNKNOWN:
        if kwargs.get(unknown) is not None:
            raise Unsupported(f"{name}: found {unknown}, which rapt doesn't know")
    if dropout:
        raise Unsupported(f"{name}: found dropout of {dropout}, expected 0, as in model.eval()")
    if is_causal is None:
        is_causal = getattr(module, "is_causal", True)
    parts: list[_Part] | None = None
    options: dict[str, Any]
    if kwargs.get("read_index") is not None:
        parts = _continuous(kwargs["cu_seq_lens_q"], kwargs["cu_seq_lens_k"])
        mask, options = attention_mask, {"causal": attention_mask is None}
    else:
        mask, options = _masked(query, key, attention_mask, is_causal)
    if position_bias is not None:
        mask = _biased(position_bias, mask)
    options.update(scale=scaling, softcap=softcap)
    weights = None
    if kwargs.get("output_attentions") or _collects_weights():
        weights = _weights(query, key, value, mask, s_aux, **options)
    if options.get("kv_start"):
        parts = _left_padded(query.shape[2], **options)
        options.update(kv_start=None, kv_len=None)
    if parts is not None:
        return _each(parts, query, key, value, mask, s_aux, options), weights
    out = attend(query, key, value, mask, s_aux, **options)
    return out.transpose(1, 2).contiguous(), weights


def _collects_weights() -> bool:
    """Whether the model collects its layers' weights: GPT-2 and others don't tell their layers."""
    collector = getattr(output_capturing, "_active_collector", None)
    if collector is None or torch.compiler.is_compiling():
        return False
    return any("attentions" in key for key in collector.get() or ())


class _Part(NamedTuple):
    """A sequence: its place in the batch, its queries and keys, and what the first query is at."""

    at: int
    queries: slice
    keys: slice
    q_offset: int


def _each(
    parts: list[_Part],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    sinks: Tensor | None,
    options: dict[str, Any],
) -> Tensor:
    """Sequences by themselves; queries that are in none are 0."""
    out = query.new_zeros(query.shape[0], query.shape[2], query.shape[1], value.shape[3])
    for i, (at, queries, keys, q_offset) in enumerate(parts):
        here = slice(at, at + 1)
        options.update(q_offset=q_offset, counted=i > 0)
        out[here, queries] = attend(
            query[here, :, queries],
            key[here, :, keys],
            value[here, :, keys],
            None if mask is None else _part_of(mask, here, queries, keys),
            sinks,
            **options,
        ).transpose(1, 2)
    return out


def _part_of(mask: Tensor, batch: slice, queries: slice, keys: slice) -> Tensor:
    mask = mask[(None,) * (4 - mask.dim())]
    whole = slice(None)
    sizes = mask.shape
    return mask[
        batch if sizes[0] > 1 else whole,
        :,
        queries if sizes[2] > 1 else whole,
        keys if sizes[3] > 1 else whole,
    ]


def _continuous(cu_q: Tensor, cu_k: Tensor) -> list[_Part]:
    """Continuous batching has sequences end to end in a batch of one."""
    queries, keys = cu_q.tolist(), cu_k.tolist()
    return [
        _Part(0, slice(a, b), slice(c, d), d - c - (b - a))
        for a, b, c, d in zip(queries, queries[1:], keys, keys[1:])
        if a < b
    ]


def _left_padded(
    queries: int,
    causal: bool,
    left: int,
    right: int,
    q_offset: int,
    kv_start: list[int],
    kv_len: list[int],
    **_: Any,
) -> list[_Part]:
    """Each sequence from its first key on. So it has the bits that it has alone: rapt sums keys in
    blocks, which begin at the first key that it is given."""
    parts = []
    for at, (start, end) in enumerate(zip(kv_start, kv_len)):
        first = offset = 0
        if causal or left >= 0 or right >= 0:  # else a query sees all keys, wherever it is
            first = min(max(start - q_offset, 0), queries)
            offset = q_offset + first - start
        if first < queries:
            parts.append(_Part(at, slice(first, queries), slice(start, end), offset))
    return parts


def _masked(
    query: Tensor, key: Tensor, mask: Tensor | None, is_causal: bool
) -> tuple[Tensor | None, dict[str, Any]]:
    """A mask that is left, and what stands for the rest."""
    if mask is None:
        return None, {"causal": query.shape[2] > 1 and bool(is_causal)}
    if not isinstance(mask, Pattern):
        return mask, {}
    queries, keys = query.shape[2], key.shape[2]
    if mask.queries != queries or mask.keys != keys:
        raise InvalidArgument(
            f"attention_mask: found {mask.queries} queries and {mask.keys} keys, expected "
            f"{queries} and {keys}"
        )
    causal, left, right = mask.span
    padding: Padding = mask.padding
    if causal and left < 0 and mask.q_offset >= keys - 1 and not padding.kv_start:
        return padding.row, {"kv_len": padding.kv_len}  # each query is behind all keys
    return padding.row, {
        "causal": causal,
        "left": left,
        "right": right,
        "q_offset": mask.q_offset,
        "kv_start": padding.kv_start,
        "kv_len": padding.kv_len,
    }


def _biased(bias: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return bias
    if mask.dtype == torch.bool:
        return torch.where(mask, bias, -torch.inf)
    return bias + mask


@torch.no_grad()
def _weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    sinks: Tensor | None,
    left: int = -1,
    right: int = -1,
    **options: Any,
) -> Tensor:
    """What output_attentions asks for. The weights have no gradient."""
    if torch.compiler.is_compiling():
        raise Unsupported("output_attentions: found a compiled model, expected eager mode")
    options.update(window=(left, right), threads=torch.get_num_threads(), return_weights=True)
    found = rapt.attention(query, key, value, mask=mask, sinks=sinks, **options)
    weights: Tensor = found.weights
    return weights
