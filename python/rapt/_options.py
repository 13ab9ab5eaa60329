# SPDX-License-Identifier: Apache-2.0
"""What the caller gives beside arrays: checked here, for ctypes wraps, rounds or cuts what it
can't hold."""

import ctypes
import itertools
import math
import operator

import numpy as np

from ._library import InvalidArgument, InvalidType, IsaUnavailable

INT_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1
_FACTOR_MIN, _FACTOR_MAX = 1e-30, 1e30
_SHOWN = 60  # characters of what was found


def shown(value):
    """What was found, for a message of one line; never an error of its own."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # of the caller's, or an integer of too many digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _is_bool(value):
    """Python's, or one of a NumPy array, a torch tensor, ..."""
    if isinstance(value, (bool, np.bool_)):
        return True
    dtype = str(getattr(value, "dtype", ""))
    return dtype in ("bool", "torch.bool")


def flag(name, value):
    """True or False."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise InvalidType(f"{name}: found {shown(value)}, expected True or False")


def _index(value):
    """An integer, or None: a bool isn't one."""
    if type(value) is int:
        return value
    if _is_bool(value):
        return None
    try:
        return operator.index(value)
    except (TypeError, ValueError, RuntimeError):  # what NumPy and torch raise
        return None


def integer(name, value, least=-_INT64_MAX - 1, most=_INT64_MAX):
    """An integer of Python's, NumPy's or any other kind, within limits."""
    number = _index(value)
    if number is None:
        raise InvalidType(f"{name}: found {shown(value)}, expected an integer")
    if not least <= number <= most:
        raise InvalidArgument(f"{name}: found {shown(number)}, expected {least} to {most}")
    return number


def factor(name, value, none, or_zero=False):
    """A number that a float32 has without becoming 0 or infinite; 0 if that says something."""
    number = None
    if not _is_bool(value) and not isinstance(value, (str, bytes, complex, np.complexfloating)):
        try:
            number = float(value) if getattr(value, "ndim", 0) == 0 else None
        except OverflowError:  # of an integer
            number = math.inf
        except (TypeError, ValueError, RuntimeError):
            pass
    if number is None:
        raise InvalidType(f"{name}: found {shown(value)}, expected a number, or None for {none}")
    if not _FACTOR_MIN <= number <= _FACTOR_MAX and not (or_zero and number == 0):
        raise InvalidArgument(
            f"{name}: found {shown(value)}, expected a number of 1e-30 to 1e30, or None for {none}"
        )
    return number


def numbers(name, value, count):
    """One number for all sequences, or one for each, as a C array."""
    number = _index(value)
    if number is not None:
        return (ctypes.c_int64 * count)(*[integer(name, number)] * count)
    try:
        if isinstance(value, (str, bytes, dict, set, frozenset)):
            raise TypeError
        found = list(itertools.islice(iter(value), count + 1))
    except TypeError:
        raise InvalidType(
            f"{name}: found {shown(value)}, expected an integer, or one for each of the {count} "
            "sequences"
        ) from None
    if len(found) != count:
        many = len(value) if hasattr(value, "__len__") else len(found)
        raise InvalidArgument(f"{name}: found {many} numbers, expected 1 or {count}")
    return (ctypes.c_int64 * count)(*[integer(f"{name}[{i}]", n) for i, n in enumerate(found)])


def window(value):
    """How far a query sees to the left and to the right, -1 for no end."""
    if value is None:
        return -1, -1
    pair = isinstance(value, (tuple, list)) or (isinstance(value, np.ndarray) and value.ndim == 1)
    if not pair or len(value) != 2:
        raise InvalidType(
            f"window: found {shown(value)}, expected (left, right), with None or -1 for no end; a "
            "sliding window of n keys, the query's own among them, is (n - 1, 0)"
        )
    return tuple(
        -1 if side is None else integer(f"window[{i}]", side, -1) for i, side in enumerate(value)
    )


def layout(value):
    """Whether positions come before heads."""
    if not isinstance(value, str) or value not in ("bhsd", "bshd"):
        raise InvalidArgument(f'layout: found {shown(value)}, expected "bhsd" or "bshd"')
    return value == "bshd"


def isa(value):
    """A name as the library takes it; it knows which there are."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidType(f"isa: found {shown(value)}, expected a name of rapt.isas(), or None")
    if "\0" in value or not value.isascii():
        raise IsaUnavailable(f"isa: found {shown(value)}, expected a name of rapt.isas()")
    return value.encode()
