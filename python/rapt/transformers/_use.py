# SPDX-License-Identifier: Apache-2.0
"""Models by rapt: one of them, those that name it, or continuous batching's."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import transformers
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from rapt import InvalidType, Unsupported
from rapt.torch._op import Counts

from ._attention import attention
from ._families import check_model
from ._pattern import mask

NAME = "rapt"
TESTED = "5.24"


def register() -> None:
    """Makes "rapt" a name of an attention implementation: from_pretrained(…, attn_implementation=).

    use() does so by itself. Nothing changes for models of other implementations.
    """
    if not transformers.__version__.startswith(TESTED + "."):
        warnings.warn(
            f"rapt: found transformers {transformers.__version__}, tested with {TESTED}",
            stacklevel=2,
        )
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, mask)


class use(Counts):
    """Has a model's attention computed by rapt from now on; with `with`, until the block ends.

    All submodels change. Masks of causality, windows and padding go to rapt as numbers. Raises
    rapt.Unsupported, and changes nothing, for a model whose attention can't be replaced, or which
    would compute something else.

    The result counts what rapt computed since: `calls`, one for each layer and step; `dense`, those
    with a bool mask of queries × keys, from a pattern that isn't recognised, or the caller's; and
    `biases`, those with a float one. The numbers are the process's. restore() undoes it.

    >>> import torch, rapt.transformers
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> config = LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=48,
    ...     num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
    >>> model = LlamaForCausalLM(config).eval()
    >>> with rapt.transformers.use(model) as done:
    ...     out = model(torch.tensor([[1, 5, 9]]))
    >>> done.calls, done.dense
    (2, 0)
    """

    def __init__(self, model: PreTrainedModel) -> None:
        if not isinstance(model, PreTrainedModel):
            raise InvalidType(f"model: found {type(model).__name__}, expected a PreTrainedModel")
        models = [part for part in model.modules() if isinstance(part, PreTrainedModel)]
        for part in models:
            check_model(part)
        register()
        self._before = [(config, config._attn_implementation) for config in _configs(models)]
        model.set_attn_implementation(NAME)
        for part in models:
            if part.config._attn_implementation != NAME:
                self.restore()
                raise Unsupported(
                    f"{type(part).__name__}: found a model that keeps its own attention, expected "
                    "one whose attention transformers can replace (AttentionInterface)"
                )
        super().__init__()

    def restore(self) -> None:
        """Gives each part of the model the implementation that it had."""
        for config, name in self._before:
            config._attn_implementation_internal = name

    def __enter__(self) -> "use":
        return self

    def __exit__(self, *error: Any) -> None:
        self.stop()
        self.restore()


def _configs(models: list[PreTrainedModel]) -> list[Any]:
    """Each configuration of the models once, with those within it."""
    found: dict[int, Any] = {}
    waiting = [model.config for model in models]
    while waiting:
        config = waiting.pop()
        if id(config) not in found:
            found[id(config)] = config
            inner = (getattr(config, name, None) for name in config.sub_configs)
            waiting += [each for each in inner if each is not None]
    return list(found.values())


@contextlib.contextmanager
def in_place_of_sdpa() -> Iterator[Counts]:
    """Has all models with "sdpa" run by rapt while a block lasts, in the whole process.

    Continuous batching takes no name but its own, so this is the way to run it by rapt:

        model.set_attn_implementation("sdpa")
        with rapt.transformers.in_place_of_sdpa():
            model.generate_batch(prompts, generation_config)
    """
    register()
    interfaces: Any = (AttentionInterface, AttentionMaskInterface)
    before = [interface._global_mapping["sdpa"] for interface in interfaces]
    AttentionInterface.register("sdpa", attention)
    AttentionMaskInterface.register("sdpa", mask)
    counts = Counts()
    try:
        yield counts
    finally:
        counts.stop()
        for interface, function in zip(interfaces, before):
            interface.register("sdpa", function)
