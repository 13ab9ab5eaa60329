# SPDX-License-Identifier: Apache-2.0
"""Views of arrays where they lie: NumPy's and torch's by their attributes, all others by DLPack.

Neither NumPy nor torch is imported for that: whoever passes an array of theirs has done so.
"""

import ctypes
import struct
import sys
from typing import Any, NamedTuple

from . import _dlpack
from ._abi import BF16, BOOL, F16, F32, I8, I32, Q8_0, Tensor
from ._library import InvalidArgument, InvalidType, OutOfMemory, Unsupported

_NUMPY_TYPES = {"float32": F32, "float16": F16, "bool": BOOL, "bfloat16": BF16}
_NUMPY_NAMES = {F32: "float32", F16: "float16", I32: "int32"}
_QUANTIZED = {"int8": I8, "uint8": Q8_0}
_CONVERTED = ("q", "k", "v", "mask")  # where the caller asks for it
_EXPECTED = "expected float32, float16, bfloat16 or, for a mask, bool"
_EXPECTED_KEYS = "expected float32, float16, bfloat16, int8 or, as blocks of q8_0, uint8"
Q8_0_BYTES, Q8_0_ELEMENTS = 34, 32
_PACKED = struct.Struct("@Pi8q")  # a rapt_tensor, at a third of what ctypes takes for its fields
assert _PACKED.size == ctypes.sizeof(Tensor)
_pack_into = _PACKED.pack_into


class View(NamedTuple):
    """A tensor's memory; strides are counted in elements, and `owner` keeps it alive."""

    address: int
    dtype: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    writeable: bool
    owner: Any

    def same_form(self, other: "View") -> bool:
        """Whether a plan made for one of them can run on the other."""
        return (self.dtype, self.shape, self.strides) == (other.dtype, other.shape, other.strides)

    def fill(self, tensor: Tensor) -> None:
        """Writes a view of four dimensions to a rapt_tensor."""
        _pack_into(tensor, 0, self.address, self.dtype, *self.shape, *self.strides)


def numpy() -> Any:
    """NumPy, for a result that is to be its array."""
    try:
        import numpy
    except ImportError:
        raise Unsupported("numpy: found none, expected it for a result that is an array") from None
    return numpy


def is_numpy(array: object) -> bool:
    """Whether it is an array of NumPy's."""
    return isinstance(array, getattr(sys.modules.get("numpy"), "ndarray", ()))


def is_torch(array: object) -> bool:
    """Whether it is a tensor of torch, a Parameter included; torch isn't imported for it."""
    return isinstance(array, getattr(sys.modules.get("torch"), "Tensor", ()))


def is_jax(array: object) -> bool:
    """Whether it is JAX's, whose arrays don't change."""
    return type(array).__module__.partition(".")[0] in ("jax", "jaxlib")


def address(array: Any) -> int:
    """Of the first element of a NumPy array."""
    return int(array.__array_interface__["data"][0])


def _type_of(name: str, found: str, quantized: bool) -> int:
    """The storage type of that name; quantized: keys and values may be."""
    dtype = _NUMPY_TYPES.get(found) or (_QUANTIZED.get(found) if quantized else None)
    if dtype is None:
        can_be = name in _CONVERTED and found.startswith(("float", "int", "uint"))
        more = ", or convert=True" if can_be else ""
        raise InvalidArgument(
            f"{name}: found dtype {found}, {_EXPECTED_KEYS if quantized else _EXPECTED}{more}"
        )
    return dtype


def type_name(dtype: int) -> str:
    """The name of a storage type, as users know it."""
    names = {number: name for name, number in _NUMPY_TYPES.items()}
    return {**names, I8: "int8", Q8_0: "q8_0", I32: "int32"}.get(dtype, "none")


def _in_blocks(name: str, v: View) -> View:
    """Bytes of q8_0 blocks, as GGUF files have them, seen as the elements that they hold."""
    width = v.shape[-1] if v.shape else 1
    steps = [step for step, n in zip(v.strides[:-1], v.shape) if n > 1]
    if width % Q8_0_BYTES or v.strides[-1] != 1 or any(step % Q8_0_BYTES for step in steps):
        raise InvalidArgument(
            f"{name}: found uint8 of shape {v.shape} and strides {v.strides}, expected blocks of "
            f"q8_0: rows of {Q8_0_BYTES} bytes for {Q8_0_ELEMENTS} channels, one after the other"
        )
    strides = tuple(step // Q8_0_BYTES * Q8_0_ELEMENTS for step in v.strides[:-1])
    shape = (*v.shape[:-1], width // Q8_0_BYTES * Q8_0_ELEMENTS)
    return v._replace(shape=shape, strides=(*strides, 1))


def _of_numpy(name: str, array: Any, quantized: bool = False) -> View:
    if isinstance(array, getattr(sys.modules.get("numpy.ma"), "MaskedArray", ())):
        raise InvalidType(f"{name}: found a masked array, expected one without a mask of its own")
    found = array.dtype.name if array.dtype.isnative else str(array.dtype)
    dtype, size = _type_of(name, found, quantized), array.itemsize
    if any(stride % size for stride, n in zip(array.strides, array.shape) if n > 1):
        raise InvalidArgument(
            f"{name}: found strides of {array.strides} bytes, expected multiples of {size}"
        )
    strides = tuple(stride // size for stride in array.strides)
    return View(address(array), dtype, array.shape, strides, array.flags.writeable, array)


def _refuse_torch(name: str, tensor: Any, torch: Any) -> None:
    """What is a tensor for torch, but has no plain memory here."""
    if tensor.is_nested:
        raise InvalidArgument(f"{name}: found a nested tensor, expected a dense one")
    if tensor.layout is not torch.strided or tensor.is_quantized:
        what = "a quantized" if tensor.is_quantized else f"a {str(tensor.layout)[6:]}"
        raise InvalidArgument(f"{name}: found {what} tensor, expected a dense one")
    if tensor.device.type != "cpu":
        raise InvalidArgument(
            f"{name}: found a tensor on another device, {tensor.device}, expected the CPU's memory"
        )
    if tensor.is_conj() or tensor.is_neg():
        raise InvalidArgument(
            f"{name}: found a tensor that is negated or conjugated lazily, expected numbers "
            "as they are, by resolve_neg() or resolve_conj()"
        )
    if tensor.requires_grad and torch.is_grad_enabled():
        raise InvalidArgument(
            f"{name}: found a tensor that requires grad, expected torch.no_grad(), a detached "
            "tensor, or rapt.torch.scaled_dot_product_attention, which has gradients"
        )


def of_plain_torch(name: str, tensor: Any, place: int, quantized: bool) -> View:
    """The view of a tensor that is known to have its numbers there."""
    dtype = _type_of(name, str(tensor.dtype)[6:], quantized)
    shape, strides = tuple(tensor.shape), tensor.stride()
    if 0 not in shape:
        last = sum((n - 1) * stride for n, stride in zip(shape, strides))
        storage = tensor.untyped_storage()
        if place + (last + 1) * tensor.itemsize > storage.data_ptr() + storage.nbytes():
            raise InvalidArgument(
                f"{name}: found a tensor that reaches beyond its storage of {storage.nbytes()} "
                "bytes, expected one within it"
            )
    v = View(place, dtype, shape, strides, True, tensor)
    return v if dtype != Q8_0 else _in_blocks(name, v)


def _of_torch(name: str, tensor: Any, quantized: bool = False) -> View:
    torch = sys.modules["torch"]
    try:
        _refuse_torch(name, tensor, torch)
    except (RuntimeError, ValueError) as error:
        if isinstance(error, InvalidArgument):
            raise
        raise InvalidArgument(f"{name}: {error}") from None  # one that isn't initialised
    try:  # a trace's tensors say that they are on the CPU, but not where their storage is
        place = tensor.data_ptr() if tensor.untyped_storage().device.type == "cpu" else 0
    except (RuntimeError, NotImplementedError):
        place = 0
    if not place and tensor.numel():
        raise InvalidArgument(
            f"{name}: found a tensor without memory of its own, as under a transformation or in "
            "a trace, expected one with numbers"
        )
    return of_plain_torch(name, tensor, place, quantized)


def view(name: str, array: Any, quantized: bool = False) -> View:
    """The view of an array of any number of dimensions; quantized: also of int8 and q8_0."""
    if isinstance(array, View):
        return array
    if is_torch(array):
        return _of_torch(name, array, quantized)
    if is_numpy(array):
        v = _of_numpy(name, array, quantized)
    elif hasattr(array, "__dlpack__"):
        place, found, shape, strides, writeable, owner = _dlpack.view(name, array)
        v = View(place, _type_of(name, found, quantized), shape, strides, writeable, owner)
    elif hasattr(array, "__array_interface__"):
        try:
            described = numpy().asarray(array)
        except Exception as error:  # a description that describes nothing
            raise InvalidArgument(f"{name}: {error}") from None
        v = _of_numpy(name, described, quantized)
    else:
        raise InvalidType(
            f"{name}: found {type(array).__name__}, expected a NumPy array, a torch tensor or one "
            "with __dlpack__"
        )
    return v if v.dtype != Q8_0 else _in_blocks(name, v)


def view4(name: str, array: Any, swap: bool, quantized: bool = False) -> View:
    """The view (batch, head, position, channel) of an array of 2 to 4 dimensions.

    The first ones may be missing and are 1 then. swap: positions come before heads.
    """
    v = view(name, array, quantized)
    rank = len(v.shape)
    if not 2 <= rank <= 4:
        raise InvalidArgument(f"{name}: found {rank} dimensions, expected 2 to 4")
    if swap and rank > 2:
        *first, positions, heads, channels = v.shape
        *first_steps, position_step, head_step, step = v.strides
        shape = (*first, heads, positions, channels)
        strides = (*first_steps, head_step, position_step, step)
        v = View(v.address, v.dtype, shape, strides, v.writeable, v.owner)
    return extended(v)


def extended(v: View) -> View:
    """A view of four dimensions, ones before those that it has."""
    more = 4 - len(v.shape)
    if not more:
        return v
    shape, strides = (1,) * more + v.shape, (0,) * more + v.strides
    return View(v.address, v.dtype, shape, strides, v.writeable, v.owner)


def broadcast(name: str, array: Any) -> View:
    """The view of an array of up to four dimensions, ones before those that it has."""
    v = view(name, array)
    if len(v.shape) > 4:
        raise InvalidArgument(f"{name}: found {len(v.shape)} dimensions, expected at most 4")
    return extended(v)


def empty_like(name: str, array: Any, dtype: int, shape: tuple[int, ...]) -> Any:
    """A new array of the kind of another one: torch's for torch's, NumPy's for all others."""
    try:
        if is_torch(array):
            torch = sys.modules["torch"]
            types = {
                F32: torch.float32,
                F16: torch.float16,
                BF16: torch.bfloat16,
                I32: torch.int32,
            }
            return torch.empty(shape, dtype=types[dtype], device="cpu")
        np = numpy()
        return np.empty(shape, _numpy_type(name, dtype))
    except KeyError:
        raise InvalidArgument("q: found bool, expected float32, float16 or bfloat16") from None
    except (MemoryError, ValueError, RuntimeError, OverflowError) as error:
        if isinstance(error, Unsupported):
            raise
        raise OutOfMemory(f"{name}: no memory for an array of {shape}") from None


def _numpy_type(name: str, dtype: int) -> Any:
    if dtype != BF16:
        return _NUMPY_NAMES[dtype]
    try:
        import ml_dtypes  # NumPy has no such type of its own
    except ImportError:
        raise Unsupported(
            f"{name}: found bfloat16, which NumPy has by ml_dtypes only, expected that or an out"
        ) from None
    return ml_dtypes.bfloat16


def to_jax(array: Any) -> Any:
    """A JAX array of the same numbers."""
    return sys.modules["jax"].numpy.array(array)
