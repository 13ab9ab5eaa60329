# SPDX-License-Identifier: Apache-2.0
"""show(): the page of a model's attention."""

import ctypes
from collections.abc import Sequence
from typing import Any

from . import _layers, _page
from . import _options as options
from ._html import Page
from ._library import InvalidArgument, InvalidType
from ._views import View

_COST = 100  # operations for a weight, about: its score, its place, its digits
_MOST_WEIGHTS = 10**11  # to go through, which takes a machine some minutes
_MOST_KEYS = 10**7  # each with a token


class _Subject:
    """What is shown: tensors of layers, and the tokens of their queries and keys."""

    def __init__(self, layers: list[tuple[int, dict[str, View]]]) -> None:
        self.layers = layers
        self.given = "weights" in layers[0][1]
        self.rows = "weights" if self.given else "query"  # the tensor that has a row for each
        self.queries, self.keys = self._counts(layers[0][1])
        for number, tensors in layers:
            found = self._counts(tensors)
            if found != (self.queries, self.keys):
                raise InvalidArgument(
                    f"layer {number}: found {found[0]} queries and {found[1]} keys, expected "
                    f"{self.queries} and {self.keys}, as layer {layers[0][0]} has them"
                )
        if self.keys > _MOST_KEYS:
            raise InvalidArgument(
                f"layer {layers[0][0]}: found {self.keys} keys, expected at most {_MOST_KEYS}"
            )

    def _counts(self, tensors: dict[str, View]) -> tuple[int, int]:
        """The queries and keys of a layer."""
        rows = tensors[self.rows].shape
        return rows[2], rows[3] if self.given else tensors["key"].shape[2]

    def chosen(self, heads: Any) -> list[Sequence[int]]:
        """The chosen heads of each layer, if a page of them can be made at all."""
        found = [
            _layers.chosen("heads", heads, tensors[self.rows].shape[1])
            for _, tensors in self.layers
        ]
        count = sum(map(len, found))
        if count > _layers.MOST_HEADS:
            raise InvalidArgument(
                f"heads: found {count} in all layers, expected at most {_layers.MOST_HEADS}: "
                "choose some by heads= or layers="
            )
        rows = self.layers[0][1][self.rows].shape[2]
        if count * rows * self.keys > _MOST_WEIGHTS:
            raise InvalidArgument(
                f"show: found {count} heads of {rows} queries by {self.keys} keys, expected at "
                f"most {_MOST_WEIGHTS} weights: choose some by heads=, layers= or query_range="
            )
        return found

    def cut(self, first: int, count: int) -> None:
        """Leaves so many queries."""
        for _, tensors in self.layers:
            tensors[self.rows] = _layers.part(tensors[self.rows], 2, first, count)


def _subject(
    attention: Any, q: Any, k: Any, which: str | None, layers: Any, batch: int | None
) -> _Subject:
    if (attention is None) == (q is None) or (q is None) != (k is None):
        found = [n for n, a in (("attention", attention), ("q", q), ("k", k)) if a is not None]
        raise InvalidArgument(
            f"show: found {' and '.join(found) or 'nothing'}, expected attention, or q and k"
        )
    if attention is not None:
        if which is not None:
            options.choice("which", which, _layers.WHICH)
        weights = _layers.of_output(attention, which)
        found_layers = _layers.read("attention", weights, layers, batch)
        return _Subject([(number, {"weights": view}) for number, view in found_layers])
    if which is not None:
        raise InvalidArgument(f'which: found "{which}", expected a model\'s output with it')
    queries = _layers.read("q", q, layers, batch)
    keys = dict(_layers.read("k", k, layers, batch))
    if [number for number, _ in queries] != list(keys):
        raise InvalidArgument(
            f"k: found layers {list(keys)}, expected those of q, {[n for n, _ in queries]}"
        )
    return _Subject([(number, {"query": view, "key": keys[number]}) for number, view in queries])


def _tokens(name: str, value: Any, count: int, of: str) -> list[str]:
    """The tokens' strings; numbers without any."""
    if value is None:
        return [str(i) for i in range(count)]
    try:
        found = None if isinstance(value, (str, bytes)) else list(value)
    except TypeError:  # nothing that can be gone through, or an array without dimensions
        found = None
    if found is None:
        raise InvalidType(f"{name}: found {options.shown(value)}, expected a list of strings")
    for token in found:
        if not isinstance(token, str):
            raise InvalidType(
                f"{name}: found {options.shown(token)}, expected strings, as a tokenizer's "
                "convert_ids_to_tokens gives"
            )
    if len(found) != count:
        raise InvalidArgument(f"{name}: found {len(found)}, expected {count}, one for each {of}")
    return found


def _range(name: str, value: Any, count: int) -> tuple[int, int]:
    """The first and the number of those from start to before stop."""
    if value is None:
        return 0, count
    if isinstance(value, (slice, range)) and value.step in (None, 1):
        value = (value.start or 0, count if value.stop is None else value.stop)
    start, stop = options.listed(name, value, 2, 2, "(start, stop)", "(start, stop)")
    if not 0 <= start < stop <= count:
        raise InvalidArgument(
            f"{name}: found {start} to {stop}, expected a part of 0 to {count}, not empty"
        )
    return start, stop - start


def _offset(value: int | None, own: bool, subject: _Subject) -> int:
    """The first query's position: with fewer queries than keys the last ones are meant."""
    if value is not None:
        return options.integer("q_offset", value, 0 if own else -options.INT64_MAX)
    return max(subject.keys - subject.queries, 0) if own else 0


def _name(name: str, value: Any, none: bytes | None) -> bytes | None:
    if value is None:
        return none
    if not isinstance(value, str):
        raise InvalidType(f"{name}: found {options.shown(value)}, expected a string")
    return value.replace("\0", "\u2400").encode(errors="replace")


def show(
    attention: Any = None,
    tokens: Sequence[str] | None = None,
    *,
    q: Any = None,
    k: Any = None,
    query_tokens: Sequence[str] | None = None,
    which: str | None = None,
    batch: int | None = None,
    layers: int | Sequence[int] | None = None,
    heads: int | Sequence[int] | None = None,
    query_range: tuple[int, int] | None = None,
    key_range: tuple[int, int] | None = None,
    causal: bool | None = None,
    q_offset: int | None = None,
    window: tuple[int | None, int | None] | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    group: int | None = None,
    text: str | None = None,
    model: str | None = None,
    threads: int | None = None,
    isa: str | None = None,
) -> Page:
    """A page of attention, to explore in a notebook or a browser: all heads, their kinds, one head
    with lines between words and its matrix.

    In a notebook the page shows itself. Else `.open()` shows it in a browser, `.save(path)` writes
    it, and `print` says in a text what the heads do. The page needs no network.

    >>> import numpy as np, rapt
    >>> q, k = np.random.default_rng(1).standard_normal((2, 1, 4, 6, 8)).astype(np.float32)
    >>> page = rapt.show(q=q, k=k, tokens="the cat saw the other cat".split(), causal=True)
    >>> len(page.heads), page.heads[0].layer, page.heads[0].head
    (4, 0, 0)
    >>> print(page)  # doctest: +ELLIPSIS
    Attention: 1 layer, 4 heads, 6 tokens
    ...

    attention       a model's output of a call with output_attentions=True; or weights: a sequence
                    with an array for each layer, or one array. A layer is (batch, heads, queries,
                    keys), (heads, queries, keys) or (queries, keys), of any numbers; those of
                    another device, and of more than 32 bits, are copied. None stands for a layer
                    without attention
    tokens          the keys' tokens as strings, as convert_ids_to_tokens gives them. Spaces and
                    bytes of BPE and SentencePiece become readable. Without them numbers are shown
    q, k            in place of attention: queries and keys, from which the library computes the
                    weights, some rows at a time. As above, with channels last; keys may have fewer
                    heads (GQA). Rotary embeddings are the caller's
    query_tokens    the queries' tokens where they are of another text: cross-attention. Without
                    them queries are `tokens` from q_offset on, by default the last ones
    which           "attentions", "encoder", "decoder" or "cross": what to show of an output that
                    has several
    batch           the sequence, where there are several
    layers, heads   the numbers of those to show; all for None
    query_range, key_range
                    (start, stop): the part of a long text to show. Weights remain shares of all
                    keys; kinds and entropies are of the queries that are shown
    causal          whether a query sees no later key. None: found out from weights, False for q, k
    window          (left, right) as in attention(); for q and k
    scale, softcap  as in attention(); for q and k
    group           how many neighbouring tokens share a cell of a long text: their weights are
                    summed over keys, with their mean over queries. None: as few as keep the page
                    below 32 MB and 2048 cells a side; choose layers, heads or a range to see more.
                    A page is made of at most 10^6 heads, 10^7 keys and 10^11 weights
    text, model     a title, and the model's name
    threads, isa    as in attention(); for q and k

    Raises rapt.Error, as attention() does: also for weights that are none, such as a NaN, a
    negative number, a row that sums to more than 1.
    """
    subject = _subject(attention, q, k, which, layers, batch)
    if subject.given and (window is not None or scale is not None or softcap is not None):
        raise InvalidArgument("show: found window, scale or softcap, expected q and k with them")
    own = query_tokens is None
    key_tokens = _tokens("tokens", tokens, subject.keys, "key")
    row_tokens = key_tokens
    offset = _offset(q_offset, own, subject)
    if not own:
        row_tokens = _tokens("query_tokens", query_tokens, subject.queries, "query")
    first_row, rows = _range("query_range", query_range, subject.queries)
    subject.cut(first_row, rows)
    first_key, shown_keys = _range("key_range", key_range, subject.keys)
    left, right = options.window(window)
    made = [
        _page.layer(number, numbers, **tensors)
        for numbers, (number, tensors) in zip(subject.chosen(heads), subject.layers)
    ]
    described = _page.Text(
        text=_name("text", text, f"{subject.keys} tokens".encode() if tokens is None else None),
        keys=_page.strings(key_tokens),
        queries=None if own else _page.strings(row_tokens[first_row : first_row + rows]),
        sight=_page.Sight(
            rows,
            subject.keys,
            offset + first_row,
            causal is not None and options.flag("causal", causal),
            left,
            right,
        ),
        first_key=first_key,
        shown_keys=shown_keys,
        layers=(_page.Layer * len(made))(*made),
        scale=0 if scale is None else options.factor("scale", scale, "1 / sqrt(channels)"),
        softcap=0 if softcap is None else options.factor("softcap", softcap, "none", or_zero=True),
    )
    html = _page.write(
        _page.Description(
            model=_name("model", model, b""),
            texts=ctypes.pointer(described),
            text_count=1,
            layer_count=len(made),
            views=_page.FOUND if causal is None else _page.AS_GIVEN,
            group=0 if group is None else options.integer("group", group, 1),
            threads=options.threads(threads),
            isa=options.isa(isa),
        ),
        sum(one.head_count for one in made) * rows * subject.keys * _COST,
    )
    return Page(html)
