"""A model runs its network faithfully, and refuses what it cannot take."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from compnn.errors import ActivationError, ImageError, LayerError, NetworkError
from compnn.network.onnx import Model
from compnn.network.preprocessing import Preprocessing
from compnn.network.onnx_sessions import available_cpus
from tiny_networks import (
    SEGNET_LAYERS,
    UNET_LAYERS,
    nan_network,
    save_network,
    tiny_segnet,
    tiny_unet,
)


def images(count: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    random = np.random.default_rng(count)
    return random.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def read(file: Path) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.imread(str(file), cv2.IMREAD_COLOR_RGB), np.uint8)


@pytest.fixture
def unet(tmp_path: Path) -> Model:
    return Model(tiny_unet(tmp_path / "unet.onnx"), num_threads=1)


@pytest.mark.parametrize("batch", ["batch", 1])
def test_run_agrees_with_the_onnx_reference(tmp_path: Path, batch: int | str) -> None:
    path = tiny_unet(tmp_path / "unet.onnx", batch=batch)
    pictures = images(3, 32, 32)
    values = (pictures / 127.5 - 1).astype(np.float32).transpose(0, 3, 1, 2)
    reference = ReferenceEvaluator(onnx.load(path))
    expected: list[Any] = [
        reference.run(None, {"input": value[None]}, intermediate=True) for value in values
    ]
    activations, output = Model(path).run(pictures, UNET_LAYERS, output=True)
    assert list(activations) == list(UNET_LAYERS)
    for name, found in {**activations, "output": output}.items():
        assert found is not None
        assert found.dtype == np.float32
        np.testing.assert_allclose(
            found, np.concatenate([e[name] for e in expected]), atol=2e-5, err_msg=name
        )


def test_run_gives_only_what_is_asked_for(unet: Model) -> None:
    pictures = images(2, 32, 32)
    activations, output = unet.run(pictures, ["encoder_2"], output=False)
    assert (list(activations), output) == (["encoder_2"], None)
    assert activations["encoder_2"].shape == (2, 6, 8, 8)
    activations, output = unet.run(pictures, [], output=True)
    assert activations == {}
    assert output is not None
    assert output.shape == (2, 3, 32, 32)
    activations, output = unet.run(pictures, ["output"], output=True)
    np.testing.assert_array_equal(activations["output"], output)
    assert unet.run(pictures, [], output=False) == ({}, None)


def test_an_image_does_not_depend_on_its_batch(unet: Model) -> None:
    pictures = images(5, 32, 32)
    together, _ = unet.run(pictures, ["decoder_2"], output=True)
    alone, _ = unet.run(pictures[3:4], ["decoder_2"], output=True)
    np.testing.assert_array_equal(together["decoder_2"][3], alone["decoder_2"][0])


def test_threads_can_share_a_model(unet: Model) -> None:
    pictures = images(8, 32, 32)

    def run(index: int) -> npt.NDArray[np.float32]:
        layer = UNET_LAYERS[index % len(UNET_LAYERS)]
        return unet.run(pictures[index : index + 1], [layer], output=False)[0][layer]

    alone = [run(index) for index in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for found, expected in zip(pool.map(run, range(8)), alone, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_activations_are_channel_last(unet: Model) -> None:
    picture = images(1, 32, 32)[0]
    raw, _ = unet.run(picture[None], ["decoder_3"], output=False)
    found = unet.activations(picture, ["decoder_3"])["decoder_3"]
    assert found.shape == (8, 8, 12)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found[3, 5], raw["decoder_3"][0, :, 3, 5])
    assert list(unet.activations(picture)) == list(UNET_LAYERS)


def test_what_a_model_says_of_itself(tmp_path: Path) -> None:
    model = Model(tiny_segnet(tmp_path / "segnet.onnx"), descriptor="encoder_2")
    assert (model.input_size, model.input_channels) == ((24, 32), 3)
    assert (model.output_size, model.output_channels) == ((24, 32), 5)
    assert list(model.layers) == [layer.name for layer in model.named_layers()]
    assert list(model.layers) == list(SEGNET_LAYERS)
    assert model.preprocessing == Preprocessing(size=(24, 32), range=(0, 1))
    assert {"conv_1", "up_1", "logits"} <= {layer.name for layer in model.taps()}
    assert model.tap("up_1").shape == (12, 16, 8)
    assert repr(model) == (
        f"Model({str(model.path)!r}: 24x32x3 -> 24x32x5, layers encoder_1, encoder_2, decoder_1, "
        f"decoder_2, descriptor encoder_2)"
    )


def test_without_named_layers_every_tap_is_one(tmp_path: Path) -> None:
    model = Model(tiny_unet(tmp_path / "unet.onnx", metadata={"input_range": "[-1, 1]"}))
    assert model.named_layers() == model.taps() == list(model.layers.values())
    assert {"leaky_1", "up_2", "output"} <= set(model.layers)


def test_layers_and_hyperpatch_can_be_chosen(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    model = Model(path, ["encoder_2"], hyperpatch=(3, 5))
    assert list(model.layers) == ["encoder_2"]
    assert model.layers["encoder_2"].hyperpatch == (3, 5)
    assert model.layers["encoder_2"].grid == (6, 4)
    with pytest.raises(LayerError, match="5x5 cells does not fit into layer 'encoder_3'"):
        Model(path, ["encoder_3"], hyperpatch=(5, 5))
    # Of the default layers, encoder_3 with its 4x4 cells is left out.
    assert list(Model(path, hyperpatch=(5, 5)).layers) == [
        name for name in UNET_LAYERS if name != "encoder_3"
    ]
    # A descriptor has no hyperpatches.
    assert Model(path, ["encoder_1"], "encoder_3", hyperpatch=(5, 5)).descriptor == "encoder_3"
    with pytest.raises(LayerError, match=r"no layer of unet\.onnx can take"):
        Model(path, hyperpatch=(99, 1))


@pytest.mark.parametrize("arguments", [{"layers": ["decoder2"]}, {"descriptor": "decoder2"}])
def test_an_unknown_layer_is_answered_with_the_nearest(
    tmp_path: Path, arguments: dict[str, object]
) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    with pytest.raises(LayerError) as caught:
        Model(path, **arguments)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.startswith("unknown layer 'decoder2' in unet.onnx; nearest: decoder_2, ")
    assert "decoder_3" in message
    assert f"`compnn layers {path} --all`" in message


def test_an_unknown_tap_is_refused_by_tap_and_run(unet: Model) -> None:
    with pytest.raises(LayerError, match=r"unknown layer 'zzz' in unet\.onnx; `compnn"):
        unet.tap("zzz")
    with pytest.raises(LayerError, match="unknown layer 'encoder_9'"):
        unet.run(images(1, 32, 32), ["encoder_9"], output=True)
    with pytest.raises(LayerError, match="encoder_2_weight"):
        unet.tap_shape("encoder_2_weight")


def test_metadata_that_names_no_tap_is_refused(tmp_path: Path) -> None:
    metadata = {"input_range": "[-1, 1]", "layers": "encoder_1,bottleneck"}
    with pytest.raises(LayerError, match="unknown layer 'bottleneck'"):
        Model(tiny_unet(tmp_path / "unet.onnx", metadata=metadata))


def test_free_sizes_need_a_size(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx", size=("height", "width"))
    with pytest.raises(NetworkError, match=r"unet\.onnx .*`--size HxW` or `Preprocessing\(size="):
        Model(path)
    model = Model(path, preprocessing=Preprocessing(size=(16, 48)))
    assert (model.input_size, model.output_size) == ((16, 48), (16, 48))
    assert model.tap("encoder_3").shape == (2, 6, 8)
    activations, _ = model.run(images(2, 16, 48), ["encoder_3"], output=False)
    assert activations["encoder_3"].shape == (2, 8, 2, 6)


def test_a_size_that_the_network_cannot_take_is_refused(tmp_path: Path) -> None:
    fixed = tiny_unet(tmp_path / "fixed.onnx")
    with pytest.raises(NetworkError, match=r"fixed\.onnx takes images of 32x32, not 16x48"):
        Model(fixed, preprocessing=Preprocessing(size=(16, 48)))
    free = tiny_unet(tmp_path / "free.onnx", size=("height", "width"))
    with pytest.raises(NetworkError, match=r"cannot load .*free\.onnx: .*the size of the image"):
        Model(free, preprocessing=Preprocessing(size=(30, 30)))


def test_an_unknown_range_must_be_given(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx", metadata={})
    with pytest.raises(NetworkError, match=r"unet\.onnx: .*--input-range lo,hi"):
        Model(path)
    model = Model(path, preprocessing=Preprocessing(range=(-1, 1)))
    picture = images(1, 32, 32)
    plain = Model(tiny_unet(tmp_path / "plain.onnx"))
    np.testing.assert_array_equal(
        model.run(picture, ["encoder_1"], output=False)[0]["encoder_1"],
        plain.run(picture, ["encoder_1"], output=False)[0]["encoder_1"],
    )


def test_what_the_user_gives_wins_over_the_file(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    swapped = Model(path, preprocessing=Preprocessing(channel_order="BGR"))
    picture = images(1, 32, 32)
    np.testing.assert_array_equal(
        swapped.run(picture, ["encoder_1"], output=False)[0]["encoder_1"],
        Model(path).run(picture[..., ::-1], ["encoder_1"], output=False)[0]["encoder_1"],
    )


def test_one_channel_networks_see_grey(tmp_path: Path) -> None:
    model = Model(tiny_unet(tmp_path / "unet.onnx", channels=1))
    assert model.input_channels == 1
    colour = images(1, 32, 32)
    grey = cv2.cvtColor(colour[0], cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(
        model.run(colour, ["encoder_1"], output=False)[0]["encoder_1"],
        model.run(np.stack([grey] * 3, -1)[None], ["encoder_1"], output=False)[0]["encoder_1"],
    )


def test_half_precision_networks_give_float32(tmp_path: Path) -> None:
    nodes = [helper.make_node("Neg", ["input"], ["output"])]
    shape = [1, 3, 4, 4]
    path = save_network(tmp_path / "half.onnx", nodes, shape, shape, dtype=TensorProto.FLOAT16)
    model = Model(path, preprocessing=Preprocessing(range=(0, 1)))
    picture = images(1, 4, 4)
    _, output = model.run(picture, [], output=True)
    assert output is not None
    assert output.dtype == np.float32
    np.testing.assert_allclose(output[0].transpose(1, 2, 0), picture[0] / -255, atol=1e-3)


def test_networks_without_per_pixel_output_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["input"], ["output"], axes=[2, 3], keepdims=0)]
    path = save_network(tmp_path / "classifier.onnx", nodes, [1, 3, 8, 8], [1, 3])
    with pytest.raises(NetworkError, match=r"classifier\.onnx has no per-pixel output.*\(output\)"):
        Model(path, preprocessing=Preprocessing(range=(0, 1)))


def test_images_are_painted_from_the_range_of_the_input(unet: Model) -> None:
    output = np.linspace(-1, 1, 3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    painted = unet.paint(output)
    assert painted.dtype == np.uint8
    expected = (output.transpose(1, 2, 0).astype(np.float64) + 1) * 127.5
    assert np.abs(painted - expected).max() <= 0.5001
    assert unet.paint(output[:1]).shape == (4, 5, 3)


def test_images_are_painted_from_the_range_of_the_output(tmp_path: Path) -> None:
    metadata = {"input_range": "[-1, 1]", "output_range": "[0, 255]"}
    model = Model(tiny_unet(tmp_path / "unet.onnx", metadata=metadata))
    output = np.array([[[0.4]], [[99.6]], [[300]]], np.float32)
    assert model.paint(output).tolist() == [[[0, 100, 255]]]


def test_label_maps_are_the_largest_channel(tmp_path: Path) -> None:
    model = Model(tiny_segnet(tmp_path / "segnet.onnx"))
    _, output = model.run(images(1, 24, 32), [], output=True)
    assert output is not None
    labels = model.paint(output[0])
    assert labels.dtype == np.uint8
    assert labels.shape == (24, 32)
    assert len(np.unique(labels)) > 1
    np.testing.assert_array_equal(
        np.take_along_axis(output[0], labels[None].astype(int), 0)[0], output[0].max(0)
    )
    with pytest.raises(NetworkError, match="300 classes"):
        model.paint(np.zeros((300, 1, 1), np.float32))


def test_an_output_with_nan_is_not_painted(tmp_path: Path) -> None:
    model = Model(nan_network(tmp_path / "nan.onnx"))
    picture = np.full((1, 16, 16, 3), 200, np.uint8)
    _, output = model.run(picture, [], output=True)
    assert output is not None
    model.paint(output[0])
    picture[0, 4, 6] = picture[0, 4, 7] = picture[0, 5, 6] = picture[0, 5, 7] = 10
    activations, output = model.run(picture, ["encoder_1"], output=True)
    assert np.argwhere(np.isnan(activations["encoder_1"][0, 0])).tolist() == [[2, 3]]
    assert output is not None
    with pytest.raises(ActivationError, match=r"nan\.onnx .* output 'output'"):
        model.paint(output[0])


def test_images_of_another_size_or_kind_are_refused(unet: Model) -> None:
    wrong = images(1, 20, 30)[0]
    message = "a.jpg is 20x30 (height x width), but unet.onnx takes 32x32; resize it"
    with pytest.raises(ImageError, match=re.escape(message) + ".*--resize"):
        unet.check_image(wrong, "a.jpg")
    with pytest.raises(ImageError, match="20x30"):
        unet.run(wrong[None], ["encoder_1"], output=False)
    with pytest.raises(ImageError, match=r"a\.jpg is uint8 \(32, 32\)"):
        unet.check_image(np.zeros((32, 32), np.uint8), "a.jpg")
    with pytest.raises(ImageError, match="float64"):
        unet.check_image(np.zeros((32, 32, 3)), "a.jpg")  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=r"\(B, H, W, 3\)"):
        unet.run(images(1, 32, 32)[0], ["encoder_1"], output=False)


def test_images_are_resized_when_asked(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    model = Model(path, preprocessing=Preprocessing(resize=True))
    large = np.repeat(np.repeat(images(1, 32, 32), 2, axis=1), 2, axis=2)
    model.check_image(large[0], "a.jpg")
    np.testing.assert_array_equal(
        model.run(large, ["encoder_1"], output=False)[0]["encoder_1"],
        Model(path).run(large[:, ::2, ::2], ["encoder_1"], output=False)[0]["encoder_1"],
    )


@pytest.mark.parametrize("num_threads", [0, -2])
def test_a_senseless_number_of_threads_is_refused(tmp_path: Path, num_threads: int) -> None:
    with pytest.raises(NetworkError, match=f"at least 1, not {num_threads}"):
        Model(tiny_unet(tmp_path / "unet.onnx"), num_threads=num_threads)
    model = Model(tiny_unet(tmp_path / "unet.onnx"))
    with pytest.raises(NetworkError, match=f"at least 1, not {num_threads}"):
        model.with_threads(num_threads)


def test_a_model_with_another_number_of_threads(unet: Model) -> None:
    other = unet.with_threads(3)
    assert (unet.num_threads, other.num_threads) == (1, 3)
    assert repr(other) == repr(unet)
    pictures = images(2, 32, 32)
    (expected, painted), (found, also_painted) = (
        model.run(pictures, UNET_LAYERS, output=True) for model in (unet, other)
    )
    for layer in UNET_LAYERS:
        np.testing.assert_array_equal(found[layer], expected[layer])
    np.testing.assert_array_equal(also_painted, painted)


def test_a_model_takes_all_cpus_unless_told_otherwise(tmp_path: Path) -> None:
    model = Model(tiny_unet(tmp_path / "unet.onnx"))
    assert model.num_threads == available_cpus() == model.with_threads(-1).num_threads


def test_a_network_that_onnx_runtime_does_not_know_is_refused(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    network = onnx.load(path)
    network.graph.node[-1].op_type = "Tannh"
    network.graph.node[-1].name = "last"
    onnx.save(network, path)
    with pytest.raises(NetworkError, match=r"ONNX Runtime cannot load .*unet\.onnx"):
        Model(path)


def test_segnet_tells_the_classes_of_a_street_apart(shared: Path) -> None:
    model = Model(shared / "models" / "segnet-basic-camvid.onnx")
    assert (model.input_size, model.output_channels) == ((360, 480), 11)
    assert model.tap("encoder_4").stride == (16, 16)
    file = sorted((shared / "data" / "camvid" / "val" / "images").glob("*.jpg"))[0]
    truth = read(file.parents[1] / "labels" / f"{file.stem}.png")[..., 0]
    picture = read(file)
    _, output = model.run(picture[None], [], output=True)
    assert output is not None
    labels = model.paint(output[0])
    counted = truth < 11
    assert (labels == truth)[counted].mean() > 0.7


def test_pix2pix_paints_the_labels_of_a_facade(shared: Path) -> None:
    model = Model(shared / "models" / "pix2pix-facades-photo-to-labels.onnx")
    pair = read(shared / "data" / "facades" / "train" / "3.jpg")
    photo, labels = np.ascontiguousarray(pair[:, :256]), pair[:, 256:]

    def distance(picture: npt.NDArray[np.uint8]) -> float:
        _, output = model.run(picture[None], [], output=True)
        assert output is not None
        return float(np.abs(model.paint(output[0]).astype(float) - labels).mean())

    assert distance(photo) < 30
    assert distance(photo) < 0.8 * distance(photo[..., ::-1])
