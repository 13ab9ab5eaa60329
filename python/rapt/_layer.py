# SPDX-License-Identifier: Apache-2.0
"""Multi-head attention as a layer of a model."""

import ctypes
import sys
from typing import Any, Self, TypedDict, Unpack

from . import _keywords, _layer_run, _options, _views
from ._abi import MhaArgs
from ._cache import KVCache
from ._handle import Handle, Owner
from ._library import InvalidArgument, InvalidType, OutOfMemory, Unsupported, check, lib
from ._rope import Rope
from ._storage import Storages

_WEIGHTS = ("w_query", "w_key", "w_value", "w_out")
_BIASES = ("b_query", "b_key", "b_value", "b_out")


class Options(TypedDict, total=False):
    """What a layer does beside its projections."""

    rope: Rope | None
    scale: float | None
    softcap: float | None
    causal: bool
    window: tuple[int | None, int | None] | None
    threads: int | None
    isa: str | None


def matrix(name: str, array: Any, rank: int) -> _views.View:
    """(rows, channels), or (rows): a torch Parameter's numbers are all that is wanted of it."""
    v = _views.view(name, array.detach() if _views.is_torch(array) else array)
    if len(v.shape) != rank:
        expected = "(rows, channels)" if rank == 2 else "(rows)"
        raise InvalidArgument(f"{name}: found {len(v.shape)} dimensions, expected {expected}")
    return _views.extended(v)


def _share(name: str, rows: int, heads: int, what: str) -> int:
    if rows % heads or not rows:
        expected = f"expected a multiple of the {heads} {what}"
        raise InvalidArgument(f"{name}: found {rows} rows, {expected}")
    return rows // heads


def _of_torch(module: Any) -> dict[str, Any]:
    """The weights, biases and heads of a torch.nn.MultiheadAttention, as a layer's arguments."""
    for name, wrong in (
        ("bias_k", module.bias_k is not None),
        ("bias_v", module.bias_v is not None),
        ("add_zero_attn", module.add_zero_attn),
        ("kdim other than vdim", module.kdim != module.vdim),
    ):
        if wrong:
            raise Unsupported(f"module: found {name}, expected none")
    if module.in_proj_weight is None:
        query, key, value = module.q_proj_weight, module.k_proj_weight, module.v_proj_weight
    else:
        query, key, value = module.in_proj_weight.detach().chunk(3)
    found = dict(zip(_WEIGHTS, (query, key, value, module.out_proj.weight)))
    if module.in_proj_bias is not None:
        biases = (*module.in_proj_bias.detach().chunk(3), module.out_proj.bias)
        found.update(zip(_BIASES, biases))
    return {**found, "heads": module.num_heads}


class MultiHeadAttention(Owner):
    """Multi-head attention as a layer (Vaswani et al. 2017), for inference.

    Queries, keys and values are projections of tokens, by heads; attention's outputs, all heads
    side by side, are projected to the model's channels.

    w_query            (heads * head_dim, channels) of float32, float16 or bfloat16: as PyTorch's
                       Linear has its weight, a head's rows together
    w_key, w_value     (kv_heads * head_dim, channels), (kv_heads * value_dim, channels): of the
                       input, or of a context with other channels
    w_out              (channels, heads * value_dim)
    heads, kv_heads    how many; kv_heads follows from w_key if None
    b_query, b_key, b_value, b_out   (rows of the weight), or None
    rope               a rapt.Rope for queries and keys, or None
    scale, softcap, causal, window, threads, isa   as in rapt.attention

    Weights stay where they are, and are kept alive: what changes in them changes the layer. Errors
    are rapt.Error. Any number of threads may run a layer, each with a cache of its own.

    >>> import numpy as np, rapt
    >>> layer = rapt.MultiHeadAttention.xavier(32, heads=4, kv_heads=2, causal=True)
    >>> layer
    <rapt.MultiHeadAttention 32 channels, 4 heads of 8, 2 of keys, causal>
    >>> x = np.ones((1, 5, 32), np.float32)              # batch, tokens, channels
    >>> layer.run(x).shape
    (1, 5, 32)
    """

    _what = "layer"

    def __init__(
        self,
        w_query: Any,
        w_key: Any,
        w_value: Any,
        w_out: Any,
        heads: int,
        *,
        kv_heads: int | None = None,
        b_query: Any = None,
        b_key: Any = None,
        b_value: Any = None,
        b_out: Any = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__()
        given = dict(zip(_WEIGHTS, (w_query, w_key, w_value, w_out)))
        biases = dict(zip(_BIASES, (b_query, b_key, b_value, b_out)))
        views = {name: matrix(name, array, 2) for name, array in given.items()}
        for name, array in biases.items():
            if array is not None:
                views[name] = matrix(name, array, 1)
        args = self._args = MhaArgs(size=ctypes.sizeof(MhaArgs), window_left=-1, window_right=-1)
        for name, view in views.items():
            view.fill(getattr(args, name))
        self._set_sizes(views, heads, kv_heads)
        rope = self._set_options(options)
        self.weights = {**given, **{k: v for k, v in biases.items() if v is not None}}
        self.rope = rope
        kept = rope and rope._handle, [view.owner for view in views.values()]
        self._storages = Storages(views)
        self._handle = Handle(lib.rapt_mha_create, lib.rapt_mha_destroy, args, kept)

    def _set_sizes(self, views: dict[str, _views.View], heads: int, kv_heads: int | None) -> None:
        args, most = self._args, _options.INT_MAX
        rows = {name: views[name].shape[2] for name in _WEIGHTS}
        args.model_dim = views["w_query"].shape[3]
        args.context_dim = views["w_key"].shape[3]
        args.q_heads = _options.integer("heads", heads, 1, most)
        args.head_dim = _share("w_query", rows["w_query"], args.q_heads, "heads")
        if kv_heads is None:
            args.kv_heads = _share("w_key", rows["w_key"], args.head_dim, "channels of a head")
        else:
            args.kv_heads = _options.integer("kv_heads", kv_heads, 1, most)
        args.value_dim = _share("w_value", rows["w_value"], args.kv_heads, "heads of keys")

    def _set_options(self, options: Options) -> Rope | None:
        args = self._args
        _keywords.check("MultiHeadAttention", options, Options.__optional_keys__)
        rope, scale, softcap = (options.get(name) for name in ("rope", "scale", "softcap"))
        if rope is not None and not isinstance(rope, Rope):
            raise InvalidType(f"rope: found {_options.shown(rope)}, expected a rapt.Rope, or None")
        args.rope = None if rope is None else rope._handle.pointer
        if scale is not None:
            args.scale = _options.factor("scale", scale, "1 / sqrt(channels)")
        if softcap is not None:
            args.softcap = _options.factor("softcap", softcap, "none", or_zero=True)
        args.causal = _options.flag("causal", options.get("causal", False))
        args.window_left, args.window_right = _options.window(options.get("window"))
        args.threads = _options.threads(options.get("threads"))
        args.isa = _options.isa(options.get("isa"))
        return rope

    @classmethod
    def xavier(
        cls,
        model_dim: int,
        heads: int,
        *,
        kv_heads: int | None = None,
        head_dim: int | None = None,
        value_dim: int | None = None,
        context_dim: int | None = None,
        bias: bool = False,
        seed: int = 0,
        **options: Unpack[Options],
    ) -> Self:
        """A layer of new weights, uniform in +-sqrt(6 / (rows + channels)); biases are 0.

        model_dim    channels of input and output
        heads        of queries; kv_heads of keys and values, as many if None
        head_dim     model_dim / heads if None; value_dim as many if None
        context_dim  channels of a context; model_dim if None
        seed         0 to 2^64 - 1: the same weights on every machine (Glorot and Bengio 2010)

        The weights are float32 arrays of NumPy's, in layer.weights by their names.
        """
        _keywords.check("MultiHeadAttention.xavier", options, Options.__optional_keys__)
        numpy, most = _views.numpy(), _options.INT_MAX
        channels = _options.integer("model_dim", model_dim, 1, most)
        count = _options.integer("heads", heads, 1, most)
        keys = count if kv_heads is None else _options.integer("kv_heads", kv_heads, 1, most)
        if head_dim is None:
            wide = _share("model_dim", channels, count, "heads, or a head_dim")
        else:
            wide = _options.integer("head_dim", head_dim, 1, most)
        deep = wide if value_dim is None else _options.integer("value_dim", value_dim, 1, most)
        context = channels
        if context_dim is not None:
            context = _options.integer("context_dim", context_dim, 1, most)
        start = _options.integer("seed", seed, 0, 2**64 - 1)
        shapes = (
            (count * wide, channels),
            (keys * wide, context),
            (keys * deep, context),
            (channels, count * deep),
        )
        try:
            query, key, value, output = (numpy.zeros(shape, "float32") for shape in shapes)
        except (MemoryError, ValueError) as error:
            raise OutOfMemory(f"weights: no memory for {shapes}: {error}") from None
        biases: dict[str, Any] = {}
        if _options.flag("bias", bias):
            biases = {name: numpy.zeros(s[0], "float32") for name, s in zip(_BIASES, shapes)}
        layer = cls(query, key, value, output, count, kv_heads=keys, **biases, **options)
        check(lib.rapt_mha_init_xavier(layer._handle.pointer, start))
        return layer

    @classmethod
    def from_torch(cls, module: Any, **options: Unpack[Options]) -> Self:
        """The layer of a torch.nn.MultiheadAttention, on the weights where they are.

        Its results are those of the module in eval mode, to rounding. What differs is how they are
        asked for: x is (batch, tokens, channels) whatever batch_first says, a context is both key
        and value, a bool mask's True means attend, and weights are of each head. bias_k, bias_v,
        add_zero_attn and different kdim and vdim are refused.
        """
        _keywords.check("MultiHeadAttention.from_torch", options, Options.__optional_keys__)
        torch = sys.modules.get("torch")
        if torch is None or not isinstance(module, torch.nn.MultiheadAttention):
            found = _options.shown(type(module).__name__)
            raise InvalidType(f"module: found {found}, expected a torch.nn.MultiheadAttention")
        try:
            parts = _of_torch(module)
        except (AttributeError, ValueError) as error:  # a part is missing, or another one
            raise InvalidArgument(
                f"module: {error}, expected its parts as torch has them"
            ) from None
        return cls(**parts, **options)

    def __repr__(self) -> str:
        a = self._args
        context = f", context of {a.context_dim}" if a.context_dim != a.model_dim else ""
        depth = f" and {a.value_dim}" if a.value_dim != a.head_dim else ""
        keys = f", {a.kv_heads} of keys" if a.kv_heads != a.q_heads else ""
        causal = ", causal" if a.causal else ""
        return (
            f"<rapt.MultiHeadAttention {a.model_dim} channels{context}, {a.q_heads} heads of "
            f"{a.head_dim}{depth}{keys}{causal}>"
        )

    def new_cache(self, capacity: int, **options: Any) -> KVCache:
        """A KVCache of this layer's sizes and rope; options are the others of KVCache."""
        a = self._args
        known = options.keys() - {"kv_heads", "head_dim"}
        _keywords.check("MultiHeadAttention.new_cache", options, known)
        options = {"value_dim": a.value_dim, "rope": self.rope, **options}
        return KVCache(a.kv_heads, a.head_dim, capacity=capacity, **options)

    def run(
        self,
        x: Any,
        context: Any = None,
        *,
        cache: KVCache | None = None,
        context_cache: KVCache | None = None,
        first_sequence: int = 0,
        mask: Any = None,
        kv_len: Any = None,
        kv_start: Any = None,
        positions: Any = None,
        cu: Any = None,
        out: Any = None,
        return_weights: bool | str = False,
        heads: Any = None,
        rows: tuple[int, int] | None = None,
    ) -> Any:
        """The layer's output for tokens.

        x               (batch, tokens, channels), float32; batch may be missing
        context         (batch, keys, context channels): what keys and values are made of, in place
                        of x; None for x itself
        cache           where the keys and values of earlier tokens are: those of x are appended to
                        the sequences from first_sequence on, one for each of the batch, and all are
                        attended. Not with a context
        context_cache   what append() has filled, in place of a context; it stays as it is
        mask            broadcasts to (batch, heads, tokens, keys): bool, true means attend, or
                        floats that are added to the scores. With a cache, keys are those of the
                        longest sequence after the run
        kv_len          how many keys there are, one number or one for each sequence; not with a
                        cache. kv_start: the first one there is, as left padding wants
        positions       (tokens) or (batch, tokens): what the rope turns by; None for 0 and on, or
                        a sequence's length in the cache and on. Causal and window ignore them
        cu              bounds of sequences of different lengths, end to end in an x whose batch is
                        1: sequence b has the tokens cu[b] to cu[b + 1] - 1, and sees itself alone
        out             where to write, also x itself; a new array of the kind of x if None
        return_weights  True: also return the softmax (batch, heads, tokens, keys); "mean": its
                        average over the heads (batch, tokens, keys)
        heads, rows     with return_weights=True only those of some heads, a list of numbers, and of
                        some tokens, (first, how many): computed again, with the same bits

        Returns out, or (out, weights). A token's bits are the same in any batch, for any number of
        threads, and whether its sequence comes at once or token by token with a cache.

        >>> import numpy as np, rapt
        >>> layer = rapt.MultiHeadAttention.xavier(32, heads=4, causal=True)
        >>> x = np.random.default_rng(0).standard_normal((1, 5, 32), np.float32)
        >>> cache = layer.new_cache(capacity=100)
        >>> steps = [layer.run(x[:, i : i + 1], cache=cache) for i in range(5)]
        >>> bool((np.concatenate(steps, 1) == layer.run(x)).all())
        True
        """
        run = _layer_run.Run(self._args, x, out)
        run.set_context(context, cache, context_cache, first_sequence)
        run.set_masks(mask, kv_len, kv_start, positions, cu)
        self._storages.check()
        return run.make(self._handle.pointer, return_weights, heads, rows)

    def append(self, context: Any, cache: KVCache, *, first_sequence: int = 0) -> None:
        """Projects a context's keys and values once, for runs with context_cache.

        context         (batch, keys, context channels), float32; it may come in several calls
        cache           gets them in the sequences from first_sequence on, one for each of the batch

        On an error nothing has been appended.

        >>> import numpy as np, rapt
        >>> layer = rapt.MultiHeadAttention.xavier(32, heads=4, context_dim=48)
        >>> x, context = np.ones((1, 2, 32), np.float32), np.ones((1, 9, 48), np.float32)
        >>> cache = layer.new_cache(capacity=9)
        >>> layer.append(context, cache)
        >>> bool((layer.run(x, context_cache=cache) == layer.run(x, context)).all())
        True
        """
        self._storages.check()
        _layer_run.append(self._handle.pointer, context, cache, first_sequence)
