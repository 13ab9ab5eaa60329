# SPDX-License-Identifier: Apache-2.0
"""rapt::attention, an operator of PyTorch's: compilers and exporters keep it whole."""

import os
import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

import rapt

from ._backward import attention_backward

_SCHEMA = (
    "attention(Tensor query, Tensor key, Tensor value, Tensor? mask, Tensor? sinks, *, "
    "bool causal=False, float? scale=None, float? softcap=None, SymInt left=-1, SymInt right=-1, "
    "SymInt q_offset=0, SymInt[]? kv_start=None, SymInt[]? kv_len=None, bool counted=False) "
    "-> (Tensor out, Tensor lse)"
)
_PLAIN = (Tensor, torch.nn.Parameter)


class Tally:
    """What this process has computed by rapt. Compiled code counts too, for the operator counts."""

    NAMES = "calls", "dense", "biases", "passed"

    def __init__(self) -> None:
        self._numbers = dict.fromkeys(self.NAMES, 0)
        self.unlock()

    def unlock(self) -> None:
        self._lock = threading.Lock()

    def add(self, name: str) -> None:
        with self._lock:
            self._numbers[name] += 1

    def read(self) -> dict[str, int]:
        with self._lock:
            return dict(self._numbers)


tally = Tally()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=tally.unlock)  # another thread may have held the lock


class Counts:
    """What has been computed since this was made, until stop(), in the whole process."""

    def __init__(self) -> None:
        self._begin = tally.read()
        self._end: dict[str, int] | None = None

    def stop(self) -> None:
        self._end = tally.read()

    def _since(self, name: str) -> int:
        return (self._end or tally.read())[name] - self._begin[name]

    @property
    def calls(self) -> int:
        """How many attentions rapt has computed."""
        return self._since("calls")

    @property
    def dense(self) -> int:
        """How many of them had a bool mask of queries and keys."""
        return self._since("dense")

    @property
    def biases(self) -> int:
        """How many of them had a float mask of queries and keys."""
        return self._since("biases")

    @property
    def passed(self) -> int:
        """How many calls of PyTorch's function were left to it, in eager mode."""
        return self._since("passed")

    def __repr__(self) -> str:
        return "rapt: " + ", ".join(f"{self._since(name)} {name}" for name in Tally.NAMES)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    sinks: Tensor | None = None,
    *,
    left: int = -1,
    right: int = -1,
    **options: Any,
) -> Tensor:
    """The output; at once where nothing looks on, else by the operator."""
    out: Tensor
    if is_plain(query, key, value, mask, sinks):
        window = None if left < 0 and right < 0 else (left, right)
        out = compute(query, key, value, mask, sinks, window=window, **options)
    else:
        out, _ = attention(query, key, value, mask, sinks, left=left, right=right, **options)
    return out


def compute(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    sinks: Tensor | None = None,
    counted: bool = False,
    **options: Any,
) -> Any:
    """rapt.attention() of (batch, heads, positions, channels), with torch's number of threads.

    counted: it is a part of an attention of which another part is counted.
    """
    if forward_ad._current_level >= 0 and _has_tangent(query, key, value, mask, sinks):
        raise NotImplementedError(
            "rapt: found a tensor with a tangent, expected none: there is no forward derivative"
        )
    if not counted:
        tally.add("calls")
        if mask is not None and mask.shape[-2] > 1 and mask.shape[-1] > 1:
            tally.add("dense" if mask.dtype == torch.bool else "biases")
    return rapt.attention(
        query, key, value, mask=mask, sinks=sinks, threads=torch.get_num_threads(), **options
    )


def is_plain(*tensors: Tensor | None) -> bool:
    """Whether nothing looks on: no gradient, compiler, tracer or mode of dispatch."""
    if (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack()
        or torch._C._get_tracing_state() is not None
    ):
        return False
    grads = torch.is_grad_enabled()
    for tensor in tensors:
        if tensor is None:
            continue
        if type(tensor) not in _PLAIN or (grads and tensor.requires_grad):
            return False
        if tensor.is_neg() or tensor._is_zerotensor():  # to be computed first
            return False
    return True


def _has_tangent(*tensors: Tensor | None) -> bool:
    unpack: Any = forward_ad.unpack_dual
    return any(tensor is not None and unpack(tensor).tangent is not None for tensor in tensors)


def is_transformed() -> bool:
    """Whether torch.func transforms what is called (vmap, grad), or derivatives go forward."""
    return not torch.compiler.is_compiling() and (
        torch._C._functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0
    )


@torch.no_grad()  # autograd has done its part before a kernel runs
def _run(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    sinks: Tensor | None,
    *,
    left: int = -1,
    right: int = -1,
    **options: Any,
) -> tuple[Tensor, Tensor]:
    options.update(window=(left, right), return_lse=True)
    out, lse = compute(query, key, value, mask, sinks, **options)
    return out, lse


def _fake(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
    lse = query.new_empty(query.shape[:-1], dtype=torch.float32)
    if query.shape[-1] == value.shape[-1]:  # laid out as the query is, as rapt.attention() does
        return torch.empty_like(query), lse
    return query.new_empty(query.shape[:-1] + value.shape[-1:]), lse


def _setup_context(
    ctx: Any, inputs: Sequence[Any], keyword_only_inputs: dict[str, Any], output: Any
) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*inputs, *output)
    ctx.options = keyword_only_inputs


def _backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    return attention_backward(grad, *ctx.saved_tensors, needed=ctx.needs_input_grad, **ctx.options)


library: Any = torch.library.Library("rapt", "DEF")  # type: ignore[no-untyped-call]
library.define(_SCHEMA)
library.impl("attention", _run, "CPU")
torch.library.register_fake("rapt::attention", _fake, lib=library)
torch.library.register_autograd(
    "rapt::attention", _backward, setup_context=_setup_context, lib=library
)
attention = torch.ops.rapt.attention.default
