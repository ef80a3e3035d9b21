"""Networks that paint label maps, labels in colours, or values; and that see label maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from compnn.bank.bank import build
from compnn.data.dataset import Dataset, Pair
from compnn.errors import DatasetError
from compnn.explanation.explainer import Explainer
from compnn.explanation.explanation import Explanation
from compnn.images.files import read_image, write_image
from compnn.images.kinds import Labels, Values
from compnn.network.onnx import OnnxNetwork
from compnn.search.search import Exhaustive, HyperPatchMatch
from explained import QUERY, TRAIN
from memory_dataset import MemoryDataset, grey_palette
from tiny_networks import save_network, tiny_segnet

QUICK = HyperPatchMatch(iterations=4)
SIZE = (24, 32)
IMAGE = MemoryDataset(1, SIZE, seed=1)[0].input


def network_output(network: OnnxNetwork, image: np.ndarray) -> np.ndarray:
    output = network.read(image, [], output=True).output
    assert output is not None
    return output


def test_networks_that_paint_label_maps(tmp_path: Path, segnet: Path) -> None:
    dataset = MemoryDataset(3, SIZE, classes=5)
    network = OnnxNetwork(segnet, ["encoder_1"])
    explainer = Explainer(build(tmp_path / "bank", network, dataset))
    found = explainer.explain(IMAGE, "encoder_1", QUICK)
    np.testing.assert_array_equal(
        found.network_output, network_output(network, IMAGE).argmax(axis=0)
    )
    assert found.target_kind == Labels(grey_palette(5))
    assert found.output.shape == SIZE
    assert found.output.dtype == np.uint8
    where = found.provenance
    assert found.output[5, 9] == dataset[where.image[5, 9]].target[where.row[5, 9], where.col[5, 9]]
    painted = grey_palette(5).colours[found.output]
    np.testing.assert_array_equal(found.target_kind.paint(found.output), painted)
    found.save(tmp_path / "saved")
    np.testing.assert_array_equal(read_image(tmp_path / "saved" / "output.png"), painted)


def test_networks_of_three_classes_paint_label_maps(tmp_path: Path) -> None:
    network = OnnxNetwork(tiny_segnet(tmp_path / "segnet.onnx", classes=3), ["encoder_1"])
    bank = build(tmp_path / "bank", network, MemoryDataset(2, SIZE, classes=3))
    found = Explainer(bank).explain(IMAGE, "encoder_1", QUICK)
    np.testing.assert_array_equal(
        found.network_output, network_output(network, IMAGE).argmax(axis=0)
    )


def test_networks_that_paint_labels_in_colours(tmp_path: Path, network: OnnxNetwork) -> None:
    one = OnnxNetwork(network.path, ["encoder_1"])
    bank = build(tmp_path / "bank", one, MemoryDataset(3, classes=200))
    found = Explainer(bank).explain(QUERY, "encoder_1", QUICK)
    assert found.network_output.shape == (32, 32)
    colours = network.paint(network_output(network, QUERY), (32, 32)).astype(int)
    distances = [
        ((colours - colour) ** 2).sum(axis=2) for colour in grey_palette(200).colours.astype(int)
    ]
    np.testing.assert_array_equal(found.network_output, np.argmin(distances, axis=0))


def test_networks_that_paint_label_maps_need_a_palette(tmp_path: Path, segnet: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"segnet\.onnx: .* 5 classes, logits, but the targets are photos"
    ):
        build(tmp_path / "bank", OnnxNetwork(segnet), MemoryDataset(2, SIZE))
    assert list(tmp_path.iterdir()) == []


def test_networks_that_paint_values(tmp_path: Path) -> None:
    network = OnnxNetwork(
        tiny_segnet(tmp_path / "depth.onnx", classes=1), ["encoder_1", "decoder_2"]
    )
    dataset = MemoryDataset(3, SIZE, unit="m")
    explainer = Explainer(build(tmp_path / "bank", network, dataset))
    assert explainer.bank.target_kind == Values("m", (-1, 1))
    found = explainer.explain(IMAGE, "encoder_1", Exhaustive(2))
    np.testing.assert_array_equal(found.network_output, network_output(network, IMAGE)[0])
    assert found.output.dtype == np.float32
    where = found.provenance
    for row, col in [(0, 0), (11, 7), (23, 31)]:
        target = dataset[int(where.image[row, col])].target
        assert found.output[row, col] == target[where.row[row, col], where.col[row, col]]
    merged = explainer.explain(IMAGE, "encoder_1", Exhaustive(2), composition="overlap")
    assert merged.output.dtype == np.float32
    assert (merged.output != found.output).any()
    found.save(tmp_path / "saved")
    loaded = Explanation.load(tmp_path / "saved")
    np.testing.assert_array_equal(loaded.output, found.output)
    with pytest.raises(DatasetError, match="5 classes, logits, but the targets are values in m"):
        build(
            tmp_path / "other",
            OnnxNetwork(tiny_segnet(tmp_path / "segnet.onnx")),
            dataset,
        )


class Painted(Dataset):
    """Painted label maps to photos."""

    def __init__(self, kind: Labels) -> None:
        super().__init__(["a", "b"], input_kind=kind)
        self.kind = kind

    def read(self, name: str) -> Pair:
        random = np.random.default_rng(ord(name))
        labels = random.integers(0, 4, (32, 32), np.uint8)
        target = random.integers(0, 256, (32, 32, 3), np.uint8)
        return Pair(name, self.kind.paint(labels), target)


def test_inputs_that_are_label_maps_are_painted(tmp_path: Path, network: OnnxNetwork) -> None:
    """A query in a file may hold labels, or their colours."""
    kind = Labels(grey_palette(4))
    labels = np.random.default_rng(0).integers(0, 4, (32, 32), np.uint8)
    painted = Painted(kind)
    bank = build(tmp_path / "bank", OnnxNetwork(network.path, ["encoder_2"]), painted)
    explainer = Explainer(bank)
    assert bank.input_kind == kind
    write_image(tmp_path / "labels.png", labels)
    write_image(tmp_path / "colours.png", kind.paint(labels))
    for file in ("labels.png", "colours.png"):
        found = explainer.explain(tmp_path / file, "encoder_2", Exhaustive())
        np.testing.assert_array_equal(found.query, kind.paint(labels))
        assert found.input_kind == kind
        assert found.input.shape == (32, 32, 3)


def test_networks_that_paint_smaller_than_they_see(tmp_path: Path) -> None:
    pool = helper.make_node(
        "AveragePool", ["input"], ["output"], kernel_shape=[2, 2], strides=[2, 2]
    )
    path = save_network(
        tmp_path / "half.onnx",
        [pool],
        ("batch", 3, 32, 32),
        ("batch", 3, 16, 16),
        metadata={"input_range": "[0, 1]", "layers": "output"},
    )
    bank = build(tmp_path / "bank", OnnxNetwork(path), TRAIN)
    found = Explainer(bank).explain(QUERY, "output", QUICK)
    assert found.network_output.shape == found.output.shape == QUERY.shape
