# SPDX-License-Identifier: Apache-2.0
"""Attention to what a cache holds: its tensors as views, its lengths and pages as numbers."""

import ctypes
import itertools
from typing import TYPE_CHECKING, Any

from . import _convert, _options, _views
from ._abi import BF16, BOOL, F16, F32, I8, NONE, Q8_0, Tensor
from ._attention import attention
from ._inputs import Table
from ._keywords import Attending, check as check_keywords
from ._library import InvalidArgument, Unsupported, check, default_args, lib

if TYPE_CHECKING:
    from ._cache import KVCache

_BYTES = {F32: 4, F16: 2, BF16: 2, I8: 1, BOOL: 1}
_KEPT = 32  # arrangements of its memory that a cache keeps
_OF_ALL_KEYS = ("mask", "return_weights", "return_received")  # what has a column for each key


def _offset(dtype: int, elements: int) -> int:
    """Bytes from one element to another."""
    if dtype == Q8_0:
        return elements // _views.Q8_0_ELEMENTS * _views.Q8_0_BYTES
    return elements * _BYTES[dtype]


def part(v: _views.View, first: int, count: int, step: int = 1) -> _views.View:
    """Every step-th of a batch, from the first on."""
    return v._replace(
        address=v.address + _offset(v.dtype, first * v.strides[0]),
        shape=(count, *v.shape[1:]),
        strides=(step * v.strides[0], *v.strides[1:]),
    )


def views(cache: "KVCache") -> dict[str, _views.View]:
    """What a cache holds, of all sequences or as all pages; it never moves."""
    args = default_args()
    check(lib.rapt_cache_view(cache._handle.pointer, 0, cache.sequences, args))
    fields = ("key", "value", "key_scale", "value_scale")
    tensors: dict[str, Tensor] = {field: getattr(args, field) for field in fields}
    return {
        field: _views.View(t.data, t.dtype, tuple(t.shape), tuple(t.stride), False, cache._handle)
        for field, t in tensors.items()
        if t.dtype != NONE
    }


def _look(cache: "KVCache", chosen: tuple[int, ...]) -> tuple[list[int], Table | None]:
    """Lengths of sequences and their pages, at one moment."""
    args = default_args()
    with cache._turns.lock:
        check(lib.rapt_cache_view(cache._handle.pointer, 0, cache.sequences, args))
        lengths = [args.kv_len[i] for i in chosen]
        if not args.block_table or not chosen:
            return lengths, None
        table = Table.empty(len(chosen), args.block_table_stride)
        size = args.block_table_stride * ctypes.sizeof(ctypes.c_int32)
        first = ctypes.addressof(args.block_table.contents)
        for row, sequence in enumerate(chosen):
            ctypes.memmove(table.address + row * size, first + sequence * size, size)
    return lengths, table


def _sequences(v: _views.View, chosen: tuple[int, ...]) -> _views.View:
    """Those of a cache without pages, where all have their place."""
    first, step = (*chosen, 0)[0], chosen[1] - chosen[0] if len(chosen) > 1 else 1
    if any(sequence != first + i * step for i, sequence in enumerate(chosen)):
        raise Unsupported(
            f"sequences: found {_options.shown(list(chosen))}, expected evenly spaced ones, or a "
            "cache with pages"
        )
    return part(v, first, len(chosen), step)


def _arranged(v: _views.View, rank: int, swap: bool, keys: int | None) -> _views.View:
    """With so many dimensions, in the caller's layout, and without keys that may come later."""
    missing = 4 - rank
    if any(n != 1 for n in v.shape[:missing]):
        raise InvalidArgument(
            f"q: found {rank} dimensions, expected 4, as there are {v.shape[0]} sequences and "
            f"{v.shape[1]} heads of keys"
        )
    if keys is not None:
        v = v._replace(shape=(*v.shape[:2], keys, v.shape[3]))
    order = [0, 2, 1, 3] if swap else [0, 1, 2, 3]
    return v._replace(
        shape=tuple(v.shape[i] for i in order[missing:]),
        strides=tuple(v.strides[i] for i in order[missing:]),
    )


def _stored(
    cache: "KVCache", chosen: tuple[int, ...] | None, rank: int, swap: bool, keys: int | None
) -> dict[str, Any]:
    """The arguments of attention() for sequences without pages, or, with None, for pages.

    The cache keeps those of the last calls, for decoders ask for the same again and again.
    """
    form = chosen, rank, swap, keys
    found: dict[str, Any] | None = cache._arranged.get(form)
    if found is not None:
        return found
    found = {}
    for field, name in (("key", "k"), ("value", "v")):
        view, scale = cache._views[field], cache._views.get(f"{field}_scale")
        if chosen is not None:
            view = _sequences(view, chosen)
        found[name] = _arranged(view, 4 if chosen is None else rank, swap, keys)
        if scale is not None:
            scale = scale if chosen is None else _sequences(scale, chosen)
            scale = _arranged(scale, 4, swap, keys)
            scale = scale._replace(shape=scale.shape[:3], strides=scale.strides[:3])
            found[f"{field}_scale"] = scale
    if len(cache._arranged) >= _KEPT:
        cache._arranged.clear()
    cache._arranged[form] = found
    return found


def _sizes(q: Any, swap: bool) -> tuple[int, int, int]:
    """How many dimensions, sequences and queries there are."""
    shape = q.shape if _views.is_numpy(q) or _views.is_torch(q) else _views.view("q", q).shape
    rank = len(shape)
    if not 2 <= rank <= 4:
        raise InvalidArgument(f"q: found {rank} dimensions, expected 2 to 4")
    return rank, shape[0] if rank == 4 else 1, shape[-3 if swap and rank > 2 else -2]


def _turned(
    cache: "KVCache", q: Any, layout: str, positions: Any, rows: list[range], packed: int | None
) -> Any:
    """Queries, turned by the cache's rope. rows are their positions, sequence by sequence; of all
    sequences in one batch there are so many packed ones, some perhaps behind the last."""
    if cache.rope is None:
        if positions is not None:
            raise InvalidArgument("positions: found with a cache without a rope, expected None")
        return q
    if positions is None:
        ends = itertools.repeat(0)
        positions = rows
        if packed is not None:
            positions = list(itertools.islice(itertools.chain(*rows, ends), packed))
    return cache.rope.apply(q, positions, layout=layout)


def attend(
    cache: "KVCache",
    q: Any,
    sequences: Any,
    positions: Any,
    q_offset: Any,
    layout: str,
    options: dict[str, Any],
) -> Any:
    """KVCache.attend()"""
    check_keywords("KVCache.attend", options, Attending.__optional_keys__)
    if _options.flag("convert", options.get("convert", False)):
        q = _convert.inputs(q, None, None, None)[0]  # before the cache's rope turns them
    swap, bounds = _options.layout(layout), options.get("cu_q")
    rank, batch, queries = _sizes(q, swap)
    if bounds is not None:
        most = queries + cache.sequences + 1
        bounds = _options.listed("cu_q", bounds, 1, most, "a list of integers", "1 or more")
        options["cu_q"] = bounds
    count = batch if bounds is None else len(bounds) - 1
    each = [b - a for a, b in zip(bounds, bounds[1:])] if bounds else [queries] * count
    chosen = cache._chosen(sequences, count)
    lengths, table = _look(cache, chosen)
    if q_offset is None:
        offsets = [length - n for length, n in zip(lengths, each)]
    else:
        offsets = list(_options.numbers("q_offset", q_offset, count))
    rows = [range(at, at + n) for at, n in zip(offsets, each)]
    asked = [options.get(name) for name in _OF_ALL_KEYS]
    trims = table is None and any(one is not None and one is not False for one in asked)
    keys = max(lengths, default=0) if trims else None
    options.update(_stored(cache, None if table else chosen, rank, swap, keys))
    return attention(
        _turned(cache, q, layout, positions, rows, queries if bounds else None),
        layout=layout,
        q_offset=offsets,
        kv_len=lengths,
        block_table=table,
        **options,
    )
