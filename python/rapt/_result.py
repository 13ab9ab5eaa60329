# SPDX-License-Identifier: Apache-2.0
"""What a call returns that was asked for more than out."""

from typing import Any


class Result(tuple[Any, ...]):
    """out and the outputs asked for, in the order of this list, and each by its name.

    Shapes are for q of shape (batch, heads, queries, channels); where q has fewer dimensions, these
    have fewer, too. All are float32 but out and top_key. What wasn't asked for is no attribute.

    out         (batch, heads, queries, channels of v), in the layout and type of q
    lse         (batch, heads, queries): the log of the sum of exp(score), the sink's included
    max         (batch, heads, queries): the largest score, the sink's not included
    weights     (batch, heads, queries, keys): the softmax, or scores as weights_kind says
    entropy     (batch, heads, queries): of the softmax, in nats
    top_weight  (batch, heads, queries, top_k): the largest weights, the largest first
    top_key     (batch, heads, queries, top_k): their keys, int32; -1 where there are fewer
    distance    (batch, heads, queries): the mean distance of query and key, by weight
    segments    (batch, heads, queries, ranges): the sum of weights in each range of keys
    diagonals   (batch, heads, queries, offsets): the weight of the key at each offset
    received    (batch, heads, keys): the sum of a key's weights over all queries
    """

    out: Any
    lse: Any
    max: Any
    weights: Any
    entropy: Any
    top_weight: Any
    top_key: Any
    distance: Any
    segments: Any
    diagonals: Any
    received: Any

    @classmethod
    def of(cls, names: tuple[str, ...], values: list[Any]) -> "Result":
        """The result with these names."""
        result = cls(values)
        result.__dict__.update(zip(names, values))
        return result

    def __repr__(self) -> str:
        shapes = (f"{name} {tuple(value.shape)}" for name, value in vars(self).items())
        return f"Result({', '.join(shapes)})"
