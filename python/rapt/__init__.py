# SPDX-License-Identifier: Apache-2.0
"""Exact attention for CPUs: librapt for NumPy arrays, and for what else speaks DLPack.

out = rapt.attention(q, k, v, causal=True)      # NumPy arrays or torch CPU tensors, no copies
plan = rapt.Plan(q, k, v, out=out)              # checked and divided once
plan.run()                                      # as often as you like
"""

from ._attention import attention
from ._cache import KVCache
from ._html import Page
from ._library import (
    Error,
    InvalidArgument,
    InvalidType,
    IsaUnavailable,
    OutOfMemory,
    Unsupported,
    default_threads,
    isas,
    library_path,
    version,
)
from ._layer import MultiHeadAttention
from ._linear import embed, linear
from ._merge import merge
from ._plan import Plan
from ._result import Result
from ._rope import Rope
from ._show import show
from ._summary import HeadSummary, rollout, summarize

__version__ = version()
__all__ = [
    "Error",
    "HeadSummary",
    "InvalidArgument",
    "InvalidType",
    "IsaUnavailable",
    "KVCache",
    "MultiHeadAttention",
    "OutOfMemory",
    "Page",
    "Plan",
    "Result",
    "Rope",
    "Unsupported",
    "attention",
    "default_threads",
    "embed",
    "isas",
    "library_path",
    "linear",
    "merge",
    "rollout",
    "show",
    "summarize",
]
