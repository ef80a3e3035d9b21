"""Which tensors of a graph are taps, and the shape of their activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime

from compnn.errors import NetworkError
from compnn.network.onnx_graph import OnnxGraph
from compnn.network.onnx_sessions import open_session, run_session

# NumPy has no bfloat16: such tensors cannot be read.
_FLOAT_TYPES = ("tensor(float)", "tensor(float16)", "tensor(double)")


@dataclass(frozen=True)
class TensorInfo:
    """A tensor for images of one size: its shape, and whether it is of floating-point numbers."""

    shape: tuple[int, ...]
    floating: bool


def tensor_shapes(graph: OnnxGraph, size: tuple[int, int]) -> dict[str, TensorInfo]:
    """The image and every tensor that is computed from it, for an image of `size`, in this order.

    ONNX Runtime's shape inference tells the shapes; where it cannot, the network is run once on a
    blank image.

    Raises
    ------
    NetworkError
        When ONNX Runtime cannot load or run the network at this size.
    """
    try:
        session = _session(graph, size, weights=False)
    except NetworkError:
        # Some operators want their weights to be constants.
        session = _session(graph, size, weights=True)
    values = [value for value in session.get_outputs() if value.type.startswith("tensor(")]
    shapes: dict[str, tuple[Any, ...]] = {value.name: tuple(value.shape) for value in values}
    # No extents at all may be a scalar, or an unknown number of dimensions.
    unknown = [
        name
        for name, shape in shapes.items()
        if not shape or not all(isinstance(extent, int) for extent in shape)
    ]
    blank = np.zeros(graph.input.shape(size), graph.input.dtype)
    if unknown:
        session = _session(graph, size, weights=True, names=unknown)
        for name, value in run_session(graph, session, unknown, blank).items():
            shapes[name] = np.shape(value)
    floats = {value.name for value in values if value.type in _FLOAT_TYPES}
    found = {graph.input.name: TensorInfo(blank.shape, blank.dtype != np.uint8)}
    return found | {name: TensorInfo(shape, name in floats) for name, shape in shapes.items()}


def _session(
    graph: OnnxGraph,
    size: tuple[int, int],
    *,
    weights: bool,
    names: Sequence[str] | None = None,
) -> onnxruntime.InferenceSession:
    """A session whose outputs are `names`; default: all tensors computed from the image."""
    options = onnxruntime.SessionOptions()
    # Nothing is folded or fused: the session is soon thrown away.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    names = graph.image_tensors() if names is None else names
    return open_session(graph, graph.cut(names, size, weights=weights), options)
