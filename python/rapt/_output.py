# SPDX-License-Identifier: Apache-2.0
"""Where a call writes: the caller's array, or a new one."""

from typing import Any

from . import _views
from ._library import InvalidArgument


class Output:
    """The array `out`, which has to have the shape, or a new one of the kind of another array.

    Outputs of JAX's kind, whose arrays don't change, are computed in one of NumPy's.
    """

    __slots__ = ("name", "array", "_shape", "_is_jax")

    def __init__(
        self, name: str, like: Any, dtype: int, shape: tuple[int, ...], out: Any = None
    ) -> None:
        self.name, self._shape = name, shape
        self._is_jax = out is None and _views.is_jax(like)
        if _views.is_jax(out):
            raise InvalidArgument(f"{name}: found a JAX array, expected memory that may change")
        self.array = _views.empty_like(name, like, dtype, shape) if out is None else out

    def view(self) -> _views.View:
        """Its view, of as many dimensions as it has."""
        view = _views.view(self.name, self.array)
        if not view.writeable:
            raise InvalidArgument(f"{self.name}: found a read-only array, expected one to write to")
        if view.shape != self._shape:
            raise InvalidArgument(f"{self.name}: found shape {view.shape}, expected {self._shape}")
        return view

    def view4(self, swap: bool = False) -> _views.View:
        """Its view (batch, head, position, channel)."""
        return _views.view4(self.name, self.view(), swap)

    def result(self) -> Any:
        """What the caller gets."""
        return _views.to_jax(self.array) if self._is_jax else self.array
