# SPDX-License-Identifier: Apache-2.0
"""Views of arrays where they lie: NumPy's by their own attributes, all others by DLPack."""

import ctypes
import sys
from typing import NamedTuple

import numpy as np

from ._library import BF16, BOOL, F16, F32, InvalidArgument, Tensor

_NUMPY_TYPES = {np.dtype("f4"): F32, np.dtype("f2"): F16, np.dtype("?"): BOOL}
_DLPACK_TYPES = {(2, 32): F32, (2, 16): F16, (4, 16): BF16, (6, 8): BOOL}
_DLPACK_KINDS = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 5: "complex", 6: "bool"}
_HOST = {1, 3}  # kDLCPU, kDLCUDAHost


class View(NamedTuple):
    """A tensor's memory; strides are counted in elements, and `owner` keeps it alive."""

    address: int
    dtype: int
    shape: tuple
    strides: tuple
    writeable: bool
    owner: object

    def same_form(self, other):
        """Whether a plan made for one of them can run on the other."""
        return (self.dtype, self.shape, self.strides) == (other.dtype, other.shape, other.strides)

    def fill(self, tensor):
        """Writes a view of four dimensions to a rapt_tensor."""
        tensor.data, tensor.dtype = self.address, self.dtype
        tensor.shape[:], tensor.stride[:] = self.shape, self.strides


class _DLTensor(ctypes.Structure):
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
        ("tensor", _DLTensor),
    ]


_READ_ONLY = 1

_capsule_name = ctypes.pythonapi.PyCapsule_GetName
_capsule_name.restype, _capsule_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p
_capsule_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


def _compact(shape):
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def address(array):
    """Of the first element of a NumPy array."""
    return array.__array_interface__["data"][0]


def same_array_form(array, other):
    """Whether two NumPy arrays can stand for each other; false for all else, at little cost."""
    return (
        type(array) is type(other) is np.ndarray
        and array.dtype == other.dtype
        and array.shape == other.shape
        and array.strides == other.strides
        and (array.flags.writeable or not other.flags.writeable)
    )


def _of_numpy(name, array):
    dtype = _NUMPY_TYPES.get(array.dtype)
    if dtype is None and array.dtype.name == "bfloat16":
        dtype = BF16
    if dtype is None:
        raise InvalidArgument(
            f"{name}: found dtype {array.dtype}, expected float32, float16, bfloat16 or, for a "
            "mask, bool"
        )
    size = array.itemsize
    if any(stride % size for stride in array.strides):
        raise InvalidArgument(
            f"{name}: found strides of {array.strides} bytes, expected multiples of {size}"
        )
    return View(
        address(array),
        dtype,
        array.shape,
        tuple(stride // size for stride in array.strides),
        array.flags.writeable,
        array,
    )


def _export(array):
    try:
        return array.__dlpack__(max_version=(1, 0))
    except TypeError:  # an exporter from before versions
        return array.__dlpack__()


def _of_dlpack(name, array):
    if array.__dlpack_device__()[0] not in _HOST:
        raise InvalidArgument(
            f"{name}: found a tensor on another device, expected the CPU's memory"
        )
    try:
        capsule = _export(array)
    except (BufferError, RuntimeError) as error:
        raise InvalidArgument(f"{name}: {error}") from None
    kind = _capsule_name(capsule)
    address, flags = _capsule_pointer(capsule, kind), 0
    if kind == b"dltensor_versioned":
        versioned = _Versioned.from_address(address)
        tensor, flags = versioned.tensor, versioned.flags
    else:
        tensor = _DLTensor.from_address(address)
    dtype = _DLPACK_TYPES.get((tensor.code, tensor.bits)) if tensor.lanes == 1 else None
    if dtype is None:
        raise InvalidArgument(
            f"{name}: found dtype {_DLPACK_KINDS.get(tensor.code, tensor.code)}{tensor.bits}, "
            "expected float32, float16, bfloat16 or, for a mask, bool"
        )
    shape = tuple(tensor.shape[: tensor.ndim])
    strides = tuple(tensor.strides[: tensor.ndim]) if tensor.strides else _compact(shape)
    return View(
        (tensor.data or 0) + tensor.byte_offset,
        dtype,
        shape,
        strides,
        not flags & _READ_ONLY,
        (array, capsule),
    )


def view(name, array):
    """The view of an array of any number of dimensions."""
    if isinstance(array, np.ndarray):
        return _of_numpy(name, array)
    if hasattr(array, "__dlpack__"):
        return _of_dlpack(name, array)
    if hasattr(array, "__array_interface__"):
        return _of_numpy(name, np.asarray(array))
    raise InvalidArgument(
        f"{name}: found {type(array).__name__}, expected a NumPy array or one with __dlpack__"
    )


def view4(name, array, swap):
    """The view (batch, head, position, channel), of an array that has the middle two swapped."""
    v = view(name, array)
    if len(v.shape) != 4:
        raise InvalidArgument(f"{name}: found {len(v.shape)} dimensions, expected 4")
    if not swap:
        return v
    order = (0, 2, 1, 3)
    return v._replace(
        shape=tuple(v.shape[i] for i in order), strides=tuple(v.strides[i] for i in order)
    )


def broadcast(name, array):
    """The view of an array of up to four dimensions, ones before those that it has."""
    v = view(name, array)
    more = 4 - len(v.shape)
    if more < 0:
        raise InvalidArgument(f"{name}: found {len(v.shape)} dimensions, expected at most 4")
    return v._replace(shape=(1,) * more + v.shape, strides=(0,) * more + v.strides)


def floats(name, values):
    """The view (B or 1, Hq, 1, 1) of numbers for heads: f32 as they are, all else converted."""
    array = np.asarray(values, dtype=np.float32)
    if array.ndim not in (1, 2):
        raise InvalidArgument(
            f"{name}: found {array.ndim} dimensions, expected (heads) or (batch, heads)"
        )
    return _of_numpy(name, (array if array.ndim == 2 else array[None])[:, :, None, None])


def empty_like(array, dtype, shape):
    """A new array of the kind of another one: torch's for torch's, NumPy's for all others.

    A dtype of None is the other one's.
    """
    if type(array).__module__.partition(".")[0] == "torch":
        torch = sys.modules["torch"]
        return torch.empty(shape, dtype=torch.float32 if dtype == F32 else array.dtype)
    if dtype == F32:
        return np.empty(shape, np.float32)
    if isinstance(array, np.ndarray):
        return np.empty(shape, array.dtype)
    kind = _of_dlpack("q", array).dtype
    if kind == BF16:
        import ml_dtypes  # NumPy has no such type of its own

        return np.empty(shape, ml_dtypes.bfloat16)
    return np.empty(shape, np.float16 if kind == F16 else np.float32)


__all__ = ["Tensor", "View", "broadcast", "empty_like", "floats", "view", "view4"]
