# SPDX-License-Identifier: Apache-2.0
"""Inputs of attention that most calls do without: numbers of sequences, lists, arrays for heads."""

import ctypes
from typing import Any

from . import _heads, _numeric, _options, _views
from ._library import InvalidArgument

LIST_MAX = 2**20  # numbers in a list of the caller's; the library knows closer limits
_PAGES = -(2**31), 2**31 - 1  # what the library takes to say which page is wrong


class Numbers:
    """q_offset, kv_len and so on: each None, or a C array of one number for each sequence."""

    __slots__ = ("kv_len", "kv_start", "q_offset", "mask_start", "form", "places")

    def __init__(
        self, count: int, q_offset: Any, kv_len: Any, kv_start: Any, mask_start: Any
    ) -> None:
        self.kv_len = _numbers("kv_len", kv_len, count)
        self.kv_start = _numbers("kv_start", kv_start, count)
        self.q_offset = _numbers("q_offset", q_offset, count)
        self.mask_start = _numbers("mask_start", mask_start, count)
        arrays = self.kv_len, self.kv_start, self.q_offset, self.mask_start
        self.places = tuple(map(_place, arrays))
        self.form = count, kv_len is None, kv_start is None, q_offset is None, mask_start is None

    def arrays(self) -> dict[str, Any]:
        """Those that there are."""
        names = "kv_len", "kv_start", "q_offset", "mask_start"
        return {name: found for name in names if (found := getattr(self, name)) is not None}


def _numbers(name: str, value: Any, count: int) -> Any:
    return None if value is None else _options.numbers(name, value, count)


def _place(array: Any) -> int:
    return 0 if array is None else ctypes.addressof(array)


class Lists:
    """Lists of integers, each a tuple or None, and the table of pages."""

    __slots__ = ("tuples", "table", "form")

    def __init__(
        self, segments: Any, diagonals: Any, cu_q: Any, cu_k: Any, block_table: Any
    ) -> None:
        self.tuples = {
            "segments": _listed("segments", segments, 2),
            "diagonals": _listed("diagonals", diagonals, 1),
            "cu_q": _listed("cu_q", cu_q, 1),
            "cu_k": _listed("cu_k", cu_k, 1),
        }
        ready = block_table is None or isinstance(block_table, Table)
        self.table: Table | None = block_table if ready else Table(block_table)
        shape = None if self.table is None else self.table.shape
        self.form = tuple(self.tuples.values()), shape

    def count(self, batch: int) -> int:
        """How many sequences there are: the batch, or what a table or bounds say."""
        if self.table is not None:
            return self.table.shape[0]
        bounds = self.tuples["cu_q"] or self.tuples["cu_k"]
        return batch if bounds is None else len(bounds) - 1


def _listed(name: str, value: Any, least: int) -> tuple[int, ...] | None:
    if value is None:
        return None
    amount = f"{least} or more"
    return _options.listed(name, value, least, LIST_MAX, f"a list of {amount} integers", amount)


class Table:
    """A block table as int32, in rows without gaps."""

    def __init__(self, value: Any) -> None:
        pages, (rows, width) = _numeric.table("block_table", value, _PAGES)
        self._allocate(rows, width)
        self.numbers[: len(pages)] = [*pages]

    @classmethod
    def empty(cls, rows: int, width: int) -> "Table":
        """One to be filled."""
        table = cls.__new__(cls)
        table._allocate(rows, width)
        return table

    def _allocate(self, rows: int, width: int) -> None:
        self.shape = rows, width
        self.numbers = (ctypes.c_int32 * max(1, rows * width))()
        self.address = ctypes.addressof(self.numbers)


class Heads:
    """Arrays of one number for each head, or for each key of one: their views, or None."""

    __slots__ = ("views", "form", "places")

    def __init__(
        self, key_scale: Any, value_scale: Any, alibi: Any, sinks: Any, swap: bool = False
    ) -> None:
        self.views = {
            "key_scale": None if key_scale is None else _scales("key_scale", key_scale, swap),
            "value_scale": (
                None if value_scale is None else _scales("value_scale", value_scale, swap)
            ),
            "alibi": None if alibi is None else _heads.floats("alibi", alibi),
            "sink": None if sinks is None else _heads.floats("sinks", sinks),
        }
        views = self.views.values()
        self.form = tuple(v and (v.dtype, v.shape, v.strides) for v in views)
        self.places = tuple(0 if v is None else v.address for v in views)


def _scales(name: str, array: Any, swap: bool) -> _views.View:
    """Scales of int8 rows, of the keys' shape without channels, as a tensor of one channel."""
    v = _views.view(name, array)
    if len(v.shape) not in (1, 2, 3):
        raise InvalidArgument(
            f"{name}: found {len(v.shape)} dimensions, expected those of k and v but channels"
        )
    return _views.view4(name, v._replace(shape=(*v.shape, 1), strides=(*v.strides, 1)), swap)
