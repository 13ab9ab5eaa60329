# SPDX-License-Identifier: Apache-2.0
"""Arrays of types that the library doesn't take, converted where the caller asks for it."""

import sys
from typing import Any

from . import _views

_TAKEN = ("float32", "float16", "bfloat16", "bool")


def _name_of(array: Any) -> str:
    return str(getattr(array, "dtype", "")).removeprefix("torch.")


def _cast(array: Any, to: str) -> Any:
    if _views.is_torch(array):
        return array.to(getattr(sys.modules["torch"], to))
    return array.astype(to)


def _kind_of(array: Any) -> str:
    """f for floats, i and u for integers, as NumPy has them; something else for the rest."""
    if _views.is_torch(array):
        return _name_of(array)[0]
    return str(getattr(array.dtype, "kind", "")) if hasattr(array, "astype") else ""


def _has_numbers(array: Any) -> bool:
    """Whether it is an array of real numbers that can be cast."""
    return _kind_of(array) in ("f", "i", "u")


def _number(array: Any, keep: tuple[str, ...]) -> Any:
    """Numbers of another type as float32; what isn't an array of numbers as it is."""
    known = _name_of(array) in (*_TAKEN, *keep)
    return _cast(array, "float32") if _has_numbers(array) and not known else array


def _mask(mask: Any) -> Any:
    """Integers say attend where they aren't 0, as tokenizers' masks do; floats are added."""
    if _kind_of(mask) in ("i", "u"):
        return mask != 0
    return _number(mask, ())


def inputs(q: Any, k: Any, v: Any, mask: Any) -> tuple[Any, Any, Any, Any]:
    """q, k, v and mask of types that the library takes. Keys of int8 and q8_0 stay as they are."""
    quantized = ("int8", "uint8")
    return _number(q, ()), _number(k, quantized), _number(v, quantized), _mask(mask)
