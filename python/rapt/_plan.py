# SPDX-License-Identifier: Apache-2.0
"""The operator as a plan, for who knows that a problem comes again."""

import contextlib
import ctypes
from collections.abc import Sequence
from typing import Any

from . import _calls, _convert, _forms, _memory, _options, _problem, _views
from ._abi import AttentionData
from ._attention import PLAIN, Ints, Kind, canonical
from ._handle import Owner
from ._inputs import Heads, Lists, Numbers, Table
from ._library import InvalidArgument, check, lib
from ._result import Result
from ._storage import Storages

_TABLE = ctypes.POINTER(ctypes.c_int32)


class Plan(Owner):
    """A problem that is checked and divided into tasks once, and then run as often as wanted.

    Takes the arguments of attention(). Outputs are allocated here and belong to the plan: each run
    overwrites what the last one returned, but for an `out` of the run's own. Any number of threads
    may run a plan. Runs that write outputs of the plan take turns; others run side by side. A plan
    keeps what it runs on alive. It can't be copied or pickled. Outputs are NumPy's for JAX.

    >>> import numpy as np, rapt
    >>> q, k, v = np.zeros((3, 1, 2, 5, 8), np.float32)
    >>> plan = rapt.Plan(q, k, v, causal=True, threads=1)
    >>> plan.run().shape
    (1, 2, 5, 8)
    """

    _what = "plan"

    def __init__(
        self,
        q: Any,
        k: Any,
        v: Any,
        *,
        layout: str = "bhsd",
        scale: float | None = None,
        causal: bool = False,
        q_offset: Ints = 0,
        window: tuple[int | None, int | None] | None = None,
        mask: Any = None,
        mask_start: Ints | None = None,
        kv_len: Ints | None = None,
        kv_start: Ints | None = None,
        cu_q: Any = None,
        cu_k: Any = None,
        block_table: Any = None,
        key_scale: Any = None,
        value_scale: Any = None,
        alibi: Any = None,
        sinks: Any = None,
        softcap: float | None = None,
        out: Any = None,
        return_lse: bool = False,
        return_max: bool = False,
        return_weights: bool = False,
        weights_kind: Kind = "softmax",
        return_entropy: bool = False,
        top_k: int = 0,
        return_distance: bool = False,
        segments: Any = None,
        diagonals: Any = None,
        return_received: bool = False,
        convert: bool = False,
        threads: int | None = None,
        isa: str | None = None,
    ) -> None:
        super().__init__()
        if _options.flag("convert", convert):
            q, k, v, mask = _convert.inputs(q, k, v, mask)
        given = locals()
        options = canonical({name: given[name] for name in PLAIN})
        swap = options["layout"] == "bshd"
        heads = Heads(key_scale, value_scale, alibi, sinks, swap)
        lists = Lists(segments, diagonals, cu_q, cu_k, block_table)
        self._problem = problem = _problem.Problem((q, k, v), mask, options, heads, lists)
        self._numbers = Numbers(problem.sequences, q_offset, kv_len, kv_start, mask_start)
        problem.set_numbers(self._numbers)
        self._made = problem.make_outputs(q, out)
        self._call = _calls.Call(problem.args, problem.flops())
        self._turns = _calls.Turns()
        self._handle = _memory.plan(problem.args)
        self._size = int(lib.rapt_plan_workspace_size(self._handle.pointer))
        self._data = AttentionData(**{field: view.address for field, view in problem.views.items()})
        self._storages = Storages(problem.views)
        self._result = self._result_of(self._made)
        self._known: dict[str, Any] = {}  # for each tensor, a form that is the plan's

    def __repr__(self) -> str:
        shapes = [
            "x".join(map(str, self._problem.views[field].shape))
            for field in ("query", "key", "value")
        ]
        outputs = ", ".join(output.name for output in self._problem.outputs)
        return (
            f"<rapt.Plan q {shapes[0]}, k {shapes[1]}, v {shapes[2]} (batch x heads x positions x "
            f"channels) to {outputs}; {self.isa}, threads {self.threads}, "
            f"workspace {self._size} bytes>"
        )

    @property
    def isa(self) -> str:
        """The name of the instruction set that it runs on."""
        return str(lib.rapt_plan_isa(self._handle.pointer).decode())

    @property
    def threads(self) -> int:
        """How many threads a run uses at most."""
        return int(lib.rapt_plan_threads(self._handle.pointer))

    @property
    def workspace_size(self) -> int:
        """Bytes of memory that a run uses beside the tensors; a thread's plans share them."""
        return self._size

    def run(
        self,
        q: Any = None,
        k: Any = None,
        v: Any = None,
        *,
        out: Any = None,
        kv_len: Ints | None = None,
        kv_start: Ints | None = None,
        q_offset: Ints | None = None,
        mask_start: Ints | None = None,
        block_table: Any = None,
    ) -> Any:
        """Computes it on the plan's tensors, or on others of their shapes, strides and types.

        kv_len, kv_start, q_offset, mask_start and block_table replace the plan's for this run, so
        that a decoder needs one plan for all of its tokens: made for the most keys, it has the
        result of a plan made for these numbers. kv_len is at most the plan's, and the table has the
        form of the plan's.

        Returns what attention() does.
        """
        data = AttentionData.from_buffer_copy(self._data)
        kept: list[Any] = []
        if q is not None:
            data.query = self._place_of("q", "query", q, kept)
        if k is not None:
            data.key = self._place_of("k", "key", k, kept)
        if v is not None:
            data.value = self._place_of("v", "value", v, kept)
        if out is not None:
            data.out = self._place_of("out", "out", out, kept)
        given = (("query", q), ("key", k), ("value", v), ("out", out))
        self._storages.check(tuple(name for name, array in given if array is not None))
        if not (kv_len is kv_start is q_offset is mask_start is None):
            count = self._problem.sequences
            kept.append(Numbers(count, q_offset, kv_len, kv_start, mask_start))
            for name, array in kept[-1].arrays().items():
                setattr(data, name, array)
        if block_table is not None:
            kept.append(self._table_of(block_table))
            data.block_table = ctypes.cast(kept[-1].address, _TABLE)
        plan_writes_own = out is None or len(self._made) > 1
        self._call.make(lambda: self._run(data, plan_writes_own, kept))
        return self._result if out is None else self._result_of([out, *self._made[1:]])

    def _run(self, data: AttentionData, in_turn: bool, kept: list[Any]) -> None:
        """kept: what data points to, which outlives the run here, whoever has left it."""
        with self._turns.lock if in_turn else contextlib.nullcontext():
            place, size = _memory.workspace(self._size)
            check(lib.rapt_plan_run(self._handle.pointer, data, place, size))

    def _table_of(self, value: Any) -> Table:
        table, planned = Table(value), self._problem.lists.table
        if planned is None or table.shape != planned.shape:
            shape = "none" if planned is None else planned.shape
            raise InvalidArgument(
                f"block_table: found shape {table.shape}, expected the plan's: {shape}"
            )
        return table

    def _result_of(self, arrays: Sequence[Any]) -> Any:
        names = tuple(output.name for output in self._problem.outputs)
        return arrays[0] if len(arrays) == 1 else Result.of(names, list(arrays))

    def _place_of(self, name: str, field: str, array: Any, kept: list[Any]) -> int:
        """Where an array of the plan's form is. What keeps it there goes to `kept`."""
        if field == "out":
            form, place, owner = _forms.locate_out(array)
        else:
            form, place, owner = _forms.locate(name, array, field != "query")
        if self._known.get(field) != form:
            view = self._view_of(name, field, array)
            self._known[field], place, owner = form, view.address, view.owner
        kept.append(owner)
        return place

    def _view_of(self, name: str, field: str, array: Any) -> _views.View:
        """The view of an array that has the form of the plan's."""
        problem, planned = self._problem, self._problem.views[field]
        if field == "out":
            view = problem.view_out(array)
        else:
            view = _views.view4(name, array, problem.swap, field != "query")
        if not view.same_form(planned):
            raise InvalidArgument(
                f"{name}: found shape {view.shape} and strides {view.strides} of type "
                f"{_views.type_name(view.dtype)}, expected those of the plan: {planned.shape}, "
                f"{planned.strides}, {_views.type_name(planned.dtype)}"
            )
        return view
