# SPDX-License-Identifier: Apache-2.0
"""Rotary position embedding."""

import ctypes
from typing import Any, Self

from . import _numeric, _options, _rope_config, _views
from ._abi import RopeArgs, Tensor
from ._handle import Handle, Owner
from ._library import check, lib
from ._output import Output

_PAIRINGS = ("halves", "neighbours")  # in the order of the C enum


class Rope(Owner):
    """Rotary position embedding (Su et al. 2021): turns pairs of channels by a token's position.

    rotary_dim      the first so many channels turn, an even number; the others stay
    base            pair i turns by base^(-2i / rotary_dim) radians per position; 1 to 1e30
    frequencies     rotary_dim / 2 numbers of -1000 to 1000, in place of those of `base`
    position_scale  positions are multiplied by it, 0 to 1000
    pairing         "halves": channels i and i + rotary_dim / 2, as in Hugging Face's Llama; or
                    "neighbours": 2i and 2i + 1, as in GPT-J
    isa             a name of rapt.isas(); None for that of RAPT_ISA, or the best

    Angles are exact to float32 at any position. It never changes, so any number of threads may use
    one, and caches and layers share it.

    >>> import numpy as np, rapt
    >>> rope = rapt.Rope(2, base=10000.0)
    >>> rope.apply(np.float32([[1, 0]]), [1]).round(3)   # turned by 1 radian
    array([[0.54 , 0.841]], dtype=float32)
    """

    _what = "rope"

    def __init__(
        self,
        rotary_dim: int,
        *,
        base: float = 10000.0,
        frequencies: Any = None,
        position_scale: float = 1.0,
        pairing: str = "halves",
        isa: str | None = None,
    ) -> None:
        super().__init__()
        self.rotary_dim = _options.integer("rotary_dim", rotary_dim, 2, _options.INT_MAX)
        args = RopeArgs(size=ctypes.sizeof(RopeArgs), rotary_dim=self.rotary_dim)
        args.pairing = _options.choice("pairing", pairing, _PAIRINGS)
        args.base = _numeric.number("base", base)
        args.position_scale = _numeric.number("position_scale", position_scale)
        if frequencies is not None:
            args.frequencies = _numeric.numbers("frequencies", frequencies, self.rotary_dim // 2)
        args.isa = _options.isa(isa)
        self._form = f"rotary_dim={self.rotary_dim}, pairing={pairing!r}"
        self._handle = Handle(lib.rapt_rope_create, lib.rapt_rope_destroy, args)

    @classmethod
    def from_config(
        cls,
        config: Any,
        layer_type: str | None = None,
        *,
        pairing: str = "halves",
        isa: str | None = None,
    ) -> Self:
        """The rope of a model, by its configuration in transformers 5.

        layer_type  for models whose kinds of layers differ, such as "sliding_attention" of Gemma 3

        Of the rope types, default, linear and llama3 are known; others are rapt.Unsupported.

        >>> import rapt, types
        >>> theta = {"rope_type": "default", "rope_theta": 5e5}
        >>> config = types.SimpleNamespace(head_dim=64, rope_parameters=theta)
        >>> rapt.Rope.from_config(config)
        <rapt.Rope rotary_dim=64, pairing='halves'>
        """
        return cls(**_rope_config.arguments(config, layer_type), pairing=pairing, isa=isa)

    def __repr__(self) -> str:
        return f"<rapt.Rope {self._form}>"

    def apply(self, x: Any, positions: Any = None, *, layout: str = "bhsd", out: Any = None) -> Any:
        """Queries or keys, turned.

        x          (batch, heads, tokens, channels) of float32, float16 or bfloat16; batch, and
                   heads, may be missing
        positions  (tokens) or (batch, tokens) integers of -2^31 to 2^31; 0, 1, 2, ... if None
        layout     of x and out: "bhsd", or "bshd" for (batch, tokens, heads, channels)
        out        where to write, of x's shape and of any of these types, x itself included; a new
                   array of x's type and kind if None

        Returns out. Errors are rapt.Error, and nothing is written then.
        """
        swap = _options.layout(layout)
        whole = _views.view("x", x)
        view = _views.view4("x", whole, swap)
        turned = Output("out", x, view.dtype, whole.shape, out)
        batch, _, tokens, _ = view.shape
        numbers, step = None, 0
        if positions is not None:
            numbers, shape = _numeric.integers("positions", positions, (tokens,), (batch, tokens))
            step = tokens if len(shape) == 2 else 0
        source, target = Tensor(), Tensor()
        view.fill(source)
        turned.view4(swap).fill(target)
        check(lib.rapt_rope_apply(self._handle.pointer, source, numbers, step, target))
        return turned.result()
