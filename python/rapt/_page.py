# SPDX-License-Identifier: Apache-2.0
"""librapt_page, which writes pages: cli/page/page.h in ctypes, which a test compares."""

import ctypes
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from . import _abi, _library
from ._calls import _INTERRUPTED, Call
from ._views import View

AS_GIVEN, FOUND, BOTH = range(3)
_ERROR_SIZE = 512


class Sight(ctypes.Structure):
    """struct sight"""

    _fields_ = [
        ("queries", ctypes.c_int64),
        ("keys", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("causal", ctypes.c_bool),
        ("left", ctypes.c_int64),
        ("right", ctypes.c_int64),
    ]


class Layer(ctypes.Structure):
    """struct page_layer"""

    _fields_ = [
        ("number", ctypes.c_int64),
        ("heads", ctypes.POINTER(ctypes.c_int64)),
        ("head_count", ctypes.c_int64),
        ("weights", _abi.Tensor),
        ("query", _abi.Tensor),
        ("key", _abi.Tensor),
    ]


class Text(ctypes.Structure):
    """struct page_text"""

    _fields_ = [
        ("text", ctypes.c_char_p),
        ("keys", ctypes.POINTER(ctypes.c_char_p)),
        ("queries", ctypes.POINTER(ctypes.c_char_p)),
        ("sight", Sight),
        ("first_key", ctypes.c_int64),
        ("shown_keys", ctypes.c_int64),
        ("layers", ctypes.POINTER(Layer)),
        ("scale", ctypes.c_float),
        ("softcap", ctypes.c_float),
    ]


class Description(ctypes.Structure):
    """struct page"""

    _fields_ = [
        ("size", ctypes.c_size_t),
        ("text_size", ctypes.c_size_t),
        ("layer_size", ctypes.c_size_t),
        ("model", ctypes.c_char_p),
        ("texts", ctypes.POINTER(Text)),
        ("text_count", ctypes.c_int64),
        ("layer_count", ctypes.c_int64),
        ("views", ctypes.c_int64),
        ("group", ctypes.c_int64),
        ("threads", ctypes.c_int64),
        ("isa", ctypes.c_char_p),
        ("interrupted", _INTERRUPTED),
        ("interrupted_context", ctypes.c_void_p),
    ]


def tensor(view: View) -> _abi.Tensor:
    """A view of four dimensions as a rapt_tensor."""
    made = _abi.Tensor()
    view.fill(made)
    return made


def strings(texts: Sequence[str]) -> Any:
    """A C array of UTF-8; what UTF-8 or C has no way to say becomes a question mark or U+2400."""
    codes = [text.replace("\0", "\u2400").encode(errors="replace") for text in texts]
    return (ctypes.c_char_p * len(codes))(*codes)


def layer(number: int, heads: Sequence[int], **tensors: View) -> Layer:
    """A layer with `weights`, or with `query` and `key`."""
    numbers = (ctypes.c_int64 * len(heads))(*heads)
    made = Layer(number, numbers, len(heads))
    for name, view in tensors.items():
        setattr(made, name, tensor(view))
    return made


def _candidates() -> list[str]:
    """The library of this name beside librapt, where an installation has it or a build folder."""
    path = pathlib.Path(_library.library_path)
    name = path.name.replace("rapt", "rapt_page", 1)
    if path.parent == pathlib.Path():  # found by the system
        return [name]
    return [str(path.parent / name), str(path.parent.parent / "cli/page" / name)]


def _load() -> ctypes.CDLL:
    failures = []
    for name in _candidates():
        if os.sep in name and not os.path.exists(name):
            failures.append(f"{name}: no such file")
            continue
        try:
            library = ctypes.CDLL(name)
            library.rapt_page_write.restype = ctypes.c_int
            library.rapt_page_free.restype = None
            return library
        except (OSError, AttributeError) as error:
            failures.append(str(error))
    raise _library.Unsupported(
        f"show: librapt_page can't be loaded: {'; '.join(failures)}; expected it beside librapt"
    )


_loaded: list[ctypes.CDLL] = []


def write(description: Any, flops: float) -> str:
    """The page of a Description as HTML; about how many operations that takes says whether a signal
    may want to end it."""
    if not _loaded:
        _loaded.append(_load())
    (library,) = _loaded
    description.size = ctypes.sizeof(Description)
    description.text_size, description.layer_size = ctypes.sizeof(Text), ctypes.sizeof(Layer)
    text, size = ctypes.c_void_p(), ctypes.c_size_t()
    error = ctypes.create_string_buffer(_ERROR_SIZE)

    def call() -> None:
        status = library.rapt_page_write(
            ctypes.byref(description), ctypes.byref(text), ctypes.byref(size), error
        )
        _library.check(status, error.value)

    Call(description, flops).make(call)
    try:
        return ctypes.string_at(text.value or 0, size.value).decode()
    finally:
        library.rapt_page_free(text)
