# SPDX-License-Identifier: Apache-2.0
"""Models by rapt: one of them, those that name it, or continuous batching's."""

import contextlib
import threading
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import torch
import transformers
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from rapt import InvalidType, Unsupported
from rapt.torch._op import Counts
from rapt.torch._sdpa import TYPES

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


class _Before:
    """What a configuration named before it was used, for as long as it is used."""

    def __init__(self, config: Any) -> None:
        self.config, self.name, self.uses = config, config._attn_implementation, 0

    def end(self) -> None:
        self.uses -= 1
        if not self.uses:
            self.config._attn_implementation_internal = self.name


_lock = threading.RLock()
_used: weakref.WeakValueDictionary[int, _Before] = weakref.WeakValueDictionary()  # by id(config)


class use(Counts):
    """Has a model's attention computed by rapt from now on; with `with`, until the block ends.

    All submodels change. Masks of causality, windows and padding go to rapt as numbers. Raises
    rapt.Unsupported, and changes nothing, for a model whose attention can't be replaced, which
    would compute something else, or whose type rapt doesn't compute (float64).

    The result counts what rapt computed since: `calls`, one for each layer and step; `dense`, those
    with a bool mask of queries × keys, from a pattern that isn't recognised, or the caller's; and
    `biases`, those with a float one. The numbers are the process's. restore() undoes it. A model
    that is used several times, in threads too, gets back what it had when the last one is restored.

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
        _check_type(model)
        register()
        with _lock:
            self._before = _begin(models)
            model.set_attn_implementation(NAME)
            for part in models:
                if part.config._attn_implementation != NAME:
                    self.restore()
                    raise Unsupported(
                        f"{type(part).__name__}: found a model that keeps its own attention, "
                        "expected one whose attention transformers can replace (AttentionInterface)"
                    )
        super().__init__()

    def restore(self) -> None:
        """Gives each part of the model the implementation that it had, if this is its last use."""
        with _lock:
            for before in self._before:
                before.end()
            self._before = []

    def __enter__(self) -> "use":
        return self

    def __exit__(self, *error: Any) -> None:
        self.stop()
        self.restore()


def _check_type(model: PreTrainedModel) -> None:
    types = {each.dtype for each in model.parameters() if each.is_floating_point()}
    if types == {torch.float64}:
        raise Unsupported(
            f"{type(model).__name__}: found a model of float64, expected float32, float16 or "
            "bfloat16"
        )


def _begin(models: list[PreTrainedModel]) -> list[_Before]:
    """Counts a use of each of their configurations."""
    found = []
    for config in _configs(models):
        before = _used.get(id(config)) or _Before(config)
        before.uses += 1
        _used[id(config)] = before
        found.append(before)
    return found


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


_blocks: list[tuple[Any, Any]] = []  # what "sdpa" stood for before each block that lasts


@contextlib.contextmanager
def in_place_of_sdpa() -> Iterator[Counts]:
    """Has all models with "sdpa" run by rapt while a block lasts, in the whole process.

    A model of a type that rapt doesn't compute is left to PyTorch (float64). Continuous batching
    takes no name but its own, so this is the way to run it by rapt:

        model.set_attn_implementation("sdpa")
        with rapt.transformers.in_place_of_sdpa():
            model.generate_batch(prompts, generation_config)
    """
    register()
    interfaces: Any = (AttentionInterface, AttentionMaskInterface)
    with _lock:
        sdpa, masks = (
            _blocks[0] if _blocks else [each._global_mapping["sdpa"] for each in interfaces]
        )
        _blocks.append((sdpa, masks))

        def attend(module: Any, query: Any, *args: Any, **options: Any) -> Any:
            return (attention if query.dtype in TYPES else sdpa)(module, query, *args, **options)

        AttentionInterface.register("sdpa", attend)
        AttentionMaskInterface.register("sdpa", mask)
    counts = Counts()
    try:
        yield counts
    finally:
        counts.stop()
        with _lock:
            _blocks.pop()
            if not _blocks:
                AttentionInterface.register("sdpa", sdpa)
                AttentionMaskInterface.register("sdpa", masks)
