# SPDX-License-Identifier: Apache-2.0
"""The options of attention() that other calls pass on to it."""

from collections.abc import Collection, Iterable
from typing import Any, TypedDict


def check(call: str, found: Iterable[str], known: Collection[str]) -> None:
    """Python's own error for an argument that a call doesn't have, though what it passes on to
    may."""
    for name in found:
        if name not in known:
            raise TypeError(f"{call}() got an unexpected keyword argument '{name}'")


class Scores(TypedDict, total=False):
    """What scores pass, and how it is computed."""

    scale: float | None
    causal: bool
    window: tuple[int | None, int | None] | None
    mask: Any
    mask_start: Any
    kv_start: Any
    cu_q: Any
    alibi: Any
    sinks: Any
    softcap: float | None
    threads: int | None
    isa: str | None


class Inputs(Scores, total=False):
    """All of attention() but its outputs."""

    layout: str
    q_offset: Any
    kv_len: Any
    cu_k: Any
    block_table: Any
    key_scale: Any
    value_scale: Any
    convert: bool


class Attending(Scores, total=False):
    """What a cache doesn't know itself."""

    out: Any
    return_lse: bool
    return_max: bool
    return_weights: bool
    weights_kind: str
    return_entropy: bool
    top_k: int
    return_distance: bool
    segments: Any
    diagonals: Any
    return_received: bool
    convert: bool
