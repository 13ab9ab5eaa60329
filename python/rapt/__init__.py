# SPDX-License-Identifier: Apache-2.0
"""Exact attention for CPUs: librapt for NumPy arrays, and for what else speaks DLPack.

out = rapt.attention(q, k, v, causal=True)      # NumPy arrays or torch CPU tensors, no copies
plan = rapt.Plan(q, k, v, out=out)              # checked and divided once
plan.run()                                      # as often as you like
"""

from ._attention import attention
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
from ._plan import Plan
from ._result import Result
from ._show import show

__version__ = version()
__all__ = [
    "Error",
    "InvalidArgument",
    "InvalidType",
    "IsaUnavailable",
    "OutOfMemory",
    "Page",
    "Plan",
    "Result",
    "Unsupported",
    "attention",
    "default_threads",
    "isas",
    "library_path",
    "show",
]
