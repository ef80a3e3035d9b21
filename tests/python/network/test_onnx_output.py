"""Outputs in the forms that exporters give them, and what their operators say they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compnn.errors import DatasetError, NetworkError
from compnn.images.kinds import Kind, Labels, Photo, Values
from compnn.network.onnx import OnnxNetwork
from compnn.network.output import OutputChoice
from compnn.network.preprocessing import Preprocessing
from memory_dataset import grey_palette

SIZE = (12, 16)
IMAGE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


def network_of(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    outputs: Sequence[tuple[str, int]],
    channels: int = 5,
    choice: OutputChoice | None = None,
) -> OnnxNetwork:
    """A 1x1 convolution to `logits`, then `nodes`; outputs are names and element types."""
    random = np.random.default_rng(1)
    weight = random.standard_normal((channels, 3, 1, 1)).astype(np.float32)
    weight = 3 * (weight - weight.mean(axis=1, keepdims=True))
    constants = {
        "weight": weight,
        "half": np.array(0.5, np.float32),
        "zero": np.array(0, np.float32),
        "two": np.array([2], np.float32),
        "axis": np.array([1], np.int64),
    }
    graph = helper.make_graph(
        [helper.make_node("Conv", ["input", "weight"], ["logits"]), *nodes],
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, 3, *SIZE))],
        [helper.make_tensor_value_info(name, element, None) for name, element in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"input_range": "[0, 1]"})
    onnx.save(model, folder / "net.onnx")
    return OnnxNetwork(folder / "net.onnx", ["logits"], output=choice)


def painted_by(network: OnnxNetwork, kind: Kind) -> npt.NDArray[np.generic]:
    output = network.read(IMAGE, [], output=True).output
    assert output is not None
    return network.paint(output, SIZE, kind)


def logits(network: OnnxNetwork) -> npt.NDArray[np.float32]:
    return network.read(IMAGE, ["logits"]).taps["logits"]


ARG_MAX = helper.make_node("ArgMax", ["logits"], ["classes"], axis=1, keepdims=1)
FLOAT, INT64, UINT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8


@pytest.mark.parametrize(
    ("nodes", "output"),
    [
        ([ARG_MAX], ("classes", INT64)),
        (
            [helper.make_node("ArgMax", ["logits"], ["flat"], axis=1, keepdims=0)],
            ("flat", INT64),
        ),
        ([ARG_MAX, helper.make_node("Cast", ["classes"], ["bytes"], to=UINT8)], ("bytes", UINT8)),
        ([ARG_MAX, helper.make_node("Cast", ["classes"], ["reals"], to=FLOAT)], ("reals", FLOAT)),
        (
            [helper.make_node("Transpose", ["logits"], ["last"], perm=[0, 2, 3, 1])],
            ("last", FLOAT),
        ),
        ([helper.make_node("Softmax", ["logits"], ["share"], axis=1)], ("share", FLOAT)),
        ([helper.make_node("LogSoftmax", ["logits"], ["share"], axis=1)], ("share", FLOAT)),
    ],
    ids=["4d", "3d", "bytes", "reals", "channels last", "softmax", "log softmax"],
)
def test_label_maps_in_all_forms(
    tmp_path: Path, nodes: list[onnx.NodeProto], output: tuple[str, int]
) -> None:
    network = network_of(tmp_path, nodes, [output])
    painted = painted_by(network, Labels(grey_palette(5)))
    assert painted.dtype == np.uint8
    np.testing.assert_array_equal(painted, logits(network).argmax(axis=0))


@pytest.mark.parametrize(
    ("nodes", "output", "threshold"),
    [
        ([], ("logits", FLOAT), 0.0),
        ([helper.make_node("Sigmoid", ["logits"], ["share"])], ("share", FLOAT), 0.0),
        (
            [helper.make_node("Greater", ["logits", "half"], ["mask"])],
            ("mask", TensorProto.BOOL),
            0.5,
        ),
        (
            [
                helper.make_node("Sigmoid", ["logits"], ["share"]),
                helper.make_node("Squeeze", ["share", "axis"], ["flat"]),
            ],
            ("flat", FLOAT),
            0.0,
        ),
    ],
    ids=["logit", "sigmoid", "bool", "squeezed"],
)
def test_masks_in_all_forms(
    tmp_path: Path, nodes: list[onnx.NodeProto], output: tuple[str, int], threshold: float
) -> None:
    network = network_of(tmp_path, nodes, [output], channels=1)
    painted = painted_by(network, Labels(grey_palette(2)))
    np.testing.assert_array_equal(painted, logits(network)[0] > threshold)
    assert 0 < painted.mean() < 1


def test_depth_without_a_dimension_of_channels(tmp_path: Path) -> None:
    nodes = [helper.make_node("Squeeze", ["logits", "axis"], ["depth"])]
    network = network_of(tmp_path, nodes, [("depth", FLOAT)], channels=1)
    np.testing.assert_array_equal(painted_by(network, Values("m")), logits(network)[0])


def test_photos_whose_range_their_operators_tell(tmp_path: Path) -> None:
    """(tanh + 1) / 2 is in [0, 1]."""
    nodes = [
        helper.make_node("Tanh", ["logits"], ["painted"]),
        helper.make_node("Mul", ["painted", "half"], ["small"]),
        helper.make_node("Add", ["small", "half"], ["output"]),
    ]
    network = network_of(tmp_path, nodes, [("output", FLOAT)], channels=3)
    assert network.describe_output(Photo()) == "output 'output': colours in [0, 1]"
    expected = np.rint((np.tanh(logits(network)) * 0.5 + 0.5) * 255).transpose(1, 2, 0)
    assert np.abs(painted_by(network, Photo()) - expected).max() <= 1


def test_of_two_heads_the_deeper_one_is_taken_and_said(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["logits"], ["hidden"]),
        helper.make_node("Neg", ["hidden"], ["main"]),
        helper.make_node("Neg", ["logits"], ["other"]),
    ]
    outputs = [("other", FLOAT), ("main", FLOAT)]
    network = network_of(tmp_path, nodes, outputs)
    said = network.describe_output(Labels(grey_palette(5)))
    assert said.startswith("output 'main': 5 classes, logits; of the outputs 'other', 'main'")
    chosen = OnnxNetwork(network.path, ["logits"], output=OutputChoice("other"))
    assert chosen.describe_output(Labels(grey_palette(5))) == "output 'other': 5 classes, logits"
    with pytest.raises(NetworkError, match="no per-pixel output 'third'; choose 'other' or 'main'"):
        OnnxNetwork(network.path, ["logits"], output=OutputChoice("third"))
    auxiliary = [
        helper.make_node("Relu", ["logits"], ["hidden"]),
        helper.make_node("Neg", ["hidden"], ["aux"]),
        helper.make_node("Neg", ["logits"], ["out"]),
    ]
    network = network_of(tmp_path, auxiliary, [("aux", FLOAT), ("out", FLOAT)])
    assert network.describe_output(Labels(grey_palette(5))).startswith("output 'out'")


def test_masks_made_for_queries_are_not_taken_for_classes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Flatten", ["logits"], ["flat"], axis=2),
        helper.make_node("Transpose", ["flat"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["flat", "turned"], ["products"]),
        helper.make_node("MatMul", ["products", "flat"], ["mixed"]),
        helper.make_node("Reshape", ["mixed", "shape"], ["masks"]),
        helper.make_node(
            "Constant",
            [],
            ["shape"],
            value=numpy_helper.from_array(np.array([1, 5, *SIZE], np.int64)),
        ),
    ]
    nodes = [nodes[-1], *nodes[:-1]]
    network = network_of(tmp_path, nodes, [("masks", FLOAT)])
    with pytest.raises(DatasetError, match="5 masks that the network makes for queries"):
        network.check_kind(Labels(grey_palette(5)))
    said = OnnxNetwork(network.path, ["logits"], output=OutputChoice(kind="logits"))
    said.check_kind(Labels(grey_palette(5)))


def test_features_are_not_painted(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["logits"], ["features"])]
    network = network_of(tmp_path, nodes, [("features", FLOAT)])
    palette = Labels(grey_palette(5))
    network.check_kind(palette)
    said = network.describe_output(palette)
    assert re.search(r"^no output: .*gives features of 5 channels.*`--output-kind logits`", said)
    assert network.read(IMAGE, [], output=True).output is None
    path, scale = tmp_path / "net.onnx", Preprocessing(range=(0, 1))
    logits = OnnxNetwork(path, preprocessing=scale, output=OutputChoice(kind="logits"))
    assert logits.output_name == "features"
    network_of(
        tmp_path,
        [*nodes, helper.make_node("Neg", ["logits"], ["head"])],
        [("head", FLOAT), ("features", FLOAT)],
    )
    # A head stands before features, however many operators lead to these.
    assert OnnxNetwork(path, preprocessing=scale).output_name == "head"


def test_the_file_says_what_its_output_is(tmp_path: Path) -> None:
    """The user's word stands above the file's, which is of the output that it names only."""
    heads = [
        helper.make_node("Identity", ["logits"], ["mask"]),
        helper.make_node("Mul", ["logits", "half"], ["depth"]),
    ]
    network_of(tmp_path, heads, [("depth", FLOAT), ("mask", FLOAT)], channels=1)
    path = tmp_path / "net.onnx"
    model = onnx.load(path)
    facts = {"output": "mask", "output_kind": "binary", "output_threshold": "0.3"}
    helper.set_model_props(model, {"input_range": "[0, 1]", "descriptor": "depth", **facts})
    onnx.save(model, path)
    masks, metres = Labels(grey_palette(2)), Values("m")
    network = OnnxNetwork(path)
    assert network.descriptor == "depth"
    assert network.describe_output(masks).startswith("output 'mask': one class, above 0.3")
    np.testing.assert_array_equal(painted_by(network, masks), logits(network)[0] > 0.3)
    with pytest.raises(DatasetError, match="'mask' is one class"):
        network.check_kind(metres)
    other = OnnxNetwork(path, output=OutputChoice(threshold=0.7))
    np.testing.assert_array_equal(painted_by(other, masks), logits(network)[0] > 0.7)
    depth = OnnxNetwork(path, output=OutputChoice("depth"))
    np.testing.assert_allclose(painted_by(depth, metres), 0.5 * logits(network)[0], rtol=1e-6)

    helper.set_model_props(model, {"input_range": "[0, 1]", "output": "logit"})
    onnx.save(model, path)
    with pytest.raises(NetworkError, match="no per-pixel output 'logit'; choose"):
        OnnxNetwork(path)
