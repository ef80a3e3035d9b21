"""Networks whose file leaves the size of their input free take images of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from onnx import helper, numpy_helper

from compnn.errors import ImageError, NetworkError
from compnn.images.kinds import Labels, Photo
from compnn.network.layer import Layer
from compnn.network.onnx import OnnxNetwork
from compnn.network.preprocessing import Preprocessing
from memory_dataset import grey_palette
from tiny_networks import UNET_LAYERS, save_network, tiny_segnet, tiny_unet

SIZES = ((32, 32), (16, 48), (64, 8), (8, 8))


def image(height: int, width: int) -> npt.NDArray[np.uint8]:
    random = np.random.default_rng((height, width))
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def free(tmp_path: Path) -> OnnxNetwork:
    return OnnxNetwork(tiny_unet(tmp_path / "free.onnx", size=("height", "width")))


@pytest.mark.parametrize("size", SIZES)
def test_images_of_any_size_are_read_as_by_a_network_of_that_size(
    tmp_path: Path, free: OnnxNetwork, size: tuple[int, int]
) -> None:
    fixed = OnnxNetwork(tiny_unet(tmp_path / "fixed.onnx", size=size))
    picture = image(*size)
    free.check_image(picture, "a.png")
    assert free.fit(picture, Photo()) is picture
    found, expected = (each.read(picture, UNET_LAYERS, output=True) for each in (free, fixed))
    np.testing.assert_array_equal(found.image, picture)
    for name in UNET_LAYERS:
        np.testing.assert_array_equal(found.taps[name], expected.taps[name])
    assert found.output is not None
    assert expected.output is not None
    np.testing.assert_array_equal(found.output, expected.output)
    np.testing.assert_array_equal(
        free.paint(found.output, size), fixed.paint(expected.output, size)
    )


@pytest.mark.parametrize("size", [(24, 32), (8, 44)])
def test_label_maps_of_any_size(tmp_path: Path, size: tuple[int, int]) -> None:
    network = OnnxNetwork(tiny_segnet(tmp_path / "free.onnx", size=("h", "w")))
    output = network.read(image(*size), [], output=True).output
    assert output is not None
    painted = network.paint(output, size, Labels(grey_palette(5)))
    np.testing.assert_array_equal(painted, output.argmax(axis=0))


def test_layers_stand_for_all_sizes(free: OnnxNetwork) -> None:
    assert free.input_size is None
    assert free.preprocessing.size is None
    assert {layer.image_size for layer in free.layers.values()} == {(256, 256)}
    assert free.layers["encoder_3"].shape == (32, 32, 8)
    for size in SIZES[:3]:
        for name, activation in free.read(image(*size), UNET_LAYERS).taps.items():
            if min(activation.shape[1:]) < 2:
                continue  # too small for the hyperpatch
            layer = free.layer(name, size)
            expected = Layer.of(name, (*activation.shape[1:], len(activation)), size)
            assert layer.shape == expected.shape
            if all(pixels % cells == 0 for pixels, cells in zip(size, layer.shape, strict=False)):
                assert (layer.looks, layer.paints) == (expected.looks, expected.paints)
            rows, cols = layer.looks.owners()
            assert (len(rows), len(cols)) == size
    assert "any size, 3 -> 3 channels" in repr(free)


def test_an_image_that_the_network_cannot_take_is_named_with_its_size(free: OnnxNetwork) -> None:
    with pytest.raises(
        NetworkError, match=r"free\.onnx does not run on 1 images of 30x32: .* images of 256x256"
    ):
        free.read(image(30, 32), ["decoder_3"])
    with pytest.raises(ImageError, match=r"a\.png is uint8 \(0, 32, 3\)"):
        free.read(np.zeros((0, 32, 3), np.uint8), ["decoder_3"], name="a.png")


def test_a_size_that_a_reshape_takes_is_named(tmp_path: Path) -> None:
    """Shape inference believes it: what it says of other sizes is not what a run gives."""
    constants = [
        numpy_helper.from_array(np.array(value, np.int64), name)
        for name, value in (("flat", [1, 3, 192]), ("grid", [1, 3, 12, 16]))
    ]
    nodes = [
        helper.make_node("MaxPool", ["input"], ["e"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Reshape", ["e", "flat"], ["tokens"]),
        helper.make_node("Reshape", ["tokens", "grid"], ["output"]),
    ]
    shape = ("n", 3, "h", "w")
    path = save_network(
        tmp_path / "net.onnx", nodes, shape, shape, constants, {"input_range": "[0, 1]"}
    )
    with pytest.raises(
        NetworkError, match=r"not run on images of 256x256: 'e' .* `--size 48x64 --resize`"
    ):
        OnnxNetwork(path)
    with pytest.raises(NetworkError, match="not run on images of 64x64"):
        OnnxNetwork(path, preprocessing=Preprocessing(size=(64, 64)))
    network = OnnxNetwork(path, preprocessing=Preprocessing(size=(48, 64)))
    reading = network.read(image(48, 64), ["e"], output=True)
    np.testing.assert_array_equal(reading.output, reading.taps["e"])


def test_a_size_may_be_given(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx", size=("height", "width"))
    network = OnnxNetwork(path, preprocessing=Preprocessing(size=(16, 48)))
    assert (network.input_size, network.preprocessing.size) == ((16, 48), (16, 48))
    assert network.layer("encoder_3").shape == (2, 6, 8)
    reading = network.read(image(16, 48), ["encoder_3"], output=True)
    assert reading.taps["encoder_3"].shape == (8, 2, 6)
    assert reading.output is not None
    assert reading.output.shape == (3, 16, 48)
    with pytest.raises(ImageError, match="takes 16x48"):
        network.read(image(32, 32), ["encoder_3"])


def test_resizing_needs_a_size(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx", size=("height", "width"))
    with pytest.raises(NetworkError, match=r"unet\.onnx .*`--size HxW` or `Preprocessing\(size="):
        OnnxNetwork(path, preprocessing=Preprocessing(resize=True))
    network = OnnxNetwork(path, preprocessing=Preprocessing(size=(16, 48), resize=True))
    assert network.read(image(60, 20), ["encoder_1"]).taps["encoder_1"].shape == (4, 8, 24)


def test_one_side_may_be_free(tmp_path: Path) -> None:
    network = OnnxNetwork(tiny_unet(tmp_path / "unet.onnx", size=(32, "width")))
    assert network.input_size is None
    assert network.layers["encoder_1"].image_size == (32, 256)
    assert network.read(image(32, 48), ["encoder_1"]).taps["encoder_1"].shape == (4, 16, 24)
    with pytest.raises(
        ImageError, match=r"is 48x32 .*takes images of height 32; .*`--size 32xW --resize`"
    ):
        network.read(image(48, 32), ["encoder_1"])


def test_a_size_that_the_network_cannot_take_is_refused(tmp_path: Path) -> None:
    fixed = tiny_unet(tmp_path / "fixed.onnx")
    with pytest.raises(NetworkError, match=r"fixed\.onnx takes images of 32x32, not 16x48"):
        OnnxNetwork(fixed, preprocessing=Preprocessing(size=(16, 48)))
    free = tiny_unet(tmp_path / "free.onnx", size=("height", "width"))
    with pytest.raises(NetworkError, match=r"cannot load .*free\.onnx: .*the size of the image"):
        OnnxNetwork(free, preprocessing=Preprocessing(size=(30, 30)))
