# SPDX-License-Identifier: Apache-2.0
"""Masks as numbers: what transformers asks for as a mask is causal, a window and padding."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only
from transformers import masking_utils
from transformers.utils.import_utils import is_tracing

from rapt import Unsupported

from ._families import check_config

Span = tuple[bool, int, int]  # causal, and how far a query sees to the left and to the right


class Padding(NamedTuple):
    """Which keys exist: from one to another in each sequence, or those of a row of booleans."""

    kv_start: list[int] | None = None
    kv_len: list[int] | None = None
    row: Tensor | None = None  # (batch, 1, 1, keys)


class Pattern(Tensor):
    """A bool mask (batch, 1, queries, keys) that has no memory: attention() reads its numbers.

    For whoever else looks into it, it becomes the mask that transformers makes for sdpa. Arithmetic
    with it is refused, since that would expect a mask of floats.
    """

    span: Span
    queries: int
    keys: int
    q_offset: int
    padding: Padding
    dense: Callable[[], Tensor]

    @staticmethod
    def __new__(
        cls: type["Pattern"],
        size: tuple[int, ...],
        span: Span,
        q_offset: int,
        padding: Padding,
        dense: Callable[[], Tensor],
    ) -> "Pattern":
        self: Pattern = Tensor._make_wrapper_subclass(cls, size, dtype=torch.bool)
        self.span, self.q_offset, self.padding, self.dense = span, q_offset, padding, dense
        self.queries, self.keys = size[2:]
        return self

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        causal, left, right = self.span
        return (
            f"Pattern(shape={tuple(self.shape)}, causal={causal}, window=({left}, {right}), "
            f"q_offset={self.q_offset})"
        )

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten.slice.Tensor and not kwargs:
            rows = args[0]._rows(*args[1:])
            if rows is not None:
                return rows
        if func._schema.name.removeprefix("aten::").rstrip("_") in _ARITHMETIC:
            raise Unsupported(
                f"attention_mask: found a model that computes with it ({func}), expected one that "
                "hands it to attention as it is"
            )
        args, kwargs = tree_map_only(Pattern, lambda mask: mask.dense(), (args, kwargs))
        return func(*args, **kwargs)

    def _rows(
        self, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
    ) -> "Pattern | None":
        """Some queries that follow each other, of all keys: numbers still."""
        if dim != 2 or step != 1:
            return None
        first, last, _ = slice(start, end).indices(self.shape[2])
        size = (*self.shape[:2], max(last - first, 0), self.shape[3])
        dense = self.dense
        return Pattern(
            size, self.span, self.q_offset + first, self.padding, lambda: dense()[:, :, first:last]
        )


_ARITHMETIC = "add sub rsub mul div eq ne lt gt le ge".split()


def mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: Any = 0,
    kv_offset: int = 0,
    mask_function: Callable[..., Any] = masking_utils.causal_mask_function,
    attention_mask: Tensor | None = None,
    use_vmap: bool = False,
    device: Any = "cpu",
    config: Any = None,
    **options: Any,
) -> Tensor:
    """What transformers' AttentionMaskInterface calls: numbers where it can be, else a bool mask.

    It is never None, so that nobody has to guess what that stands for. A compiler or a tracer gets
    a bool mask, as does a pattern that isn't causal, bidirectional or a sliding window.
    """
    options.update(allow_is_causal_skip=False, allow_is_bidirectional_skip=False)

    def dense() -> Tensor:
        made = masking_utils.sdpa_mask(
            batch_size,
            q_length,
            kv_length,
            q_offset,
            kv_offset,
            mask_function,
            attention_mask,
            use_vmap=use_vmap,
            device=device,
            **options,
        )
        assert made is not None
        return made

    if is_tracing(attention_mask) or torch.device(device).type != "cpu":
        return dense()
    if config is not None:
        check_config(config)
    span = None if use_vmap else _span(mask_function)
    if span is None:
        return dense()
    first = int(q_offset) - kv_offset
    keys = masking_utils.prepare_padding_mask(attention_mask, kv_length, kv_offset)
    padding = Padding()
    if keys is not None:
        keys = keys[:, kv_offset : kv_offset + kv_length].to(torch.bool)
        padding = _padding(keys.expand(batch_size, -1))
    return Pattern((batch_size, 1, q_length, kv_length), span, first, padding, dense)


def _span(function: Callable[..., Any]) -> Span | None:
    """The pattern of one of transformers' mask functions, by what it is made of."""
    if function is masking_utils.causal_mask_function:
        return True, -1, -1
    if function is masking_utils.bidirectional_mask_function:
        return False, -1, -1
    if _made_by(function) != "and_masks":
        return None
    parts = _cell(function)
    if len(parts) != 2:
        return None
    window, rest = parts
    made_by = _made_by(window)
    if made_by == "sliding_window_overlay" and rest is masking_utils.causal_mask_function:
        return True, _cell(window) - 1, -1
    both_ways = masking_utils.bidirectional_mask_function
    if made_by == "sliding_window_bidirectional_overlay" and rest is both_ways:
        return False, _cell(window), _cell(window)
    return None


def _made_by(function: Any) -> str | None:
    """The function of masking_utils that a closure over one variable comes from."""
    closure = getattr(function, "__closure__", None)
    module = getattr(function, "__module__", None)
    if module != masking_utils.__name__ or closure is None or len(closure) != 1:
        return None
    return str(function.__qualname__).split(".")[0]


def _cell(function: Any) -> Any:
    return function.__closure__[0].cell_contents


def _padding(keys: Tensor) -> Padding:
    """Of booleans (batch, keys): where they begin and end, or the row itself if there are gaps."""
    if keys.all():
        return Padding()
    bits = keys.to(torch.uint8)
    count = keys.sum(1)
    start = bits.argmax(1)
    end = torch.where(count > 0, keys.shape[1] - bits.flip(1).argmax(1), 0)
    if not torch.equal(end - start, count):
        return Padding(row=keys[:, None, None, :])
    starts = start.tolist()
    return Padding(starts if any(starts) else None, end.tolist())
