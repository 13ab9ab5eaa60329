# SPDX-License-Identifier: Apache-2.0
"""Results over disjoint sets of keys, joined."""

from collections.abc import Iterable
from typing import Any

from . import _numeric, _options, _views
from ._abi import F32, Tensor
from ._library import InvalidArgument, check, lib
from ._output import Output


def _one_per_query(name: str, array: Any) -> _views.View:
    """(batch, heads, queries) as a view of one channel."""
    v = _views.view(name, array)
    return _views.view4(name, v._replace(shape=(*v.shape, 1), strides=(*v.strides, 1)), False)


def _tensors(views: list[_views.View]) -> Any:
    tensors = (Tensor * len(views))()
    for tensor, view in zip(tensors, views):
        view.fill(tensor)
    return tensors


def merge(
    outs: Iterable[Any],
    lses: Iterable[Any],
    *,
    layout: str = "bhsd",
    out: Any = None,
) -> tuple[Any, Any]:
    """Joins results of the same queries over disjoint sets of keys: shared prefixes, shards.

    outs    float32 arrays (batch, heads, queries, channels), one for each part
    lses    (batch, heads, queries), what attention(..., return_lse=True) gives with each
    layout  of outs and out: "bhsd", or "bshd" for (batch, queries, heads, channels)
    out     where to write; a new array of the kind of the first part's if None

    Returns (out, lse): those of attention to the keys of all parts. So merges can be merged. A part
    whose lse is -inf is empty, and its out is never read. A sink belongs to one part only. The
    parts are summed in their order.

    Errors are rapt.Error. Any number of threads may call it.

    >>> import numpy as np, rapt
    >>> q, k, v = np.random.default_rng(0).standard_normal((3, 1, 2, 9, 8), np.float32)
    >>> parts = [rapt.attention(q, k[:, :, i], v[:, :, i], return_lse=True)
    ...          for i in (slice(0, 4), slice(4, 9))]
    >>> out, lse = rapt.merge(*zip(*parts))
    >>> bool(np.allclose(out, rapt.attention(q, k, v), atol=1e-6))
    True
    """
    swap = _options.layout(layout)
    parts = _numeric.several("outs", outs, "part")
    logs = _numeric.several("lses", lses, "part")
    if not parts or len(parts) != len(logs):
        raise InvalidArgument(
            f"outs: found {len(parts)} parts and {len(logs)} lses, expected as many, at least 1"
        )
    views = [_views.view4(f"outs[{i}]", part, swap) for i, part in enumerate(parts)]
    log_views = [_one_per_query(f"lses[{i}]", log) for i, log in enumerate(logs)]
    first, first_log = _views.view("outs[0]", parts[0]), _views.view("lses[0]", logs[0])
    joined = Output("out", parts[0], F32, first.shape, out)
    lse = Output("lse", parts[0], F32, first_log.shape)
    out_tensor, lse_tensor = Tensor(), Tensor()
    joined.view4(swap).fill(out_tensor)
    _one_per_query("lse", lse.view()).fill(lse_tensor)
    check(lib.rapt_merge(len(parts), _tensors(views), _tensors(log_views), out_tensor, lse_tensor))
    return joined.result(), lse.result()
