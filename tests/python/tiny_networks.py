"""Tiny ONNX networks with fixed weights, for tests: written in milliseconds, run in less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Dim = int | str

UNET_LAYERS = ("encoder_1", "encoder_2", "encoder_3", "decoder_3", "decoder_2")
SEGNET_LAYERS = ("encoder_1", "encoder_2", "decoder_1", "decoder_2")
WIDE_LAYERS = ("wide", "full")


def tiny_unet(
    path: Path,
    *,
    size: tuple[Dim, Dim] = (32, 32),
    channels: int = 3,
    batch: Dim = "batch",
    seed: int = 0,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A U-Net in the manner of Pix2Pix: convolutions of kernel 4, stride 2, padding 1, and back.

    For the default 32x32 input and [-1, 1] range it has the layers `UNET_LAYERS`: encoder_1
    16x16x4, encoder_2 8x8x6, encoder_3 4x4x8, decoder_3 8x8x12 and decoder_2 16x16x8 (each joined
    with its skip connection), and the output `output` 32x32x3 in [-1, 1]. One weight is stored as
    int8 and widened in the graph. `size` and `batch` may be names, for dimensions left free; sizes
    must be multiples of 8. `metadata` replaces that of the file.
    """
    weights = _Weights(seed)
    stride_2: dict[str, Any] = {"kernel_shape": [4, 4], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node(
            "Conv", ["input", weights.add(4, channels, 4, 4)], ["encoder_1"], **stride_2
        ),
        helper.make_node("LeakyRelu", ["encoder_1"], ["leaky_1"], alpha=0.2),
        *weights.widened("encoder_2_weight", 6, 4, 4, 4),
        helper.make_node("Conv", ["leaky_1", "encoder_2_weight"], ["encoder_2"], **stride_2),
        helper.make_node("LeakyRelu", ["encoder_2"], ["leaky_2"], alpha=0.2),
        helper.make_node("Conv", ["leaky_2", weights.add(8, 6, 4, 4)], ["encoder_3"], **stride_2),
        helper.make_node("Relu", ["encoder_3"], ["relu_3"]),
        helper.make_node(
            "ConvTranspose", ["relu_3", weights.add(8, 6, 4, 4)], ["up_3"], **stride_2
        ),
        helper.make_node("Concat", ["up_3", "encoder_2"], ["decoder_3"], axis=1),
        helper.make_node("Relu", ["decoder_3"], ["relu_2"]),
        helper.make_node(
            "ConvTranspose", ["relu_2", weights.add(12, 4, 4, 4)], ["up_2"], **stride_2
        ),
        helper.make_node("Concat", ["up_2", "encoder_1"], ["decoder_2"], axis=1),
        helper.make_node("Relu", ["decoder_2"], ["relu_1"]),
        helper.make_node(
            "ConvTranspose", ["relu_1", weights.add(8, 3, 4, 4)], ["up_1"], **stride_2
        ),
        helper.make_node("Tanh", ["up_1"], ["output"]),
    ]
    if metadata is None:
        metadata = {"input_range": "[-1, 1]", "layers": ",".join(UNET_LAYERS)}
    return save_network(
        path, nodes, (batch, channels, *size), (batch, 3, *size), weights.tensors, metadata
    )


def tiny_segnet(
    path: Path,
    *,
    size: tuple[Dim, Dim] = (24, 32),
    classes: int = 5,
    batch: Dim = "batch",
    seed: int = 0,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A segmentation network in the manner of SegNet: pooling, nearest upsampling, a classifier.

    For the default 24x32 input and [0, 1] range it has the layers `SEGNET_LAYERS`: encoder_1
    12x16x6, encoder_2 6x8x8, decoder_1 12x16x6 and decoder_2 24x32x6, and the output `logits` 24x32
    with one channel per class. The other parameters are those of `tiny_unet`; sizes must be
    multiples of 4.
    """
    weights = _Weights(seed)
    same: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    pool: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
    scales = weights.constant(np.array([1, 1, 2, 2], np.float32))
    nodes = [
        helper.make_node("Conv", ["input", weights.add(6, 3, 3, 3)], ["conv_1"], **same),
        helper.make_node("Relu", ["conv_1"], ["relu_1"]),
        helper.make_node("MaxPool", ["relu_1"], ["encoder_1"], **pool),
        helper.make_node("Conv", ["encoder_1", weights.add(8, 6, 3, 3)], ["conv_2"], **same),
        helper.make_node("Relu", ["conv_2"], ["relu_2"]),
        helper.make_node("MaxPool", ["relu_2"], ["encoder_2"], **pool),
        helper.make_node("Resize", ["encoder_2", "", scales], ["up_1"], **_NEAREST),
        helper.make_node("Conv", ["up_1", weights.add(6, 8, 3, 3)], ["decoder_1"], **same),
        helper.make_node("Resize", ["decoder_1", "", scales], ["up_2"], **_NEAREST),
        helper.make_node("Conv", ["up_2", weights.add(6, 6, 3, 3)], ["decoder_2"], **same),
        helper.make_node("Conv", ["decoder_2", weights.add(classes, 6, 1, 1)], ["logits"]),
    ]
    if metadata is None:
        metadata = {"input_range": "[0, 1]", "layers": ",".join(SEGNET_LAYERS)}
    return save_network(
        path,
        nodes,
        (batch, 3, *size),
        (batch, classes, *size),
        weights.tensors,
        metadata,
        output="logits",
    )


def wide_network(path: Path, *, size: tuple[int, int] = (16, 16), seed: int = 0) -> Path:
    """A network with a layer whose channels depend on each other.

    For [-1, 1] input it has the layers `WIDE_LAYERS` of the image's size: wide, 48 channels that
    are combinations of the image's 3 and of how far these are below 0, and full, 24 channels of
    which none is one of the others; also the tap deep, wide at a quarter of the size, and `output`
    in [-1, 1].
    """
    weights = _Weights(seed)
    quarter: dict[str, Any] = {"kernel_shape": [4, 4], "strides": [4, 4]}
    same: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Neg", ["input"], ["negative"]),
        helper.make_node("Relu", ["negative"], ["dark"]),
        helper.make_node("Concat", ["input", "dark"], ["image"], axis=1),
        helper.make_node("Conv", ["image", weights.add(48, 6, 1, 1)], ["wide"]),
        helper.make_node("Conv", ["input", weights.add(24, 3, 3, 3)], ["full"], **same),
        helper.make_node("AveragePool", ["wide"], ["deep"], **quarter),
        helper.make_node("Concat", ["wide", "full"], ["both"], axis=1),
        helper.make_node("Conv", ["both", weights.add(3, 72, 1, 1)], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["output"]),
    ]
    metadata = {"input_range": "[-1, 1]", "layers": ",".join(WIDE_LAYERS)}
    shape = ("batch", 3, *size)
    return save_network(path, nodes, shape, shape, weights.tensors, metadata)


def nan_network(path: Path, *, size: tuple[int, int] = (16, 16)) -> Path:
    """A network whose layer encoder_1 (half the image's size, 3 channels) is NaN in the dark.

    encoder_1 is log(mean - 0.25) of each 2x2 block of the image in [0, 1]: NaN where a block is
    darker than about 64 of 255, finite where all is brighter. `output` is encoder_1 upsampled.
    """
    weights = _Weights(0)
    threshold = weights.constant(np.array(0.25, np.float32))
    scales = weights.constant(np.array([1, 1, 2, 2], np.float32))
    nodes = [
        helper.make_node("AveragePool", ["input"], ["mean"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Sub", ["mean", threshold], ["above"]),
        helper.make_node("Log", ["above"], ["encoder_1"]),
        helper.make_node("Resize", ["encoder_1", "", scales], ["output"], **_NEAREST),
    ]
    metadata = {"input_range": "[0, 1]", "layers": "encoder_1"}
    shape = ("batch", 3, *size)
    return save_network(path, nodes, shape, shape, weights.tensors, metadata)


def save_network(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    input_shape: Sequence[Dim],
    output_shape: Sequence[Dim],
    initializers: Sequence[onnx.TensorProto] = (),
    metadata: Mapping[str, str] | None = None,
    *,
    output: str = "output",
    dtype: int = TensorProto.FLOAT,
) -> Path:
    """Write a network made of `nodes`, from the tensor `input` to the tensor `output`."""
    graph = helper.make_graph(
        list(nodes),
        path.stem,
        [helper.make_tensor_value_info("input", dtype, list(input_shape))],
        [helper.make_tensor_value_info(output, dtype, list(output_shape))],
        list(initializers),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


_NEAREST: dict[str, Any] = {
    "mode": "nearest",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}


class _Weights:
    """Collects initialisers with reproducible values."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self.tensors: list[onnx.TensorProto] = []

    def constant(self, value: npt.NDArray[Any]) -> str:
        name = f"constant_{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(value, name))
        return name

    def add(self, *shape: int) -> str:
        """Weights of unit gain; the name of the initialiser."""
        gain = 1 / np.sqrt(np.prod(shape[1:]))
        return self.constant((self._random.standard_normal(shape) * gain).astype(np.float32))

    def widened(self, name: str, *shape: int) -> list[onnx.NodeProto]:
        """Nodes that widen int8 weights to the float tensor `name`."""
        stored = self.constant(self._random.integers(-127, 128, shape, dtype=np.int8))
        gain = np.full((shape[0], 1, 1, 1), 1 / (74 * np.sqrt(np.prod(shape[1:]))), np.float32)
        return [
            helper.make_node("Cast", [stored], [f"{name}_cast"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}_cast", self.constant(gain)], [name]),
        ]
