# SPDX-License-Identifier: Apache-2.0
"""rapt in the place of PyTorch's function, for as long as a block lasts."""

from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from ._op import Counts
from ._sdpa import scaled_dot_product_attention

# PyTorch asks a mode about this function as a whole and about nothing within. So what
# nn.MultiheadAttention calls is a copy that finds rapt's function under the name of PyTorch's. Its
# names have no module: a compiler would look them up there.
_names = {name: value for name, value in vars(F).items() if name != "__name__"}
_names["scaled_dot_product_attention"] = scaled_dot_product_attention
_multi_head_attention_forward = FunctionType(
    F.multi_head_attention_forward.__code__,
    _names,
    "multi_head_attention_forward",
    F.multi_head_attention_forward.__defaults__,
)


class use(TorchFunctionMode):
    """Has F.scaled_dot_product_attention computed by rapt, in this thread, while a block lasts.

    It is rapt.torch.scaled_dot_product_attention() that is called then, by models and by
    nn.MultiheadAttention too, in eager mode and under torch.compile. PyTorch asks Python about each
    of its functions meanwhile, which takes some 2 µs a call.

    What `with` gives counts what was done since then: `calls`, the attentions that rapt computed,
    and `passed`, those that it left to PyTorch in eager mode. The numbers are the process's.

    >>> import torch, rapt.torch
    >>> q = torch.randn(1, 4, 3, 16)
    >>> with rapt.torch.use() as done:
    ...     out = torch.nn.functional.scaled_dot_product_attention(q, q, q)
    ...     wide = q.double()
    ...     wide = torch.nn.functional.scaled_dot_product_attention(wide, wide, wide)
    >>> done.calls, done.passed
    (1, 1)
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is F.scaled_dot_product_attention:
            func = scaled_dot_product_attention
        elif func is F.multi_head_attention_forward:
            func = _multi_head_attention_forward
        return func(*args, **(kwargs or {}))

    def __enter__(self) -> Counts:
        super().__enter__()  # type: ignore[no-untyped-call]
        self._counts = Counts()
        return self._counts

    def __exit__(self, *error: Any) -> None:
        self._counts.stop()
        super().__exit__(*error)  # type: ignore[no-untyped-call]
