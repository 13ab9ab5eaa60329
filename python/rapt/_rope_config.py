# SPDX-License-Identifier: Apache-2.0
"""From a model's configuration, as transformers has it, to the arguments of a Rope."""

import math
from collections.abc import Mapping
from typing import Any

from . import _numeric, _options
from ._library import InvalidArgument, InvalidType, Unsupported

_KNOWN = ("default", "linear", "llama3")


def _parameters(config: Any, layer_type: str | None) -> Mapping[str, Any]:
    found = getattr(config, "rope_parameters", None)
    if not isinstance(found, Mapping):
        raise InvalidType(
            f"config: found {_options.shown(type(config).__name__)} without rope_parameters, "
            "expected a configuration of transformers 5"
        )
    by_layer = {name: one for name, one in found.items() if isinstance(one, Mapping)}
    if not by_layer and layer_type is None:
        return found
    if not isinstance(layer_type, str) or layer_type not in by_layer:
        found_type = _options.shown(layer_type)
        expected = "one of " + ", ".join(by_layer) if by_layer else "None"
        raise InvalidArgument(f"layer_type: found {found_type}, expected {expected}")
    return by_layer[layer_type]


def _number(parameters: Mapping[str, Any], name: str, *default: float) -> float:
    if name not in parameters and default:
        return default[0]
    return _numeric.number(f"rope_parameters.{name}", parameters.get(name))


def _size(config: Any, name: str) -> int:
    found = getattr(config, name, None)
    return _options.integer(f"config.{name}", found, 1, _options.INT_MAX)


def _llama3(parameters: Mapping[str, Any], base: float, dim: int) -> list[float]:
    """Llama 3.1's: long waves are stretched, short ones aren't, and those between by halves."""
    factor, length, low, high = (
        _number(parameters, name)
        for name in (
            "factor",
            "original_max_position_embeddings",
            "low_freq_factor",
            "high_freq_factor",
        )
    )
    if not (factor > 0 and length > 0 and high > low):
        raise InvalidArgument(
            f"rope_parameters: found factor {factor:g}, low_freq_factor {low:g} and "
            f"high_freq_factor {high:g}, expected positive ones, the lower first"
        )
    found = []
    for i in range(dim // 2):
        frequency = base ** (-2 * i / dim)
        turns = length * frequency / (2 * math.pi)  # within the length it was trained for
        share = min(1.0, max(0.0, (turns - low) / (high - low)))
        found.append(frequency * (share + (1 - share) / factor))
    return found


def arguments(config: Any, layer_type: str | None) -> dict[str, Any]:
    """rotary_dim, and what else differs from the defaults."""
    parameters = _parameters(config, layer_type)
    kind = parameters.get("rope_type", "default")
    if not isinstance(kind, str) or kind not in _KNOWN:
        raise Unsupported(
            f"rope_parameters.rope_type: found {_options.shown(kind)}, expected one of "
            f"{', '.join(_KNOWN)}, or a Rope with frequencies of your own"
        )
    if getattr(config, "head_dim", None) is not None:
        head_dim = _size(config, "head_dim")
    else:
        head_dim = _size(config, "hidden_size") // _size(config, "num_attention_heads")
    share = _number(parameters, "partial_rotary_factor", 1.0)
    if not 0 < share <= 1:
        raise InvalidArgument(
            f"rope_parameters.partial_rotary_factor: found {share:g}, expected 0 to 1"
        )
    dim = int(head_dim * share)
    base = _number(parameters, "rope_theta")
    if not 1 <= base <= 1e30:
        raise InvalidArgument(f"rope_parameters.rope_theta: found {base:g}, expected 1 to 1e30")
    if kind == "llama3":
        return {"rotary_dim": dim, "frequencies": _llama3(parameters, base, dim)}
    if kind == "default":
        return {"rotary_dim": dim, "base": base}
    factor = _number(parameters, "factor")
    if not factor > 0:
        raise InvalidArgument(f"rope_parameters.factor: found {factor:g}, expected more than 0")
    return {"rotary_dim": dim, "base": base, "position_scale": 1 / factor}
