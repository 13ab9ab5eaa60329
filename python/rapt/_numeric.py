# SPDX-License-Identifier: Apache-2.0
"""Numbers for which the library knows the limits, and integers for each token, as C values."""

import ctypes
import itertools
import math
from collections.abc import Iterable
from typing import Any

from . import _options
from ._library import InvalidArgument, InvalidType


_MOST = 2**26  # integers in a list or an array; more are a mistake, and would take minutes
_NO_LIST = (str, bytes, dict, set, frozenset)  # what can be gone through, but in no order or sense


def several(name: str, value: Any, each: str) -> list[Any]:
    """A list of anything, one for each of something."""
    try:
        if isinstance(value, _NO_LIST):
            raise TypeError
        return list(value)
    except Exception:  # an array of no dimensions, or code of the caller's
        found = _options.shown(value)
        raise InvalidType(f"{name}: found {found}, expected a list, one for each {each}") from None


def _shape(value: Any) -> tuple[int, ...]:
    """The shape that an array says it has; () for all else."""
    try:
        return tuple(int(n) for n in getattr(value, "shape", ()))
    except Exception:  # of a class, or code of the caller's
        return ()


def _plain(name: str, value: Any) -> Any:
    """An array or anything that has an order as nested lists, anything else as it is."""
    if math.prod(_shape(value)) > _MOST:
        raise InvalidArgument(
            f"{name}: found shape {_shape(value)}, expected at most {_MOST} numbers"
        )
    if not hasattr(value, "tolist"):
        if not isinstance(value, Iterable) or isinstance(value, _NO_LIST):
            return value
        found = list(itertools.islice(value, _MOST + 1))
        if len(found) > _MOST:
            raise InvalidArgument(f"{name}: found more than {_MOST} numbers")
        return found
    try:
        return value.tolist()
    except Exception as error:  # an array without numbers of its own
        raise InvalidArgument(f"{name}: {error}, expected integers") from None


def shape_of(name: str, value: Any) -> tuple[int, ...]:
    """The shape of integers in one or two dimensions."""
    return _flat(name, value)[1]


def _flat(name: str, value: Any) -> tuple[list[Any], tuple[int, ...]]:
    """The elements row by row, and the shape: of one or two dimensions."""
    rows = _plain(name, value)
    if not isinstance(rows, list):
        raise InvalidType(f"{name}: found {_options.shown(value)}, expected integers")
    given = _shape(value)
    if len(given) == 1 or not any(hasattr(row, "__len__") for row in rows):
        return rows, given if 0 in given else (len(rows),)
    rows = [_plain(name, row) for row in rows]
    if len({len(row) if isinstance(row, list) else -1 for row in rows}) != 1:
        raise InvalidType(f"{name}: found rows of different lengths, expected integers in rows")
    return [element for row in rows for element in row], (len(rows), len(rows[0]))


def integers(
    name: str, value: Any, *shapes: tuple[int, ...]
) -> tuple["ctypes.Array[ctypes.c_int64]", tuple[int, ...]]:
    """Integers of one of the shapes as a C array, row by row, and the shape that they have."""
    elements, shape = _flat(name, value)
    if shape not in shapes:
        expected = " or ".join(str(one) for one in shapes)
        raise InvalidArgument(f"{name}: found shape {shape}, expected {expected}")
    if not set(map(type, elements)) <= {int} or any(_beyond(elements)):
        elements = [_options.integer(f"{name}[{i}]", n) for i, n in enumerate(elements)]
    return (ctypes.c_int64 * max(1, len(elements)))(*elements), shape


def table(name: str, value: Any, limits: tuple[int, int]) -> tuple[list[int], tuple[int, int]]:
    """Integers in rows of one length, row by row, and how many rows and columns there are."""
    elements, shape = _flat(name, value)
    if len(shape) != 2:
        raise InvalidArgument(f"{name}: found shape {shape}, expected integers in rows")
    width = shape[1]
    if not set(map(type, elements)) <= {int} or any(_beyond(elements, *limits)):
        elements = [
            _options.integer(f"{name}[{i // width}][{i % width}]", n, *limits)
            for i, n in enumerate(elements)
        ]
    return elements, (shape[0], shape[1])


def _beyond(
    elements: list[int], lowest: int = -_options.INT64_MAX - 1, highest: int = _options.INT64_MAX
) -> tuple[bool, bool]:
    """Whether any is less, or any more, than that."""
    least, most = min(elements, default=0), max(elements, default=0)
    return least < lowest, most > highest


def number(name: str, value: Any) -> float:
    """A number of Python's, NumPy's or any other kind."""
    if not isinstance(value, (bool, str, bytes)) and hasattr(type(value), "__float__"):
        try:
            return float(value)
        except (TypeError, ValueError, RuntimeError, OverflowError):  # an array, a huge integer
            pass
    raise InvalidType(f"{name}: found {_options.shown(value)}, expected a number")


def numbers(name: str, values: Any, count: int) -> "ctypes.Array[ctypes.c_double]":
    """So many numbers as a C array."""
    given = _shape(values)
    plain = _plain(name, values) if given in ((), (count,)) else None
    if not isinstance(plain, list) or len(plain) != count:
        found = _options.shown(values)
        raise InvalidType(f"{name}: found {found}, expected {count} numbers")
    return (ctypes.c_double * count)(*(number(f"{name}[{i}]", n) for i, n in enumerate(plain)))
