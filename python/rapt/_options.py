# SPDX-License-Identifier: Apache-2.0
"""What the caller gives beside arrays: checked here, for ctypes wraps, rounds or cuts what it
can't hold."""

import ctypes
import itertools
import math
import operator
import sys
from collections.abc import Sequence
from typing import Any

from ._library import InvalidArgument, InvalidType, IsaUnavailable

INT_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1
_FACTOR_MIN, _FACTOR_MAX = 1e-30, 1e30
_SHOWN = 60  # characters of what was found


def shown(value: object) -> str:
    """What was found, for a message of one line; never an error of its own."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # of the caller's, or an integer of too many digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _numpy_kind(name: str) -> Any:
    """A scalar type of NumPy's, if NumPy is there: without it nobody can pass one."""
    return getattr(sys.modules.get("numpy"), name, ())


def _is_bool(value: object) -> bool:
    """Python's, or one of a NumPy array, a torch tensor, ..."""
    if isinstance(value, (bool, _numpy_kind("bool_") or bool)):
        return True
    dtype = str(getattr(value, "dtype", ""))
    return dtype in ("bool", "torch.bool")


def flag(name: str, value: Any) -> bool:
    """True or False."""
    if isinstance(value, (bool, _numpy_kind("bool_") or bool)):
        return bool(value)
    raise InvalidType(f"{name}: found {shown(value)}, expected True or False")


def _index(value: Any) -> int | None:
    """An integer, or None: a bool isn't one."""
    if type(value) is int:
        return value
    if _is_bool(value):
        return None
    try:
        return operator.index(value)
    except (TypeError, ValueError, RuntimeError):  # what NumPy and torch raise
        return None


def integer(name: str, value: Any, least: int = -INT64_MAX - 1, most: int = INT64_MAX) -> int:
    """An integer of Python's, NumPy's or any other kind, within limits."""
    number = _index(value)
    if number is None:
        raise InvalidType(f"{name}: found {shown(value)}, expected an integer")
    if not least <= number <= most:
        raise InvalidArgument(f"{name}: found {shown(number)}, expected {least} to {most}")
    return number


def threads(value: Any) -> int:
    """At most so many; 0 for the library's own number."""
    return 0 if value is None else integer("threads", value, 0, INT_MAX)


def factor(name: str, value: Any, none: str, or_zero: bool = False) -> float:
    """A number that a float32 has without becoming 0 or infinite; 0 if that says something."""
    number = None
    no_number = (str, bytes, complex, _numpy_kind("complexfloating") or complex)
    if not _is_bool(value) and not isinstance(value, no_number):
        try:
            number = float(value) if getattr(value, "ndim", 0) == 0 else None
        except OverflowError:  # of an integer
            number = math.inf
        except (TypeError, ValueError, RuntimeError):
            pass
    if number is None:
        raise InvalidType(f"{name}: found {shown(value)}, expected a number, or None for {none}")
    if not _FACTOR_MIN <= number <= _FACTOR_MAX and not (or_zero and number == 0):
        also = " or 0" if or_zero else ""
        raise InvalidArgument(
            f"{name}: found {shown(value)}, expected a number of 1e-30 to 1e30{also}, or None for "
            f"{none}"
        )
    return number


def listed(
    name: str, value: Any, least: int, most: int, expected: str, amount: str = ""
) -> tuple[int, ...]:
    """From `least` to `most` integers of anything that can be gone through."""
    try:
        if isinstance(value, (str, bytes, dict, set, frozenset)):
            raise TypeError
        found = list(itertools.islice(iter(value), most + 1))
    except (TypeError, RuntimeError):  # torch's, of a tensor of no dimensions or without numbers
        raise InvalidType(f"{name}: found {shown(value)}, expected {expected}") from None
    if not least <= len(found) <= most:
        many = _length(value, len(found))
        amount = amount or f"{least} to {most}"
        raise InvalidArgument(f"{name}: found {many} numbers, expected {amount}")
    return tuple(integer(f"{name}[{i}]", n) for i, n in enumerate(found))


def _length(value: Any, found: int) -> Any:
    """How many there are, where that can be told."""
    try:
        return len(value) if hasattr(value, "__len__") else found
    except (OverflowError, TypeError):  # range(2**70)
        return f"more than {found - 1}"


def numbers(name: str, value: Any, count: int) -> "ctypes.Array[ctypes.c_int64]":
    """One number for all sequences, or one for each, as a C array."""
    number = _index(value)
    if number is not None:
        return (ctypes.c_int64 * count)(*[integer(name, number)] * count)
    expected = f"an integer, or one for each of the {count} sequences"
    found = listed(name, value, count, count, expected, f"1 or {count}")
    return (ctypes.c_int64 * count)(*found)


def window(value: Any) -> tuple[int, int]:
    """How far a query sees to the left and to the right, -1 for no end."""
    if value is None:
        return -1, -1
    is_array = isinstance(value, _numpy_kind("ndarray")) and value.ndim == 1
    if not (is_array or isinstance(value, (tuple, list))) or len(value) != 2:
        raise InvalidType(
            f"window: found {shown(value)}, expected (left, right), with None or -1 for no end; a "
            "sliding window of n keys, the query's own among them, is (n - 1, 0)"
        )
    left, right = (
        -1 if side is None else integer(f"window[{i}]", side, -1) for i, side in enumerate(value)
    )
    return left, right


def choice(name: str, value: Any, names: Sequence[str]) -> int:
    """The place of a name among those that there are."""
    if not isinstance(value, str) or value not in names:
        known = " or ".join(f'"{one}"' for one in names)
        raise InvalidArgument(f"{name}: found {shown(value)}, expected {known}")
    return names.index(value)


def layout(value: Any) -> bool:
    """Whether positions come before heads."""
    return choice("layout", value, ("bhsd", "bshd")) == 1


def isa(value: Any) -> bytes | None:
    """A name as the library takes it; it knows which there are."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidType(f"isa: found {shown(value)}, expected a name of rapt.isas(), or None")
    if "\0" in value or not value.isascii():
        raise IsaUnavailable(f"isa: found {shown(value)}, expected a name of rapt.isas()")
    return value.encode()
