"""Inputs of ONNX files: which is the image, how it is laid out, and what the others are set to."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper

from compnn.errors import ImageError, LayerError, NetworkError
from compnn.images.kinds import Photo
from compnn.network.onnx import OnnxNetwork
from compnn.network.output import OutputChoice
from compnn.network.preprocessing import Preprocessing
from input_networks import Dims, network

RANGE = Preprocessing(range=(0, 1))


def image(channels: int = 3, size: tuple[int, int] = (12, 16)) -> npt.NDArray[np.uint8]:
    random = np.random.default_rng(channels)
    return random.integers(0, 256, (*size, channels), dtype=np.uint8)


def activation(network: OnnxNetwork, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    reading = network.read(pixels, ["e"], output=True)
    assert reading.output is not None
    assert reading.output.shape == reading.taps["e"].shape
    return reading.taps["e"]


@pytest.mark.parametrize(
    ("dims", "dtype", "last", "tolerance"),
    [
        ((1, 12, 16, 3), TensorProto.FLOAT, True, 1e-6),
        (("n", "h", "w", "c"), TensorProto.FLOAT, True, 1e-6),
        ((4, 3, 12, 16), TensorProto.FLOAT, False, 1e-6),
        ((4, 12, 16, 3), TensorProto.FLOAT, True, 1e-6),
        (None, TensorProto.FLOAT, False, 1e-6),
        ((1, "c", "h", "w"), TensorProto.FLOAT, False, 1e-6),
        ((1, 3, 12, 16), TensorProto.DOUBLE, False, 1e-6),
        ((1, 3, 12, 16), TensorProto.FLOAT16, False, 1e-2),
        ((1, 3, 12, 16), TensorProto.BFLOAT16, False, 1e-1),
    ],
)
def test_inputs_of_any_layout_give_what_the_plain_one_gives(
    tmp_path: Path, dims: Dims, dtype: int, last: bool, tolerance: float
) -> None:
    plain = OnnxNetwork(network(tmp_path / "plain.onnx"), preprocessing=RANGE)
    path = network(tmp_path / "other.onnx", dims, dtype=dtype, last=last)
    other = OnnxNetwork(path, preprocessing=RANGE)
    expected, found = (activation(each, image()) for each in (plain, other))
    np.testing.assert_allclose(found, expected, atol=tolerance)
    assert other.layer("e").geometry.looks == plain.layer("e").geometry.looks
    if dtype == TensorProto.BFLOAT16:  # which NumPy has not, so that no operator runs alone
        assert list(other.layers) == ["real", "e", "y"]
    else:
        assert str(other.check("e").looks) == "agrees"


@pytest.mark.parametrize("channels", [2, 4, 6, 13])
@pytest.mark.parametrize("last", [False, True])
def test_images_have_the_channels_of_the_network(tmp_path: Path, channels: int, last: bool) -> None:
    dims = (1, 12, 16, channels) if last else (1, channels, 12, 16)
    path = network(tmp_path / "net.onnx", dims, channels=channels, last=last)
    mean, std = np.linspace(0.1, 0.5, channels), np.linspace(0.2, 0.9, channels)
    scaled = Preprocessing(mean=tuple(mean), std=tuple(std))
    found = OnnxNetwork(path, preprocessing=scaled)
    pixels = image(channels)
    values = ((pixels / 255 - mean) / std).astype(np.float32).transpose(2, 0, 1)
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)))
    weights = np.random.default_rng(7).normal(size=(5, channels, 3, 3)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    expected = np.einsum("chwij,ocij->ohw", windows, weights)
    np.testing.assert_allclose(activation(found, pixels), expected, atol=1e-4)
    with pytest.raises(ImageError, match=rf"takes images of {channels} channels, uint8 \(H, W, "):
        found.read(image(), ["e"])
    bgr = OnnxNetwork(path, preprocessing=Preprocessing(range=(0, 1), channel_order="BGR"))
    with pytest.raises(NetworkError, match=f"3 channels, not of {channels}"):
        bgr.read(pixels, ["e"])


def test_what_is_assumed_is_said(tmp_path: Path) -> None:
    for dims, said in [
        (None, "input 'x' has no declared shape: images of any size are taken"),
        ((4, 3, 12, 16), "input 'x' takes 4 images a run: one is repeated"),
    ]:
        found = OnnxNetwork(network(tmp_path / "net.onnx", dims), preprocessing=RANGE)
        assert found.assumptions == (said,)
    assert not OnnxNetwork(network(tmp_path / "net.onnx"), preprocessing=RANGE).assumptions


def test_the_file_can_say_how_its_input_is_laid_out(tmp_path: Path) -> None:
    """Where no operator tells and each dimension can be the channels."""
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    shaped = helper.make_tensor_value_info
    for layout in ("NCHW", "NHWC"):
        graph = helper.make_graph(
            nodes, "net", [shaped("x", 1, [1, 3, 6, 3])], [shaped("y", 1, [1, 3, 6, 3])]
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        path = tmp_path / "net.onnx"
        onnx.save(model, path)
        with pytest.raises(NetworkError, match=r"which of its dimensions is the channels.*NHWC"):
            OnnxNetwork(path, preprocessing=RANGE)
        helper.set_model_props(model, {"input_layout": layout})
        onnx.save(model, path)
        size = (6, 3) if layout == "NCHW" else (3, 6)
        assert OnnxNetwork(path, preprocessing=RANGE).input_size == size
    helper.set_model_props(model, {"input_layout": "CHW"})
    onnx.save(model, path)
    with pytest.raises(NetworkError, match="input_layout is 'CHW'; it must be NCHW or NHWC"):
        OnnxNetwork(path, preprocessing=RANGE)


# Other inputs


MASK = ("m", TensorProto.FLOAT, (1, 1, 1, 1))


@pytest.mark.parametrize("value", [2.5, np.array([2.5]), np.full((1, 1, 1, 1), 2.5)])
def test_another_input_is_set(tmp_path: Path, value: float | npt.NDArray[np.float64]) -> None:
    path = network(tmp_path / "net.onnx", others=[MASK])
    found = OnnxNetwork(path, preprocessing=RANGE, values={"m": value})
    assert found.assumptions == ()
    for each in (found, pickle.loads(pickle.dumps(found)), found.with_threads(1)):
        reading = each.read(image(), ["e"], output=True)
        assert reading.output is not None
        np.testing.assert_allclose(reading.output, reading.taps["e"] + 2.5, atol=1e-6)
        assert each.fingerprint == found.fingerprint
    other = OnnxNetwork(path, preprocessing=RANGE, values={"m": 1})
    assert other.fingerprint != found.fingerprint


def test_a_default_is_taken_and_can_be_changed(tmp_path: Path) -> None:
    path = network(tmp_path / "net.onnx", others=[MASK], defaults=["m"])
    for values, added in (({}, 0.5), ({"m": 3.0}, 3.0)):
        found = OnnxNetwork(path, preprocessing=RANGE, values=values)
        reading = found.read(image(), ["e"], output=True)
        assert reading.output is not None
        np.testing.assert_allclose(reading.output, reading.taps["e"] + added, atol=1e-6)


def test_what_needs_an_input_that_is_not_set_says_so(tmp_path: Path) -> None:
    path = network(tmp_path / "net.onnx", others=[("prompt", TensorProto.INT64, [1, 1, 1, 1])])
    needs = r"'y' needs the value of input 'prompt' int64 .*values={'pro"
    with pytest.raises(NetworkError, match=needs):
        OnnxNetwork(path, preprocessing=RANGE, output=OutputChoice("y"))
    without = OnnxNetwork(path, preprocessing=RANGE)
    assert without.output_name is None
    assert re.search(needs, without.describe_output(Photo()))
    model = onnx.load(path)
    model.graph.output.append(helper.make_tensor_value_info("e", TensorProto.FLOAT, None))
    onnx.save(model, path)
    found = OnnxNetwork(path, preprocessing=RANGE)  # whose other output needs nothing
    assert activation(found, image()).shape == (5, 12, 16)
    with pytest.raises(LayerError, match=r"'with_prompt' needs the value .*values={'prompt': "):
        found.layer("with_prompt")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n": 1}, r"no input 'n' beside the image; those that can be set: 'm'"),
        ({"m": np.zeros(3)}, r"input 'm' is int64 \(1, 1, 1, 1\), .* value of shape \(3,\)"),
        ({"m": 0.5}, r"input 'm' is int64 .* cannot be set to 0\.5; give numbers of that type"),
        ({"m": np.nan}, r"cannot be set to nan"),
        ({"m": np.array("a")}, r"cannot be set to a; give numbers"),
    ],
)
def test_values_that_do_not_fit_are_refused(
    tmp_path: Path, values: dict[str, float | npt.NDArray[np.float64]], message: str
) -> None:
    path = network(tmp_path / "net.onnx", others=[("m", TensorProto.INT64, [1, 1, 1, 1])])
    with pytest.raises(NetworkError, match=message):
        OnnxNetwork(path, preprocessing=RANGE, values=values)


def test_of_two_images_one_is_named(tmp_path: Path) -> None:
    second = ("z", TensorProto.FLOAT, (1, 3, 12, 16))
    path = network(tmp_path / "net.onnx", others=[second])
    with pytest.raises(NetworkError, match=r"'x' or 'z' can be the image; .*image_input="):
        OnnxNetwork(path, preprocessing=RANGE)
    with pytest.raises(NetworkError, match=r"no input 'a'; its inputs are 'x' float"):
        OnnxNetwork(path, preprocessing=RANGE, image_input="a")
    depth = ("z", TensorProto.FLOAT, (1, 1, 12, 16))
    path = network(tmp_path / "net.onnx", others=[depth])
    found = OnnxNetwork(path, preprocessing=RANGE, values={"z": 1})
    assert found.input_channels == 3
    grey = OnnxNetwork(path, preprocessing=RANGE, image_input="z", values={"x": 0})
    assert grey.input_channels == 1
    again: OnnxNetwork = pickle.loads(pickle.dumps(grey))
    assert again.input_channels == 1


def test_pixels_that_are_taken_as_they_are_have_no_range(tmp_path: Path) -> None:
    """Rounded to 0 and 1 they would be a picture of two colours."""
    path = network(tmp_path / "net.onnx", dtype=TensorProto.UINT8)
    plain = activation(OnnxNetwork(path), image())
    said = OnnxNetwork(path, preprocessing=Preprocessing(range=(0, 255)))
    floats = OnnxNetwork(network(tmp_path / "floats.onnx"), preprocessing=said.preprocessing)
    np.testing.assert_allclose(plain, activation(floats, image()), rtol=1e-5)
    np.testing.assert_array_equal(activation(said, image()), plain)
    for scale in (RANGE, Preprocessing(mean=(0,) * 3, std=(1,) * 3)):
        with pytest.raises(NetworkError, match=r"net\.onnx takes pixels as they are, uint8; leave"):
            OnnxNetwork(path, preprocessing=scale)
