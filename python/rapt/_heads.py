# SPDX-License-Identifier: Apache-2.0
"""Numbers for heads, such as slopes and sinks: few of them, so they may come in any type."""

import ctypes
import struct
from collections.abc import Iterator
from typing import Any

from . import _options, _views
from ._abi import BF16, F16, F32
from ._library import InvalidArgument, InvalidType

_FLOAT_MAX = 3.4028235677973366e38  # from here on a number is rounded to an infinite float32


def _flat(v: _views.View) -> Iterator[float]:
    """The numbers of a view, row by row."""
    size = 4 if v.dtype == F32 else 2
    rows, columns = v.shape if len(v.shape) == 2 else (1, v.shape[0])
    row_step, step = v.strides if len(v.shape) == 2 else (0, v.strides[0])
    for at in (i * row_step + j * step for i in range(rows) for j in range(columns)):
        data = ctypes.string_at(v.address + at * size, size)
        if v.dtype == BF16:
            data = b"\0\0" + data
        yield struct.unpack("=e" if v.dtype == F16 else "=f", data)[0]


def _of_view(name: str, v: _views.View) -> list[list[float]]:
    if v.dtype not in (F32, F16, BF16):
        raise InvalidType(f"{name}: found bool, expected numbers")
    if len(v.shape) not in (1, 2):
        raise _wrong_rank(name, len(v.shape))
    if not v.address and 0 not in v.shape:
        raise InvalidArgument(f"{name}: data is NULL, expected the tensor's elements")
    numbers, width = list(_flat(v)), v.shape[-1]
    rows = v.shape[0] if len(v.shape) == 2 else 1
    return [numbers[i * width : (i + 1) * width] for i in range(rows)]


def _wrong_rank(name: str, rank: int) -> InvalidArgument:
    return InvalidArgument(f"{name}: found {rank} dimensions, expected (heads) or (batch, heads)")


def _row(name: str, row: Any) -> list[float]:
    numbers = []
    for number in row:
        if isinstance(number, (bool, str, bytes, complex)) or not hasattr(
            type(number), "__float__"
        ):
            found = _options.shown(number)
            raise InvalidType(f"{name}: found {found}, expected numbers")
        try:
            numbers.append(float(number))
        except OverflowError:  # of an integer
            raise InvalidType(f"{name}: found an integer that no float has") from None
    return numbers


def _plain(values: Any) -> Any:
    """What an array holds as Python's own numbers; anything else as it is."""
    if _views.is_torch(values):
        return values.detach().resolve_neg().tolist()
    return values.tolist() if hasattr(values, "tolist") else values


def _rows(name: str, values: Any) -> list[list[float]]:
    if hasattr(values, "__dlpack__") and not hasattr(values, "tolist"):
        return _of_view(name, _views.view(name, values))
    if _views.is_numpy(values):
        _refuse_array(name, values)
    if isinstance(values, (str, bytes)):
        raise InvalidType(f"{name}: found {_options.shown(values)}, expected numbers")
    rank = getattr(values, "ndim", None)
    if rank is not None and rank not in (1, 2):
        raise _wrong_rank(name, rank)
    try:
        plain = list(_plain(values))
    except Exception as error:  # no numbers, or code of the caller's
        if not hasattr(values, "__iter__"):
            raise _wrong_rank(name, 0) from None
        raise InvalidType(f"{name}: {error}") from None
    if any(isinstance(row, (list, tuple)) for row in plain):
        if len({len(row) if isinstance(row, (list, tuple)) else -1 for row in plain}) != 1:
            raise InvalidType(f"{name}: found rows of different lengths, expected one for each")
        return [_row(name, row) for row in plain]
    if rank == 2:  # of no rows
        return []
    return [_row(name, plain)]


def _refuse_array(name: str, array: Any) -> None:
    if hasattr(array, "filled"):
        raise InvalidType(f"{name}: found a masked array, expected one without a mask of its own")
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        raise InvalidType(f"{name}: found {array.dtype}, expected numbers")


def _as_it_is(name: str, values: Any) -> _views.View | None:
    """The view of an array of float32, which needs no copy."""
    if _views.is_torch(values):
        values = values.detach()  # a Parameter's values are all that is wanted of it
        if str(values.dtype) != "torch.float32":
            return None
    elif not _views.is_numpy(values) or values.dtype != "float32":
        return None
    v = _views.view(name, values)
    if len(v.shape) not in (1, 2):
        raise _wrong_rank(name, len(v.shape))
    shape, strides = (1, 1, *v.shape)[-2:], (0, 0, *v.strides)[-2:]
    return v._replace(shape=(*shape, 1, 1), strides=(*strides, 1, 1))


def floats(name: str, values: Any) -> _views.View:
    """The view (B or 1, Hq, 1, 1) of numbers for heads, (heads) or (batch, heads), as float32."""
    if (v := _as_it_is(name, values)) is not None:
        return v
    rows = _rows(name, values)
    width = len(rows[0]) if rows else 0
    numbers = [number for row in rows for number in row]
    if any(_FLOAT_MAX <= abs(number) < float("inf") for number in numbers):
        raise InvalidArgument(f"{name}: found a number beyond 3.4e38, the largest float32")
    array = (ctypes.c_float * max(1, len(numbers)))(*numbers)
    shape, strides = (len(rows), width, 1, 1), (width, 1, 1, 1)
    return _views.View(ctypes.addressof(array), F32, shape, strides, True, array)
