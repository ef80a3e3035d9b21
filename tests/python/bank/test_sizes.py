"""Banks of images of many sizes, of a network that takes any."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from compnn.bank import layout
from compnn.bank.bank import Bank, build
from compnn.bank.layout import ACTIVATION_DTYPES
from compnn.data.dataset import Dataset, Pair
from compnn.errors import DatasetError, ImageError
from compnn.images.kinds import Labels, Values
from compnn.network.onnx import OnnxNetwork
from compnn.network.preprocessing import Preprocessing
from memory_dataset import StoppedError, contents, grey_palette, stop_at
from reference import as_kept, hyperpatches
from stores import activation, check_pairs, check_that_images_find_themselves, load, search
from tiny_networks import save_network, tiny_segnet, tiny_unet

LAYERS = ["encoder_1", "decoder_3"]
SIZES = [(16, 24), (40, 16), (16, 16), (24, 24), (16, 24), (32, 40), (16, 64)]
QUERY = np.random.default_rng(9).integers(0, 256, (24, 40, 3), np.uint8)


class Sizes(Dataset):
    """Pairs img_0, img_1, ... of given sizes; the targets are photos, label maps or values."""

    def __init__(self, sizes: Sequence[tuple[int, int]], kind: str = "photo") -> None:
        self.sizes = {f"img_{index}": size for index, size in enumerate(sizes)}
        kinds = {"photo": None, "labels": Labels(grey_palette(5)), "values": Values("m")}
        super().__init__(self.sizes, target_kind=kinds[kind])
        self.kind = kind

    def read(self, name: str) -> Pair:
        size = self.sizes[name]
        random = np.random.default_rng(list(name.encode()))
        image = random.integers(0, 256, (*size, 3), np.uint8)
        if self.kind == "labels":
            return Pair(name, image, random.integers(0, 5, size, np.uint8))
        if self.kind == "values":
            return Pair(name, image, random.normal(size=size).astype(np.float32))
        return Pair(name, image, random.integers(0, 256, (*size, 3), np.uint8))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> OnnxNetwork:
    path = tiny_unet(tmp_path_factory.mktemp("network") / "free.onnx", size=("height", "width"))
    return OnnxNetwork(path, LAYERS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sizes.bank"


@pytest.mark.parametrize("dtype", ACTIVATION_DTYPES)
@pytest.mark.parametrize("shard_images", [3, 4096])
def test_each_image_keeps_its_own_cells(
    path: Path,
    network: OnnxNetwork,
    monkeypatch: pytest.MonkeyPatch,
    dtype: str,
    shard_images: int,
) -> None:
    monkeypatch.setattr(layout, "SHARD_IMAGES", shard_images)
    dataset = Sizes(SIZES)
    bank = build(path, network, dataset, dtype=dtype)
    check_pairs(bank, dataset)
    for index, (pair, (height, width)) in enumerate(zip(dataset, SIZES, strict=True)):
        for layer, stride in (("encoder_1", 2), ("decoder_3", 4)):
            geometry = bank.layer_of(layer, index)
            assert geometry.image_size == (height, width)
            assert geometry.shape[:2] == (height // stride, width // stride)
            assert geometry == network.layer(layer, (height, width))
            assert geometry.hyperpatch == bank.layers[layer].hyperpatch == (2, 2)
            exact = network.activations(pair.input, [layer])[layer]
            np.testing.assert_allclose(
                activation(bank, layer, index), as_kept(exact, dtype), rtol=1e-6, atol=1e-6
            )
    bank.verify()
    for layer in LAYERS:
        check_that_images_find_themselves(bank, network, dataset, layer)
        cells = bank.cells(layer, range(len(bank)))
        grids = [bank.layer_of(layer, index).grid for index in range(len(bank))]
        assert cells.places(range(len(bank)), (2, 2)) == sum(a * b for a, b in grids)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5)])
def test_searches_equal_brute_force(
    path: Path, network: OnnxNetwork, layer: str, size: tuple[int, int]
) -> None:
    bank = build(path, network, Sizes(SIZES), dtype="float32")
    query = network.activations(QUERY, [layer])[layer]
    ours = hyperpatches(query, size)
    theirs = {
        image: hyperpatches(activation(bank, layer, image), size)
        for image, (rows, cols) in enumerate(
            bank.layer_of(layer, each).shape[:2] for each in range(len(bank))
        )
        if rows >= size[0] and cols >= size[1]
    }
    for images in (None, [1, 2, 5], [5]):
        large = [image for image in bank.indices(images) if image in theirs]
        flat = np.concatenate([theirs[image].reshape(-1, ours.shape[-1]) for image in large])
        best = (ours @ flat.T).max(axis=-1)
        for options in ({}, {"approximate": True}, {"approximate": True, "schedule": "paper"}):
            image, row, col, similarity = search(
                bank, network, QUERY, layer, images=images, hyperpatch=size, **options
            )
            # An impossible place would be an error here.
            found = [
                ours[place] @ theirs[image[0][place]][row[0][place], col[0][place]]
                for place in np.ndindex(*best.shape)
            ]
            np.testing.assert_allclose(similarity.ravel(), found, atol=1e-5)
            if not options:
                np.testing.assert_allclose(similarity[0], best, atol=1e-5)
            assert set(image.ravel().tolist()) <= set(large)
            assert min(row.min(), col.min()) >= 0


@pytest.mark.parametrize("kind", ["photo", "labels", "values"])
@pytest.mark.parametrize("shard_images", [2, 4096])
def test_pixels_are_taken_from_pictures_of_any_size(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, shard_images: int
) -> None:
    monkeypatch.setattr(layout, "SHARD_IMAGES", shard_images)
    classes = {"labels": 5, "values": 1, "photo": 3}[kind]
    network = OnnxNetwork(
        tiny_segnet(tmp_path / "free.onnx", size=("h", "w"), classes=classes), ["encoder_2"]
    )
    dataset = Sizes(SIZES, kind)
    bank = build(path, network, dataset)
    pairs = list(dataset)
    random = np.random.default_rng(0)
    image = random.integers(0, len(SIZES), (9, 50), np.int32)
    heights, widths = bank.targets.sizes(image)
    np.testing.assert_array_equal(np.stack([heights, widths], -1), np.array(SIZES)[image])
    row = (random.random(image.shape) * heights).astype(np.int32)
    col = (random.random(image.shape) * widths).astype(np.int32)
    places = list(zip(image.ravel(), row.ravel(), col.ravel(), strict=True))
    for pictures, originals in (
        (bank.inputs, [pair.input for pair in pairs]),
        (bank.targets, [pair.target for pair in pairs]),
    ):
        taken = pictures.take(image, row, col)
        assert taken.dtype == originals[0].dtype
        assert taken.shape == (9, 50, *originals[0].shape[2:])
        expected = [originals[each][y, x] for each, y, x in places]
        np.testing.assert_array_equal(
            taken.reshape(len(expected), -1).T, np.array(expected).reshape(len(expected), -1).T
        )
        one = pictures.take(image[:, :1] * 0, row[:, :1] * 0, col[:, :1] * 0)
        np.testing.assert_array_equal(one, np.broadcast_to(originals[0][0, 0], one.shape))
        for index, original in enumerate(originals):
            assert pictures.size(index) == original.shape[:2]
            picture = pictures.picture(index)
            np.testing.assert_array_equal(picture, original)
            assert not picture.flags.writeable


@pytest.mark.parametrize("done", [0, 1, 4, 6, 7])
def test_interrupted_build_resumes(
    path: Path, network: OnnxNetwork, monkeypatch: pytest.MonkeyPatch, done: int, tmp_path: Path
) -> None:
    monkeypatch.setattr(layout, "SHARD_IMAGES", 3)
    build(tmp_path / "at once", network, Sizes(SIZES))
    with pytest.raises(StoppedError):
        build(path, network, Sizes(SIZES), progress=stop_at(done))
    build(path, network, Sizes(SIZES))
    assert contents(path) == contents(tmp_path / "at once")


def test_append_and_compact(path: Path, network: OnnxNetwork, tmp_path: Path) -> None:
    dataset = Sizes(SIZES)
    bank = build(path, network, dataset.subset(dataset.names[:2]))
    bank.append(network, dataset.subset(dataset.names[2:]))
    bank.drop(["img_3"])
    bank.compact()
    names = [name for name in dataset.names if name != "img_3"]
    expected = build(tmp_path / "at once", network, dataset.subset(names))
    for file in ("activations/encoder_1.npy", "inputs.npy", "places.npy", "checksums.npy"):
        shard = int(next((path / "shards").iterdir()).name)
        np.testing.assert_array_equal(load(path, file, shard=shard), load(expected.path, file))
    check_pairs(bank, dataset.subset(names))


def test_image_too_small_for_the_hyperpatch(path: Path, network: OnnxNetwork) -> None:
    dataset = Sizes([(16, 16), (16, 16), (8, 16), (16, 16)])
    small = OnnxNetwork(network.path, ["encoder_3"])
    assert small.layers["encoder_3"].hyperpatch == (2, 2)
    with pytest.raises(ImageError, match=r"'img_2'.*too small: it has 1x2 cells.*--skip-bad"):
        build(path, small, dataset)
    bank = build(path, small, dataset, skip_bad=True)
    assert bank.names == ("img_0", "img_1", "img_3")
    assert [each.name for each in bank.skipped] == ["img_2"]
    assert "too small" in bank.skipped[0].reason


def test_descriptor_needs_one_size(path: Path, network: OnnxNetwork) -> None:
    """Also the size of the images is its own: not the network's that stands for all."""
    with_descriptor = OnnxNetwork(network.path, LAYERS, "encoder_3")
    with pytest.raises(
        DatasetError,
        match=r"'encoder_3' of 'img_1' has 80 values, those of other images 48.*--size",
    ):
        build(path, with_descriptor, Sizes(SIZES))
    assert not path.exists()
    bank = build(path, with_descriptor, Sizes([(16, 24)] * 3))
    assert bank.descriptors([0]).channels == 48
    more = Sizes([(16, 24)] * 3 + [(40, 16)]).subset(["img_3"])
    with pytest.raises(DatasetError, match="'encoder_3' of 'img_3' has 80 values"):
        bank.append(with_descriptor, more)
    resized = OnnxNetwork(
        network.path, LAYERS, "encoder_3", preprocessing=Preprocessing(size=(16, 16), resize=True)
    )
    bank = build(path, resized, Sizes(SIZES), overwrite=True)
    assert [bank.inputs.size(index) for index in range(len(SIZES))] == [(16, 16)] * len(SIZES)
    assert bank.descriptors([0]).channels == 32


def test_pooled_descriptor_takes_images_of_any_size(tmp_path: Path, path: Path) -> None:
    from onnx import helper

    nodes = [
        helper.make_node("Relu", ["input"], ["layer"]),
        helper.make_node("GlobalAveragePool", ["layer"], ["pooled"]),
        helper.make_node("Add", ["layer", "pooled"], ["output"]),
    ]
    shape = (1, 3, "h", "w")
    file = save_network(
        tmp_path / "pooled.onnx", nodes, shape, shape, metadata={"input_range": "[0, 1]"}
    )
    network = OnnxNetwork(file, ["layer"], "pooled")
    bank = build(path, network, Sizes(SIZES))
    descriptors = load(path, "descriptors.npy")
    expected = [
        network.activations(pair.input, ["pooled"])["pooled"][0, 0] for pair in Sizes(SIZES)
    ]
    np.testing.assert_array_equal(descriptors, expected)
    assert Bank(path).descriptors(range(len(SIZES))).channels == 3
    bank.verify()
