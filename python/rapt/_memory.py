# SPDX-License-Identifier: Apache-2.0
"""Plans of the library, and the memory that runs of a thread share."""

import ctypes
import threading
from typing import Any

from . import _abi
from ._library import check, lib

_KEPT = 1 << 26  # bytes of workspace that a thread keeps at most; larger ones are the library's


class Handle:
    """The library's plan, which lives as long as anything that may run it."""

    __slots__ = ("pointer", "_destroy")

    def __init__(self, args: _abi.AttentionArgs) -> None:
        self.pointer: ctypes.c_void_p | None = None
        self._destroy = lib.rapt_plan_destroy
        made = ctypes.c_void_p()
        check(lib.rapt_plan_create(args, made))
        self.pointer = made

    def __del__(self) -> None:
        pointer = getattr(self, "pointer", None)
        self.pointer = None
        if pointer:
            self._destroy(pointer)


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
