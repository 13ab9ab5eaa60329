# SPDX-License-Identifier: Apache-2.0
"""Arrays of types that the library doesn't take, converted where the caller asks for it."""

from typing import Any

from . import _views

_TAKEN = ("float32", "float16", "bfloat16", "bool")


def _name_of(array: Any) -> str:
    return str(getattr(array, "dtype", "")).removeprefix("torch.")


def _cast(array: Any, to: str) -> Any:
    if _views.is_torch(array):
        import torch

        return array.to(getattr(torch, to))
    return array.astype(to)


def _number(array: Any, keep: tuple[str, ...]) -> Any:
    """Numbers of another type as float32; what isn't an array of numbers as it is."""
    name = _name_of(array)
    known = name.startswith(("float", "int", "uint", ">", "<"))
    can = _views.is_torch(array) or hasattr(array, "astype")
    return _cast(array, "float32") if known and can and name not in (*_TAKEN, *keep) else array


def _mask(mask: Any) -> Any:
    """Integers say attend where they aren't 0, as tokenizers' masks do; floats are added."""
    name = _name_of(mask)
    if name.startswith(("int", "uint")) and (_views.is_torch(mask) or hasattr(mask, "astype")):
        return mask != 0
    return _number(mask, ())


def inputs(q: Any, k: Any, v: Any, mask: Any) -> tuple[Any, Any, Any, Any]:
    """q, k, v and mask of types that the library takes. Keys of int8 and q8_0 stay as they are."""
    quantized = ("int8", "uint8")
    return _number(q, ()), _number(k, quantized), _number(v, quantized), _mask(mask)
