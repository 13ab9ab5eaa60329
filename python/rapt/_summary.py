# SPDX-License-Identifier: Apache-2.0
"""What each head does, in a few numbers, and what a stack of layers makes of the weights."""

import dataclasses
from collections.abc import Iterable
from typing import Any, Unpack

from . import _keywords, _numeric, _options, _views
from ._abi import F32, HeadSummary as _HeadSummary, Tensor
from ._library import InvalidArgument, check, lib
from ._output import Output
from ._plan import Plan


@dataclasses.dataclass(frozen=True, slots=True)
class HeadSummary:
    """What one head does: means over its queries that attend at least two keys.

    Queries that a NaN reaches don't count. Without a query all numbers are 0. What a sink takes is
    left out: weights count as if they summed to 1.

    queries   how many count
    entropy   of the weights, in bits
    focus     1 - entropy / log of the number of keys: 1 for one key, 0 for all alike
    distance  between a query's position and those of the keys that it attends
    locality  1 - distance / that of equal weights: 1 for its own position alone, 0 for none in
              particular, less for what is far away
    previous  the weight of the key before the query's own
    self      the weight of the query's own key
    first     the weight of key 0
    kind      "previous", "self", "first", "local", "focused" or "broad": what it mostly does
    """

    queries: int
    entropy: float
    focus: float
    distance: float
    locality: float
    previous: float
    self: float
    first: float
    kind: str


def summarize(
    q: Any, k: Any, v: Any, **options: Unpack[_keywords.Inputs]
) -> list[list[HeadSummary]]:
    """A summary of each head: summaries[sequence][head].

    Takes the arguments of attention() but its outputs, and computes attention without ever storing
    a matrix of queries by keys. The same bits for any number of threads. Errors are rapt.Error.

    >>> import numpy as np, rapt
    >>> q = k = 9 * np.eye(8, dtype=np.float32)[None, None]     # each token likes itself
    >>> [[head]] = rapt.summarize(q, k, k, causal=True)
    >>> head.kind, head.queries
    ('self', 7)
    """
    _keywords.check("summarize", options, _keywords.Inputs.__optional_keys__)
    plan = Plan(q, k, v, **options)
    problem = plan._problem
    heads = problem.views["query"].shape[1]
    found = (_HeadSummary * max(1, problem.sequences * heads))()
    plan._call.make(lambda: check(lib.rapt_summarize_heads(problem.args, found)))
    rows = range(0, problem.sequences * heads, max(1, heads))
    return [[_summary(found[row + head]) for head in range(heads)] for row in rows]


def _summary(found: Any) -> HeadSummary:
    numbers = {name: getattr(found, name) for name, *_ in _HeadSummary._fields_}
    numbers["kind"] = lib.rapt_head_kind_name(found.kind).decode()
    return HeadSummary(**numbers)


def rollout(weights: Iterable[Any], residual: float = 0.5, *, threads: int | None = None) -> Any:
    """Attention rollout (Abnar and Zuidema 2020): what of each input reaches each output.

    weights   for each layer, the first one first, float32 (batch, heads, tokens, tokens): the
              softmax, such as a model's attentions. Batch, and heads, may be missing. Its numbers
              aren't checked: what they are taken for is of 0 or more
    residual  the share that passes by a layer's attention, 0 to below 1
    threads   at most so many; None for rapt.default_threads(). Any number gives the same bits

    Returns (batch, tokens, tokens) of the kind of the first layer's, or (tokens, tokens): how much
    of each input position has reached each output position, in rows that sum to 1. A row is NaN
    where one of a NaN reaches it, and 0 where nothing does: without a residual, if a query attends
    no key.

    >>> import numpy as np, rapt
    >>> layer = np.float32([[[1, 0], [0.5, 0.5]]])              # one head
    >>> rapt.rollout([layer, layer])
    array([[1.    , 0.    ],
           [0.4375, 0.5625]], dtype=float32)
    """
    layers = _numeric.several("weights", weights, "layer")
    if not layers:
        raise InvalidArgument("weights: found no layer, expected at least 1")
    tensors = (Tensor * len(layers))()
    for i, layer in enumerate(layers):
        _views.view4(f"weights[{i}]", layer, False).fill(tensors[i])
    first = _views.view("weights[0]", layers[0])
    tokens = first.shape[-2] if len(first.shape) > 1 else 0
    shape = (*first.shape[: max(0, len(first.shape) - 3)], tokens, tokens)
    out, target = Output("out", layers[0], F32, shape), Tensor()
    view = out.view()
    if len(shape) == 3:  # a dimension of heads, between batch and tokens
        (batch, rows, columns), (step, row, column) = shape, view.strides
        view = view._replace(shape=(batch, 1, rows, columns), strides=(step, 0, row, column))
    _views.view4("out", view, False).fill(target)
    share = _numeric.number("residual", residual)
    check(lib.rapt_rollout(len(layers), tensors, share, target, _options.threads(threads)))
    return out.result()
