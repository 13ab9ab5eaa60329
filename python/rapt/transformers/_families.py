# SPDX-License-Identifier: Apache-2.0
"""Families of models that would compute something else, or not by rapt at all: refused by name."""

import functools
import inspect
import re
import sys
from typing import Any

from rapt import Unsupported

_ATTENTION = re.compile(r"^class (\w*Attention\w*)\(nn\.Module\):", re.MULTILINE)
_ASKS = "ALL_ATTENTION_FUNCTIONS.get_interface("
_CHOOSES = re.compile(r"_attn_implementation (?:not )?in \(")


@functools.cache
def why_not(module: str) -> str | None:
    """What keeps the models of a module from rapt, by the module's source; None if nothing does.

    A module that isn't loaded, or has no source, is not refused.
    """
    loaded = sys.modules.get(module)
    try:
        source = inspect.getsource(loaded) if loaded else ""
    except (OSError, TypeError):
        source = ""
    found = _ATTENTION.search(source)
    if found and _ASKS not in source:
        return f"computes attention itself, in {found[1]}"
    if _CHOOSES.search(source):
        return "keeps to the keys that it chooses (sparse attention) with eager and sdpa only"
    return None


def check_model(model: Any) -> None:
    """Raises rapt.Unsupported for a model that rapt can't run."""
    _check(type(model).__module__, type(model).__name__)


def check_config(config: Any) -> None:
    """The same for the model of a configuration, as far as its module follows the usual names."""
    module = type(config).__module__.replace("configuration_", "modeling_")
    _check(module, type(config).__name__)


def _check(module: str, name: str) -> None:
    reason = why_not(module)
    if reason:
        raise Unsupported(
            f"{name}: found a model that {reason}; expected one whose attention transformers can "
            "replace (AttentionInterface)"
        )
