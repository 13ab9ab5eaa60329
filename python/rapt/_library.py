# SPDX-License-Identifier: Apache-2.0
"""Finds and loads librapt, and turns its statuses into exceptions."""

import ctypes
import ctypes.util
import importlib.metadata
import os
import pathlib
import sys
import sysconfig

from . import _abi


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


_ERRORS = {
    _abi.INVALID_ARGUMENT: InvalidArgument,
    _abi.UNSUPPORTED: Unsupported,
    _abi.ISA_UNAVAILABLE: IsaUnavailable,
    _abi.OUT_OF_MEMORY: OutOfMemory,
}


def _candidates() -> list[str]:
    """Where the library may be, the most explicit first."""
    named = os.environ.get("RAPT_LIBRARY")
    if named:
        return [named]
    names = ["librapt.dylib"] if sys.platform == "darwin" else ["librapt.so.0", "librapt.so"]
    package = pathlib.Path(__file__).parent
    beside = [package / name for name in names]
    # A wheel has it in a folder beside the package, where other wheels' libraries can't meet it.
    for root in package.parent, pathlib.Path(sysconfig.get_path("platlib")):
        beside += sorted((root / ".rapt_attention.mesonpy.libs").glob("librapt.*"))
    found = ctypes.util.find_library("rapt")
    return [str(path) for path in beside if path.exists()] + names + ([found] if found else [])


def _load() -> tuple[str, ctypes.CDLL]:
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
        + _other_project()
    )


def _other_project() -> str:
    """PyPI's "rapt", whose module has this one's name, so that each overwrites the other."""
    try:
        found = importlib.metadata.version("rapt")
    except importlib.metadata.PackageNotFoundError:
        return ""
    return (
        f". The distribution rapt {found}, another project, is installed in the same place: "
        "uninstall it, and install rapt-attention again"
    )


def _declare(library: ctypes.CDLL) -> None:
    for name, (result, arguments) in _abi.FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise ImportError(f"rapt: {library_path} has no {name}, expected librapt") from None
        function.restype, function.argtypes = result, arguments


def check(status: int, message: bytes | None = None) -> None:
    """Raises what a status other than RAPT_OK stands for, with the library's last error or its own
    message."""
    if status:
        text = lib.rapt_last_error() if message is None else message
        raise _ERRORS.get(status, Error)(text.decode(errors="replace"))


def default_args() -> _abi.AttentionArgs:
    """rapt_attention_defaults()"""
    size = ctypes.sizeof(_abi.AttentionArgs)
    return _abi.AttentionArgs(size=size, window_left=-1, window_right=-1)


def _check_layout() -> None:
    """The library refuses args of another size before it looks at anything else in them."""
    lib.rapt_attention(default_args())
    message = lib.rapt_last_error().decode()
    if message.startswith("args: size"):
        raise ImportError(
            f"rapt: {library_path} is of another version than this package: {message}"
        )


def version() -> str:
    """The version of the library that was loaded."""
    return str(lib.rapt_version().decode())


def default_threads() -> int:
    """The most threads that a call takes which doesn't say how many."""
    return int(lib.rapt_default_threads())


def isas() -> list[str]:
    """The names of the instruction sets that this build and this machine have, best first."""
    first = ctypes.POINTER(_abi.Isa)()
    count = lib.rapt_isa_list(first)
    return [first[i].name.decode() for i in range(count) if first[i].available]


library_path, lib = _load()
_declare(lib)
_check_layout()
