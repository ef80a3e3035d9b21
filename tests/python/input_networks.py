"""A tiny network with an image input of any kind, and inputs beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Dims = Sequence[int | str] | None


def network(
    path: Path,
    dims: Dims = (1, 3, 12, 16),
    *,
    channels: int = 3,
    dtype: int = TensorProto.FLOAT,
    last: bool = False,
    others: Sequence[tuple[str, int, Dims]] = (),
    defaults: Sequence[str] = (),
) -> Path:
    """A convolution `e` (3x3, 5 channels) of the image `x`, and y, e plus every other input.

    With `last` channels are last outside.
    """
    weights = np.random.default_rng(7).normal(size=(5, channels, 3, 3)).astype(np.float32)
    image, nodes = "x", []
    if dtype != TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", [image], ["real"], to=TensorProto.FLOAT))
        image = "real"
    if last:
        nodes.append(helper.make_node("Transpose", [image], ["first"], perm=[0, 3, 1, 2]))
        image = "first"
    nodes.append(helper.make_node("Conv", [image, "w"], ["e"], pads=[1, 1, 1, 1]))
    result = "e"
    for name, *_ in others:
        nodes.append(helper.make_node("Cast", [name], [f"{name}_real"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Add", [result, f"{name}_real"], [f"with_{name}"]))
        result = f"with_{name}"
    nodes.append(helper.make_node("Identity", [result], ["y"]))
    inputs = [helper.make_tensor_value_info("x", dtype, dims)]
    inputs += [helper.make_tensor_value_info(name, kind, dims) for name, kind, dims in others]
    constants = [numpy_helper.from_array(weights, "w")]
    constants += [
        numpy_helper.from_array(np.full((1, 1, 1, 1), 0.5, np.float32), name) for name in defaults
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "net", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path
