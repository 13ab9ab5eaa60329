# SPDX-License-Identifier: Apache-2.0
"""Finds and loads librapt, and says in ctypes what its headers say in C."""

import ctypes
import ctypes.util
import os
import pathlib
import sys

NONE, F32, BOOL, F16, BF16 = range(5)


class Error(Exception):
    """A call that failed; the text is what the library says about it."""


class InvalidArgument(Error, ValueError):
    """An argument is out of range, or doesn't fit the others."""


class InvalidType(InvalidArgument, TypeError):
    """An argument is of a type that says nothing there."""


class Unsupported(Error, NotImplementedError):
    """The arguments make sense, but this version can't compute that."""


class IsaUnavailable(Error, ValueError):
    """The instruction set asked for is unknown, or this build or machine lacks it."""


class OutOfMemory(Error, MemoryError):
    """Memory for the plan or its workspace could not be allocated."""


_ERRORS = {1: InvalidArgument, 2: Unsupported, 3: IsaUnavailable, 4: OutOfMemory}


class Tensor(ctypes.Structure):
    """rapt_tensor"""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("dtype", ctypes.c_int),
        ("shape", ctypes.c_int64 * 4),
        ("stride", ctypes.c_int64 * 4),
    ]


# bool interrupted(void *context): whether to end a run before it is done.
INTERRUPTED = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p)


class AttentionArgs(ctypes.Structure):
    """rapt_attention_args"""

    _fields_ = [
        ("size", ctypes.c_size_t),
        ("query", Tensor),
        ("key", Tensor),
        ("value", Tensor),
        ("out", Tensor),
        ("key_scale", Tensor),
        ("value_scale", Tensor),
        ("sequences", ctypes.c_int64),
        ("cu_q", ctypes.POINTER(ctypes.c_int64)),
        ("cu_k", ctypes.POINTER(ctypes.c_int64)),
        ("block_table", ctypes.POINTER(ctypes.c_int32)),
        ("block_table_stride", ctypes.c_int64),
        ("mask", Tensor),
        ("mask_start", ctypes.POINTER(ctypes.c_int64)),
        ("alibi", Tensor),
        ("sink", Tensor),
        ("lse", Tensor),
        ("max", Tensor),
        ("weights", Tensor),
        ("weights_kind", ctypes.c_int),
        ("entropy", Tensor),
        ("top_weight", Tensor),
        ("top_key", Tensor),
        ("distance", Tensor),
        ("segments", Tensor),
        ("segment_bounds", ctypes.POINTER(ctypes.c_int64)),
        ("diagonals", Tensor),
        ("diagonal_offsets", ctypes.POINTER(ctypes.c_int64)),
        ("received", Tensor),
        ("scale", ctypes.c_float),
        ("softcap", ctypes.c_float),
        ("causal", ctypes.c_bool),
        ("window_left", ctypes.c_int64),
        ("window_right", ctypes.c_int64),
        ("q_offset", ctypes.POINTER(ctypes.c_int64)),
        ("kv_len", ctypes.POINTER(ctypes.c_int64)),
        ("kv_start", ctypes.POINTER(ctypes.c_int64)),
        ("threads", ctypes.c_int),
        ("isa", ctypes.c_char_p),
        ("interrupted", INTERRUPTED),
        ("interrupted_context", ctypes.c_void_p),
    ]


class AttentionData(ctypes.Structure):
    """rapt_attention_data"""

    _fields_ = [
        (name, ctypes.c_void_p)
        for name in (
            "query key value key_scale value_scale mask alibi sink out lse max weights "
            "entropy top_weight top_key distance segments diagonals received "
            "kv_len kv_start q_offset mask_start block_table".split()
        )
    ]


class Isa(ctypes.Structure):
    """rapt_isa"""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("needs", ctypes.c_char_p),
        ("available", ctypes.c_bool),
        ("lanes", ctypes.c_int),
        ("panel_rows", ctypes.c_int),
        ("tile_rows", ctypes.c_int),
    ]


_Plan = ctypes.c_void_p
_FUNCTIONS = {
    "rapt_default_threads": (ctypes.c_int, []),
    "rapt_attention": (ctypes.c_int, [ctypes.POINTER(AttentionArgs)]),
    "rapt_plan_create": (ctypes.c_int, [ctypes.POINTER(AttentionArgs), ctypes.POINTER(_Plan)]),
    "rapt_plan_destroy": (None, [_Plan]),
    "rapt_plan_workspace_size": (ctypes.c_size_t, [_Plan]),
    "rapt_plan_threads": (ctypes.c_int, [_Plan]),
    "rapt_plan_isa": (ctypes.c_char_p, [_Plan]),
    "rapt_plan_run": (
        ctypes.c_int,
        [_Plan, ctypes.POINTER(AttentionData), ctypes.c_void_p, ctypes.c_size_t],
    ),
    "rapt_isa_list": (ctypes.c_size_t, [ctypes.POINTER(ctypes.POINTER(Isa))]),
    "rapt_last_error": (ctypes.c_char_p, []),
    "rapt_version": (ctypes.c_char_p, []),
}


def _candidates():
    """Where the library may be, the most explicit first."""
    named = os.environ.get("RAPT_LIBRARY")
    if named:
        return [named]
    names = ["librapt.dylib"] if sys.platform == "darwin" else ["librapt.so.0", "librapt.so"]
    beside = [pathlib.Path(__file__).with_name(name) for name in names]
    found = ctypes.util.find_library("rapt")
    return [str(path) for path in beside if path.exists()] + names + ([found] if found else [])


def _load():
    failures = []
    for name in _candidates():
        try:
            return name, ctypes.CDLL(name)
        except OSError as error:
            failures.append(str(error))
    raise ImportError(
        "rapt: librapt can't be loaded: "
        + "; ".join(failures)
        + "; expected it installed, beside this package, or named by RAPT_LIBRARY"
    )


def _declare(library):
    for name, (result, arguments) in _FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise ImportError(f"rapt: {library_path} has no {name}, expected librapt") from None
        function.restype, function.argtypes = result, arguments


def check(status):
    """Raises what a status other than RAPT_OK stands for."""
    if status:
        raise _ERRORS.get(status, Error)(lib.rapt_last_error().decode(errors="replace"))


def default_args():
    """rapt_attention_defaults()"""
    return AttentionArgs(size=ctypes.sizeof(AttentionArgs), window_left=-1, window_right=-1)


def _check_layout():
    """The library refuses args of another size before it looks at anything else in them."""
    lib.rapt_attention(default_args())
    message = lib.rapt_last_error().decode()
    if message.startswith("args: size"):
        raise ImportError(
            f"rapt: {library_path} is of another version than this package: {message}"
        )


def version():
    """The version of the library that was loaded."""
    return lib.rapt_version().decode()


def default_threads():
    """The most threads that a call takes which doesn't say how many."""
    return lib.rapt_default_threads()


def isas():
    """The names of the instruction sets that this build and this machine have, best first."""
    first = ctypes.POINTER(Isa)()
    count = lib.rapt_isa_list(first)
    return [first[i].name.decode() for i in range(count) if first[i].available]


library_path, lib = _load()
_declare(lib)
_check_layout()
