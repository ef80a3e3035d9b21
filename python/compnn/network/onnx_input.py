"""Which input of an ONNX graph is the image, how it is laid out, and what the others are set to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from compnn.errors import NetworkError
from compnn.network.geometry import Size
from compnn.network.input import MOST_NUMBERS, Setting

_IMAGE_TYPES: dict[int, type[np.floating[Any] | np.uint8]] = {
    TensorProto.UINT8: np.uint8,
    TensorProto.FLOAT: np.float32,
    TensorProto.FLOAT16: np.float16,
    TensorProto.DOUBLE: np.float64,
    # NumPy has no bfloat16: the graph is given float32, and rounds it.
    TensorProto.BFLOAT16: np.float32,
}
_MOST_CHANNELS = 32
# Numbers of channels, the likeliest first: grey and colours, with depth or alpha, anything else.
_USUAL = ((1, 3), (4,), range(1, _MOST_CHANNELS + 1))
_NO_CHANNELS = 4
_ASSUMED = "input {!r} is taken for (images, channels, height, width)"
# Between the image and the first operator that has rows and columns.
_ELEMENTWISE = {
    "Add",
    "Cast",
    "Clip",
    "DequantizeLinear",
    "Div",
    "Identity",
    "Mul",
    "QuantizeLinear",
    "Sub",
}
_CHANNELS_FIRST = {
    "AveragePool",
    "BatchNormalization",
    "Conv",
    "ConvInteger",
    "ConvTranspose",
    "InstanceNormalization",
    "MaxPool",
    "QLinearConv",
    "SpaceToDepth",
}


@dataclass(frozen=True)
class ImageInput:
    """The image input of a graph; None where the file leaves a dimension free.

    Attributes
    ----------
    name
        Of the tensor.
    batch
        Images of one run.
    channels
        Of the image.
    size
        (height, width).
    dtype
        What it is given: uint8 of pixels as they are, or floats.
    layout
        The order of its dimensions.
    notes
        What was assumed where the file does not say.
    """

    name: str
    batch: int | None
    channels: int
    size: tuple[int | None, int | None]
    dtype: type[np.floating[Any] | np.uint8]
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    notes: tuple[str, ...] = ()

    def shape(self, size: Size) -> tuple[int, int, int, int]:
        """Its shape for one run at a size."""
        if self.layout == "NHWC":
            return self.batch or 1, *size, self.channels
        return self.batch or 1, self.channels, *size

    @property
    def axes(self) -> tuple[int, int, int]:
        """Its dimensions that are channels, rows and columns."""
        return (3, 1, 2) if self.layout == "NHWC" else (1, 2, 3)

    def of(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.floating[Any] | np.uint8]:
        """A preprocessed image (1, C, H, W) as the network takes it.

        It is repeated for a run of several.
        """
        if self.layout == "NHWC":
            values = np.ascontiguousarray(values.transpose(0, 2, 3, 1))
        return np.repeat(values.astype(self.dtype, copy=False), self.batch or 1, axis=0)


def describe(value: onnx.ValueInfoProto) -> str:
    """The type and the shape of an input, for messages."""
    tensor = value.type.tensor_type
    dims = ", ".join(str(d.dim_param or d.dim_value or "?") for d in tensor.shape.dim)
    kinds = {number: name for name, number in TensorProto.DataType.items()}
    shape = f"({dims})" if tensor.HasField("shape") else "of no declared shape"
    return f"{kinds.get(tensor.elem_type, 'unknown').lower()} {shape}"


def image_input(
    inputs: Sequence[onnx.ValueInfoProto],
    graph: onnx.GraphProto,
    file: str,
    chosen: str | None = None,
    layout: str | None = None,
) -> ImageInput:
    """The input that is the image.

    Parameters
    ----------
    inputs
        Those without a default, and that an operator reads.
    graph
        Its nodes are in an order in which they can run.
    file
        For messages.
    chosen, layout
        Its name and layout, where somebody has said them.

    Raises
    ------
    NetworkError
        When none can be the image, or several can.
    """
    listed = ", ".join(f"{value.name!r} {describe(value)}" for value in inputs) or "none"
    if chosen is not None:
        inputs = [value for value in inputs if value.name == chosen]
        if not inputs:
            raise NetworkError(f"{file} has no input {chosen!r}; its inputs are {listed}")
    found: list[ImageInput] = []
    unclear: list[str] = []
    for value in inputs:
        read = _as_image(value, graph, layout)
        if isinstance(read, ImageInput):
            found.append(read)
        elif read:
            unclear.append(read)
    if len(found) > 1:
        # A mask or a depth map beside a photo has one channel.
        coloured = [each for each in found if each.channels == 3]
        if len(coloured) == 1 and all(each.channels in (1, 3) for each in found):
            note = f"input {coloured[0].name!r} is taken for the image"
            found = [replace(coloured[0], notes=(note, *coloured[0].notes))]
    if len(found) > 1:
        names = " or ".join(repr(each.name) for each in found)
        raise NetworkError(
            f"{file} has {len(inputs)} inputs ({listed}), of which {names} can be the image; say "
            f"which with `--image-input NAME` or `OnnxNetwork(..., image_input=...)`, and set the "
            f"others with `--set NAME=VALUE` or `values`"
        )
    if not found and unclear:
        raise NetworkError(f"{file}: {unclear[0]}")
    if not found:
        raise NetworkError(
            f"{file} has no image input: its inputs are {listed}; compnn needs one of floats or "
            f"uint8, (images, channels, height, width) or (images, height, width, channels), with "
            f"at most {_MOST_CHANNELS} channels"
        )
    return found[0]


def _as_image(
    value: onnx.ValueInfoProto, graph: onnx.GraphProto, layout: str | None
) -> ImageInput | str:
    """An input as an image; else why that is unclear, empty where it cannot be one."""
    tensor = value.type.tensor_type
    if tensor.elem_type not in _IMAGE_TYPES:
        return ""
    notes = []
    if tensor.HasField("shape"):
        # Some exporters write -1 where a dimension is free.
        dims = [dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim]
    else:
        dims = [None] * 4
        notes.append(f"input {value.name!r} has no declared shape: images of any size are taken")
    if len(dims) != 4:
        return ""
    by_operators, channels = _by_operators(value.name, graph)
    layout = layout or by_operators
    if layout is None:
        first, last = map(_unlikely, dims[1::2])
        if first == last == _NO_CHANNELS:
            return ""
        if first < last:
            layout = "NCHW"
            if dims[1] is None:
                notes.append(_ASSUMED.format(value.name))
        elif last < first and (dims[1] is not None or last == 0):
            layout = "NHWC"
        elif dims[1] is None and dims[3] is None:
            layout = "NCHW"
            notes.append(_ASSUMED.format(value.name))
        else:
            return (
                f"input {value.name!r} is {describe(value)}: which of its dimensions is the "
                f"channels is unclear; write metadata `input_layout` (NCHW or NHWC) into the file"
            )
    batch, *rest = dims
    declared, height, width = rest if layout == "NCHW" else (rest[2], rest[0], rest[1])
    if declared is None:
        if channels is None:
            channels = 3
            notes.append(f"input {value.name!r} leaves its channels free: 3 are given")
        declared = channels
    if declared > _MOST_CHANNELS:
        return ""
    if batch not in (None, 1):
        notes.append(f"input {value.name!r} takes {batch} images a run: one is repeated")
    return ImageInput(
        value.name,
        batch,
        declared,
        (height, width),
        _IMAGE_TYPES[tensor.elem_type],
        "NHWC" if layout == "NHWC" else "NCHW",
        tuple(notes),
    )


def _unlikely(dim: int | None) -> int:
    """A rank: the smaller, the more likely a dimension is the channels."""
    if dim is None:
        return _NO_CHANNELS - 1
    return next((rank for rank, most in enumerate(_USUAL) if dim in most), _NO_CHANNELS)


def _by_operators(name: str, graph: onnx.GraphProto) -> tuple[str | None, int | None]:
    """The layout that the first operators take, and the number of channels, where they tell."""
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    same, layout = {name}, None  # tensors laid out as the input, or channels first after it
    for node in graph.node:
        if not node.input or node.domain not in ("", "ai.onnx"):
            continue
        if same.isdisjoint(node.input):
            continue
        if node.op_type in _ELEMENTWISE:
            same.update(node.output)
        elif node.op_type == "Transpose" and layout is None:
            perm = next((list(each.ints) for each in node.attribute if each.name == "perm"), [])
            if perm == [0, 2, 3, 1]:
                return "NCHW", None
            if perm == [0, 3, 1, 2]:
                same, layout = set(node.output), "NHWC"
        elif node.op_type in _CHANNELS_FIRST and node.input[0] in same:
            dims = weights.get(node.input[1], ()) if node.op_type == "Conv" else ()
            group = next((each.i for each in node.attribute if each.name == "group"), 1)
            return layout or "NCHW", dims[1] * group if len(dims) == 4 else None
    return layout, None


def settings(
    values: Mapping[str, Setting],
    inputs: Mapping[str, onnx.ValueInfoProto],
    image: str,
    file: str,
) -> dict[str, TensorProto]:
    """What inputs beside the image are set to, as tensors of their type and shape.

    Raises
    ------
    NetworkError
        When there is no such input, or a value does not fit it.
    """
    found = {}
    for name, value in values.items():
        others = ", ".join(repr(each) for each in inputs if each != image) or "none"
        if name not in inputs:
            raise NetworkError(
                f"{file} has no input {name!r} beside the image; those that can be set: {others}"
            )
        tensor = inputs[name].type.tensor_type
        said = f"{file}: input {name!r} is {describe(inputs[name])}, and cannot be set to"
        array = np.asarray(value)
        shape = [dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim]
        if tensor.HasField("shape"):
            given = (1,) * (len(shape) - array.ndim) + array.shape
            whole = [dim or extent for dim, extent in zip(shape, given, strict=False)]
            if math.prod(whole) > MOST_NUMBERS:
                raise NetworkError(f"{said} a value of {math.prod(whole)} numbers; it is too large")
            try:
                array = np.broadcast_to(array, whole)
            except ValueError:
                raise NetworkError(
                    f"{said} a value of shape {np.shape(value)}; give a number, or one of its shape"
                ) from None
        try:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
            with np.errstate(over="ignore", invalid="ignore"):
                cast = np.ascontiguousarray(array.astype(dtype))
            exact = np.array_equal(np.asarray(cast, np.float64), np.asarray(array, np.float64))
            if not exact and not np.issubdtype(dtype, np.floating):
                raise ValueError(array)
        except (KeyError, TypeError, ValueError, OverflowError):
            shown = "this array" if array.size > 8 else str(np.asarray(value).tolist())
            raise NetworkError(f"{said} {shown}; give numbers of that type") from None
        found[name] = onnx.numpy_helper.from_array(cast.reshape(array.shape), name)
    return found
