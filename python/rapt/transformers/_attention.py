# SPDX-License-Identifier: Apache-2.0
"""What transformers' AttentionInterface calls for each layer."""

from typing import Any

import torch
from torch import Tensor

from rapt import InvalidArgument, Unsupported
from rapt.torch._op import attend, compute

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
    if kwargs.get("read_index") is not None:
        return _continuous(query, key, value, attention_mask, kwargs, scaling, softcap, s_aux)
    if is_causal is None:
        is_causal = getattr(module, "is_causal", True)
    mask, options = _masked(query, key, attention_mask, is_causal)
    if position_bias is not None:
        mask = _biased(position_bias, mask)
    options.update(scale=scaling, softcap=softcap)
    if kwargs.get("output_attentions"):
        return _with_weights(query, key, value, mask, s_aux, options)
    out = attend(query, key, value, mask, s_aux, **options)
    return out.transpose(1, 2).contiguous(), None


def _masked(
    query: Tensor, key: Tensor, mask: Tensor | None, is_causal: bool
) -> tuple[Tensor | None, dict[str, Any]]:
    """A mask that is left, and what stands for the rest."""
    if mask is None:
        return None, {"causal": query.shape[2] > 1 and bool(is_causal)}
    if not isinstance(mask, Pattern):
        return mask, {}
    if mask.shape[2:] != (query.shape[2], key.shape[2]):
        raise InvalidArgument(
            f"attention_mask: found {tuple(mask.shape[2:])} queries and keys, expected "
            f"{(query.shape[2], key.shape[2])}"
        )
    causal, left, right = mask.span
    padding: Padding = mask.padding
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


def _with_weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    sinks: Tensor | None,
    options: dict[str, Any],
) -> tuple[Tensor, Tensor]:
    """The weights have no gradient; those of the output are right."""
    if torch.compiler.is_compiling():
        raise Unsupported("output_attentions: found a compiled model, expected eager mode")
    out = attend(query, key, value, mask, sinks, **options)
    with torch.no_grad():
        window = options.pop("left", -1), options.pop("right", -1)
        _, weights = compute(
            query, key, value, mask, sinks, window=window, return_weights=True, **options
        )
    return out.transpose(1, 2).contiguous(), weights


def _continuous(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    kwargs: dict[str, Any],
    scale: float | None,
    softcap: float | None,
    sinks: Tensor | None,
) -> tuple[Tensor, None]:
    """Sequences end to end in one batch: each is attended by itself, by its part of the mask."""
    queries, keys = kwargs["cu_seq_lens_q"].tolist(), kwargs["cu_seq_lens_k"].tolist()
    out = query.new_zeros(1, query.shape[2], query.shape[1], value.shape[3])
    for a, b, c, d in zip(queries, queries[1:], keys, keys[1:]):
        if a < b:
            out[:, a:b] = attend(
                query[:, :, a:b],
                key[:, :, c:d],
                value[:, :, c:d],
                None if mask is None else mask[..., a:b, c:d],
                sinks,
                causal=mask is None,
                q_offset=(d - c) - (b - a) if mask is None else 0,
                scale=scale,
                softcap=softcap,
            ).transpose(1, 2)
    return out, None
