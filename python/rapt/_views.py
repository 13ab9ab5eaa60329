# SPDX-License-Identifier: Apache-2.0
"""Views of arrays where they lie: NumPy's by their own attributes, all others by DLPack."""

import ctypes
import sys
from typing import NamedTuple

import numpy as np

from ._abi import BF16, BOOL, F16, F32, Tensor
from ._library import InvalidArgument, InvalidType, OutOfMemory, Unsupported

_NUMPY_TYPES = {np.dtype("f4"): F32, np.dtype("f2"): F16, np.dtype("?"): BOOL}
_NUMPY_OF = {F32: np.float32, F16: np.float16}
_DLPACK_TYPES = {(2, 32): F32, (2, 16): F16, (4, 16): BF16, (6, 8): BOOL}
_DLPACK_KINDS = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 5: "complex", 6: "bool"}
_HOST = {1, 3}  # kDLCPU, kDLCUDAHost
_RANK_MAX = 64


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


_MAJOR = 1  # of the versions of _Versioned
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
    if isinstance(array, np.ma.MaskedArray):
        raise InvalidType(f"{name}: found a masked array, expected one without a mask of its own")
    dtype = _NUMPY_TYPES.get(array.dtype)
    if dtype is None and array.dtype.name == "bfloat16":
        dtype = BF16
    if dtype is None:
        raise InvalidArgument(
            f"{name}: found dtype {array.dtype}, expected float32, float16, bfloat16 or, for a "
            "mask, bool"
        )
    size = array.itemsize
    if any(stride % size for stride, n in zip(array.strides, array.shape) if n > 1):
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


def is_torch(array):
    """Whether it is a tensor of torch, a Parameter included; torch isn't imported for it."""
    torch = sys.modules.get("torch")
    return isinstance(array, getattr(torch, "Tensor", ()))


def is_jax(array):
    """Whether it is JAX's, whose arrays don't change."""
    return type(array).__module__.partition(".")[0] in ("jax", "jaxlib")


def _is_lazy(array):
    """Whether memory has the numbers but for a sign or a conjugation, as torch's may."""
    return any(
        callable(method := getattr(array, name, None)) and method()
        for name in ("is_neg", "is_conj")
    )


def _export(array):
    try:
        return array.__dlpack__(max_version=(_MAJOR, 0))
    except TypeError:  # an exporter from before versions
        return array.__dlpack__()


def _capsule_of(name, array):
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
                "as they are, by resolve_neg() or resolve_conj()"
            )
        return _export(array)
    except InvalidArgument:
        raise
    except Exception as error:
        raise InvalidArgument(f"{name}: {error}") from error


def _tensor_of(name, capsule):
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
        return _DLTensor.from_address(address), 0
    versioned = _Versioned.from_address(address)
    if versioned.major != _MAJOR:
        raise InvalidArgument(
            f"{name}: found DLPack {versioned.major}, expected version {_MAJOR}"
        )
    return versioned.tensor, versioned.flags


def _of_dlpack(name, array):
    capsule = _capsule_of(name, array)
    tensor, flags = _tensor_of(name, capsule)
    if not 0 <= tensor.ndim <= _RANK_MAX:
        raise InvalidArgument(f"{name}: found {tensor.ndim} dimensions, expected at most 4")
    dtype = _DLPACK_TYPES.get((tensor.code, tensor.bits)) if tensor.lanes == 1 else None
    if dtype is None:
        raise InvalidArgument(
            f"{name}: found dtype {_DLPACK_KINDS.get(tensor.code, tensor.code)}{tensor.bits}, "
            "expected float32, float16, bfloat16 or, for a mask, bool"
        )
    shape = tuple(tensor.shape[: tensor.ndim])
    strides = tuple(tensor.strides[: tensor.ndim]) if tensor.strides else _compact(shape)
    return View(
        tensor.data + tensor.byte_offset if tensor.data else 0,
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
    raise InvalidType(
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


def _copied(name, values):
    """The numbers of what has no way to NumPy but DLPack, as float32."""
    v = view(name, values)
    if v.dtype == BOOL:
        raise InvalidType(f"{name}: found bool, expected numbers")
    if not v.address and 0 not in v.shape:
        raise InvalidArgument(f"{name}: data is NULL, expected the tensor's elements")
    kind = np.dtype(np.uint16 if v.dtype == BF16 else _NUMPY_OF[v.dtype])
    array = np.empty(v.shape, kind)
    for at in np.ndindex(*v.shape):
        place = v.address + sum(i * stride for i, stride in zip(at, v.strides)) * kind.itemsize
        array[at] = np.frombuffer(ctypes.string_at(place, kind.itemsize), kind)[0]
    if v.dtype == BF16:
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32)


def _numbers(name, values):
    """Any numbers as a NumPy array of float32."""
    if hasattr(values, "__dlpack__") and not hasattr(values, "__array__"):
        return _copied(name, values)
    if isinstance(values, np.ma.MaskedArray):
        raise InvalidType(f"{name}: found a masked array, expected one without a mask of its own")
    try:
        if is_torch(values):  # a Parameter's values are all that is wanted of it
            values = values.detach().resolve_neg()
            values = values.float() if values.is_floating_point() else values
        array = np.asarray(values)
    except Exception as error:  # rows of different lengths, or code of the caller's
        raise InvalidType(f"{name}: {error}") from None
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        raise InvalidType(f"{name}: found {array.dtype}, expected numbers")
    with np.errstate(over="ignore"):
        converted = np.asarray(array, dtype=np.float32)
    if np.isinf(converted).any() and not np.isinf(array).any():
        raise InvalidArgument(f"{name}: found a number beyond 3.4e38, the largest float32")
    return converted


def floats(name, values):
    """The view (B or 1, Hq, 1, 1) of numbers for heads: f32 as they are, all else converted."""
    array = _numbers(name, values)
    if array.ndim not in (1, 2):
        raise InvalidArgument(
            f"{name}: found {array.ndim} dimensions, expected (heads) or (batch, heads)"
        )
    return _of_numpy(name, (array if array.ndim == 2 else array[None])[:, :, None, None])


def _numpy_type(name, dtype):
    if dtype != BF16:
        return _NUMPY_OF[dtype]
    try:
        import ml_dtypes  # NumPy has no such type of its own
    except ImportError:
        raise Unsupported(
            f"{name}: found bfloat16, which NumPy has by ml_dtypes only, expected that or an out"
        ) from None
    return ml_dtypes.bfloat16


def empty_like(name, array, dtype, shape):
    """A new array of the kind of another one: torch's for torch's, NumPy's for all others."""
    try:
        if is_torch(array):
            torch = sys.modules["torch"]
            types = {F32: torch.float32, F16: torch.float16, BF16: torch.bfloat16}
            return torch.empty(shape, dtype=types[dtype], device="cpu")
        return np.empty(shape, _numpy_type(name, dtype))
    except KeyError:
        raise InvalidArgument("q: found bool, expected float32, float16 or bfloat16") from None
    except (MemoryError, ValueError, RuntimeError, OverflowError) as error:
        if isinstance(error, Unsupported):
            raise
        raise OutOfMemory(f"{name}: no memory for an array of {shape}") from None


def to_jax(array):
    """A JAX array of the same numbers."""
    return sys.modules["jax"].numpy.array(array)


__all__ = [
    "Tensor",
    "View",
    "broadcast",
    "empty_like",
    "floats",
    "is_jax",
    "to_jax",
    "view",
    "view4",
]
