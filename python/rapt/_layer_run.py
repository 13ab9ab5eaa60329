# SPDX-License-Identifier: Apache-2.0
"""One run of a layer: from what the caller gives to the arguments of the library."""

import contextlib
import ctypes
from typing import Any

from . import _numeric, _options, _views
from ._abi import F32, MHA_CHOSEN, MHA_MEAN, MhaArgs, MhaRunArgs, Tensor
from ._cache import KVCache
from ._inputs import LIST_MAX
from ._library import InvalidArgument, InvalidType, check, lib
from ._output import Output


def tokens(name: str, array: Any) -> _views.View:
    """(batch, tokens, channels) as a view of one head; batch may be missing."""
    v = _views.view(name, array)
    if len(v.shape) not in (2, 3):
        raise InvalidArgument(
            f"{name}: found {len(v.shape)} dimensions, expected (batch, tokens, channels) or "
            "(tokens, channels)"
        )
    batch, step = (v.shape[0], v.strides[0]) if len(v.shape) == 3 else (1, 0)
    return v._replace(shape=(batch, 1, *v.shape[-2:]), strides=(step, 0, *v.strides[-2:]))


def _pointer(name: str, cache: Any) -> ctypes.c_void_p | None:
    if cache is not None and not isinstance(cache, KVCache):
        found = _options.shown(cache)
        raise InvalidType(f"{name}: found {found}, expected a rapt.KVCache, or None")
    return None if cache is None else cache._handle.pointer


class Run:
    """The arguments of a run, and what has to stay alive for it."""

    def __init__(self, layer: MhaArgs, x: Any, out: Any) -> None:
        self._layer, self._x = layer, x
        self._args = MhaRunArgs(size=ctypes.sizeof(MhaRunArgs))
        self._shape = _views.view("x", x).shape
        self._kept = [tokens("x", x)]
        self._kept[0].fill(self._args.input)
        self._batch, _, self._count, _ = self._kept[0].shape
        self._out = Output("out", x, F32, self._shape, out)
        tokens("out", self._out.view()).fill(self._args.out)
        self._keys = self._count
        self._cache: KVCache | None = None
        self._stored: KVCache | None = None  # whose keys are attended

    def set_context(
        self,
        context: Any,
        cache: KVCache | None,
        context_cache: KVCache | None,
        first_sequence: int,
    ) -> None:
        """What keys and values come from."""
        args = self._args
        args.cache = _pointer("cache", cache)
        args.context_cache = _pointer("context_cache", context_cache)
        args.first_sequence = _options.integer("first_sequence", first_sequence, 0, LIST_MAX)
        self._cache = cache
        self._stored = context_cache if cache is None else cache
        if context is not None:
            self._kept.append(tokens("context", context))
            self._kept[-1].fill(args.context)
            self._keys = self._kept[-1].shape[2]

    def set_masks(self, mask: Any, kv_len: Any, kv_start: Any, positions: Any, cu: Any) -> None:
        """Which keys are attended, and where tokens stand."""
        args, batch, count = self._args, self._batch, self._count
        if mask is not None:
            self._kept.append(_views.broadcast("mask", mask))
            self._kept[-1].fill(args.mask)
        for name, given in (("kv_len", kv_len), ("kv_start", kv_start)):
            if given is not None:
                setattr(args, name, _options.numbers(name, given, batch))
        if positions is not None:
            numbers, shape = _numeric.integers("positions", positions, (count,), (batch, count))
            if len(shape) == 1:  # the library wants those of each sequence
                numbers = (ctypes.c_int64 * max(1, batch * count))(*(numbers[:count] * batch))
            args.positions = numbers
        if cu is not None:
            expected = "a list of integers, the bounds of sequences"
            bounds = _options.listed("cu", cu, 1, LIST_MAX, expected, "1 or more")
            args.cu, args.sequences = (ctypes.c_int64 * len(bounds))(*bounds), len(bounds) - 1
            self._keys = max((b - a for a, b in zip(bounds, bounds[1:])), default=0)

    def _find_keys(self) -> int:
        """How many keys a row of weights is of."""
        if self._stored is None:
            return max(0, self._keys)
        first, new = self._args.first_sequence, 0 if self._cache is None else self._count
        lengths = [self._stored._length(first + b) + new for b in range(self._batch)]
        return max(lengths, default=0)

    def _new_weights(self, kind: Any, heads: Any, rows: Any) -> Output | None:
        """Has the arguments name new weights of a kind, if they are asked for."""
        mean = isinstance(kind, str) and kind == "mean"
        if not mean and not _options.flag("return_weights", kind):
            if heads is not None or rows is not None:
                raise InvalidArgument("heads, rows: found without return_weights, expected None")
            return None
        args, count, amount = self._args, self._layer.q_heads, (self._count,)
        if heads is not None or rows is not None:
            amount = self._choose(mean, heads, rows)
            count = args.head_count
        of_heads = () if mean else (count,)
        batch = () if len(self._shape) == 2 else (self._batch,)
        shape = (*batch, *of_heads, *amount, self._find_keys())
        weights = Output("weights", self._x, F32, shape)
        if mean:
            args.weights_form = MHA_MEAN
            tokens("weights", weights.view()).fill(args.weights)
        else:
            weights.view4().fill(args.weights)
        return weights

    def _choose(self, mean: bool, heads: Any, rows: Any) -> tuple[int]:
        """Some heads, and some rows; returns how many rows."""
        if mean:
            raise InvalidArgument('heads, rows: found with return_weights="mean", expected None')
        args, most = self._args, self._layer.q_heads
        chosen: Any = range(most)
        if heads is not None:
            chosen = _options.listed("heads", heads, 0, LIST_MAX, "a list of heads")
        first, count = 0, self._count
        if rows is not None:
            expected = f"(first, how many) of {self._count} tokens"
            first, count = _options.listed("rows", rows, 2, 2, expected, expected)
            if not 0 <= first < first + count <= self._count:
                raise InvalidArgument(f"rows: found {first, count}, expected {expected}")
        args.weights_form, args.first_row, args.rows = MHA_CHOSEN, first, count
        args.heads, args.head_count = (ctypes.c_int64 * len(chosen))(*chosen), len(chosen)
        return (count,)

    def make(self, layer: Any, kind: Any, heads: Any, rows: Any) -> Any:
        """Runs the layer; kind, heads and rows are of the weights."""
        turn = contextlib.nullcontext() if self._cache is None else self._cache._turns.lock
        with turn:
            weights = self._new_weights(kind, heads, rows)
            check(lib.rapt_mha_run(layer, self._args, None, 0))
        out = self._out.result()
        return out if weights is None else (out, weights.result())


def append(layer: Any, context: Any, cache: Any, first_sequence: Any) -> None:
    """MultiHeadAttention.append()"""
    pointer, tensor = _pointer("cache", cache), Tensor()
    tokens("context", context).fill(tensor)
    first = _options.integer("first_sequence", first_sequence, 0, LIST_MAX)
    if pointer is None:
        raise InvalidType("cache: found None, expected a rapt.KVCache")
    with cache._turns.lock:
        check(lib.rapt_mha_append(layer, tensor, pointer, first, None, 0))
