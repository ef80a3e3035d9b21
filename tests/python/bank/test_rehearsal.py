"""The dry run at the start of a build."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from compnn.bank.bank import Bank, build
from compnn.errors import ActivationError, DatasetError, NetworkError
from compnn.network.onnx import OnnxNetwork
from compnn.network.output import OutputChoice
from memory_dataset import MemoryDataset
from tiny_networks import save_network, tiny_segnet, tiny_unet


def test_it_says_what_the_output_is_taken_for(tmp_path: Path) -> None:
    said: list[str] = []
    network = OnnxNetwork(tiny_unet(tmp_path / "unet.onnx"), ["encoder_1"])
    build(tmp_path / "bank", network, MemoryDataset(2), check=False, say=said.append)
    assert said == ["output 'output': colours in [-1, 1]"]


@pytest.mark.parametrize("random", ["taps", "output"])
def test_networks_that_are_random_are_refused(tmp_path: Path, random: str) -> None:
    nodes = [
        helper.make_node("RandomUniformLike", ["input"], ["noise"]),
        helper.make_node("Identity", ["input"], ["still"]),
        helper.make_node("Add", ["input", "noise"], ["noisy"]),
        helper.make_node("Tanh", ["noisy"], ["output"]),
    ]
    shape = (1, 3, 32, 32)
    path = save_network(
        tmp_path / "random.onnx", nodes, shape, shape, metadata={"input_range": "[0, 1]"}
    )
    network = OnnxNetwork(path, ["noisy" if random == "taps" else "still"])
    with pytest.raises(NetworkError, match=r"random\.onnx is random.*evaluation mode"):
        build(tmp_path / "bank", network, MemoryDataset(2))
    assert not (tmp_path / "bank").exists()


def test_an_output_that_is_no_number_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Identity", ["input"], ["still"]),
        helper.make_node("Neg", ["input"], ["negative"]),
        helper.make_node("Log", ["negative"], ["output"]),
    ]
    shape = (1, 3, 32, 32)
    path = save_network(
        tmp_path / "nan.onnx", nodes, shape, shape, metadata={"input_range": "[0, 1]"}
    )
    with pytest.raises(ActivationError, match=r"the output of nan\.onnx is NaN.*'?img_0'?"):
        build(tmp_path / "bank", OnnxNetwork(path, ["still"]), MemoryDataset(2))
    assert not (tmp_path / "bank").exists()


def test_classes_that_the_palette_has_not_end_the_build_before_it_begins(tmp_path: Path) -> None:
    path = tiny_segnet(tmp_path / "segnet.onnx", size=(32, 32), classes=5)
    with pytest.raises(DatasetError, match=r"5 classes apart.*`--target-palette`"):
        build(tmp_path / "bank", OnnxNetwork(path, ["encoder_1"]), MemoryDataset(2, classes=7))
    assert not (tmp_path / "bank").exists()


def test_what_the_output_was_said_to_be_is_kept(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    choice = OutputChoice("output", "photo", (-2.0, 2.0))
    network = OnnxNetwork(path, ["encoder_1"], output=choice)
    bank = build(tmp_path / "bank", network, MemoryDataset(2))
    assert Bank(tmp_path / "bank").open_network().output_choice == choice
    plain = build(tmp_path / "plain", OnnxNetwork(path, ["encoder_1"]), MemoryDataset(2))
    assert bank.fingerprint != plain.fingerprint
    assert plain.open_network().output_choice == OutputChoice()
    output = np.full((3, 32, 32), 1, np.float32)
    painted = bank.open_network().paint(output, (32, 32))
    assert np.unique(painted).tolist() == [191]
    assert np.unique(plain.open_network().paint(output, (32, 32))).tolist() == [255]
