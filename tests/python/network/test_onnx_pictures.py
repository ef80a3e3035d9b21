"""Which images a network takes, and the pictures that are made of its output."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from compnn.errors import ActivationError, DatasetError, ImageError, NetworkError
from compnn.images.kinds import Kind, Labels, Photo, Values
from compnn.images.palette import Palette
from compnn.network.onnx import OnnxNetwork
from compnn.network.output import OutputChoice
from compnn.network.preprocessing import Preprocessing
from memory_dataset import grey_palette
from tiny_networks import nan_network, tiny_segnet, tiny_unet


def image(height: int, width: int, seed: int = 1) -> npt.NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


def read_file(file: Path) -> npt.NDArray[np.uint8]:
    with Image.open(file) as picture:
        return np.array(picture.convert("RGB"))


def output_of(network: OnnxNetwork, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    output = network.read(picture, [], output=True).output
    assert output is not None
    return output


@pytest.fixture
def unet(tmp_path: Path) -> OnnxNetwork:
    return OnnxNetwork(tiny_unet(tmp_path / "unet.onnx"), num_threads=1)


# What is painted


def test_photos_are_painted_from_the_range_of_the_input(unet: OnnxNetwork) -> None:
    output = np.linspace(-1, 1, 3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    expected = (output.transpose(1, 2, 0).astype(np.float64) + 1) * 127.5
    for kind in (None, Photo()):
        painted = unet.paint(output, (4, 5), kind)
        assert painted.dtype == np.uint8
        assert np.abs(painted - expected).max() <= 0.5001
        assert unet.paint(output[:1], (4, 5), kind).shape == (4, 5, 3)


def test_photos_are_painted_from_the_range_of_the_output(tmp_path: Path) -> None:
    metadata = {"input_range": "[-1, 1]", "output_range": "[0, 255]"}
    network = OnnxNetwork(tiny_unet(tmp_path / "unet.onnx", metadata=metadata))
    output = np.array([[[0.4]], [[99.6]], [[300]]], np.float32)
    assert network.paint(output, (1, 1)).tolist() == [[[0, 100, 255]]]


def test_label_maps_are_the_largest_channel(tmp_path: Path) -> None:
    network = OnnxNetwork(tiny_segnet(tmp_path / "segnet.onnx"))
    output = output_of(network, image(24, 32))
    for kind in (None, Labels(grey_palette(5))):
        labels = network.paint(output, (24, 32), kind)
        assert labels.dtype == np.uint8
        assert labels.shape == (24, 32)
        assert len(np.unique(labels)) > 1
        np.testing.assert_array_equal(
            np.take_along_axis(output, labels[None].astype(int), 0)[0], output.max(0)
        )
    path = tiny_segnet(tmp_path / "many.onnx", classes=300)
    with pytest.raises(NetworkError, match="300 channels; logits are of 2 to 256 classes"):
        OnnxNetwork(path, output=OutputChoice(kind="logits"))
    many = OnnxNetwork(path)  # nor are they classes where nobody says so
    assert "'logits' gives features of 300 channels" in many.describe_output(Photo())
    with pytest.raises(NetworkError, match="has no output"):
        many.paint(np.zeros((300, 24, 32), np.float32), (24, 32))


def test_label_maps_painted_in_colours_become_the_nearest_labels(unet: OnnxNetwork) -> None:
    palette = Palette.named("facades")
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    output = unet.preprocessing.apply(palette.colourise(labels)[np.newaxis])[0]
    painted = unet.paint(output + np.float32(0.02), (3, 4), Labels(palette))
    np.testing.assert_array_equal(painted, labels)


def test_three_channels_are_classes_where_the_palette_has_three(
    tmp_path: Path, unet: OnnxNetwork
) -> None:
    three = OnnxNetwork(tiny_segnet(tmp_path / "segnet.onnx", classes=3))
    output = np.array([[[3, 0]], [[1, 0]], [[2, 9]]], np.float32)
    assert three.paint(output, (1, 2), Labels(grey_palette(3))).tolist() == [[0, 2]]
    with pytest.raises(DatasetError, match=r"3 classes apart.*`--output-kind photo`"):
        three.check_kind(Labels("facades"))
    said = OnnxNetwork(unet.path, output=OutputChoice(kind="logits"))
    assert said.paint(output, (1, 2), Labels(grey_palette(3))).tolist() == [[0, 2]]


def test_values_are_the_output_itself(tmp_path: Path) -> None:
    depth = OnnxNetwork(tiny_segnet(tmp_path / "depth.onnx", classes=1))
    output = np.random.default_rng(0).normal(size=(1, 4, 6)).astype(np.float32)
    painted = depth.paint(output, (4, 6), Values("m"))
    assert painted.dtype == np.float32
    np.testing.assert_array_equal(painted, output[0])
    larger = depth.paint(np.full((1, 4, 6), 2.5, np.float32), (8, 12), Values("m"))
    np.testing.assert_array_equal(larger, np.full((8, 12), 2.5, np.float32))


@pytest.mark.parametrize("kind", [None, Labels(grey_palette(5))])
def test_what_is_painted_has_the_size_of_the_image(
    tmp_path: Path, unet: OnnxNetwork, kind: Kind | None
) -> None:
    segnet = OnnxNetwork(tiny_segnet(tmp_path / "segnet.onnx"))
    values = np.random.default_rng(0).uniform(-1, 1, (5, 4, 6)).astype(np.float32)
    assert segnet.paint(values, (12, 18), kind).shape == (12, 18)
    assert unet.paint(values[:3], (12, 18)).shape == (12, 18, 3)


@pytest.mark.parametrize("kind", [None, Photo(), Labels(grey_palette(3))])
def test_an_output_with_nan_is_not_painted(tmp_path: Path, kind: Kind | None) -> None:
    network = OnnxNetwork(nan_network(tmp_path / "nan.onnx"))
    picture = np.full((16, 16, 3), 200, np.uint8)
    network.paint(output_of(network, picture), (16, 16), kind)
    picture[4, 6] = picture[4, 7] = picture[5, 6] = picture[5, 7] = 10
    reading = network.read(picture, ["encoder_1"], output=True)
    assert np.argwhere(np.isnan(reading.taps["encoder_1"][0])).tolist() == [[2, 3]]
    assert reading.output is not None
    with pytest.raises(ActivationError, match=r"nan\.onnx: .* output 'output'"):
        network.paint(reading.output, (16, 16), kind)


def test_targets_must_be_of_a_kind_that_the_output_can_be(
    tmp_path: Path, unet: OnnxNetwork
) -> None:
    segnet = OnnxNetwork(tiny_segnet(tmp_path / "segnet.onnx"))
    for kind in (Photo(), Labels("camvid")):
        unet.check_kind(kind)
    segnet.check_kind(Labels(grey_palette(5)))
    with pytest.raises(DatasetError, match=r"segnet\.onnx: .*5 classes apart.*`--target-palette`"):
        segnet.check_kind(Labels("camvid"))
    with pytest.raises(DatasetError, match=r"segnet\.onnx: .* 5 classes, logits, but .*photos"):
        segnet.check_kind(Photo())
    for network in (segnet, unet):
        with pytest.raises(DatasetError, match="but the targets are values in m"):
            network.check_kind(Values("m"))


# What is taken


def test_images_of_another_size_or_kind_are_refused(unet: OnnxNetwork) -> None:
    wrong = image(20, 30)
    message = "a.jpg is 20x30 (height x width), but unet.onnx takes 32x32; resize it"
    with pytest.raises(ImageError, match=re.escape(message) + ".*--resize"):
        unet.check_image(wrong, "a.jpg")
    with pytest.raises(ImageError, match=re.escape(message)):
        unet.read(wrong, ["encoder_1"], name="a.jpg")
    with pytest.raises(ImageError, match="20x30"):
        unet.fit(wrong, Photo())
    with pytest.raises(ImageError, match=r"a\.jpg is uint8 \(32, 32\)"):
        unet.check_image(np.zeros((32, 32), np.uint8), "a.jpg")
    with pytest.raises(ImageError, match="float64"):
        unet.check_image(np.zeros((32, 32, 3)), "a.jpg")  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=r"a\.jpg is a list; .*\(H, W, 3\)"):
        unet.check_image([[[0, 0, 0]]], "a.jpg")  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=r"\(1, 32, 32, 3\).* \(H, W, 3\)"):
        unet.read(image(32, 32)[None], ["encoder_1"])


def test_images_are_resized_when_asked(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    network = OnnxNetwork(path, preprocessing=Preprocessing(resize=True))
    small = image(32, 32)
    large = np.repeat(np.repeat(small, 2, axis=0), 2, axis=1)
    network.check_image(large, "a.jpg")
    reading = network.read(large, ["encoder_1"])
    np.testing.assert_array_equal(reading.image, small)
    np.testing.assert_array_equal(
        reading.taps["encoder_1"], OnnxNetwork(path).read(small, ["encoder_1"]).taps["encoder_1"]
    )


def test_pictures_of_every_kind_are_fitted_to_the_network(tmp_path: Path) -> None:
    resizing = Preprocessing(resize=True)
    network = OnnxNetwork(tiny_unet(tmp_path / "unet.onnx", size=(8, 8)), preprocessing=resizing)
    photo = image(16, 16)
    means = photo.reshape(8, 2, 8, 2, 3).mean(axis=(1, 3))
    assert np.abs(network.fit(photo, Photo()) - means).max() <= 0.51
    labels = np.random.default_rng(0).choice(np.array([3, 200], np.uint8), (16, 16))
    fitted = network.fit(labels, Labels("camvid"))
    assert fitted.shape == (8, 8)
    assert set(np.unique(fitted)) == {3, 200}
    depth = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
    means = depth.astype(np.float64).reshape(8, 2, 8, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(network.fit(depth, Values("m")), means, rtol=1e-5)
    same = image(8, 8)
    assert network.fit(same, Photo()) is same


# The paper's networks


def test_segnet_tells_the_classes_of_a_street_apart(shared: Path) -> None:
    network = OnnxNetwork(shared / "models" / "segnet-basic-camvid.onnx")
    assert (network.input_size, network.output_channels) == ((360, 480), 11)
    assert network.layer("encoder_4").shape == (23, 30, 64)
    file = sorted((shared / "data" / "camvid" / "val" / "images").glob("*.jpg"))[0]
    truth = read_file(file.parents[1] / "labels" / f"{file.stem}.png")[..., 0]
    labels = network.paint(output_of(network, read_file(file)), (360, 480), Labels("camvid"))
    counted = truth < 11
    assert (labels == truth)[counted].mean() > 0.7


def test_pix2pix_paints_the_labels_of_a_facade(shared: Path) -> None:
    network = OnnxNetwork(shared / "models" / "pix2pix-facades-photo-to-labels.onnx")
    pair = read_file(shared / "data" / "facades" / "train" / "3.jpg")
    photo, labels = np.ascontiguousarray(pair[:, :256]), pair[:, 256:]

    def distance(picture: npt.NDArray[np.uint8]) -> float:
        painted = network.paint(output_of(network, picture), (256, 256))
        return float(np.abs(painted.astype(float) - labels).mean())

    assert distance(photo) < 30
    assert distance(photo) < 0.8 * distance(photo[..., ::-1])
