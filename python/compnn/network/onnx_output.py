"""The per-pixel outputs of an ONNX graph, and what the operators at their end say about them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from compnn.network.onnx_shapes import TensorInfo
from compnn.network.output import Ending

# They change where numbers stand, or their type, not what they mean.
_PASSED = {
    "Identity",
    "Cast",
    "CastLike",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Resize",
    "Upsample",
    "Slice",
    "Pad",
    "Dropout",
    "DepthToSpace",
    "QuantizeLinear",
    "DequantizeLinear",
}
_BOOLS = {"Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "And", "Or", "Xor", "Not"}
_FEATURES = {
    "Relu",
    "LeakyRelu",
    "PRelu",
    "Elu",
    "Selu",
    "Gelu",
    "HardSwish",
    "Mish",
    "BatchNormalization",
    "InstanceNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "MaxPool",
}
_BOUNDS: dict[str, tuple[float, float]] = {
    "Sigmoid": (0.0, 1.0),
    "HardSigmoid": (0.0, 1.0),
    "Softmax": (0.0, 1.0),
    "Tanh": (-1.0, 1.0),
}
_INTEGERS = {
    TensorProto.UINT8,
    TensorProto.INT8,
    TensorProto.UINT16,
    TensorProto.INT16,
    TensorProto.INT32,
    TensorProto.INT64,
}
# At most so many operators are passed before it is open what an output is.
_MOST_PASSED = 100


@dataclass(frozen=True)
class Layout:
    """How an output is laid out: the dimensions of the tensor that are channels, rows, columns.

    Attributes
    ----------
    channels
        Number of channels.
    order
        The dimensions that are channels (None where there is no such), rows and columns; all others
        have one element.
    """

    channels: int
    order: tuple[int | None, int, int]

    def of(self, values: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        """The output of one image as float32 (C, h, w)."""
        channels, rows, cols = self.order
        kept = (rows, cols) if channels is None else (channels, rows, cols)
        first = values[tuple(slice(None) if d in kept else 0 for d in range(values.ndim))]
        left = sorted(kept)
        ordered = first.transpose([left.index(dim) for dim in kept])
        return np.ascontiguousarray(ordered[None] if channels is None else ordered, np.float32)


def output_layouts(
    outputs: Sequence[str],
    tensors: Mapping[str, TensorInfo],
    size: tuple[int, int],
    batch: int = 1,
) -> dict[str, Layout]:
    """The outputs that are per pixel, by name, in their order.

    Rows and columns are the two dimensions that shrink or grow the image alike; any other dimension
    but the `batch` has one element. `tensors` are those computed from an image of `size`.
    """
    layouts = {
        name: _layout_of(tensors[name].shape, size, batch) for name in outputs if name in tensors
    }
    return {name: layout for name, layout in layouts.items() if layout is not None}


def main_output(graph: onnx.GraphProto, names: Collection[str]) -> str:
    """The output that is meant where nobody has said: the one that most operators lead to.

    An auxiliary head branches off before the end, and often says so in its name.
    """
    makers = {result: node for node in graph.node for result in node.output}

    def operators(name: str) -> int:
        seen, waiting = {name}, [name]
        while waiting:
            node = makers.get(waiting.pop())
            for read in node.input if node is not None else ():
                if read not in seen:
                    seen.add(read)
                    waiting.append(read)
        return len(seen)

    return max(names, key=lambda name: ("aux" not in name.lower(), operators(name)))


def _layout_of(shape: tuple[int, ...], size: tuple[int, int], batch: int) -> Layout | None:
    match shape:
        case (images, channels, rows, cols) if images == batch and _alike((rows, cols), size):
            return Layout(channels, (1, 2, 3))
        case (images, rows, cols, channels) if images == batch and _alike((rows, cols), size):
            return Layout(channels, (3, 1, 2))
        case (images, rows, cols) if images == batch and _alike((rows, cols), size):
            return Layout(1, (None, 1, 2))
        case (rows, cols) if _alike((rows, cols), size):
            return Layout(1, (None, 0, 1))
    return None


def _alike(cells: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether cells are those of the image, as far as rounding and borders let them."""
    if min(cells) < 2:
        return False
    down = [pixels / count for pixels, count in zip(size, cells, strict=True)]
    slack = 1 + max(2 / count for count in cells)
    return max(down) <= min(down) * slack


def ending_of(
    graph: onnx.GraphProto, name: str, channels: int, from_image: Collection[str]
) -> tuple[Ending, tuple[float, float] | None]:
    """How the operators of an output end, and what they keep its numbers within.

    Parameters
    ----------
    graph
        With local functions inlined.
    name
        Of the output.
    channels
        Of the output.
    from_image
        The tensors that are computed from the image.
    """
    makers = {result: node for node in graph.node for result in node.output}
    constants = _constants(graph)
    element = next((o.type.tensor_type.elem_type for o in graph.output if o.name == name), 0)
    scale, shift = 1.0, 0.0  # what is done to the numbers after the end that is looked for
    for _ in range(_MOST_PASSED):
        node = makers.get(name)
        if node is None:
            break
        kind = node.op_type
        bounds = _BOUNDS.get(kind) or (_limits(node, constants) if kind == "Clip" else None)
        if bounds is not None:
            low, high = sorted(scale * bound + shift for bound in bounds)
            if kind == "Softmax":
                return "softmax", (low, high)
            plain = kind in ("Sigmoid", "HardSigmoid") and (scale, shift) == (1.0, 0.0)
            return ("sigmoid" if plain else "bounded"), (low, high)
        if kind == "LogSoftmax":
            return "softmax", None
        if kind in ("ArgMax", "ArgMin") or (kind == "TopK" and [*node.output].index(name) == 1):
            return "labels", None
        if kind in _BOOLS:
            return "bool", (0.0, 1.0)
        if kind in ("MatMul", "Einsum") and sum(each in from_image for each in node.input) > 1:
            return "queries", None
        if kind in _FEATURES and channels not in (1, 3):
            return "features", None
        if kind in _PASSED:
            name = node.input[0]
            continue
        step = _affine(node, constants, from_image)
        if step is None:
            break
        name, factor, offset = step
        scale, shift = scale * factor, scale * offset + shift
    if element == TensorProto.BOOL:
        return "bool", (0.0, 1.0)
    if element in _INTEGERS:
        return ("bounded", (0.0, 255.0)) if channels == 3 else ("labels", None)
    return "open", None


def _affine(
    node: onnx.NodeProto, constants: Mapping[str, float], from_image: Collection[str]
) -> tuple[str, float, float] | None:
    """The tensor x of which a node makes factor * x + offset, with these; None if it does not."""
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or len(node.input) != 2:
        return None
    first, second = node.input
    if first in from_image and second in constants:
        tensor, value = first, constants[second]
    elif second in from_image and first in constants and node.op_type in ("Add", "Mul"):
        tensor, value = second, constants[first]
    elif second in from_image and first in constants and node.op_type == "Sub":
        return second, -1.0, constants[first]
    else:
        return None
    match node.op_type:
        case "Add":
            return tensor, 1.0, value
        case "Sub":
            return tensor, 1.0, -value
        case "Mul":
            return (tensor, value, 0.0) if value else None
        case _:
            return (tensor, 1 / value, 0.0) if value else None


def _limits(node: onnx.NodeProto, constants: Mapping[str, float]) -> tuple[float, float] | None:
    """The limits of a Clip, where both are known: attributes, or inputs in newer files."""
    given = {each.name: each.f for each in node.attribute}
    given |= {
        key: constants[name]
        for key, name in zip(("min", "max"), node.input[1:3], strict=False)
        if name in constants
    }
    if not {"min", "max"} <= given.keys() or not given["min"] < given["max"]:
        return None
    return given["min"], given["max"]


def _constants(graph: onnx.GraphProto) -> dict[str, float]:
    """The constants of one number."""
    tensors = [(tensor.name, tensor) for tensor in graph.initializer]
    tensors += [
        (node.output[0], attribute.t)
        for node in graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    ]
    found = {}
    for name, tensor in tensors:
        if math.prod(tensor.dims) == 1 and tensor.data_location != TensorProto.EXTERNAL:
            value = float(numpy_helper.to_array(tensor).reshape(()))
            if math.isfinite(value):
                found[name] = value
    return found
