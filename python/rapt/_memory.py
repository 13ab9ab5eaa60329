# SPDX-License-Identifier: Apache-2.0
"""Plans of the library, and the memory that runs of a thread share."""

import ctypes
import threading
from typing import Any

from . import _abi
from ._handle import Handle
from ._library import lib

_KEPT = 1 << 26  # bytes of workspace that a thread keeps at most; larger ones are the library's


def plan(args: _abi.AttentionArgs) -> Handle:
    """The library's plan for these arguments."""
    return Handle(lib.rapt_plan_create, lib.rapt_plan_destroy, args)


class _Own(threading.local):
    """A thread's workspace. A thread is in one run at a time, so all of its plans share it."""

    buffer: Any = None
    kept: tuple[int | None, int] = None, 0
    size = 0


_own = _Own()


def workspace(size: int) -> tuple[int | None, int]:
    """Address and size of at least so many bytes; None and 0 leave it to the library."""
    if size <= _own.size:
        return _own.kept
    if size > _KEPT:
        return None, 0
    try:
        _own.buffer = ctypes.create_string_buffer(size)
    except MemoryError:
        return None, 0
    _own.kept, _own.size = (ctypes.addressof(_own.buffer), size), size
    return _own.kept


# rapt_plan_run with what a packed rapt_attention_data and numbers need: nothing is converted.
run = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t
)(("rapt_plan_run", lib))
