# SPDX-License-Identifier: Apache-2.0
"""Linear layers, and the embeddings that make a model's input."""

import ctypes
from collections.abc import Iterable
from typing import Any

from . import _numeric, _options, _views
from ._abi import F32, LinearArgs, Tensor
from ._layer import matrix
from ._layer_run import tokens
from ._library import InvalidArgument, check, lib
from ._output import Output

_ACTIVATIONS = ("none", "gelu")  # in the order of the C enum


def linear(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    activation: str = "none",
    outer: Any = None,
    outer_bias: Any = None,
    out: Any = None,
    threads: int | None = None,
    isa: str | None = None,
) -> Any:
    """activation(x weightᵀ + bias), and, with `outer`, that times outerᵀ, + outer_bias.

    x           (batch, tokens, channels), float32; batch may be missing
    weight      (rows, channels) of float32, float16 or bfloat16, as PyTorch's Linear has it
    bias        (rows), or None
    activation  "none", or "gelu": x times the normal distribution's share below x, by erf
    outer       (outer rows, rows): the second layer of a feed-forward part; outer_bias (outer rows)
    out         where to write, x itself if the channels are as many; a new array if None
    threads     at most so many; None for rapt.default_threads()
    isa         a name of rapt.isas(); None for that of RAPT_ISA, or the best

    Returns out: (batch, tokens, rows), or outer rows. An element is one chain of fused
    multiply-adds over the channels, to which the bias is added. So its bits are the same in any
    batch and for any number of threads. Errors are rapt.Error, and nothing is written then.

    >>> import numpy as np, rapt
    >>> rapt.linear(np.float32([[1, 2]]), np.float32([[3, 4], [5, 6], [7, 8]]))
    array([[11., 17., 23.]], dtype=float32)
    """
    args = LinearArgs(size=ctypes.sizeof(LinearArgs))
    source = tokens("x", x)
    views = {"weight": matrix("weight", weight, 2)}
    for name, array, rank in (
        ("bias", bias, 1),
        ("outer", outer, 2),
        ("outer_bias", outer_bias, 1),
    ):
        if array is not None:
            views[name] = matrix(name, array, rank)
    source.fill(args.input)
    for name, view in views.items():
        view.fill(getattr(args, name))
    rows = views["outer" if "outer" in views else "weight"].shape[2]
    result = Output("out", x, F32, (*_views.view("x", x).shape[:-1], rows), out)
    tokens("out", result.view()).fill(args.out)
    args.activation = _options.choice("activation", activation, _ACTIVATIONS)
    args.threads, args.isa = _options.threads(threads), _options.isa(isa)
    check(lib.rapt_linear(args, None, 0))
    return result.result()


def embed(tables: Iterable[Any], ids: Iterable[Any], *, out: Any = None) -> Any:
    """Sums rows of tables, of tokens and positions say: what enters a model's first layer.

    tables  (rows, channels) of float32, float16 or bfloat16, each
    ids     for each table (batch, tokens) or (tokens) numbers of its rows, or None for 0, 1, 2, ...
    out     where to write, of any of these types; a new float32 array of the first table's kind if
            None

    Returns out, (batch, tokens, channels) or (tokens, channels). The sum is in float32 and in the
    tables' order. Errors are rapt.Error, and nothing is written then.

    >>> import numpy as np, rapt
    >>> words, places = np.float32([[1], [2], [3]]), np.float32([[10], [20]])
    >>> rapt.embed([words, places], [[2, 0], None])
    array([[13.],
           [21.]], dtype=float32)
    """
    arrays = _numeric.several("tables", tables, "table")
    rows = _numeric.several("ids", ids, "table")
    if not arrays or len(arrays) != len(rows):
        raise InvalidArgument(
            f"ids: found {len(rows)} for {len(arrays)} tables, expected as many, at least 1"
        )
    first = next((i for i, one in enumerate(rows) if one is not None), None)
    if first is None:
        raise InvalidArgument("ids: found None for each table, expected numbers for one of them")
    shape = _numeric.shape_of(f"ids[{first}]", rows[first])
    views = [matrix(f"tables[{i}]", table, 2) for i, table in enumerate(arrays)]
    numbers = [
        None if one is None else _numeric.integers(f"ids[{i}]", one, shape)[0]
        for i, one in enumerate(rows)
    ]
    tensors, pointers = (Tensor * len(views))(), (ctypes.POINTER(ctypes.c_int64) * len(views))()
    for i, (view, column) in enumerate(zip(views, numbers)):
        view.fill(tensors[i])
        if column is not None:
            pointers[i] = ctypes.cast(column, ctypes.POINTER(ctypes.c_int64))
    result, target = Output("out", arrays[0], F32, (*shape, views[0].shape[3]), out), Tensor()
    tokens("out", result.view()).fill(target)
    check(lib.rapt_embed(len(views), tensors, pointers, target))
    return result.result()
