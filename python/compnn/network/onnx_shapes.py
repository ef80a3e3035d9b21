"""Which tensors of a graph are taps, and the shape of their activations."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from compnn.errors import NetworkError
from compnn.network.onnx_graph import OnnxGraph
from compnn.network.onnx_sessions import open_session, run_session

FLOAT_TYPES = ("tensor(float)", "tensor(float16)", "tensor(double)")


def tap_shapes(graph: OnnxGraph, size: tuple[int, int]) -> dict[str, tuple[int, int, int]]:
    """Shape (H, W, D) of every tap for an image of `size`, in the order they are computed.

    A tap is a float tensor (1, D, H, W) computed from the image. ONNX Runtime's shape inference
    tells the shapes; where it cannot, the network is run once on a blank image.

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
    shapes: dict[str, list[Any]] = {
        value.name: value.shape for value in session.get_outputs() if value.type in FLOAT_TYPES
    }
    # No extents at all may be a scalar, or an unknown number of dimensions.
    unknown = [
        name
        for name, shape in shapes.items()
        if not shape or not all(isinstance(extent, int) for extent in shape)
    ]
    if unknown:
        blank = np.zeros((1, graph.input.channels, *size), graph.input.dtype)
        session = _session(graph, size, weights=True)
        for name, value in run_session(graph, session, unknown, blank).items():
            shapes[name] = list(value.shape)
    return {
        name: (shape[2], shape[3], shape[1])
        for name, shape in shapes.items()
        if len(shape) == 4 and shape[0] == 1 and min(shape) > 0
    }


def _session(
    graph: OnnxGraph, size: tuple[int, int], *, weights: bool
) -> onnxruntime.InferenceSession:
    """A session whose outputs are all tensors that are computed from the image."""
    options = onnxruntime.SessionOptions()
    # Nothing is folded or fused: the session is soon thrown away.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return open_session(graph, graph.cut(graph.image_tensors(), size, weights=weights), options)
