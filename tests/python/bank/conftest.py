"""Fixtures of the tests of banks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from compnn.bank.bank import build
from compnn.network.onnx import OnnxNetwork
from memory_dataset import MemoryDataset, contents
from tiny_networks import tiny_unet

# What `network` and `reference` have, unless a file has its own.
LAYERS = ["encoder_1", "decoder_3"]
COUNT = 5


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the disk is most of the time of these tests, and changes nothing that they see.

    `test_everything_is_on_the_disk_before_it_is_published` is about the order of it.
    """
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> OnnxNetwork:
    path = tiny_unet(tmp_path_factory.mktemp("network") / "tiny.onnx")
    return OnnxNetwork(path, LAYERS, "encoder_3")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tiny.bank"


@pytest.fixture(scope="module")
def reference(network: OnnxNetwork, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a bank that was built without interruption."""
    path = tmp_path_factory.mktemp("reference") / "tiny.bank"
    build(path, network, MemoryDataset(COUNT))
    return contents(path)
