# SPDX-License-Identifier: Apache-2.0
"""Attention for PyTorch on the CPU: an operator of its own, in models by a block or by a hook.

out = rapt.torch.scaled_dot_product_attention(q, k, v)   # PyTorch's signature and meaning
with rapt.torch.use() as done:                           # in all models, while the block lasts
    model(x)
torch.nn.attention.activate_flash_attention_impl("rapt") # in the whole process, until restored
"""

try:
    import torch as _torch
except ImportError as error:
    raise ImportError(
        f"rapt.torch needs PyTorch: pip install 'rapt-attention[torch]' ({error})"
    ) from None

from . import _flash as _flash  # registers the hook
from ._sdpa import scaled_dot_product_attention
from ._use import use

__all__ = ["scaled_dot_product_attention", "use"]
