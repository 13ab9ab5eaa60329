# SPDX-License-Identifier: Apache-2.0
"""Keys and values of sequences that grow."""

import ctypes
from typing import Any, Unpack

from . import _calls, _numeric, _options, _views
from ._abi import BF16, F16, F32, I8, Q8_0, CacheArgs, Tensor
from ._attend import attend, part, views
from ._handle import Handle, Owner
from ._inputs import LIST_MAX
from ._keywords import Attending
from ._library import InvalidArgument, InvalidType, check, lib
from ._rope import Rope

_TYPES = {"float32": F32, "float16": F16, "bfloat16": BF16, "int8": I8, "q8_0": Q8_0}


def _dtype(name: str, value: Any) -> str:
    """The name of a type: a string, or NumPy's or torch's type itself."""
    found = value if isinstance(value, str) else getattr(value, "__name__", str(value))
    found = found.removeprefix("torch.")
    if found not in _TYPES:
        known = ", ".join(_TYPES)
        raise InvalidArgument(f"{name}: found {_options.shown(value)}, expected one of {known}")
    return found


def _memory(memory: Any, args: CacheArgs) -> Any:
    """Has the arguments name the caller's memory; returns what keeps it."""
    try:
        held = (ctypes.c_char * memoryview(memory).nbytes).from_buffer(memory)
    except (TypeError, ValueError, BufferError) as error:
        found = _options.shown(memory)
        raise InvalidType(f"memory: found {found}, expected a writable buffer: {error}") from None
    args.memory, args.memory_size = ctypes.addressof(held), len(held)
    return held


def _one(v: _views.View, b: int) -> Tensor:
    """One of a batch."""
    tensor = Tensor()
    part(v, b, 1).fill(tensor)
    return tensor


class KVCache(Owner):
    """The keys and values of sequences that grow, as decoders need them.

    kv_heads, head_dim   of the keys
    value_dim            channels of the values; head_dim if None
    capacity             tokens that a sequence can have
    sequences            how many sequences there are; all are empty at first
    dtype, value_dtype   of keys, and of values if they differ: "float32", "float16", "bfloat16",
                         "int8" (with a scale for each token's head) or "q8_0" (with one for each
                         32 channels, of which there has to be a multiple); or NumPy's or torch's
                         types of these names. What is appended is rounded to them, once
    page_size            tokens in a page, of a pool that all sequences share. None: each sequence
                         has room for its whole capacity, and memory is taken as it is written
    pages                of the pool; None for enough for the capacity of all sequences
    rope                 a rapt.Rope, which turns keys before they are stored, and queries
    memory               a writable buffer to live in, such as a private mmap of huge pages, of at
                         least `nbytes` bytes; None for memory of its own
    isa                  a name of rapt.isas(); None for that of RAPT_ISA, or the best

    Errors are rapt.Error; after one the cache is as it was. Where a pool has too few free pages,
    that is rapt.OutOfMemory.

    Threads: any call may be made from any thread. Changes take turns. What attends while another
    thread changes a sequence is right for all other sequences; for that one it may see tokens from
    before and after. A forked process has a copy, and changes nothing of its parent's.

    >>> import numpy as np, rapt
    >>> cache = rapt.KVCache(kv_heads=2, head_dim=8, capacity=100)
    >>> q, k, v = np.random.default_rng(0).standard_normal((3, 1, 2, 5, 8), np.float32)
    >>> cache.append(k, v)
    >>> cache
    <rapt.KVCache 2 heads x 8 channels of float32, 1 sequence, 5 of 100 tokens>
    >>> bool((cache.attend(q, causal=True) == rapt.attention(q, k, v, causal=True)).all())
    True
    """

    _what = "cache"

    def __init__(
        self,
        kv_heads: int,
        head_dim: int,
        *,
        capacity: int,
        sequences: int = 1,
        value_dim: int | None = None,
        dtype: Any = "float32",
        value_dtype: Any = None,
        page_size: int | None = None,
        pages: int | None = None,
        rope: Rope | None = None,
        memory: Any = None,
        isa: str | None = None,
    ) -> None:
        super().__init__()
        if rope is not None and not isinstance(rope, Rope):
            raise InvalidType(f"rope: found {_options.shown(rope)}, expected a rapt.Rope, or None")
        self._dtypes = (
            _dtype("dtype", dtype),
            _dtype("value_dtype", dtype if value_dtype is None else value_dtype),
        )
        args = CacheArgs(size=ctypes.sizeof(CacheArgs), isa=_options.isa(isa))
        args.key_dtype, args.value_dtype = (_TYPES[name] for name in self._dtypes)
        for name, value in (
            ("kv_heads", kv_heads),
            ("head_dim", head_dim),
            ("capacity", capacity),
            ("sequences", sequences),
        ):
            setattr(args, name, _options.integer(name, value, 1, _options.INT_MAX))
        for name, number in (
            ("value_dim", value_dim),
            ("page_size", page_size),
            ("pages", pages),
        ):
            if number is not None:
                setattr(args, name, _options.integer(name, number, 1, _options.INT_MAX))
        args.rope = None if rope is None else rope._handle.pointer
        held = None if memory is None else _memory(memory, args)
        size = ctypes.c_size_t()
        check(lib.rapt_cache_memory_size(args, size))
        self.rope, self.nbytes = rope, size.value
        self.kv_heads, self.head_dim = args.kv_heads, args.head_dim
        self.value_dim = args.value_dim or args.head_dim
        self.capacity, self.sequences = args.capacity, args.sequences
        self.page_size = args.page_size or None
        self._turns = _calls.Turns()
        self._handle = Handle(
            lib.rapt_cache_create, lib.rapt_cache_destroy, args, (rope and rope._handle, held)
        )
        self._views = views(self)
        self._arranged: dict[Any, dict[str, Any]] = {}

    def __repr__(self) -> str:
        lengths = self.lengths
        held = str(lengths[0]) if len(set(lengths)) == 1 else f"{min(lengths)} to {max(lengths)}"
        types = " and ".join(dict.fromkeys(self._dtypes))
        channels = " and ".join(dict.fromkeys(map(str, (self.head_dim, self.value_dim))))
        sequences = "1 sequence" if self.sequences == 1 else f"{self.sequences} sequences"
        pages = f", {self.pages_free} free pages of {self.page_size}" if self.page_size else ""
        return (
            f"<rapt.KVCache {self.kv_heads} heads x {channels} channels of {types}, {sequences}, "
            f"{held} of {self.capacity} tokens{pages}>"
        )

    @property
    def lengths(self) -> list[int]:
        """The number of tokens of each sequence."""
        return [self._length(i) for i in range(self.sequences)]

    def _length(self, sequence: int) -> int:
        """-1 if there is no such sequence."""
        return int(lib.rapt_cache_length(self._handle.pointer, sequence))

    @property
    def pages_free(self) -> int:
        """Pages of the pool that no sequence holds; 0 where there is no pool."""
        return int(lib.rapt_cache_pages_free(self._handle.pointer))

    def append(
        self,
        k: Any,
        v: Any,
        *,
        sequences: Any = None,
        positions: Any = None,
        layout: str = "bhsd",
    ) -> None:
        """Appends tokens to sequences: to all of them, or to none on an error.

        k          (batch, kv_heads, tokens, head_dim) of float32, float16 or bfloat16; batch may be
                   missing if it is 1
        v          (batch, kv_heads, tokens, value_dim)
        sequences  which sequence each of the batch goes to: one number, or a list; None for all
        positions  (tokens) or (batch, tokens): what the rope turns by, -2^31 to 2^31; None for the
                   tokens' index in their sequence
        layout     "bhsd", or "bshd" for (batch, tokens, heads, channels)

        However many tokens a call brings, the cache holds the same bytes.
        """
        swap = _options.layout(layout)
        key, value = _views.view4("k", k, swap), _views.view4("v", v, swap)
        chosen = self._chosen(sequences, key.shape[0])
        if len(set(chosen)) != len(chosen):
            raise InvalidArgument(f"sequences: found {list(chosen)}, expected each once")
        if value.shape[0] != key.shape[0]:
            raise InvalidArgument(
                f"v: shape[0] (batch) is {value.shape[0]}, expected {key.shape[0]}, as k has"
            )
        tokens, numbers, step = key.shape[2], None, 0
        if positions is not None:
            shapes = (tokens,), (key.shape[0], tokens)
            numbers, shape = _numeric.integers("positions", positions, *shapes)
            step = tokens if len(shape) == 2 else 0
        with self._turns.lock:
            self._append(key, value, chosen, numbers, step)

    def _append(
        self, key: _views.View, value: _views.View, chosen: tuple[int, ...], numbers: Any, step: int
    ) -> None:
        pointer, done = self._handle.pointer, []
        first = ctypes.addressof(numbers) if numbers is not None else None
        try:
            for b, sequence in enumerate(chosen):
                places = None
                if first is not None:
                    places = ctypes.cast(first + 8 * b * step, ctypes.POINTER(ctypes.c_int64))
                length = self._length(sequence)
                key_tensor, value_tensor = _one(key, b), _one(value, b)
                check(lib.rapt_cache_append(pointer, sequence, key_tensor, value_tensor, places))
                done.append((sequence, length))
        except BaseException:
            for sequence, length in done:
                lib.rapt_cache_truncate(pointer, sequence, length)
            raise

    def truncate(self, length: Any, *, sequences: Any = None) -> None:
        """Keeps the first `length` tokens: a number, or one for each of the sequences.

        sequences  one number, or a list; None for all. Each has at least `length` tokens
        """
        chosen = self._chosen(sequences)
        lengths = _options.numbers("length", length, len(chosen))
        with self._turns.lock:
            for sequence, kept in zip(chosen, lengths):
                found = self._length(sequence)
                if not 0 <= kept <= found:
                    raise InvalidArgument(
                        f"length: found {kept}, expected 0 to {found}, the tokens of sequence "
                        f"{sequence}"
                    )
            for sequence, kept in zip(chosen, lengths):
                check(lib.rapt_cache_truncate(self._handle.pointer, sequence, kept))

    def fork(self, source: int, target: int) -> None:
        """Makes sequence `target` the same as `source`, whatever it held.

        With pages they share them, which copies nothing until one appends to a page that is partly
        filled. Without pages the tokens are copied.
        """
        numbers = [
            _options.integer(name, value, 0, self.sequences - 1)
            for name, value in (("source", source), ("target", target))
        ]
        with self._turns.lock:
            check(lib.rapt_cache_fork(self._handle.pointer, *numbers))

    def attend(
        self,
        q: Any,
        *,
        sequences: Any = None,
        positions: Any = None,
        q_offset: Any = None,
        layout: str = "bhsd",
        **options: Unpack[Attending],
    ) -> Any:
        """Attention of queries to the tokens of sequences, as attention() has it.

        q          (batch, heads, queries, head_dim); with cu_q all sequences' queries in one batch
        sequences  which sequence each of the batch attends: one number, or a list; None for all.
                   Without pages they have to be evenly spaced
        positions  (queries) or (batch, queries): what the cache's rope turns queries by; None for
                   q_offset and on
        q_offset   the position of the first query, for causal and windows: a number, or one for
                   each sequence; None if the queries are the last tokens of their sequences
        options    the others of attention()

        Returns what attention() does. Its bits are those of attention() to the same keys and
        values. A mask, weights and what keys receive have a column for each token of the longest
        sequence; with pages, weights have them for whole pages.
        """
        return attend(self, q, sequences, positions, q_offset, layout, dict(options))

    def _chosen(self, sequences: Any, batch: int | None = None) -> tuple[int, ...]:
        """The sequences of a call, as many as the batch has."""
        found: tuple[int, ...] = tuple(range(self.sequences))
        least, most, amount = 0, LIST_MAX, ""
        if batch is not None:
            least, most, amount = batch, batch, f"{batch}, one for each of the batch"
        if sequences is not None:
            number = _options._index(sequences)
            numbers = sequences if number is None else [number]
            expected = "a number, or a list of numbers"
            found = _options.listed("sequences", numbers, least, most, expected, amount)
        elif not least <= len(found) <= most:
            raise InvalidArgument(f"sequences: found all {len(found)}, expected {amount}")
        for i, sequence in enumerate(found):
            _options.integer(f"sequences[{i}]", sequence, 0, self.sequences - 1)
        return found
