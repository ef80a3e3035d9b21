"""Building a bank: its content, skipped images, and what cannot be kept."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from compnn.bank import layout
from compnn.bank.bank import Bank, build
from compnn.bank.layout import ACTIVATION_DTYPES
from compnn.data.dataset import Pair
from compnn.errors import ActivationError, BankError, DatasetError, ImageError, SearchError
from compnn.images.kinds import Photo, Values
from compnn.network.onnx import OnnxNetwork
from compnn.network.preprocessing import Preprocessing
from memory_dataset import MemoryDataset, StoppedError, contents, stop_at
from reference import stored, stored_norms
from stores import activation, check_pairs, load, record
from tiny_networks import nan_network, save_network, tiny_segnet, tiny_unet

LAYERS = ["encoder_1", "decoder_3"]
SHAPES = {"encoder_1": (16, 16), "decoder_3": (8, 8)}
COUNT = 5


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> OnnxNetwork:
    path = tiny_unet(tmp_path_factory.mktemp("network") / "tiny.onnx")
    return OnnxNetwork(path, LAYERS, "encoder_3")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tiny.bank"


# What is in a bank


@pytest.mark.parametrize("dtype", ACTIVATION_DTYPES)
def test_arrays_hold_what_the_network_computes(
    path: Path, network: OnnxNetwork, dtype: str
) -> None:
    dataset = MemoryDataset(3)
    build(path, network, dataset, dtype=dtype)
    taps = [*LAYERS, "encoder_3"]
    expected = _run_onnx(network.path, taps, [pair.input for pair in dataset])
    for layer in LAYERS:
        cells = load(path, f"activations/{layer}.npy", SHAPES[layer])
        assert cells.dtype == {"bfloat16": np.uint16}.get(dtype, np.dtype(dtype))
        np.testing.assert_array_equal(cells, stored(expected[layer], dtype))
        norms = load(path, f"norms/{layer}.npy", SHAPES[layer])
        assert norms.dtype == np.float32
        np.testing.assert_allclose(norms, stored_norms(expected[layer], dtype), 1e-6)
    descriptors = load(path, "descriptors.npy")
    assert descriptors.dtype == np.float32
    np.testing.assert_array_equal(descriptors, expected["encoder_3"].reshape(3, -1))
    np.testing.assert_allclose(
        load(path, "descriptor_norms.npy"),
        np.linalg.norm(descriptors.astype(np.float64), axis=1),
        1e-6,
    )
    inputs, targets = load(path, "inputs.npy", (32, 32)), load(path, "targets.npy", (32, 32))
    np.testing.assert_array_equal(inputs, [pair.input for pair in dataset])
    np.testing.assert_array_equal(targets, [pair.target for pair in dataset])
    Bank(path).verify()


def _run_onnx(path: Path, taps: list[str], images: list[Any]) -> dict[str, np.ndarray]:
    """Activations (N, H, W, D) by ONNX Runtime alone, for a network with input in [-1, 1]."""
    network = onnx.load(path)
    for tap in taps:
        network.graph.output.append(onnx.ValueInfoProto(name=tap))
    session = onnxruntime.InferenceSession(network.SerializeToString())
    values = np.stack(images).transpose(0, 3, 1, 2).astype(np.float32) * np.float32(2 / 255) - 1
    results = [session.run(taps, {"input": each[None]}) for each in values]
    stacked = [np.concatenate(each) for each in zip(*results, strict=True)]
    return dict(zip(taps, (each.transpose(0, 2, 3, 1) for each in stacked), strict=True))


def test_files_and_alignment(path: Path, network: OnnxNetwork) -> None:
    build(path, network, MemoryDataset(2))
    tables = ["images", "attributes", "names", "words", "skipped", "reasons"]
    tables += [f"{name}_ends" for name in tables[2:]]
    arrays = [f"{kind}/{layer}" for kind in ("activations", "norms") for layer in LAYERS]
    arrays += ["descriptors", "descriptor_norms", "inputs", "targets", "places", "checksums"]
    assert set(contents(path)) == {
        "manifest.json",
        "writer.lock",
        "generations/1.json",
        "shards/0/shard.json",
        *(f"probes/0/tap%20{tap}.npy" for tap in (*LAYERS, "encoder_3")),
        "probes/0/input.npy",
        "probes/0/output.npy",
        *(f"shards/0/{name}.npy" for name in arrays),
        *(f"tables/0/{name}.npy" for name in tables),
    }
    assert (path / "manifest.json").read_bytes() == (path / "generations/1.json").read_bytes()
    assert os.listdir(path.parent) == [path.name]
    for file in path.rglob("*.npy"):
        assert file.read_bytes()[:10] == b"\x93NUMPY\x01\x00\x76\x00", file
        np.load(file, allow_pickle=False)


def test_places_say_where_the_records_are(path: Path, network: OnnxNetwork) -> None:
    build(path, network, MemoryDataset(3))
    places = load(path, "places.npy")
    assert places.dtype == np.int64
    sizes = [*SHAPES.values(), (32, 32), (32, 32)]
    expected = [[(image * h * w, h, w) for h, w in sizes] for image in range(3)]
    np.testing.assert_array_equal(places, expected)
    assert load(path, "checksums.npy").shape == (3, 8)


def test_shards_have_so_many_images_at_most(
    tmp_path: Path, network: OnnxNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "one", network, MemoryDataset(7))
    monkeypatch.setattr(layout, "SHARD_IMAGES", 3)
    bank = build(tmp_path / "some", network, MemoryDataset(7, bad=[0]), skip_bad=True)
    assert [len(load(bank.path, "checksums.npy", shard=shard)) for shard in range(3)] == [2, 3, 1]
    bank.verify()
    check_pairs(bank, list(MemoryDataset(7))[1:])
    for layer in LAYERS:
        for image in range(6):
            np.testing.assert_array_equal(
                activation(bank, layer, image), activation(Bank(tmp_path / "one"), layer, image + 1)
            )


def test_a_shard_of_nothing_is_left_out(
    path: Path, network: OnnxNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "SHARD_IMAGES", 2)
    bank = build(path, network, MemoryDataset(6, bad=[2, 3]), skip_bad=True)
    assert sorted(os.listdir(path / "shards")) == ["0", "2"]
    check_pairs(bank, [MemoryDataset(6)[index] for index in (0, 1, 4, 5)])
    bank.verify()


def test_label_maps_and_no_descriptor(tmp_path: Path, path: Path) -> None:
    network = OnnxNetwork(tiny_segnet(tmp_path / "segnet.onnx"), ["encoder_2"])
    dataset = MemoryDataset(2, (24, 32), classes=5)
    bank = build(path, network, dataset)
    targets = load(path, "targets.npy", (24, 32))
    np.testing.assert_array_equal(targets, [pair.target for pair in dataset])
    assert bank.target_kind == dataset.target_kind
    assert bank.descriptor is None
    assert not (path / "shards/0/descriptors.npy").exists()
    with pytest.raises(SearchError, match="no global descriptors"):
        bank.descriptors([0])


def test_values_are_kept_as_they_are(path: Path, network: OnnxNetwork, tmp_path: Path) -> None:
    """One channel of floats, which no byte could hold."""
    dataset = MemoryDataset(2)
    depths = np.random.default_rng(0).normal(size=(2, 32, 32)).astype(np.float32) * 1e6
    for pair, depth in zip(list(dataset.pairs.values()), depths, strict=True):
        dataset.pairs[pair.name] = Pair(pair.name, pair.input, depth)
    dataset._target_kind = Values("m")
    one_channel = OnnxNetwork(tiny_segnet(tmp_path / "depth.onnx", size=(32, 32), classes=1))
    bank = build(path, one_channel, dataset)
    for index, depth in enumerate(depths):
        np.testing.assert_array_equal(bank.pair(index)[1], depth)
    assert bank.target_kind == Values("m")


def test_descriptor_that_is_also_a_layer(tmp_path: Path, path: Path) -> None:
    network = OnnxNetwork(tiny_unet(tmp_path / "tiny.onnx"), ["encoder_3"], "encoder_3")
    build(path, network, MemoryDataset(2))
    cells = load(path, "activations/encoder_3.npy").reshape(2, -1)
    descriptors = load(path, "descriptors.npy")
    np.testing.assert_array_equal(descriptors.astype(np.float16), cells)


def test_layer_names_that_are_no_file_names(tmp_path: Path, path: Path) -> None:
    name = "/block:1/../relu?é"
    nodes = [
        helper.make_node("Relu", ["input"], [name]),
        helper.make_node("Relu", [name], ["output"]),
    ]
    shape = (1, 3, 8, 8)
    network = save_network(
        tmp_path / "n.onnx", nodes, shape, shape, metadata={"input_range": "[0, 1]"}
    )
    build(path, OnnxNetwork(network, [name]), MemoryDataset(1, (8, 8)))
    files = [file for file in contents(path) if file.startswith("shards/0/activations/")]
    assert files == ["shards/0/activations/%2Fblock%3A1%2F..%2Frelu%3F%C3%A9.npy"]
    assert list(Bank(path).layers) == [name]


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    network = OnnxNetwork(tiny_unet(tmp_path / "tiny.onnx", size=(128, 128)))

    class Lazy(MemoryDataset):
        """Makes its pixels when they are read."""

        def __init__(self, count: int) -> None:
            super().__init__(count, (1, 1))

        def read(self, name: str) -> Any:
            return MemoryDataset(1, (128, 128)).pairs["img_0"]

    peaks = []
    for count in (16, 96):  # more than the check keeps
        tracemalloc.start()
        build(tmp_path / f"{count}.bank", network, Lazy(count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]  # it would be 4 times as much or more


def test_progress(path: Path, network: OnnxNetwork) -> None:
    seen = []
    build(path, network, MemoryDataset(3), progress=lambda *args: seen.append(args))
    assert list(dict.fromkeys(seen)) == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert seen == sorted(seen)


# Bad images


def test_bad_image_stops_the_build(path: Path, network: OnnxNetwork) -> None:
    with pytest.raises(ImageError, match=r"'img_0'.*img_0\.png is cut short.*--skip-bad"):
        build(path, network, MemoryDataset(COUNT, bad=[0]))
    assert os.listdir(path.parent) == []


def test_bad_image_later_can_be_skipped_then(path: Path, network: OnnxNetwork) -> None:
    dataset = MemoryDataset(COUNT, bad=[3])
    with pytest.raises(ImageError, match="'img_3'"):
        build(path, network, dataset)
    build(path, network, dataset, skip_bad=True)
    assert Bank(path).names == ("img_0", "img_1", "img_2", "img_4")


@pytest.mark.parametrize("done", [None, 1, 4])
def test_skipped_images_leave_no_gap(
    tmp_path: Path, network: OnnxNetwork, done: int | None
) -> None:
    dataset = MemoryDataset(6, bad=[0, 3, 5], attributes={"img_3": {"a": "1"}, "img_4": {"a": "2"}})
    path = tmp_path / "skipped.bank"
    if done is not None:
        with pytest.raises(StoppedError):
            build(path, network, dataset, skip_bad=True, progress=stop_at(done))
    build(path, network, dataset, skip_bad=True)
    bank = Bank(path)
    assert bank.names == ("img_1", "img_2", "img_4")
    assert [each.name for each in bank.skipped] == ["img_0", "img_3", "img_5"]
    assert {each.reason for each in bank.skipped} == {
        f"img_{index}.png is cut short" for index in (0, 3, 5)
    }
    assert bank.attributes == {"img_4": {"a": "2"}}
    build(tmp_path / "subset.bank", network, MemoryDataset(6).subset(bank.names))
    subset, skipped = contents(tmp_path / "subset.bank"), contents(path)
    assert subset.keys() == skipped.keys()
    for file in subset:
        if file.startswith("shards/") or file == "tables/0/names.npy":
            assert subset[file] == skipped[file], file


def test_skipped_image_that_can_be_read_again(path: Path, network: OnnxNetwork) -> None:
    with pytest.raises(StoppedError):
        build(path, network, MemoryDataset(4, bad=[1]), skip_bad=True, progress=stop_at(3))
    build(path, network, MemoryDataset(4))
    assert len(Bank(path)) == 4
    assert Bank(path).skipped == ()


def test_nothing_can_be_read(path: Path, network: OnnxNetwork) -> None:
    with pytest.raises(DatasetError, match=r"none of the 2.*'img_0': img_0\.png is cut short"):
        build(path, network, MemoryDataset(2, bad=[0, 1]), skip_bad=True)
    with pytest.raises(DatasetError, match="no pairs"):
        build(path, network, MemoryDataset(0))
    assert os.listdir(path.parent) == []


def test_images_of_another_size(path: Path, network: OnnxNetwork) -> None:
    dataset = MemoryDataset(2, (40, 32))
    with pytest.raises(ImageError, match=r"img_0 is 40x32.*32x32.*--resize"):
        build(path, network, dataset)
    resizing = OnnxNetwork(network.path, LAYERS, preprocessing=Preprocessing(resize=True))
    build(path, resizing, dataset)
    fitted = [resizing.fit(pair.input, Photo()) for pair in dataset]
    np.testing.assert_array_equal(load(path, "inputs.npy", (32, 32)), fitted)


def test_target_of_the_wrong_kind(path: Path, network: OnnxNetwork) -> None:
    dataset = MemoryDataset(1, classes=3)
    dataset._target_kind = Photo()
    with pytest.raises(ImageError, match=r"target of img_0 is uint8 \(32, 32\).*photo"):
        build(path, network, dataset)


def test_target_of_another_size(path: Path, network: OnnxNetwork) -> None:
    dataset = MemoryDataset(2)
    first = dataset.pairs["img_0"]
    dataset.pairs["img_0"] = Pair("img_0", first.input, first.target[:30])
    with pytest.raises(
        ImageError, match=r"img_0 is 30x32, but for its input of 32x32 tiny.onnx paints 32x32"
    ):
        build(path, network, dataset)
    assert os.listdir(path.parent) == []


def test_kind_that_the_network_does_not_paint(tmp_path: Path, path: Path) -> None:
    network = OnnxNetwork(tiny_segnet(tmp_path / "segnet.onnx"))
    with pytest.raises(DatasetError, match="5 classes"):
        build(path, network, MemoryDataset(1, (24, 32)))
    assert not path.exists()


# Activations that cannot be kept


def test_nan_activation(tmp_path: Path, path: Path) -> None:
    network = OnnxNetwork(nan_network(tmp_path / "nan.onnx"))
    dataset = MemoryDataset(3, (16, 16), darkest=100)
    dataset.pairs["img_2"].input[:] = 0
    with pytest.raises(ActivationError, match="layer 'encoder_1' for image 'img_2' holds NaN"):
        build(path, network, dataset)
    assert not path.exists()


def test_activation_too_large_for_float16(tmp_path: Path, path: Path) -> None:
    factor = numpy_helper.from_array(np.array(1e5, np.float32), "factor")
    nodes = [
        helper.make_node("Mul", ["input", "factor"], ["large"]),
        helper.make_node("Relu", ["large"], ["output"]),
    ]
    shape = (1, 3, 8, 8)
    network = save_network(
        tmp_path / "large.onnx", nodes, shape, shape, [factor], {"input_range": "[0, 1]"}
    )
    network = OnnxNetwork(network, ["large"])
    pairs = MemoryDataset(1, (8, 8))
    with pytest.raises(ActivationError, match=r"layer 'large' for image 'img_0'.*--dtype bfloat16"):
        build(path, network, pairs)
    assert not path.exists()
    exact = network.activations(pairs[0].input, ["large"])["large"]
    assert exact.max() > 65504
    for dtype in ("bfloat16", "float32", "int8"):
        with build(path, network, pairs, dtype=dtype, overwrite=True) as bank:
            kept = record(bank, "activations/large.npy", 0)
        np.testing.assert_array_equal(kept.reshape(exact.shape), stored(exact, dtype))


def test_unknown_dtype(path: Path, network: OnnxNetwork) -> None:
    expected = "dtype must be float16 or bfloat16 or float32 or int8, not 'uint16'"
    with pytest.raises(BankError, match=expected):
        build(path, network, MemoryDataset(1), dtype="uint16")
    assert os.listdir(path.parent) == []
