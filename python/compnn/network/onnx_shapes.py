"""Which tensors of a graph are taps, and the shape of their activations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime

from compnn.errors import NetworkError
from compnn.network.geometry import Size
from compnn.network.onnx_graph import OnnxGraph
from compnn.network.onnx_sessions import available_cpus, open_session, run_session

_TYPES = {
    "tensor(float)": onnx.TensorProto.FLOAT,
    "tensor(float16)": onnx.TensorProto.FLOAT16,
    "tensor(double)": onnx.TensorProto.DOUBLE,
    "tensor(int64)": onnx.TensorProto.INT64,
    "tensor(int32)": onnx.TensorProto.INT32,
    "tensor(bool)": onnx.TensorProto.BOOL,
}
# NumPy has no bfloat16: such tensors cannot be read.
_FLOAT_TYPES = ("tensor(float)", "tensor(float16)", "tensor(double)")


# What `working_size` tries.
_SCALES = (4, 8, 16, 32, 2, 1, 14)
_USUAL_SIDES = (224, 512, 384, 256, 128, 320, 448, 518, 640, 1024, 96, 64, 32)
_LARGEST_SIDE, _MOST_SIZES = 2048, 64


@dataclass(frozen=True)
class TensorInfo:
    """A tensor for images of one size: its shape, and whether it is of floating-point numbers."""

    shape: tuple[int, ...]
    floating: bool


def tensor_shapes(graph: OnnxGraph, size: tuple[int, int]) -> dict[str, TensorInfo]:
    """The image and every tensor that is computed from it, for an image of `size`, in this order.

    ONNX Runtime's shape inference tells the shapes. What it leaves open is run on a blank image:
    first the tensors where that begins, and, where inference cannot go on from these, all. Such a
    run keeps no tensor longer than any run does.

    Raises
    ------
    NetworkError
        When ONNX Runtime cannot load or run the network at this size.
    """
    kinds, shapes = _inferred(graph, size, {})
    if left := {name for name in kinds if name not in shapes}:
        found = _of_a_run(graph, size, graph.first_of(left))
        if found.keys() != left:
            values = {
                name: onnx.helper.make_tensor_value_info(name, _TYPES[kinds[name]], shape)
                for name, shape in found.items()
                if kinds[name] in _TYPES
            }
            _, shapes = _inferred(graph, size, values)
        shapes |= found
        if left := {name for name in kinds if name not in shapes}:
            shapes |= _of_a_run(graph, size, [name for name in kinds if name in left])
    image = TensorInfo(graph.input.shape(size), graph.input.dtype is not np.uint8)
    return {graph.input.name: image} | {
        name: TensorInfo(shapes[name], kind in _FLOAT_TYPES) for name, kind in kinds.items()
    }


def check_reshapes(graph: OnnxGraph, tensors: Mapping[str, TensorInfo]) -> None:
    """Refuse shapes that no run can have: inference believes a Reshape that loses numbers.

    Raises
    ------
    NetworkError
        Naming the tensor.
    """
    for node in graph.proto.graph.node:
        if node.op_type != "Reshape":
            continue
        before, after = tensors.get(node.input[0]), tensors.get(node.output[0])
        if before and after and math.prod(before.shape) != math.prod(after.shape):
            rows, cols = (tensors[graph.input.name].shape[axis] for axis in graph.input.axes[1:])
            raise NetworkError(
                f"{graph.path.name} does not run on images of {rows}x{cols}: {node.input[0]!r} is "
                f"{before.shape} then, which its Reshape makes {after.shape}"
            )


def working_size(graph: OnnxGraph) -> Size | None:
    """A size of images at which a network can run that leaves it free; None if none is found.

    Tried are multiples of the rows and columns that its reshapes name, then usual sizes.
    """
    heights, widths = graph.input.size
    named = [
        (int(target[rows]), int(target[rows + 1]))
        for tensor in graph.proto.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT64 and 3 <= math.prod(tensor.dims) <= 6
        for target in [graph.weight(tensor).reshape(-1)]
        for rows in reversed(range(len(target) - 1))
        if min(target[rows : rows + 2]) > 1
    ]
    scaled = ((s * rows, s * cols) for s in _SCALES for rows, cols in dict.fromkeys(named))
    usual = ((side, side) for side in _USUAL_SIDES)
    sizes = dict.fromkeys(
        (heights or rows, widths or cols)
        for rows, cols in (*scaled, *usual)
        if max(rows, cols) <= _LARGEST_SIDE
    )
    for size in list(sizes)[:_MOST_SIZES]:
        with suppress(NetworkError):
            check_reshapes(graph, tensor_shapes(graph, size))
            return size
    return None


def _inferred(
    graph: OnnxGraph, size: tuple[int, int], known: Mapping[str, onnx.ValueInfoProto]
) -> tuple[dict[str, str], dict[str, tuple[int, ...]]]:
    """The type of each tensor, and the shape of those that inference can tell."""
    names = graph.image_tensors()
    try:
        cut = graph.cut(names, size, weights=False, known=known)
        session = open_session(graph, cut, _options())
    except NetworkError:
        # Some operators want their weights to be constants.
        session = open_session(graph, graph.cut(names, size, known=known), _options())
    values = [value for value in session.get_outputs() if value.type.startswith("tensor(")]
    # No extents at all may be a scalar, or an unknown number of dimensions.
    shapes = {
        value.name: tuple(value.shape)
        for value in values
        if value.shape and all(isinstance(extent, int) for extent in value.shape)
    }
    return {value.name: value.type for value in values}, shapes


def _of_a_run(
    graph: OnnxGraph, size: tuple[int, int], names: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """The shapes that tensors have in a run on a blank image."""
    session = open_session(graph, graph.cut(names, size, shapes=True), _options())
    blank = np.zeros(graph.input.shape(size), graph.input.dtype)
    found = run_session(graph, session, [f"{name} shape" for name in names], blank)
    return {name: tuple(found[f"{name} shape"].tolist()) for name in names}


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # Nothing is folded or fused: the session is soon thrown away.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = available_cpus()
    # Which takes the shape of a tensor as soon as it is there, so that it need not be kept.
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    return options
