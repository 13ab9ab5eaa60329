# SPDX-License-Identifier: Apache-2.0
"""What the library makes and destroys."""

import ctypes
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

from ._library import Unsupported, check


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


class Owner:
    """What has a handle: it is made once, and neither copied nor pickled."""

    _what: ClassVar[str]
    _handle: Handle

    def __init__(self) -> None:
        if hasattr(self, "_handle"):  # a call of it may be under way
            raise Unsupported(f"{self._what}: found one that is made, expected a new one")

    def __reduce__(self) -> NoReturn:  # for copy and pickle
        raise Unsupported(f"{self._what}: found a copy of one, expected another one made alike")
