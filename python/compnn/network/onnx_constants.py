"""Numbers in a graph that do not depend on the image: sizes, starts, pads, axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

_Array: TypeAlias = npt.NDArray[Any]
_Attributes: TypeAlias = Mapping[str, Any]

# Larger tensors are weights.
_MOST_NUMBERS = 1 << 12

_BINARY: dict[str, Callable[[_Array, _Array], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Mod": np.mod,
    "Max": np.maximum,
    "Min": np.minimum,
    "Pow": np.power,
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
}
_UNARY: dict[str, Callable[[_Array], Any]] = {
    "Identity": np.asarray,
    "Neg": np.negative,
    "Abs": np.abs,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Round": np.rint,
    "Sqrt": np.sqrt,
    "Not": np.logical_not,
    "NonZero": lambda x: np.array(np.nonzero(x), np.int64),
}


def attributes(node: onnx.NodeProto) -> dict[str, object]:
    """The attributes of a node, subgraphs left out; bytes as text."""
    found: dict[str, object] = {}
    for each in node.attribute:
        if each.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
            continue
        value = onnx.helper.get_attribute_value(each)
        found[each.name] = value.decode(errors="replace") if isinstance(value, bytes) else value
    return found


class Constants:
    """Values of small constants, folded in the order of the nodes.

    Parameters
    ----------
    graph
        Its nodes are in an order in which they can run.
    shapes
        Of the tensors that are computed from the image.
    """

    def __init__(self, graph: onnx.GraphProto, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = shapes
        self._values: dict[str, _Array] = {}
        self._dims: dict[str, tuple[int, ...]] = {}
        for tensor in graph.initializer:
            self._keep(tensor.name, tensor)

    def value(self, name: str) -> npt.NDArray[Any] | None:
        """The value of a small constant; None where it is large, or not known."""
        return self._values.get(name)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of a constant, or of a tensor that is computed from the image."""
        if name in self._shapes:
            return self._shapes[name]
        return self._dims.get(name)

    def integers(self, name: str) -> list[int] | None:
        """A constant of whole numbers as a list."""
        value = self._values.get(name)
        return None if value is None else [int(number) for number in value.reshape(-1)]

    def fold(self, node: onnx.NodeProto) -> None:
        """Take a node into account that does not depend on the image's values."""
        attrs: _Attributes = attributes(node)
        try:
            result = self._folded(node, attrs)
        except (ValueError, IndexError, TypeError, ZeroDivisionError, OverflowError):
            result = None
        if result is None:
            # Weights that are widened or transposed: their shape is enough.
            dims = self._dims.get(node.input[0]) if node.input else None
            if dims is not None and node.output:
                if node.op_type == "Transpose":
                    perm = attrs.get("perm", range(len(dims))[::-1])
                    self._dims[node.output[0]] = tuple(dims[axis] for axis in perm)
                elif node.op_type in ("Cast", "Identity", "DequantizeLinear", "Mul"):
                    self._dims[node.output[0]] = dims
            return
        results = result if isinstance(result, list) else [result]
        for name, value in zip(node.output, results, strict=False):
            array = np.asarray(value)
            self._dims[name] = array.shape
            if array.size <= _MOST_NUMBERS:
                self._values[name] = array

    def _keep(self, name: str, tensor: onnx.TensorProto) -> None:
        self._dims[name] = tuple(tensor.dims)
        if np.prod(tensor.dims, dtype=object) > _MOST_NUMBERS:
            return
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            self._values[name] = numpy_helper.to_array(tensor)

    def _folded(self, node: onnx.NodeProto, attrs: _Attributes) -> Any:
        kind = node.op_type
        if kind == "Shape":
            shape = self.shape(node.input[0])
            if shape is None:
                return None
            return np.array(shape[attrs.get("start", 0) : attrs.get("end")], np.int64)
        if kind == "Size":
            shape = self.shape(node.input[0])
            return None if shape is None else np.array(np.prod(shape, dtype=np.int64))
        if kind == "Constant":
            return self._constant(node, attrs)
        given = [self._values.get(name) if name else None for name in node.input]
        if any(value is None for name, value in zip(node.input, given, strict=True) if name):
            return None
        x: Any = given[0] if given else None
        match kind:
            case _ if kind in _UNARY:
                return _UNARY[kind](x)
            case _ if kind in _BINARY:
                return np.asarray(_BINARY[kind](x, np.asarray(given[1])))
            case "Div":
                y = np.asarray(given[1])
                if np.issubdtype(x.dtype, np.integer):
                    return (np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y))).astype(x.dtype)
                return x / y
            case "Cast":
                return x.astype(onnx.helper.tensor_dtype_to_np_dtype(attrs["to"]))
            case "Concat":
                return np.concatenate([np.asarray(v) for v in given], attrs["axis"])
            case "Gather":
                return np.take(x, np.asarray(given[1]), attrs.get("axis", 0))
            case "Unsqueeze":
                axes = attrs.get("axes") or np.asarray(given[1]).reshape(-1).tolist()
                return np.expand_dims(x, tuple(axes))
            case "Squeeze":
                axes = attrs.get("axes")
                if axes is None and len(given) > 1:
                    axes = np.asarray(given[1]).reshape(-1).tolist()
                return np.squeeze(x, None if axes is None else tuple(axes))
            case "Reshape":
                return x.reshape(np.asarray(given[1]))
            case "Expand":
                return np.broadcast_to(
                    x, np.broadcast_shapes(x.shape, tuple(np.asarray(given[1])))
                ).copy()
            case "Range":
                return np.arange(
                    x.item(), *(np.asarray(v).item() for v in given[1:]), dtype=x.dtype
                )
            case "Where":
                return np.where(x, np.asarray(given[1]), np.asarray(given[2]))
            case "Transpose":
                return x.transpose(attrs.get("perm"))
            case "ConstantOfShape":
                fill = numpy_helper.to_array(attrs["value"]) if "value" in attrs else np.zeros(1)
                count = np.prod(x, dtype=np.int64)
                return np.full(tuple(x), fill.reshape(-1)[0]) if count <= _MOST_NUMBERS else None
            case "ReduceProd" | "ReduceSum" | "ReduceMax" | "ReduceMin":
                function = getattr(
                    np, {"Prod": "prod", "Sum": "sum", "Max": "max", "Min": "min"}[kind[6:]]
                )
                return np.asarray(function(x, keepdims=bool(attrs.get("keepdims", 1))))
            case "Slice":
                return self._sliced(x, given, attrs)
            case "Split":
                counts = given[1] if len(given) > 1 and given[1] is not None else attrs.get("split")
                axis = attrs.get("axis", 0)
                if counts is None:
                    return np.array_split(x, len(node.output), axis)
                return np.split(x, np.cumsum(counts)[:-1], axis)
        return None

    @staticmethod
    def _constant(node: onnx.NodeProto, attrs: _Attributes) -> _Array | None:
        if "value" in attrs:
            tensor = attrs["value"]
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                return None
            return numpy_helper.to_array(tensor)
        for key, kind in (
            ("value_int", np.int64),
            ("value_ints", np.int64),
            ("value_float", np.float32),
            ("value_floats", np.float32),
        ):
            if key in attrs:
                return np.array(attrs[key], kind)
        return None

    @staticmethod
    def _sliced(x: _Array, given: list[_Array | None], attrs: _Attributes) -> _Array:
        if "starts" in attrs:
            starts, ends = attrs["starts"], attrs["ends"]
            axes, steps = attrs.get("axes"), None
        else:
            parts = [
                None if v is None else v.reshape(-1).tolist() for v in (*given[1:], None, None)
            ]
            starts, ends, axes, steps = parts[:4]
        axes = list(range(len(starts))) if axes is None else axes
        steps = [1] * len(starts) if steps is None else steps
        index = [slice(None)] * x.ndim
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
            stop = None if step < 0 and end < -x.shape[axis] else end
            index[axis] = slice(start, stop, step)
        return x[tuple(index)]
