"""What is said of queries, layers, damage and networks that do not fit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compnn.bank.bank import Bank, build
from compnn.errors import (
    ActivationError,
    BankError,
    ImageError,
    LayerError,
    NetworkError,
    SearchError,
)
from compnn.explanation.explainer import Explainer
from compnn.images.files import write_image
from compnn.network.onnx import OnnxNetwork
from compnn.network.preprocessing import Preprocessing
from compnn.search.search import Exhaustive, HyperPatchMatch
from explained import COUNT, QUERY, TRAIN, array_file, flip_a_bit, same_field
from memory_dataset import MemoryDataset
from tiny_networks import nan_network, tiny_unet

QUICK = HyperPatchMatch(iterations=2)


@pytest.mark.parametrize("threads", [0, -2, 5000])
def test_a_number_of_threads_that_makes_no_sense(explainer: Explainer, threads: int) -> None:
    with pytest.raises(SearchError, match=f"num_threads must be positive, or -1.*, not {threads}"):
        Explainer(explainer.bank, explainer.network, num_threads=threads)


def test_unknown_layers(explainer: Explainer) -> None:
    for call in (
        lambda: explainer.explain(QUERY, "encoder_9"),
        lambda: explainer.read(QUERY, ["encoder_9"]),
        lambda: explainer.nearest(QUERY, layer="encoder_9"),
        lambda: next(explainer.explain_all([QUERY], ["encoder_1", "encoder_9"])),
        lambda: explainer.resolved(Exhaustive(), ["encoder_9"]),
    ):
        with pytest.raises(LayerError, match=r"no layer 'encoder_9', only encoder_1, encoder_2"):
            call()


# The query


def test_query_of_another_size(explainer: Explainer) -> None:
    small = QUERY[:16, :16]
    with pytest.raises(ImageError, match=r"16x16.*unet\.onnx takes 32x32.*--resize"):
        explainer.explain(small, "encoder_1")
    path = explainer.network.identity().path
    assert path is not None
    resizing = OnnxNetwork(path, None, "encoder_3", preprocessing=Preprocessing(resize=True))
    found = Explainer(explainer.bank, resizing).explain(small, "encoder_1", QUICK)
    assert found.query.shape == found.input.shape == (32, 32, 3)


@pytest.mark.parametrize("image", [QUERY[..., 0], QUERY[..., :2], QUERY / 255])
def test_query_that_is_no_rgb_image(explainer: Explainer, image: Any) -> None:
    with pytest.raises(ImageError, match="the query image is"):
        explainer.explain(image, "encoder_1")


def test_query_that_is_no_image_file(explainer: Explainer, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("text")
    os.mkfifo(tmp_path / "fifo.png")
    for path in (tmp_path / "text.png", tmp_path / "fifo.png", tmp_path / "missing.png", tmp_path):
        with pytest.raises(ImageError, match=f"image {path} "):
            explainer.explain(path, "encoder_1")


def test_query_that_gives_nan(tmp_path: Path) -> None:
    network = OnnxNetwork(nan_network(tmp_path / "nan.onnx"), ["encoder_1"])
    bank = build(tmp_path / "bank", network, MemoryDataset(2, (16, 16), darkest=100))
    write_image(tmp_path / "dark.png", np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(ActivationError, match="NaN"):
        Explainer(bank).explain(tmp_path / "dark.png", "encoder_1")


# Damage


def test_damage_is_found_when_it_would_be_used(copied: Path, network: OnnxNetwork) -> None:
    flip_a_bit(array_file(copied, "activations/encoder_2.npy"), 3)
    explainer = Explainer(copied, network)
    others = [index for index in range(COUNT) if index != 3]
    explainer.explain(QUERY, "encoder_2", QUICK, among=others)
    explainer.explain(QUERY, "encoder_1", QUICK)
    for _ in range(2):
        with pytest.raises(BankError, match=r"activations/encoder_2\.npy is damaged.*'img_3'"):
            explainer.explain(QUERY, "encoder_2", QUICK)


def test_damaged_descriptors_are_found(copied: Path, network: OnnxNetwork) -> None:
    flip_a_bit(array_file(copied, "descriptors.npy"), 5)
    explainer = Explainer(copied, network)
    explainer.nearest(QUERY, 2, among=[0, 1])
    with pytest.raises(BankError, match=r"descriptors\.npy is damaged.*'img_5'"):
        explainer.explain(QUERY, "encoder_1", QUICK, top_k=2)


def test_damaged_images_are_found_when_they_are_copied(copied: Path, network: OnnxNetwork) -> None:
    flip_a_bit(array_file(copied, "targets.npy"), 2)
    explainer = Explainer(copied, network)
    found = explainer.explain(TRAIN[2].input, "encoder_2", Exhaustive())
    np.testing.assert_array_equal(found.input, TRAIN[2].input)
    for _ in range(2):
        with pytest.raises(BankError, match=r"targets\.npy is damaged.*'img_2'"):
            _ = found.output
        with pytest.raises(BankError, match=r"targets\.npy is damaged.*'img_2'"):
            found.source_images(2)
    np.testing.assert_array_equal(explainer.bank.pair(1)[1], TRAIN[1].target)


def test_damaged_images_are_not_saved(copied: Path, network: OnnxNetwork, tmp_path: Path) -> None:
    flip_a_bit(array_file(copied, "inputs.npy"), 4)
    found = Explainer(copied, network).explain(TRAIN[4].input, "encoder_2", Exhaustive())
    with pytest.raises(BankError, match=r"inputs\.npy is damaged.*'img_4'"):
        found.save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "explanation.json").exists()


def test_a_file_that_is_missing(copied: Path, network: OnnxNetwork) -> None:
    explainer = Explainer(copied, network)
    array_file(copied, "norms/encoder_2.npy").unlink()
    explainer.explain(QUERY, "encoder_1", QUICK)
    with pytest.raises(BankError, match=r"norms/encoder_2\.npy"):
        explainer.explain(QUERY, "encoder_2", QUICK)


# The network


def test_network_that_was_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "banks").mkdir()
    built = build("banks/bank", OnnxNetwork("unet.onnx", ["encoder_1"]), TRAIN)
    expected = Explainer(built).explain(QUERY, "encoder_1", QUICK)
    # The bank remembers where the network is, whatever the working folder.
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    bank = tmp_path / "banks" / "bank"
    assert same_field(Explainer(bank).explain(QUERY, "encoder_1", QUICK), expected)

    moved = path.rename(tmp_path / "moved.onnx")
    assert len(Bank(bank)) == COUNT
    with pytest.raises(NetworkError, match=r"no longer at .*unet\.onnx.*--network"):
        Explainer(bank)
    for network in (moved, str(moved), OnnxNetwork(moved)):
        again = Explainer(bank, network).explain(QUERY, "encoder_1", QUICK)
        assert same_field(again, expected)

    # Beside the bank it is found.
    beside = moved.rename(tmp_path / "banks" / "unet.onnx")
    assert same_field(Explainer(bank).explain(QUERY, "encoder_1", QUICK), expected)

    beside.unlink()
    tiny_unet(path, seed=1)
    with pytest.raises(BankError, match="was built with"):
        Explainer(bank)


def test_a_network_in_the_bank_is_found(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    bank = build(tmp_path / "bank", OnnxNetwork(path, ["encoder_1"]), TRAIN, copy_network=True)
    expected = Explainer(bank).explain(QUERY, "encoder_1", QUICK)
    path.unlink()
    moved = (tmp_path / "bank").rename(tmp_path / "moved")
    assert same_field(Explainer(moved).explain(QUERY, "encoder_1", QUICK), expected)


def test_another_network(bank: Bank, segnet: Path) -> None:
    for network in (segnet, str(segnet), OnnxNetwork(segnet)):
        with pytest.raises(
            BankError, match=r"was built with .*unet\.onnx.*not with .*segnet\.onnx"
        ):
            Explainer(bank, network)
    path = bank.network.path
    assert path is not None
    other = OnnxNetwork(path, preprocessing=Preprocessing(range=(0, 1)))
    with pytest.raises(BankError, match=r"built with the preprocessing .*range"):
        Explainer(bank, other)


def test_a_bank_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(BankError, match="missing"):
        Explainer(tmp_path / "missing")
