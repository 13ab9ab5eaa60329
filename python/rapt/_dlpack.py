# SPDX-License-Identifier: Apache-2.0
"""Arrays of any library in the CPU's memory, by DLPack."""

import ctypes
from typing import Any

from ._library import InvalidArgument

_TYPES = {
    (0, 8): "int8",
    (1, 8): "uint8",
    (2, 16): "float16",
    (2, 32): "float32",
    (4, 16): "bfloat16",
    (6, 8): "bool",
}
_KINDS = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 5: "complex", 6: "bool"}
_HOST = {1, 3}  # kDLCPU, kDLCUDAHost
_RANK_MAX = 64


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class _Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    ]


_MAJOR = 1  # of the versions of _Versioned
_READ_ONLY = 1

_capsule_name = ctypes.pythonapi.PyCapsule_GetName
_capsule_name.restype, _capsule_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p
_capsule_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


def _compact(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def _is_lazy(array: Any) -> bool:
    """Whether memory has the numbers but for a sign or a conjugation, as torch's may."""
    return any(
        callable(method := getattr(array, name, None)) and method()
        for name in ("is_neg", "is_conj")
    )


def _export(array: Any) -> Any:
    try:
        return array.__dlpack__(max_version=(_MAJOR, 0))
    except TypeError:  # an exporter from before versions
        return array.__dlpack__()


def _capsule_of(name: str, array: Any) -> Any:
    """What an object exports, which is the caller's code: it may say no in any way."""
    try:
        device = array.__dlpack_device__()[0]
        if device not in _HOST:
            raise InvalidArgument(
                f"{name}: found a tensor on another device, expected the CPU's memory"
            )
        if _is_lazy(array):
            raise InvalidArgument(
                f"{name}: found a tensor that is negated or conjugated lazily, expected numbers "
                "as they are"
            )
        return _export(array)
    except InvalidArgument:
        raise
    except Exception as error:
        kind = type(array).__name__
        raise InvalidArgument(f"{name}: found a {kind} that can't be read: {error}") from error


def _tensor_of(name: str, capsule: Any) -> tuple[_Tensor, int]:
    """The tensor in a capsule that nobody has taken, and its flags."""
    try:
        kind = _capsule_name(capsule)
    except (ValueError, TypeError):
        kind = None
    if kind not in (b"dltensor", b"dltensor_versioned"):
        raise InvalidArgument(
            f"{name}: found no new DLPack capsule, expected one from __dlpack__()"
        )
    address = _capsule_pointer(capsule, kind)
    if kind == b"dltensor":
        return _Tensor.from_address(address), 0
    versioned = _Versioned.from_address(address)
    if versioned.major != _MAJOR:
        raise InvalidArgument(f"{name}: found DLPack {versioned.major}, expected version {_MAJOR}")
    return versioned.tensor, versioned.flags


def view(
    name: str, array: Any
) -> tuple[int, str, tuple[int, ...], tuple[int, ...], bool, tuple[Any, Any]]:
    """Address, name of the type, shape, strides in elements, whether it may be written, and what
    keeps it alive."""
    capsule = _capsule_of(name, array)
    tensor, flags = _tensor_of(name, capsule)
    if not 0 <= tensor.ndim <= _RANK_MAX:
        raise InvalidArgument(f"{name}: found {tensor.ndim} dimensions, expected at most 4")
    kind = f"{_KINDS.get(tensor.code, tensor.code)}{tensor.bits}"
    dtype = _TYPES.get((tensor.code, tensor.bits), kind) if tensor.lanes == 1 else "vectors"
    shape = tuple(tensor.shape[: tensor.ndim])
    strides = tuple(tensor.strides[: tensor.ndim]) if tensor.strides else _compact(shape)
    place = tensor.data + tensor.byte_offset if tensor.data else 0
    return place, dtype, shape, strides, not flags & _READ_ONLY, (array, capsule)
