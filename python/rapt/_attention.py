# SPDX-License-Identifier: Apache-2.0
"""The operator: once, and as a plan."""

import ctypes

import numpy as np

from . import _calls, _options, _views
from ._abi import F32, AttentionData
from ._library import InvalidArgument, OutOfMemory, Unsupported, check, default_args, lib

_FIELDS = {"q": "query", "k": "key", "v": "value"}


def _table(value, shape=None):
    """A block table as int32, in rows without gaps."""
    try:
        array = np.asarray(value)
    except Exception as error:
        raise InvalidArgument(f"block_table: {error}, expected integers in rows") from None
    if array.ndim != 2 or array.dtype.kind not in "iu" or (shape and array.shape != shape):
        raise InvalidArgument(
            f"block_table: found shape {array.shape} of type {array.dtype}, expected integers of "
            f"shape {shape or '(sequences, pages of each)'}"
        )
    table = np.ascontiguousarray(array, np.int32)
    if array.dtype != np.int32 and not np.array_equal(table, array):
        raise InvalidArgument("block_table: found numbers beyond 32 bits, expected pages")
    return table


class _Problem:
    """The arguments for the library, the outputs, and what has to stay alive for both."""

    def __init__(
        self,
        q,
        k,
        v,
        *,
        layout="bhsd",
        scale=None,
        causal=False,
        q_offset=0,
        window=None,
        mask=None,
        kv_len=None,
        kv_start=None,
        block_table=None,
        alibi=None,
        sinks=None,
        softcap=None,
        out=None,
        return_lse=False,
        return_weights=False,
        threads=0,
        isa=None,
    ):
        self.swap = _options.layout(layout)
        self.args = args = default_args()
        self.views = {}
        for name, array in (("q", q), ("k", k), ("v", v)):
            self._place(_FIELDS[name], _views.view4(name, array, self.swap))
        if mask is not None:
            self._place("mask", _views.broadcast("mask", mask))
        if alibi is not None:
            self._place("alibi", _views.floats("alibi", alibi))
        if sinks is not None:
            self._place("sink", _views.floats("sinks", sinks))

        if scale is not None:
            args.scale = _options.factor("scale", scale, "1 / sqrt(channels)")
        if softcap is not None:
            args.softcap = _options.factor("softcap", softcap, "none", or_zero=True)
        args.causal = _options.flag("causal", causal)
        args.window_left, args.window_right = _options.window(window)
        batch = self.views["query"].shape[0]
        if type(q_offset) is not int or q_offset:
            args.q_offset = _options.numbers("q_offset", q_offset, batch)
        if kv_len is not None:
            args.kv_len = _options.numbers("kv_len", kv_len, batch)
        if kv_start is not None:
            args.kv_start = _options.numbers("kv_start", kv_start, batch)
        self.table = None
        if block_table is not None:
            self.table = _table(block_table)
            args.sequences, args.block_table_stride = self.table.shape
            args.block_table = ctypes.cast(_views.address(self.table), type(args.block_table))
        args.threads = _options.integer("threads", threads, 0, _options.INT_MAX)
        args.isa = _options.isa(isa)
        self._place_outputs(
            q,
            out,
            _options.flag("return_lse", return_lse),
            _options.flag("return_weights", return_weights),
        )
        self.call = _calls.Call(args, self._flops())

    def _flops(self):
        """Floating-point operations, if no key is masked."""
        batch, heads, queries, head_dim = self.views["query"].shape
        keys, channels = self.views["key"].shape[2], self.views["value"].shape[3]
        pages = 1 if self.table is None else self.table.shape[1]
        return 2.0 * batch * heads * queries * keys * pages * (head_dim + channels)

    def _place(self, field, view):
        self.views[field] = view
        view.fill(getattr(self.args, field))

    def _place_outputs(self, q, out, return_lse, return_weights):
        self.made_out = out is None
        batch, heads, queries, _ = self.views["query"].shape
        keys, channels = self.views["key"].shape[2], self.views["value"].shape[3]
        if self.table is not None:
            keys *= self.table.shape[1]
        if out is None:
            shape = (batch, queries, heads, channels) if self.swap else None
            out = _views.empty_like(
                "out", q, self.views["query"].dtype, shape or (batch, heads, queries, channels)
            )
        self._place("out", self.view_out(out))
        self.results = [out]
        if return_lse:
            lse = _views.empty_like("lse", q, F32, (batch, heads, queries))
            self._place("lse", _lse_view(lse))
            self.results.append(lse)
        if return_weights:
            weights = _views.empty_like("weights", q, F32, (batch, heads, queries, keys))
            self._place("weights", _views.view("weights", weights))
            self.results.append(weights)

    def view_out(self, out):
        if _views.is_jax(out):
            raise InvalidArgument("out: found a JAX array, expected memory that may change")
        view = _views.view4("out", out, self.swap)
        if not view.writeable:
            raise InvalidArgument("out: found a read-only array, expected one to write to")
        return view

    def make_jax(self):
        """What was made here, for a caller whose arrays are JAX's."""
        given = [] if self.made_out else self.results[:1]
        made = self.results[len(given) :]
        self.results = given + [_views.to_jax(result) for result in made]

    def result(self):
        return self.results[0] if len(self.results) == 1 else tuple(self.results)


def _lse_view(lse):
    view = _views.view("lse", lse)
    return view._replace(shape=view.shape + (1,), strides=view.strides + (1,))


def attention(q, k, v, **options):
    """softmax(scale * q kᵀ + bias) v, per batch and head: exact, in one pass, in f32.

    q, k and v are NumPy arrays or anything with __dlpack__ in the CPU's memory (torch, JAX), of
    float32, float16 or bfloat16 in any mix and with any strides; nothing is copied. There may be
    fewer heads of keys than of queries (GQA), and the values' channels may be another number. All
    sizes but channels may be 0. Numbers may be Python's, NumPy's or any with __index__, __float__.

    layout          "bhsd": (batch, heads, positions, channels), or "bshd": positions before heads
    scale           1 / sqrt(channels) if None
    causal          True: a query attends the keys at or before its position
    q_offset        the position of the first query: one number, or one for each sequence
    window          (left, right): how far a query sees to either side; -1 or None for no end. A
                    sliding window of n keys, the query's own among them, is (n - 1, 0)
    mask            broadcasts to (batch, heads, queries, keys): bool, true means attend, or floats
                    that are added to the scores
    kv_len          how many keys there are: one number, or one for each sequence
    kv_start        the first key there is, as left padding wants: one number, or one for each
                    sequence. Positions still count from key 0
    block_table     (sequences, pages of each): pages of k and v, which then have the shape (pages,
                    heads, page size, channels); kv_len is required
    alibi, sinks    numbers of heads, (heads) or (batch, heads): slopes; logits without a value.
                    Of any type, also torch's Parameters; what isn't float32 is converted
    softcap         c turns a score s into c * tanh(s / c)
    out             where to write; of the type, layout and kind of q if None
    return_lse      also return the log of the sum of exp(score), (batch, heads, queries)
    return_weights  also return the softmax, (batch, heads, queries, keys)
    threads         at most so many; 0 for rapt.default_threads()
    isa             a name of rapt.isas(); None for that of RAPT_ISA, or the best

    Returns out, or (out, lse), (out, weights) or (out, lse, weights), new arrays of the kind of q.
    Errors are rapt.Error, but for Python's own TypeError about arguments that there aren't. Other
    Python threads run meanwhile. Ctrl-C ends a long call; some of the outputs are then written.
    """
    problem = _Problem(q, k, v, **options)
    problem.call.make(lambda: check(lib.rapt_attention(problem.args)))
    if _views.is_jax(q):
        problem.make_jax()
    return problem.result()


class _Handle:
    """The library's plan, which lives as long as anything that may run it."""

    __slots__ = ("pointer", "_destroy")

    def __init__(self, args):
        self.pointer, self._destroy = None, lib.rapt_plan_destroy
        made = ctypes.c_void_p()
        check(lib.rapt_plan_create(args, made))
        self.pointer = made

    def __del__(self):
        pointer, self.pointer = getattr(self, "pointer", None), None
        if pointer:
            self._destroy(pointer)


_NO_COPY = "plan: found a copy of one, expected another one made of the same tensors"


def _workspace(size):
    try:
        return ctypes.create_string_buffer(max(size, 1))
    except (MemoryError, OverflowError):
        raise OutOfMemory(f"workspace: no memory for {size} bytes") from None


class Plan:
    """A problem that is checked and divided into tasks once, and then run as often as wanted.

    Takes the arguments of attention(). Its memory, the outputs included, is allocated here and
    belongs to the plan: each run overwrites what the last one returned. Runs of one plan are made
    one after the other, also from several threads; those of different plans run side by side. A
    plan keeps what it runs on alive. It can't be copied or pickled. Outputs are NumPy's for JAX.
    """

    def __init__(self, q, k, v, **options):
        if hasattr(self, "_handle"):  # a run of it may be under way
            raise Unsupported("plan: found one that is made, expected a new one")
        self._problem = _Problem(q, k, v, **options)
        self._handle = _Handle(self._problem.args)
        handle = self._handle.pointer
        self._size = lib.rapt_plan_workspace_size(handle)
        self._workspace = _workspace(self._size)
        self._data = AttentionData(
            **{field: view.address for field, view in self._problem.views.items()}
        )
        self._arguments = (handle, self._data, self._workspace, self._size)
        self._result = self._problem.result()

    def __reduce__(self):  # for copy and pickle
        raise Unsupported(_NO_COPY)

    @property
    def isa(self):
        """The name of the instruction set that it runs on."""
        return lib.rapt_plan_isa(self._handle.pointer).decode()

    @property
    def threads(self):
        """How many threads a run uses at most."""
        return lib.rapt_plan_threads(self._handle.pointer)

    @property
    def workspace_size(self):
        """Bytes of memory beside the tensors."""
        return self._size

    def run(
        self,
        q=None,
        k=None,
        v=None,
        *,
        out=None,
        kv_len=None,
        kv_start=None,
        q_offset=None,
        block_table=None,
    ):
        """Computes it on the plan's tensors, or on others of their shapes, strides and types.

        kv_len, kv_start, q_offset and block_table replace the plan's for this run, so that a decoder needs
        one plan for all of its tokens: made for the most keys, it has the result of a plan made for
        these numbers. kv_len is at most the plan's, and the table has the form of the plan's.

        Returns what attention() does.
        """
        numbers = {"kv_len": kv_len, "kv_start": kv_start, "q_offset": q_offset}
        brought = (q, k, v, out, block_table, *numbers.values())
        if all(thing is None for thing in brought):
            self._problem.call.make(self._run_own)
            return self._result
        return self._run_on(
            {"query": q, "key": k, "value": v, "out": out}, out, numbers, block_table
        )

    def _run_own(self):
        status = lib.rapt_plan_run(*self._arguments)
        if status:
            check(status)

    def _run_with(self, data, kept):
        """kept: what data points to, which outlives the run here, whoever has left it."""
        check(lib.rapt_plan_run(self._handle.pointer, data, self._workspace, self._size))

    def _run_on(self, arrays, out, numbers, block_table):
        data = AttentionData.from_buffer_copy(self._data)
        kept = []  # what an exporter made for this run, as a copy, has to outlive it
        for field, array in arrays.items():
            if array is not None:
                address, owner = self._locate(field, array)
                setattr(data, field, address)
                kept.append(owner)
        batch = self._problem.views["query"].shape[0]
        for field, value in numbers.items():
            if value is not None:
                kept.append(_options.numbers(field, value, batch))
                setattr(data, field, kept[-1])
        if block_table is not None:
            planned = self._problem.table
            kept.append(_table(block_table, planned.shape if planned is not None else None))
            data.block_table = ctypes.cast(
                _views.address(kept[-1]), ctypes.POINTER(ctypes.c_int32)
            )
        self._problem.call.make(lambda: self._run_with(data, kept))
        if out is None:
            return self._result
        problem = self._problem
        return out if len(problem.results) == 1 else (out, *problem.results[1:])

    def _locate(self, field, array):
        """Where an array lies that has the form of the plan's, and what keeps it there."""
        problem, planned = self._problem, self._problem.views[field]
        if _views.same_array_form(array, planned.owner):
            return _views.address(array), array
        view = (
            problem.view_out(array) if field == "out" else _views.view4(field, array, problem.swap)
        )
        if not view.same_form(planned):
            raise InvalidArgument(
                f"{field}: found shape {view.shape} and strides {view.strides} of type "
                f"{view.dtype}, expected those of the plan: {planned.shape}, {planned.strides}, "
                f"{planned.dtype}"
            )
        return view.address, view.owner
