# SPDX-License-Identifier: Apache-2.0
"""Arrays that can be had by DLPack alone: NumPy's, and memory that is described by hand."""

import ctypes
import weakref

import numpy as np

from rapt import _dlpack

_new = ctypes.pythonapi.PyCapsule_New
_new.restype = ctypes.py_object
_new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class Exported:
    """A NumPy array that hides what it is."""

    def __init__(self, array):
        self.array = array

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)


class Copying:
    """An exporter whose capsule is all that keeps the memory: each export is a copy."""

    def __init__(self, array):
        self.array, self.alive = array, []

    def __dlpack_device__(self):
        return 1, 0

    def __dlpack__(self, **options):
        copy = self.array.copy()
        token = object()
        self.alive.append(token)
        weakref.finalize(copy, self.alive.remove, token)
        return copy.__dlpack__(**options)


class Lazy(Exported):
    """What torch has of a tensor that is negated when it is read."""

    def __init__(self, array, *, neg=False, conj=False):
        super().__init__(array)
        self.is_neg, self.is_conj = (lambda: neg), (lambda: conj)


class Refusing:
    """Whatever an exporter may do instead of exporting."""

    def __init__(self, result=None, error=None, device=(1, 0)):
        self.result, self.error, self.device = result, error, device

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, **options):
        if self.error:
            raise self.error
        return self.result


class Described:
    """Memory of a NumPy array under another type (code, bits), on some device; compact."""

    def __init__(self, array, code, bits, *, device=1, skip=0, read_only=None, major=1):
        self.array, self.device = array, device
        shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        tensor = _dlpack._Tensor(
            data=array.ctypes.data - skip,
            device_type=device,
            ndim=array.ndim,
            code=code,
            bits=bits,
            lanes=1,
            shape=shape,
            byte_offset=skip,
        )
        if read_only is None:
            self.managed, self.name = tensor, b"dltensor"
        else:
            self.managed = _dlpack._Versioned(major=major, flags=int(read_only), tensor=tensor)
            self.name = b"dltensor_versioned"

    def __dlpack_device__(self):
        return self.device, 0

    def __dlpack__(self):
        return _new(ctypes.addressof(self.managed), self.name, None)


def bf16_of(array):
    """The bits of float32 rounded to bfloat16, as uint16, and what they stand for."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    upper = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return upper, (upper.astype(np.uint32) << 16).view(np.float32)
