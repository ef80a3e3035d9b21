"""A network in an ONNX file runs faithfully, and says what it is."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from compnn.errors import LayerError, NetworkError, SearchError
from compnn.network.onnx import OnnxNetwork
from compnn.network.onnx_sessions import available_cpus
from compnn.network.output import OutputChoice
from compnn.network.preprocessing import Preprocessing
from tiny_networks import SEGNET_LAYERS, UNET_LAYERS, save_network, tiny_segnet, tiny_unet


def images(count: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    random = np.random.default_rng(count)
    return random.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def tap(network: OnnxNetwork, picture: npt.NDArray[np.uint8], name: str) -> npt.NDArray[np.float32]:
    return network.read(picture, [name]).taps[name]


@pytest.fixture
def unet(tmp_path: Path) -> OnnxNetwork:
    return OnnxNetwork(tiny_unet(tmp_path / "unet.onnx"), num_threads=1)


@pytest.mark.parametrize("batch", ["batch", 1])
def test_readings_agree_with_the_onnx_reference(tmp_path: Path, batch: int | str) -> None:
    path = tiny_unet(tmp_path / "unet.onnx", batch=batch)
    network = OnnxNetwork(path)
    reference = ReferenceEvaluator(onnx.load(path))
    for picture in images(3, 32, 32):
        value = (picture / 127.5 - 1).astype(np.float32).transpose(2, 0, 1)
        expected: Any = reference.run(None, {"input": value[None]}, intermediate=True)
        reading = network.read(picture, UNET_LAYERS, output=True)
        assert list(reading.taps) == list(UNET_LAYERS)
        np.testing.assert_array_equal(reading.image, picture)
        for name, found in {**reading.taps, "output": reading.output}.items():
            assert found is not None
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected[name][0], atol=2e-5, err_msg=name)


def test_a_reading_holds_only_what_is_asked_for(unet: OnnxNetwork) -> None:
    picture = images(2, 32, 32)[1]
    reading = unet.read(picture, ["encoder_2"], name="a.png")
    assert (list(reading.taps), reading.output, reading.name) == (["encoder_2"], None, "a.png")
    assert reading.taps["encoder_2"].shape == (6, 8, 8)
    reading = unet.read(picture, [], output=True)
    assert reading.taps == {}
    assert reading.output is not None
    assert reading.output.shape == (3, 32, 32)
    reading = unet.read(picture, ["output"], output=True)
    np.testing.assert_array_equal(reading.taps["output"], reading.output)
    reading = unet.read(picture, [])
    assert (reading.taps, reading.output) == ({}, None)


def test_a_tap_that_was_not_kept_is_named(unet: OnnxNetwork) -> None:
    reading = unet.read(images(1, 32, 32)[0], ["encoder_1", "encoder_2"], name="a.png")
    np.testing.assert_array_equal(reading.tap("encoder_2"), reading.taps["encoder_2"])
    message = r"over a\.png kept encoder_1, encoder_2, not decoder_3; name this layer"
    with pytest.raises(SearchError, match=message):
        reading.tap("decoder_3")


def test_a_reading_does_not_depend_on_what_else_is_read(unet: OnnxNetwork) -> None:
    pictures = images(5, 32, 32)
    among_others = [unet.read(picture, UNET_LAYERS, output=True) for picture in pictures][3]
    alone = unet.read(pictures[3], ["decoder_2"])
    np.testing.assert_array_equal(among_others.taps["decoder_2"], alone.taps["decoder_2"])


def test_threads_can_share_a_network(unet: OnnxNetwork) -> None:
    pictures = images(8, 32, 32)

    def run(index: int) -> npt.NDArray[np.float32]:
        return tap(unet, pictures[index], UNET_LAYERS[index % len(UNET_LAYERS)])

    alone = [run(index) for index in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for found, expected in zip(pool.map(run, range(8)), alone, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_activations_are_channel_last(unet: OnnxNetwork) -> None:
    picture = images(1, 32, 32)[0]
    found = unet.activations(picture, ["decoder_3"])["decoder_3"]
    assert found.shape == (8, 8, 12)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found[3, 5], tap(unet, picture, "decoder_3")[:, 3, 5])
    assert list(unet.activations(picture)) == list(UNET_LAYERS)


def test_what_a_network_says_of_itself(tmp_path: Path) -> None:
    network = OnnxNetwork(tiny_segnet(tmp_path / "segnet.onnx"), descriptor="encoder_2")
    assert (network.input_size, network.input_channels) == ((24, 32), 3)
    assert (network.tap_shape("logits"), network.output_channels) == ((24, 32, 5), 5)
    assert list(network.layers) == [layer.name for layer in network.named_layers()]
    assert list(network.layers) == list(SEGNET_LAYERS)
    assert network.preprocessing == Preprocessing(size=(24, 32), range=(0, 1))
    assert {"conv_1", "up_1", "logits"} <= {layer.name for layer in network.taps()}
    assert network.layer("up_1").shape == (12, 16, 8)
    assert network.name == "segnet.onnx"
    assert repr(network) == (
        f"OnnxNetwork({str(network.path)!r}: 24x32, 3 -> 5 channels, layers encoder_1, encoder_2, "
        f"decoder_1, decoder_2, descriptor encoder_2)"
    )


def test_without_named_layers_every_tap_is_one(tmp_path: Path) -> None:
    network = OnnxNetwork(tiny_unet(tmp_path / "unet.onnx", metadata={"input_range": "[-1, 1]"}))
    assert network.named_layers() == network.taps() == list(network.layers.values())
    assert {"leaky_1", "up_2", "output"} <= set(network.layers)


def test_layers_and_hyperpatch_can_be_chosen(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    network = OnnxNetwork(path, ["encoder_2"], hyperpatch=(3, 5))
    assert list(network.layers) == ["encoder_2"]
    assert network.layers["encoder_2"].hyperpatch == (3, 5)
    assert network.layers["encoder_2"].grid == (6, 4)
    with pytest.raises(LayerError, match="5x5 cells does not fit into layer 'encoder_3'"):
        OnnxNetwork(path, ["encoder_3"], hyperpatch=(5, 5))
    # Of the default layers, encoder_3 with its 4x4 cells is left out.
    assert list(OnnxNetwork(path, hyperpatch=(5, 5)).layers) == [
        name for name in UNET_LAYERS if name != "encoder_3"
    ]
    # A descriptor has no hyperpatches.
    with_descriptor = OnnxNetwork(path, ["encoder_1"], "encoder_3", hyperpatch=(5, 5))
    assert with_descriptor.descriptor == "encoder_3"
    with pytest.raises(LayerError, match=r"no layer of unet\.onnx can take"):
        OnnxNetwork(path, hyperpatch=(99, 1))


@pytest.mark.parametrize("arguments", [{"layers": ["decoder2"]}, {"descriptor": "decoder2"}])
def test_an_unknown_layer_is_answered_with_the_nearest(
    tmp_path: Path, arguments: dict[str, object]
) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    with pytest.raises(LayerError) as caught:
        OnnxNetwork(path, **arguments)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.startswith("unknown layer 'decoder2' in unet.onnx; nearest: decoder_2, ")
    assert "decoder_3" in message
    assert f"`compnn layers {path} --all`" in message


def test_an_unknown_tap_is_refused_by_layer_and_read(unet: OnnxNetwork) -> None:
    with pytest.raises(LayerError, match=r"unknown layer 'zzz' in unet\.onnx; `compnn"):
        unet.layer("zzz")
    with pytest.raises(LayerError, match="unknown layer 'encoder_9'"):
        unet.read(images(1, 32, 32)[0], ["encoder_9"], output=True)
    with pytest.raises(LayerError, match="encoder_2_weight"):
        unet.tap_shape("encoder_2_weight")


def test_metadata_that_names_no_tap_is_refused(tmp_path: Path) -> None:
    metadata = {"input_range": "[-1, 1]", "layers": "encoder_1,bottleneck"}
    with pytest.raises(LayerError, match="unknown layer 'bottleneck'"):
        OnnxNetwork(tiny_unet(tmp_path / "unet.onnx", metadata=metadata))


def test_an_unknown_range_must_be_given(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx", metadata={})
    picture = images(1, 32, 32)[0]
    unknown = OnnxNetwork(path)
    assert list(unknown.layers)[:1] == ["encoder_1"]  # which need no range
    assert str(unknown.check("encoder_2").looks) == "agrees"
    with pytest.raises(NetworkError, match=r"unet\.onnx: .*--input-range lo,hi"):
        unknown.read(picture, ["encoder_1"])
    with pytest.raises(NetworkError, match="mean and std have 1 values"):
        OnnxNetwork(path, preprocessing=Preprocessing(mean=(0,), std=(1,)))
    network = OnnxNetwork(path, preprocessing=Preprocessing(range=(-1, 1)))
    plain = OnnxNetwork(tiny_unet(tmp_path / "plain.onnx"))
    np.testing.assert_array_equal(
        tap(network, picture, "encoder_1"), tap(plain, picture, "encoder_1")
    )


def test_what_the_user_gives_wins_over_the_file(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    swapped = OnnxNetwork(path, preprocessing=Preprocessing(channel_order="BGR"))
    picture = images(1, 32, 32)[0]
    np.testing.assert_array_equal(
        tap(swapped, picture, "encoder_1"), tap(OnnxNetwork(path), picture[..., ::-1], "encoder_1")
    )


def test_one_channel_networks_see_grey(tmp_path: Path) -> None:
    network = OnnxNetwork(tiny_unet(tmp_path / "unet.onnx", channels=1))
    assert network.input_channels == 1
    colour = images(1, 32, 32)[0]
    # 0.299, 0.587 and 0.114, in 15 bits.
    brightness = colour.astype(int) @ (9798, 19235, 3735) / 2**15
    grey = np.repeat(np.rint(brightness).astype(np.uint8)[..., np.newaxis], 3, axis=2)
    np.testing.assert_array_equal(
        tap(network, colour, "encoder_1"), tap(network, grey, "encoder_1")
    )


def test_half_precision_networks_give_float32(tmp_path: Path) -> None:
    nodes = [helper.make_node("Neg", ["input"], ["output"])]
    shape = [1, 3, 4, 4]
    path = save_network(tmp_path / "half.onnx", nodes, shape, shape, dtype=TensorProto.FLOAT16)
    network = OnnxNetwork(path, preprocessing=Preprocessing(range=(0, 1)))
    picture = images(1, 4, 4)[0]
    output = network.read(picture, [], output=True).output
    assert output is not None
    assert output.dtype == np.float32
    np.testing.assert_allclose(output.transpose(1, 2, 0), picture / -255, atol=1e-3)


def test_networks_without_per_pixel_output_say_so(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["input"], ["output"], axes=[2, 3], keepdims=0)]
    path = save_network(tmp_path / "classifier.onnx", nodes, [1, 3, 8, 8], [1, 3])
    scale = Preprocessing(range=(0, 1))
    with pytest.raises(NetworkError, match=r"classifier\.onnx has no per-pixel output.*\(output\)"):
        OnnxNetwork(path, preprocessing=scale, output=OutputChoice(kind="labels"))
    with pytest.raises(LayerError, match=r"classifier\.onnx has no layer: no tensor"):
        OnnxNetwork(path, preprocessing=scale)


@pytest.mark.parametrize("num_threads", [0, -2])
def test_a_senseless_number_of_threads_is_refused(tmp_path: Path, num_threads: int) -> None:
    with pytest.raises(NetworkError, match=f"at least 1, not {num_threads}"):
        OnnxNetwork(tiny_unet(tmp_path / "unet.onnx"), num_threads=num_threads)
    network = OnnxNetwork(tiny_unet(tmp_path / "unet.onnx"))
    with pytest.raises(NetworkError, match=f"at least 1, not {num_threads}"):
        network.with_threads(num_threads)


def check_equal_readings(
    first: OnnxNetwork, second: OnnxNetwork, taps: Sequence[str] = UNET_LAYERS
) -> None:
    for picture in images(2, 32, 32):
        expected, found = (network.read(picture, taps, output=True) for network in (first, second))
        for name in taps:
            np.testing.assert_array_equal(found.taps[name], expected.taps[name])
        assert expected.output is not None
        np.testing.assert_array_equal(found.output, expected.output)


def test_a_network_with_another_number_of_threads(unet: OnnxNetwork) -> None:
    unet.path.unlink()  # the file is not read again
    other = unet.with_threads(3)
    assert (unet.num_threads, other.num_threads) == (1, 3)
    assert repr(other) == repr(unet)
    assert other.identity() == unet.identity()
    check_equal_readings(unet, other)


def test_a_network_takes_all_cpus_unless_told_otherwise(tmp_path: Path) -> None:
    network = OnnxNetwork(tiny_unet(tmp_path / "unet.onnx"))
    assert network.num_threads == available_cpus() == network.with_threads(-1).num_threads


def test_a_network_that_onnx_runtime_does_not_know_is_refused_quietly(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    network = onnx.load(path)
    network.graph.node[-1].op_type = "Tannh"
    network.graph.node[-1].name = "last"
    onnx.save(network, path)
    with pytest.raises(NetworkError, match=r"ONNX Runtime cannot load .*unet\.onnx"):
        OnnxNetwork(path)
    assert capfd.readouterr() == ("", "")


def test_a_run_that_fails_is_told_quietly(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    network = OnnxNetwork(tiny_unet(tmp_path / "unet.onnx", size=("height", "width")))
    with pytest.raises(NetworkError, match=r"unet\.onnx does not run on 1 images of 30x32"):
        network.read(images(1, 30, 32)[0], ["decoder_3"])
    assert capfd.readouterr() == ("", "")
