# SPDX-License-Identifier: Apache-2.0
"""What the library makes and destroys."""

import ctypes
from collections.abc import Callable
from typing import Any

from ._library import check


class Handle:
    """An object of the library's, which lives as long as anything that may use it."""

    __slots__ = ("pointer", "_destroy", "_kept")

    def __init__(
        self,
        create: Callable[[Any, Any], int],
        destroy: Callable[[Any], None],
        args: ctypes.Structure,
        kept: Any = None,
    ) -> None:
        """kept: what the object points to, which has to outlive it."""
        self.pointer: ctypes.c_void_p | None = None
        self._destroy, self._kept = destroy, kept
        made = ctypes.c_void_p()
        check(create(args, made))
        self.pointer = made

    def __del__(self) -> None:
        pointer = getattr(self, "pointer", None)
        self.pointer = None
        if pointer:
            self._destroy(pointer)
