"""Both layouts of Cityscapes, from the command line to the bank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cityscapes_scenes import FRAMES, SIDE, put_official, put_pix2pix, scene
from command_line import call_main
from compnn.bank.bank import Bank
from compnn.images.kinds import Labels
from tiny_networks import tiny_unet


def test_bank_of_the_pix2pix_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pix2pix = put_pix2pix(tmp_path / "cityscapes")
    network = tiny_unet(tmp_path / "unet.onnx", size=(SIDE, SIDE))
    common = (network, "--side-by-side", pix2pix / "train", "--layer", "encoder_3")
    to_labels = ("--target-palette", "cityscapes")
    assert call_main(monkeypatch, "build", tmp_path / "labels.bank", *common, *to_labels) == 0
    bank = Bank(tmp_path / "labels.bank")
    assert bank.names == ("1", "2", "10")
    assert bank.target_kind == Labels("cityscapes")
    assert (bank.pair(2)[1] == scene(10, SIDE, SIDE)).mean() > 0.97
    to_photo = ("--input", "right", "--input-palette", "cityscapes")
    assert call_main(monkeypatch, "build", tmp_path / "photo.bank", *common, *to_photo) == 0
    assert Bank(tmp_path / "photo.bank").input_kind == Labels("cityscapes")


def test_bank_of_the_official_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    official = put_official(tmp_path / "cityscapes")
    network = tiny_unet(tmp_path / "unet.onnx", size=(32, 64))
    cities = tmp_path / "cities.csv"
    cities.write_text("\n".join(["name,city", *(f"{f},{f[:3]}" for f in FRAMES["train"])]))
    common = (network, "--cityscapes", official, "--layer", "encoder_2", "--resize")
    build = ("build", tmp_path / "train.bank", *common, "--attributes", cities)
    assert call_main(monkeypatch, *build) == 0
    bank = Bank(tmp_path / "train.bank")
    assert bank.names == FRAMES["train"]
    assert bank.attributes["hamburg_000000_042505"] == {"city": "ham"}
    for index in range(4):
        np.testing.assert_array_equal(bank.pair(index)[1], scene(index, 64, 128)[::2, ::2])
    validation = ("build", tmp_path / "val.bank", *common, "--split", "val")
    assert call_main(monkeypatch, *validation) == 0
    assert Bank(tmp_path / "val.bank").names == FRAMES["val"]
    assert call_main(monkeypatch, "build", tmp_path / "no.bank", *common, "--split", "test") == 2
    assert not (tmp_path / "no.bank").exists()
