# SPDX-License-Identifier: Apache-2.0
"""transformers' models with attention by rapt.

rapt.transformers.use(model)           # from now on; with `with`, while the block lasts
rapt.transformers.register()           # "rapt" is a name: from_pretrained(…, attn_implementation=)
"""

try:
    import transformers as _transformers
except ImportError as error:
    raise ImportError(
        "rapt.transformers needs transformers: pip install 'rapt-attention[transformers]' "
        f"({error})"
    ) from None

from ._use import in_place_of_sdpa, register, use

__all__ = ["in_place_of_sdpa", "register", "use"]
