"""What the fingerprint of a bank tells: its content, not its place, shards or attributes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from compnn.bank import layout
from compnn.bank.bank import Bank, build
from compnn.network.onnx import OnnxNetwork
from memory_dataset import MemoryDataset
from tiny_networks import tiny_unet


@pytest.fixture
def network(tmp_path: Path) -> OnnxNetwork:
    return OnnxNetwork(tiny_unet(tmp_path / "unet.onnx"), ["encoder_2"], "encoder_3")


def test_equal_content_has_equal_fingerprints(
    network: OnnxNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = build(tmp_path / "bank", network, MemoryDataset(5))
    whole = bank.fingerprint
    assert whole.startswith("sha256:")
    copied = Bank(shutil.copytree(bank.path, tmp_path / "moved"))
    assert copied.fingerprint == whole
    copied.set_attributes({"img_1": {"wall": "red"}})
    assert copied.fingerprint == whole
    monkeypatch.setattr(layout, "SHARD_IMAGES", 2)
    shards = build(tmp_path / "shards", network, MemoryDataset(5))
    assert len(list((shards.path / layout.SHARDS).iterdir())) == 3
    assert shards.fingerprint == whole


def test_other_content_has_another_fingerprint(network: OnnxNetwork, tmp_path: Path) -> None:
    bank = build(tmp_path / "bank", network, MemoryDataset(5))
    found = {bank.fingerprint}
    bank.drop(["img_3"])
    found.add(bank.fingerprint)
    dropped = bank.fingerprint
    bank.compact()
    assert bank.fingerprint == dropped
    found.add(build(tmp_path / "pixels", network, MemoryDataset(5, seed=1)).fingerprint)
    found.add(build(tmp_path / "int8", network, MemoryDataset(5), dtype="int8").fingerprint)
    assert len(found) == 4
