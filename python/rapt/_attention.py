# SPDX-License-Identifier: Apache-2.0
"""The operator, in one call."""

from typing import Any, Literal, TypeVar, overload

from . import _calls, _convert, _forms, _options, _problem
from ._inputs import Heads, Lists, Numbers

Q = TypeVar("Q")
Ints = Any  # an integer, or one for each sequence: a list, an array
Kind = Literal["softmax", "scaled", "capped", "masked"]

# The options that are plain values, in the order of the key that attention() makes of them.
PLAIN = (
    "layout scale causal window softcap threads isa weights_kind return_lse return_max "
    "return_weights return_entropy return_distance return_received top_k"
).split()
_TOP_MAX = 1024  # the library knows no more
_ABSENT = None, 0, None  # the form, address and owner of an array that there isn't
_NO_HEADS = Heads(None, None, None, None)
_NO_LISTS = Lists(None, None, None, None, None)
_NO_NUMBERS = Numbers(0, None, None, None, None)


def canonical(plain: dict[str, Any]) -> dict[str, Any]:
    """Options as Python's own values, each of one type; raises what is wrong with them."""
    _options.layout(plain["layout"])
    _options.choice("weights_kind", plain["weights_kind"], _problem.WEIGHTS_KINDS)
    _options.isa(plain["isa"])
    options = dict(plain)
    for name, value in plain.items():
        if name.startswith("return_") or name == "causal":
            options[name] = _options.flag(name, value)
    if plain["scale"] is not None:
        options["scale"] = _options.factor("scale", plain["scale"], "1 / sqrt(channels)")
    if plain["softcap"] is not None:
        options["softcap"] = _options.factor("softcap", plain["softcap"], "none", or_zero=True)
    if plain["window"] is not None:
        options["window"] = _options.window(plain["window"])
    options["threads"] = _options.threads(plain["threads"])
    options["top_k"] = _options.integer("top_k", plain["top_k"], 0, _TOP_MAX)
    return options


@overload
def attention(
    q: Q,
    k: Any,
    v: Any,
    *,
    layout: str = "bhsd",
    scale: float | None = None,
    causal: bool = False,
    q_offset: Ints = 0,
    window: tuple[int | None, int | None] | None = None,
    mask: Any = None,
    mask_start: Ints | None = None,
    kv_len: Ints | None = None,
    kv_start: Ints | None = None,
    cu_q: Any = None,
    cu_k: Any = None,
    block_table: Any = None,
    key_scale: Any = None,
    value_scale: Any = None,
    alibi: Any = None,
    sinks: Any = None,
    softcap: float | None = None,
    out: Any = None,
    return_lse: Literal[False] = False,
    return_max: Literal[False] = False,
    return_weights: Literal[False] = False,
    weights_kind: Kind = "softmax",
    return_entropy: Literal[False] = False,
    top_k: Literal[0] = 0,
    return_distance: Literal[False] = False,
    segments: None = None,
    diagonals: None = None,
    return_received: Literal[False] = False,
    convert: bool = False,
    threads: int | None = None,
    isa: str | None = None,
) -> Q: ...


@overload
def attention(
    q: Q,
    k: Any,
    v: Any,
    *,
    layout: str = "bhsd",
    scale: float | None = None,
    causal: bool = False,
    q_offset: Ints = 0,
    window: tuple[int | None, int | None] | None = None,
    mask: Any = None,
    mask_start: Ints | None = None,
    kv_len: Ints | None = None,
    kv_start: Ints | None = None,
    cu_q: Any = None,
    cu_k: Any = None,
    block_table: Any = None,
    key_scale: Any = None,
    value_scale: Any = None,
    alibi: Any = None,
    sinks: Any = None,
    softcap: float | None = None,
    out: Any = None,
    return_lse: bool = False,
    return_max: bool = False,
    return_weights: bool = False,
    weights_kind: Kind = "softmax",
    return_entropy: bool = False,
    top_k: int = 0,
    return_distance: bool = False,
    segments: Any = None,
    diagonals: Any = None,
    return_received: bool = False,
    convert: bool = False,
    threads: int | None = None,
    isa: str | None = None,
) -> Any: ...


def attention(
    q: Q,
    k: Any,
    v: Any,
    *,
    layout: str = "bhsd",
    scale: float | None = None,
    causal: bool = False,
    q_offset: Ints = 0,
    window: tuple[int | None, int | None] | None = None,
    mask: Any = None,
    mask_start: Ints | None = None,
    kv_len: Ints | None = None,
    kv_start: Ints | None = None,
    cu_q: Any = None,
    cu_k: Any = None,
    block_table: Any = None,
    key_scale: Any = None,
    value_scale: Any = None,
    alibi: Any = None,
    sinks: Any = None,
    softcap: float | None = None,
    out: Any = None,
    return_lse: bool = False,
    return_max: bool = False,
    return_weights: bool = False,
    weights_kind: Kind = "softmax",
    return_entropy: bool = False,
    top_k: int = 0,
    return_distance: bool = False,
    segments: Any = None,
    diagonals: Any = None,
    return_received: bool = False,
    convert: bool = False,
    threads: int | None = None,
    isa: str | None = None,
) -> Any:
    """softmax(scale * q kᵀ + bias) v, per batch and head: exact, in one pass, in f32.

    q, k and v are NumPy arrays, torch tensors or anything with __dlpack__ in the CPU's memory, of
    float32, float16 or bfloat16 in any mix and with any strides; nothing is copied. There may be
    fewer heads of keys than of queries (GQA), and the values' channels may be another number. All
    sizes but channels may be 0. Numbers may be Python's, NumPy's or any with __index__, __float__.
    Arrays may lack the first dimensions: (heads, positions, channels), (positions, channels).

    >>> import numpy as np, rapt
    >>> q, k, v = np.zeros((3, 1, 2, 5, 8), np.float32)
    >>> rapt.attention(q, k, v, causal=True).shape
    (1, 2, 5, 8)
    >>> seen = rapt.attention(q, k, v, return_lse=True, return_entropy=True)
    >>> seen.entropy.shape, round(float(seen.lse[0, 0, 0]), 4)
    ((1, 2, 5), 1.6094)

    layout          "bhsd": (batch, heads, positions, channels), or "bshd": positions before heads
    scale           1 / sqrt(channels) if None
    causal          True: a query attends the keys at or before its position
    q_offset        the position of the first query: one number, or one for each sequence
    window          (left, right): how far a query sees to either side; -1 or None for no end. A
                    sliding window of n keys, the query's own among them, is (n - 1, 0)
    mask            broadcasts to (batch, heads, queries, keys): bool, true means attend, or floats
                    that are added to the scores
    mask_start      the key that the mask's first column is for: earlier ones are attended
    kv_len          how many keys there are: one number, or one for each sequence
    kv_start        the first key there is, as left padding wants: one number, or one for each
                    sequence. Positions still count from key 0
    cu_q, cu_k      ragged sequences, end to end in a batch of 1: sequence b has the positions cu[b]
                    to cu[b + 1] - 1 of q and out, of k and v
    block_table     (sequences, pages of each): pages of k and v, which then have the shape (pages,
                    heads, page size, channels); kv_len is required
    key_scale, value_scale
                    for k and v of int8: float32, of their shape without channels; an element counts
                    times its row's scale. k and v of uint8 are blocks of q8_0, as GGUF files have
                    them: 34 bytes for 32 channels
    alibi, sinks    numbers of heads, (heads) or (batch, heads): slopes; logits without a value.
                    Of any type, also torch's Parameters; what isn't float32 is converted
    softcap         c turns a score s into c * tanh(s / c)
    out             where to write; of the type, layout and kind of q if None
    return_...      more outputs, lse, max, weights and so on: see rapt.Result
    weights_kind    what weights holds: "softmax", or scores: "scaled", "capped", "masked"
    top_k           so many of the largest weights of each query, at most 1024, and their keys
    segments        n + 1 bounds: the weight in each of n ranges of keys
    diagonals       offsets from the query's position: the weight of the key there
    convert         True: floats and integers of other types are converted, to float32; a mask of
                    integers to bool, not 0 means attend. Otherwise they are refused
    threads         at most so many; None or 0 for rapt.default_threads()
    isa             a name of rapt.isas(); None for that of RAPT_ISA, or the best

    Returns out, of the kind of q, or a rapt.Result if more is asked for: a tuple of out and the
    others. Errors are rapt.Error, but for Python's own TypeError about arguments that there aren't.

    Other Python threads run meanwhile. Ctrl-C ends a long call; some of the outputs are then
    written. A thread keeps plans of its last calls by their form, so that a call of a form seen
    before costs little: shapes, strides, types and options. The default number of threads and
    RAPT_ISA are those of the form's first call.
    """
    if convert is not False and _options.flag("convert", convert):
        q, k, v, mask = _convert.inputs(q, k, v, mask)
    if window is not None:
        window = _options.window(window)
    plain = (
        layout,
        scale,
        causal,
        window,
        softcap,
        threads,
        isa,
        weights_kind,
        return_lse,
        return_max,
        return_weights,
        return_entropy,
        return_distance,
        return_received,
        top_k,
    )
    q_form, q_at, query = _forms.locate("q", q)
    k_form, k_at, key = _forms.locate("k", k, True)
    v_form, v_at, value = _forms.locate("v", v, True)
    mask_form, mask_at, bias = _ABSENT if mask is None else _forms.locate("mask", mask)
    out_form, out_at, target = _ABSENT if out is None else _forms.locate_out(out)
    heads, lists, numbers = _NO_HEADS, _NO_LISTS, _NO_NUMBERS
    if not (key_scale is value_scale is alibi is sinks is None):
        heads = Heads(key_scale, value_scale, alibi, sinks, _options.layout(layout))
    if not (segments is diagonals is cu_q is cu_k is block_table is None):
        lists = Lists(segments, diagonals, cu_q, cu_k, block_table)
    if q_offset.__class__ is not int or q_offset or not (kv_len is kv_start is mask_start is None):
        batch = q_form[1][0] if len(q_form[1]) == 4 else 1
        numbers = Numbers(lists.count(batch), q_offset, kv_len, kv_start, mask_start)
    form = (
        plain,
        tuple(map(type, plain)),
        (q_form, k_form, v_form, mask_form, out_form),
        heads.form,
        lists.form,
        numbers.form,
    )
    try:
        known = _forms.find(form)
    except TypeError:  # an option that has no hash isn't plain yet
        known = None
    if known is None:
        options = canonical(dict(zip(PLAIN, plain)))
        form = (tuple(options.values()), tuple(map(type, options.values())), *form[2:])
        known = _forms.find(form)
        if known is None:
            views = (
                _forms.view("q", query, q_at),
                _forms.view("k", key, k_at, True),
                _forms.view("v", value, v_at, True),
            )
            problem = _problem.Problem(views, bias, options, heads, lists)
            if _calls.is_long(problem.flops()):
                return _forms.run_long(problem, q, out, numbers)
            problem.set_numbers(problem.largest_numbers(numbers))
            known = _forms.Form(problem, q, out)
            _forms.keep(form, known)
    table = lists.table
    return known.run(
        q,
        (q_at, k_at, v_at, *heads.places[:2], mask_at, *heads.places[2:]),
        out,
        out_at,
        (*numbers.places, 0 if table is None else table.address),
    )
