# SPDX-License-Identifier: Apache-2.0
"""PyTorch's own hook for implementations of flash attention: registered here, activated by users.

>>> import rapt.torch
>>> from torch.nn.attention import activate_flash_attention_impl, restore_flash_attention_impl
>>> activate_flash_attention_impl("rapt")
>>> restore_flash_attention_impl()
"""

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import register_flash_attention_impl

from ._op import compute
from ._sdpa import TYPES, takes_scale

NAME = "rapt"
_OPERATOR = "_scaled_dot_product_flash_attention_for_cpu"


@torch.no_grad()
def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    """aten::_scaled_dot_product_flash_attention_for_cpu; its conditions were checked by PyTorch."""
    if dropout_p:
        raise NotImplementedError(f"rapt: dropout_p: found {dropout_p}, expected 0")
    out, lse = compute(query, key, value, attn_mask, causal=is_causal, scale=scale, return_lse=True)
    lse.masked_fill_(lse == -torch.inf, 0)  # as PyTorch has it in rows without keys
    # Compiled code asserts the strides that PyTorch's kernel gives: heads are innermost.
    return out, lse.transpose(1, 2).contiguous().transpose(1, 2)


class _Handle:
    """The kernel in PyTorch's dispatcher, until it is removed. What it can't do is left to the one
    that was there."""

    def __init__(self) -> None:
        library: Any = torch.library.Library
        before = torch.library.get_kernel(f"aten::{_OPERATOR}", "CPU")

        def attend(
            keys: Any, query: Tensor, *args: Any, scale: float | None = None, **more: Any
        ) -> Any:
            if query.dtype in TYPES and takes_scale(scale):
                return _attend(query, *args, scale=scale, **more)
            return before.call_boxed(keys, query, *args, scale=scale, **more)

        self._library = library("aten", "IMPL", "CPU")
        with warnings.catch_warnings():  # that a kernel is overridden, which is what is wanted
            warnings.simplefilter("ignore", UserWarning)
            self._library.impl(_OPERATOR, attend, with_keyset=True)

    def remove(self) -> None:
        self._library._destroy()


register_flash_attention_impl(NAME, register_fn=_Handle)
