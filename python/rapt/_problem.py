# SPDX-License-Identifier: Apache-2.0
"""From the arguments of attention() to those of the library."""

import ctypes
from typing import Any, NamedTuple

from . import _options, _views
from ._abi import F32, I8, I32
from ._inputs import Heads, Lists, Numbers
from ._library import InvalidArgument, default_args

WEIGHTS_KINDS = ("softmax", "scaled", "capped", "masked")  # in the order of the C enum


class Output(NamedTuple):
    """An output that is asked for: its type and the shape that the caller sees."""

    name: str
    dtype: int
    shape: tuple[int, ...]


class Problem:
    """The arguments for the library, the outputs, and what has to stay alive for both.

    plain has the options that canonical() leaves.
    """

    def __init__(
        self,
        arrays: tuple[Any, Any, Any],
        mask: Any,
        plain: dict[str, Any],
        heads: Heads,
        lists: Lists,
    ) -> None:
        self.swap = plain["layout"] == "bshd"
        self.args = default_args()
        self.views: dict[str, _views.View] = {}
        self.lists = lists
        views = [_views.view(name, array, name != "q") for name, array in zip("qkv", arrays)]
        self.rank = len(views[0].shape)
        if not 2 <= self.rank <= 4:
            raise InvalidArgument(f"q: found {self.rank} dimensions, expected 2 to 4")
        self._check_ranks(views[1:])
        for name, view, scales in zip("kv", views[1:], ("key_scale", "value_scale")):
            if view.dtype == I8 and heads.views[scales] is None:
                raise InvalidArgument(f"{scales}: found none, expected it, for {name} is int8")
        for field, name, view in zip(("query", "key", "value"), "qkv", views):
            self._place(field, _views.view4(name, view, self.swap))
        query = self.views["query"]
        if mask is not None:
            self._place("mask", _views.broadcast("mask", mask))
        for field, given in heads.views.items():
            if given is not None:
                self._place(field, given)
        self._set_options(plain)
        self.sequences = lists.count(query.shape[0])
        self.keys = self._find_keys(lists.tuples["cu_k"])
        self._set_lists()
        self.outputs = self._find_outputs(plain)

    def _check_ranks(self, views: list[_views.View]) -> None:
        rank = self.rank if self.lists.table is None else 4
        for name, view in zip("kv", views):
            if len(view.shape) != rank:
                raise InvalidArgument(
                    f"{name}: found {len(view.shape)} dimensions, expected {rank}, as "
                    + ("q has" if self.lists.table is None else "pages have")
                )

    def _place(self, field: str, view: _views.View) -> _views.View:
        self.views[field] = view
        view.fill(getattr(self.args, field))
        return view

    def _set_options(self, plain: dict[str, Any]) -> None:
        args = self.args
        if plain["scale"] is not None:
            args.scale = plain["scale"]
        if plain["softcap"] is not None:
            args.softcap = plain["softcap"]
        args.causal = plain["causal"]
        args.window_left, args.window_right = plain["window"] or (-1, -1)
        args.threads = plain["threads"]
        args.isa = _options.isa(plain["isa"])
        args.weights_kind = WEIGHTS_KINDS.index(plain["weights_kind"])

    def _set_lists(self) -> None:
        """Arrays of numbers, which the library copies into a plan."""
        args, table = self.args, self.lists.table
        for field, name in (
            ("cu_q", "cu_q"),
            ("cu_k", "cu_k"),
            ("segment_bounds", "segments"),
            ("diagonal_offsets", "diagonals"),
        ):
            numbers = self.lists.tuples[name]
            if numbers is not None:
                setattr(args, field, (ctypes.c_int64 * len(numbers))(*numbers))
        if args.cu_q or args.cu_k:
            args.sequences = self.sequences
        if table is not None:
            args.sequences, args.block_table_stride = table.shape
            args.block_table = ctypes.cast(table.address, type(args.block_table))

    def set_numbers(self, numbers: Numbers) -> None:
        """Has the arguments name the numbers of sequences."""
        for name, array in numbers.arrays().items():
            setattr(self.args, name, array)

    def largest_numbers(self, numbers: Numbers) -> Numbers:
        """Those of a plan whose runs bring numbers of their own: all keys, the last offset."""
        given = numbers.arrays()
        if not given:
            return numbers
        queries, mask, keys = self.views["query"].shape[2], self.views.get("mask"), self.keys
        if self.args.block_table and mask is not None and mask.shape[3] != 1:
            if "mask_start" not in given:  # it has as many columns as any run has keys
                keys = min(keys, mask.shape[3])
        most = {
            "kv_len": keys,
            "kv_start": 0,
            "q_offset": max(0, self.keys - queries),
            "mask_start": 0,
        }
        return Numbers(
            self.sequences, **{name: most[name] if name in given else None for name in most}
        )

    def _find_keys(self, cu_k: tuple[int, ...] | None) -> int:
        """The most keys that a sequence may have."""
        keys = self.views["key"].shape[2]
        if self.lists.table is not None:
            return keys * self.lists.table.shape[1]
        if cu_k is not None:
            return max((b - a for a, b in zip(cu_k, cu_k[1:])), default=0)
        return keys

    def _find_outputs(self, plain: dict[str, Any]) -> list[Output]:
        """Which outputs there are, in the order of Result."""
        batch, heads, queries, _ = self.views["query"].shape
        channels = self.views["value"].shape[3]
        missing = 4 - self.rank  # dimensions that q doesn't have
        rows = (batch, heads, queries)[missing:]
        out = (batch, queries, heads) if self.swap and self.rank > 2 else (batch, heads, queries)
        found = [Output("out", self.views["query"].dtype, (*out[missing:], channels))]
        for name in ("lse", "max", "weights", "entropy"):
            if plain[f"return_{name}"]:
                columns = (self.keys,) if name == "weights" else ()
                found.append(Output(name, F32, rows + columns))
        if plain["top_k"]:
            found.append(Output("top_weight", F32, (*rows, plain["top_k"])))
            found.append(Output("top_key", I32, (*rows, plain["top_k"])))
        if plain["return_distance"]:
            found.append(Output("distance", F32, rows))
        segments, diagonals = self.lists.tuples["segments"], self.lists.tuples["diagonals"]
        if segments is not None:
            found.append(Output("segments", F32, (*rows, len(segments) - 1)))
        if diagonals is not None:
            found.append(Output("diagonals", F32, (*rows, len(diagonals))))
        if plain["return_received"]:
            shape = (self.sequences, heads, self.keys)
            found.append(Output("received", F32, shape if self.args.cu_q else shape[missing:]))
        return found

    def make_outputs(self, like: Any, out: Any) -> list[Any]:
        """New arrays of the kind of `like` for all outputs but a given `out`, and places them."""
        arrays = [
            out
            if output.name == "out" and out is not None
            else _views.empty_like(output.name, like, output.dtype, output.shape)
            for output in self.outputs
        ]
        self.place_outputs(arrays)
        return arrays

    def place_outputs(self, arrays: list[Any]) -> None:
        """Has the arguments name arrays, or views, for all outputs."""
        for output, array in zip(self.outputs, arrays):
            is_out = output.name == "out"
            self._place(output.name, self.view_out(array) if is_out else _rows(output, array))

    def view_out(self, out: Any) -> _views.View:
        """The view of where to write."""
        if _views.is_jax(out):
            raise InvalidArgument("out: found a JAX array, expected memory that may change")
        view = _views.view4("out", out, self.swap)
        if not view.writeable:
            raise InvalidArgument("out: found a read-only array, expected one to write to")
        return view

    def flops(self) -> float:
        """Floating-point operations, if no key is masked."""
        batch, heads, queries, head_dim = self.views["query"].shape
        keys, channels = self.views["key"].shape[2], self.views["value"].shape[3]
        pages = 1 if self.lists.table is None else self.lists.table.shape[1]
        return 2.0 * batch * heads * queries * keys * pages * (head_dim + channels)


def without_memory(output: Output, strides: tuple[int, ...] | None = None) -> _views.View:
    """The view of an array that is not there yet, a dense one if not told otherwise."""
    if strides is None:
        strides, step = (), 1
        for size in reversed(output.shape):
            strides = (step, *strides)
            step *= size
    return _views.View(0, output.dtype, output.shape, strides, True, None)


def _rows(output: Output, array: Any) -> _views.View:
    """The view that the library has of an output other than out, which is dense."""
    v = without_memory(output)
    if not isinstance(array, _views.View):
        place = array.data_ptr() if _views.is_torch(array) else _views.address(array)
        v = v._replace(address=int(place), owner=array)
    if output.name == "received":  # by keys, all queries together
        v = v._replace(
            shape=(*v.shape[:-1], 1, v.shape[-1]), strides=(*v.strides[:-1], 0, v.strides[-1])
        )
    elif output.name in ("lse", "max", "entropy", "distance"):
        v = v._replace(shape=(*v.shape, 1), strides=(*v.strides, 1))
    return _views.extended(v)
