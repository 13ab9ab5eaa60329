# SPDX-License-Identifier: Apache-2.0
"""What a caller has of attention, as views of layers: (1, heads, queries, keys or channels)."""

import itertools
from collections.abc import Sequence
from typing import Any

from ._abi import BOOL, F32
from ._library import InvalidArgument, InvalidType, OutOfMemory
from ._options import integer, shown
from ._views import View, extended, is_numpy, is_torch, numpy, view

WHICH = ("attentions", "encoder", "decoder", "cross")
MOST_HEADS = 10**6  # of all layers: a page of more is one that no browser shows
_LEAST = 2  # dimensions of an array of weights, or of queries and keys


def _is_array(value: Any) -> bool:
    return hasattr(value, "__dlpack__") or hasattr(value, "__array_interface__")


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _of_torch(name: str, tensor: Any) -> Any:
    try:
        tensor = tensor.detach().cpu().resolve_neg()
        known = str(tensor.dtype) in ("torch.float32", "torch.float16", "torch.bfloat16")
        is_number = not tensor.is_complex() and str(tensor.dtype) != "torch.bool"
        return tensor if known or not is_number else tensor.float()
    except Exception as error:  # of a tensor without numbers, or on a device that is gone
        raise InvalidArgument(f"{name}: {error}") from None


def _plain(name: str, array: Any) -> Any:
    """An array in this machine's memory, without gradients, of a type that the library reads."""
    if is_torch(array):
        return _of_torch(name, array)
    try:
        if not _is_array(array):
            return numpy().asarray(array, dtype="float32")
        if is_numpy(array) and array.dtype.kind in "fiu":
            known = array.dtype.isnative and array.dtype.name in ("float32", "float16")
            return array if known else array.astype("float32")
    except (TypeError, ValueError, OverflowError) as error:  # the last of a huge integer
        raise InvalidType(f"{name}: {error}") from None
    except MemoryError as error:
        raise OutOfMemory(f"{name}: {error}, expected float32, which isn't copied") from None
    return array


def part(view: View, axis: int, first: int, count: int) -> View:
    """So many of one axis."""
    size = 4 if view.dtype == F32 else 2  # bytes of an element; all others that are read are halves
    return view._replace(
        address=view.address + first * view.strides[axis] * size,
        shape=(*view.shape[:axis], count, *view.shape[axis + 1 :]),
    )


def _one_sequence(name: str, found: View, batch: int | None) -> View:
    """A view of one sequence of the batch."""
    count = found.shape[0]
    if batch is None and count != 1:
        raise InvalidArgument(
            f"{name}: found a batch of {count}, expected 1, or batch= to choose a sequence"
        )
    return part(found, 0, 0 if batch is None else integer("batch", batch, 0, count - 1), 1)


def _layer(name: str, array: Any, batch: int | None) -> View:
    found = view(name, _plain(name, array))
    if not _LEAST <= len(found.shape) <= 4:
        raise InvalidArgument(
            f"{name}: found {len(found.shape)} dimensions, expected 2 to 4 for a layer"
        )
    if found.dtype == BOOL:
        raise InvalidArgument(f"{name}: found dtype bool, expected numbers")
    if 0 in found.shape:
        raise InvalidArgument(f"{name}: found shape {found.shape}, expected no dimension of 0")
    return _one_sequence(name, extended(found), batch)


def _parts(name: str, value: Any) -> list[Any]:
    """The layers of a sequence, or of an array, which is one layer unless it has 5 dimensions."""
    if _is_sequence(value) and not value:
        raise InvalidArgument(f"{name}: found no layers, expected one or more")
    if _is_sequence(value) and any(map(_is_sequence, value)):
        if any(_is_array(part) for inner in value if _is_sequence(inner) for part in inner):
            raise InvalidArgument(
                f"{name}: found layers within layers, as generate() gives for each of its steps, "
                f"expected those of one step: {name}[0]"
            )
        return [value]  # numbers in lists
    if _is_sequence(value):
        return list(value)
    if getattr(value, "ndim", 0) == 5:
        if value.shape[0] > MOST_HEADS:
            raise InvalidArgument(
                f"{name}: found {value.shape[0]} layers, expected at most {MOST_HEADS}"
            )
        return [value[i] for i in range(value.shape[0])]
    return [value]


def chosen(name: str, value: Any, count: int) -> Sequence[int]:
    """The numbers that a caller chooses of so many; all of them for None."""
    if value is None:
        return range(count)
    if isinstance(value, (str, bytes)):
        raise InvalidType(f"{name}: found {shown(value)}, expected an integer or several")
    try:
        several = value if hasattr(value, "__iter__") else [value]
        values = list(itertools.islice(several, MOST_HEADS + 1))
    except TypeError:  # an array without dimensions
        values = [value]
    numbers = [integer(name, one, -count, count - 1) % count for one in values]
    if len(numbers) > MOST_HEADS:
        raise InvalidArgument(f"{name}: found more than {MOST_HEADS}, expected at most so many")
    if not numbers or len(set(numbers)) < len(numbers):
        raise InvalidArgument(f"{name}: found {shown(value)}, expected numbers, each of them once")
    return numbers


def read(name: str, value: Any, layers: Any, batch: int | None) -> list[tuple[int, View]]:
    """The chosen layers and their numbers. None stands for a layer that has no attention."""
    parts = _parts(name, value)
    numbers = chosen("layers", layers, len(parts))
    there = [number for number in numbers if parts[number] is not None]
    if not there:
        raise InvalidArgument(f"{name}: found None in all layers, expected arrays")
    if layers is not None and len(there) < len(numbers):
        raise InvalidArgument(
            f"layers: found one without attention, expected some of "
            f"{[i for i, part in enumerate(parts) if part is not None]}"
        )
    several = len(parts) > 1
    return [
        (number, _layer(f"{name}[{number}]" if several else name, parts[number], batch))
        for number in there
    ]


def _attribute(which: str) -> str:
    return which if which == "attentions" else f"{which}_attentions"


def _has_any(output: Any) -> bool:
    return any(hasattr(output, _attribute(which)) for which in WHICH)


def _is_there(attentions: Any) -> bool:
    """Models that have no such attention give None or nothing."""
    return attentions is not None and not (_is_sequence(attentions) and not attentions)


def _chosen_of(output: Any, which: str | None) -> str:
    """Which of an output's attentions is meant."""
    there = [one for one in WHICH if _is_there(getattr(output, _attribute(one), None))]
    if which in there:
        return str(which)
    if which is not None or not there:
        raise InvalidArgument(
            f"attention: found an output without {_attribute(which or 'attentions')}, expected one "
            'of a call with output_attentions=True, of a model with attn_implementation="eager" or '
            "rapt's"
        )
    if len(there) > 1:
        raise InvalidArgument(
            f"which: found {' and '.join(map(_attribute, there))}, expected which= to be one of "
            f"{', '.join(there)}"
        )
    return there[0]


def of_output(attention: Any, which: str | None) -> Any:
    """The weights of a model's output, or those that were given as they are."""
    if _has_any(attention):
        return getattr(attention, _attribute(_chosen_of(attention, which)))
    if not _is_array(attention) and not _is_sequence(attention):
        raise InvalidType(
            f"attention: found {shown(attention)}, expected a model's output, arrays of weights, "
            "or q and k"
        )
    if which is not None:
        raise InvalidArgument(f'which: found "{which}", expected a model\'s output with it')
    return attention
