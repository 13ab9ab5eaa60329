# SPDX-License-Identifier: Apache-2.0
"""An ONNX backend for the operator Attention of opsets 23 and later.

It runs models whose nodes are all Attention, and single nodes: for the conformance tests of the
onnx package, and to try what a model's node computes. A model of other operators is for a runtime
such as ONNX Runtime, and is refused here.

All arithmetic is in float32, whatever softmax_precision says; results are rounded once.

>>> import numpy as np, onnx.helper, rapt.onnx
>>> node = onnx.helper.make_node("Attention", ["q", "k", "v"], ["y"], is_causal=1)
>>> q, k, v = np.ones((3, 1, 2, 5, 8), np.float32)
>>> [y] = rapt.onnx.Backend.run_node(node, [q, k, v])
>>> y.shape
(1, 2, 5, 8)
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx.checker
import onnx.defs
import onnx.helper
import onnx.numpy_helper
from onnx import ModelProto, NodeProto
from onnx.backend import base

from . import _options
from ._attention import attention
from ._library import InvalidArgument, InvalidType, Unsupported

__all__ = ["Backend", "BackendRep"]

_KNOWN = (23, 24, 25)  # the versions of Attention
_KINDS = ("scaled", "capped", "masked", "softmax")  # by qk_matmul_output_mode
_PRECISIONS = (1, 10, 11, 16)  # of TensorProto: float32, float16, float64, bfloat16
_TYPES = ("float32", "float16", "bfloat16")
_INPUTS = ("Q", "K", "V", "attn_mask", "past_key", "past_value", "nonpad_kv_seqlen")


def _array(name: str, value: Any) -> Any:
    """An array of numbers."""
    try:
        array = value if isinstance(value, np.ndarray) else np.asarray(value)
    except Exception as error:  # code of the caller's
        raise InvalidType(f"{name}: {error}, expected an array") from None
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise InvalidType(f"{name}: found {array.dtype}, expected numbers")
    return array


class _Node(NamedTuple):
    """A node that is understood."""

    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    version: int

    @classmethod
    def of(cls, node: NodeProto, opset: int) -> "_Node":
        """Refuses what isn't Attention as this backend knows it."""
        if node.op_type != "Attention" or node.domain not in ("", "ai.onnx"):
            found = f"{node.domain}.{node.op_type}".lstrip(".")
            raise Unsupported(f"node {node.name!r}: found operator {found}, expected Attention")
        try:
            schema = onnx.defs.get_schema("Attention", opset)
            version = int(schema.since_version)
        except onnx.defs.SchemaError:
            version = 0
        if version not in _KNOWN:
            raise Unsupported(
                f"opset: found {opset}, which has Attention of version {version or 'none'}, "
                f"expected one that has version {_KNOWN[0]} to {_KNOWN[-1]}"
            )
        for a in node.attribute:
            if a.name not in schema.attributes:
                found = f"attribute {a.name}, expected none such"
                raise Unsupported(f"node {node.name!r}: found {found}")
            if a.ref_attr_name or not a.type:
                found = f"a function's {a.ref_attr_name}" if a.ref_attr_name else "no type"
                raise Unsupported(f"{a.name}: found {found}, expected a value")
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        for name, values in (
            ("qk_matmul_output_mode", range(len(_KINDS))),
            ("softmax_precision", _PRECISIONS),
        ):
            if attributes.get(name, values[0]) not in values:
                found = attributes[name]
                raise Unsupported(f"{name}: found {found}, expected one of {tuple(values)}")
        return cls(list(node.input), list(node.output), attributes, version)

    def run(self, values: dict[str, Any]) -> None:
        """Adds the node's outputs to the values by their names."""
        given = {
            role: _array(role, values[name]) for role, name in zip(_INPUTS, self.inputs) if name
        }
        wants_scores = len(self.outputs) > 3 and self.outputs[3] != ""
        found = _compute(given, self.attributes, self.version, wants_scores)
        values.update((name, array) for name, array in zip(self.outputs, found) if name)


def _by_heads(name: str, array: Any, heads: int | None) -> Any:
    """(batch, heads, positions, channels), of 3-D inputs too."""
    if array.dtype.name not in _TYPES:
        raise Unsupported(f"{name}: found {array.dtype}, expected one of {', '.join(_TYPES)}")
    if array.ndim == 4:
        return array
    if array.ndim != 3 or heads is None or heads < 1 or array.shape[2] % heads:
        raise InvalidArgument(
            f"{name}: found shape {array.shape} for {heads or 'no number of'} heads, expected 4 "
            "dimensions, or 3 of which the last is a multiple of the heads"
        )
    batch, positions, channels = array.shape
    return array.reshape(batch, positions, heads, channels // heads).transpose(0, 2, 1, 3)


def _joined(name: str, past: Any, new: Any) -> Any:
    """Keys or values of earlier positions and of new ones, in memory of their own."""
    if past is None:
        return new.copy()
    if past.dtype != new.dtype:
        raise InvalidArgument(f"{name}: found {past.dtype}, expected {new.dtype}, as the new ones")
    try:
        return np.concatenate((past, new), axis=2)
    except ValueError as error:
        raise InvalidArgument(f"{name}: found shape {past.shape}: {error}") from None


def _mask_options(mask: Any, keys: int, version: int) -> dict[str, Any]:
    """A mask of any type; from version 24 on what a short one doesn't cover isn't attended."""
    if mask is None:
        return {}
    if mask.dtype != bool and mask.dtype.name not in _TYPES:
        mask = mask.astype(np.float32)
    if mask.ndim < 1:
        raise InvalidArgument("attn_mask: found no dimensions, expected 1 to 4")
    short = version >= 24 and mask.shape[-1] < keys
    return {"mask": mask, "mask_start": 0} if short else {"mask": mask}


def _heads_of(attributes: dict[str, Any], version: int, rank: int) -> tuple[Any, Any]:
    heads = attributes.get("q_num_heads"), attributes.get("kv_num_heads")
    if rank == 4 and version >= 25 and heads != (None, None):
        raise InvalidArgument(
            f"q_num_heads, kv_num_heads: found {heads} with Q of 4 dimensions, expected none"
        )
    return heads


def _offsets(given: dict[str, Any], queries: int) -> dict[str, Any]:
    """Where the queries stand among the keys, and how many keys there are."""
    past, lengths = given.get("past_key"), given.get("nonpad_kv_seqlen")
    if (past is None) != (given.get("past_value") is None):
        raise InvalidArgument("past_key, past_value: found one of them, expected both or none")
    if past is not None and lengths is not None:
        raise InvalidArgument("nonpad_kv_seqlen: found with past_key, expected one of them")
    if past is not None:
        return {"q_offset": past.shape[2] if past.ndim > 2 else 0}
    if lengths is None:
        return {}
    if lengths.dtype != np.int64 or lengths.ndim != 1:
        raise InvalidArgument(
            f"nonpad_kv_seqlen: found {lengths.dtype} of shape {lengths.shape}, expected int64 "
            "of shape (batch)"
        )
    return {"q_offset": lengths - queries, "kv_len": lengths}


def _compute(
    given: dict[str, Any], attributes: dict[str, Any], version: int, wants_scores: bool
) -> tuple[Any, Any, Any, Any]:
    """Y, present_key, present_value and qk_matmul_output, or None for the last."""
    ranks = [given[name].ndim for name in "QKV"]
    if len(set(ranks)) != 1:
        raise InvalidArgument(f"Q, K, V: found {ranks} dimensions, expected as many of each")
    q_heads, kv_heads = _heads_of(attributes, version, ranks[0])
    q = _by_heads("Q", given["Q"], q_heads)
    k = _by_heads("K", given["K"], kv_heads)
    v = _by_heads("V", given["V"], kv_heads)
    batch, heads, queries, _ = q.shape
    offsets = _offsets(given, queries)
    k = _joined("past_key", given.get("past_key"), k)
    v = _joined("past_value", given.get("past_value"), v)
    y = np.empty((batch, queries, heads, v.shape[3]), q.dtype)
    options: dict[str, Any] = {
        "scale": attributes.get("scale"),
        "softcap": attributes.get("softcap"),
        "causal": bool(attributes.get("is_causal", 0)),
        "window": [attributes.get(f"{side}_window_size", -1) for side in ("left", "right")],
        "return_weights": wants_scores,
        **_mask_options(given.get("attn_mask"), k.shape[2], version),
        **offsets,
    }
    if wants_scores:
        options["weights_kind"] = _KINDS[attributes.get("qk_matmul_output_mode", 0)]
    found = attention(q, k, v, out=y.transpose(0, 2, 1, 3), **options)
    scores = found.weights.astype(q.dtype) if wants_scores else None
    if ranks[0] == 3:
        return y.reshape(batch, queries, heads * v.shape[3]), k, v, scores
    return y.transpose(0, 2, 1, 3), k, v, scores


class BackendRep(base.BackendRep):
    """A model that is ready to run."""

    def __init__(self, model: ModelProto) -> None:
        graph = model.graph
        if graph.sparse_initializer:
            raise Unsupported("model: found sparse initializers, expected dense ones")
        opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
        self._nodes = [_Node.of(node, opset) for node in graph.node]
        self._constants = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
        self._inputs = [i.name for i in graph.input if i.name not in self._constants]
        self._outputs = [output.name for output in graph.output]

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The graph's outputs, for inputs in the graph's order, or by their names.

        Inputs and outputs are NumPy arrays; those of bfloat16 are of ml_dtypes.
        """
        if kwargs:
            raise Unsupported(f"run: found {', '.join(kwargs)}, expected inputs alone")
        if isinstance(inputs, Mapping):
            missing = [name for name in self._inputs if name not in inputs]
            if missing:
                raise InvalidArgument(f"inputs: found none for {missing}, expected each")
            inputs = [inputs[name] for name in self._inputs]
        values = dict(self._constants)
        values.update(zip(self._inputs, _listed(inputs, len(self._inputs))))
        for node in self._nodes:
            node.run(values)
        return tuple(values[name] for name in self._outputs)


def _listed(inputs: Any, count: int) -> list[Any]:
    if isinstance(inputs, np.ndarray):
        inputs = [inputs]
    if not isinstance(inputs, Sequence) or isinstance(inputs, (str, bytes)) or len(inputs) != count:
        found = len(inputs) if isinstance(inputs, Sequence) else type(inputs).__name__
        raise InvalidArgument(f"inputs: found {found}, expected a list of {count} arrays")
    return list(inputs)


def _check_device(device: str) -> None:
    if not Backend.supports_device(device):
        raise Unsupported(f"device: found {device!r}, expected 'CPU'")


class Backend(base.Backend):
    """ONNX's interface of a backend; all of it is called on the class."""

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether the device is the CPU."""
        return isinstance(device, str) and device.partition(":")[0] == "CPU"

    @classmethod
    def is_compatible(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether prepare() takes a model."""
        try:
            cls.prepare(model, device, **kwargs)
        except (InvalidArgument, Unsupported):
            return False
        return True

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> BackendRep:
        """A model that is ready to run. Raises rapt.Unsupported for what this backend lacks."""
        _check_device(device)
        if kwargs:
            raise Unsupported(f"prepare: found {', '.join(kwargs)}, expected a model alone")
        if not isinstance(model, ModelProto):
            raise InvalidType(f"model: found {type(model).__name__}, expected a ModelProto")
        try:
            onnx.checker.check_model(model)
        except (onnx.checker.ValidationError, ValueError) as error:  # also too large a model
            raise InvalidArgument(f"model: {error}") from None
        return BackendRep(model)

    @classmethod
    def run_node(
        cls,
        node: NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Any = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """The outputs of one node that have names, for inputs of those that have names.

        opset_version is the newest one that the onnx package knows, if it isn't given.
        """
        _check_device(device)
        newest = onnx.defs.onnx_opset_version()
        opset = _options.integer("opset_version", kwargs.pop("opset_version", newest), 1, 2**31 - 1)
        if kwargs:
            raise Unsupported(f"run_node: found {', '.join(kwargs)}, expected opset_version")
        if not isinstance(node, NodeProto):
            raise InvalidType(f"node: found {type(node).__name__}, expected a NodeProto")
        known = _Node.of(node, opset)
        try:
            version: dict[str, Any] = {"opset_version": opset}
            super().run_node(node, inputs, device, outputs_info, **version)
        except onnx.checker.ValidationError as error:
            raise InvalidArgument(f"node: {error}") from None
        named = [name for name in known.inputs if name]
        values = dict(zip(named, _listed(inputs, len(named))))
        known.run(values)
        return tuple(values[name] for name in known.outputs if name)
