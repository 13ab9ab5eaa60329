# SPDX-License-Identifier: Apache-2.0
"""Plans kept by the form of a call, so that a form seen before costs little beside its computation.

A form is all of a call but addresses and the numbers of sequences: shapes, strides, types, options.
A decoder's kv_len and q_offset may differ from call to call within one form.
"""

import functools
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any

from . import _abi, _calls, _memory, _problem, _views
from ._inputs import Numbers
from ._library import OutOfMemory, check, lib
from ._result import Result

_MOST = 256  # plans that a thread keeps; each has a few KiB
_OUTPUTS = (
    "out lse max weights entropy top_weight top_key distance segments diagonals received"
).split()
_FIELDS = [
    *"query key value key_scale value_scale mask alibi sink".split(),
    *_OUTPUTS,
    *"kv_len kv_start q_offset mask_start block_table".split(),
]
assert [name for name, *_ in _abi.AttentionData._fields_] == _FIELDS
_NO_OUTPUTS = (0,) * (len(_OUTPUTS) - 1)
_pack = struct.Struct(f"{len(_FIELDS)}P").pack


# The array types whose attributes are read directly, set when the first of each is seen.
_ndarray: Any = None
_Tensor: Any = None
_strided: Any = None


def _no_grad() -> bool:
    return False


_is_grad_enabled: Callable[[], bool] = _no_grad


def _learn(array: Any) -> None:
    global _ndarray, _Tensor, _strided, _is_grad_enabled
    if _views.is_numpy(array):
        _ndarray = sys.modules["numpy"].ndarray
    elif _views.is_torch(array):
        torch = sys.modules["torch"]
        _Tensor, _strided = torch.Tensor, torch.strided
        _is_grad_enabled = torch.is_grad_enabled


def locate(name: str, array: Any, quantized: bool = False) -> tuple[Any, int, Any]:
    """The form of an array, its address, and what stands for it: itself, or a view."""
    kind = array.__class__
    if kind is _Tensor:
        try:
            if (
                array.is_cpu
                and array.layout is _strided
                and not array.is_neg()
                and not (array.requires_grad and _is_grad_enabled())
                and (place := array.data_ptr())
            ):
                return (array.dtype, array.shape, array.stride()), place, array
        except RuntimeError:  # it has no memory, or no strides: the view below says so
            pass
    elif kind is _ndarray:
        form = array.dtype, array.shape, array.strides
        return form, array.__array_interface__["data"][0], array
    else:
        _learn(array)
        if kind is _ndarray or kind is _Tensor:  # the first of its kind
            return locate(name, array, quantized)
    v = _views.view(name, array, quantized)
    return (_kind_of(kind), v.shape, v.strides, v.dtype, v.writeable), v.address, v


def view(name: str, owner: Any, place: int, quantized: bool = False) -> _views.View:
    """The view of what locate() has found, without looking again at what it has looked at."""
    if owner.__class__ is _Tensor and not owner.is_quantized:
        return _views.of_plain_torch(name, owner, place, quantized)
    return _views.view(name, owner, quantized)


def locate_out(out: Any) -> tuple[Any, int, Any]:
    """locate() of where to write, with which goes whether that may be written."""
    form, place, owner = locate("out", out)
    return (*form, getattr(out, "flags", None) is None or out.flags.writeable), place, owner


@functools.lru_cache(256)
def _kind_of(kind: type) -> str:
    """What results are made for it: no form keeps a class alive."""
    return f"{kind.__module__}.{kind.__qualname__}"


class Form:
    """A plan for all calls of one form, and how to make their outputs."""

    __slots__ = ("handle", "pointer", "size", "makers", "names", "is_jax", "place_of")

    def __init__(self, problem: _problem.Problem, like: Any, out: Any) -> None:
        # Where to write, or views without memory of arrays to come.
        samples = [] if out is None else [out]
        self.makers: list[tuple[int, Callable[[], Any] | None]] = []
        if out is None and like.__class__ is _Tensor and like.shape == problem.outputs[0].shape:
            sample = sys.modules["torch"].empty_like(like)  # in the order of q in memory
            samples.append(_problem.without_memory(problem.outputs[0], sample.stride()))
            self.makers.append((0, None))
        for output in problem.outputs[len(samples) :]:
            samples.append(_problem.without_memory(output))
            self.makers.append((_OUTPUTS.index(output.name), _maker(output, like)))
        problem.place_outputs(samples)
        self.handle = _memory.plan(problem.args)
        self.pointer = self.handle.pointer.value if self.handle.pointer else 0
        self.size = int(lib.rapt_plan_workspace_size(self.handle.pointer))
        self.names = tuple(output.name for output in problem.outputs)
        self.is_jax = _views.is_jax(like)
        self.place_of = _torch_place if _views.is_torch(like) else _views.address

    def run(
        self,
        like: Any,
        inputs: tuple[int, ...],
        out: Any,
        out_at: int,
        numbers: tuple[int, ...],
    ) -> Any:
        """Computes; inputs and numbers are the addresses of _FIELDS before and after outputs."""
        made, places = [] if out is None else [out], [out_at, *_NO_OUTPUTS]
        try:
            for at, make in self.makers:
                array = make() if make is not None else sys.modules["torch"].empty_like(like)
                made.append(array)
                places[at] = self.place_of(array)
        except (MemoryError, ValueError, RuntimeError, OverflowError):
            raise OutOfMemory(f"{_OUTPUTS[at]}: no memory for an array") from None
        data = _pack(*inputs, *places, *numbers)
        status = _memory.run(self.pointer, data, *_memory.workspace(self.size))
        if status:
            check(status)
        if len(made) == 1 and not self.is_jax:
            return made[0]
        return self._result(made, out is not None)

    def _result(self, made: list[Any], given: bool) -> Any:
        if self.is_jax:
            made = [
                array if given and i == 0 else _views.to_jax(array) for i, array in enumerate(made)
            ]
        return made[0] if len(made) == 1 else Result.of(self.names, made)


def _torch_place(tensor: Any) -> int:
    return int(tensor.data_ptr())


def _maker(output: _problem.Output, like: Any) -> Callable[[], Any]:
    """Makes a new array for an output."""
    sample = _views.empty_like(output.name, like, output.dtype, (0,))
    if _views.is_torch(sample):
        empty = sys.modules["torch"].empty
        return functools.partial(empty, output.shape, dtype=sample.dtype, device=sample.device)
    return functools.partial(sys.modules["numpy"].empty, output.shape, sample.dtype)


class _Own(threading.local):
    """A thread's forms: no two threads ever wait for each other."""

    def __init__(self) -> None:
        self.forms: dict[Any, Form] = {}


_own = _Own()


def find(key: Any) -> Form | None:
    """The form of that key, if this thread has it."""
    return _own.forms.get(key)


def keep(key: Any, form: Form) -> None:
    """Keeps a form for this thread; half of the forms go when there are too many."""
    forms = _own.forms
    if len(forms) >= _MOST:
        for old in list(forms)[: _MOST // 2]:
            del forms[old]
    forms[key] = form


def run_long(problem: _problem.Problem, like: Any, out: Any, numbers: Numbers) -> Any:
    """A call that a signal may want to end: on its own, for a plan's making is nothing to it."""
    problem.set_numbers(numbers)
    made = problem.make_outputs(like, out)
    call = _calls.Call(problem.args, problem.flops())
    call.make(lambda: check(lib.rapt_attention(problem.args)))
    if _views.is_jax(like):
        made = [array if array is out else _views.to_jax(array) for array in made]
    names = tuple(output.name for output in problem.outputs)
    return made[0] if len(made) == 1 else Result.of(names, made)
