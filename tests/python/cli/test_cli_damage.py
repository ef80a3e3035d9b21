"""Commands that meet a damaged bank name the file, and show no traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from command_line import Call
from compnn.bank.bank import build
from compnn.images.files import write_image
from compnn.network.onnx import OnnxNetwork
from memory_dataset import MemoryDataset
from tiny_networks import wide_network

SIZE = (16, 16)


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def altered(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-40] ^= 0x10
    file.write_bytes(data)


def transposed(file: Path) -> None:
    np.save(file, np.ascontiguousarray(np.load(file).T))


@pytest.mark.parametrize("damage", [cut_short, altered, transposed, Path.unlink])
def test_damaged_directions(run: Call, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    network = OnnxNetwork(wide_network(tmp_path / "wide.onnx"), None, "deep")
    bank = build(tmp_path / "wide.bank", network, MemoryDataset(6, SIZE), dtype="int8")
    write_image(tmp_path / "query.png", MemoryDataset(1, SIZE, seed=1)[0].input)
    file = bank.path / "shards/0/directions/wide.npy"
    data = file.read_bytes()
    file.unlink()  # it has another name, which stays as it is
    file.write_bytes(data)
    damage(file)
    for arguments in (
        ("info", bank.path, "--verify"),
        ("reconstruct", bank.path, tmp_path / "query.png", "--layer", "wide"),
    ):
        result = run(*arguments)
        assert result.code == 2
        assert str(file) in "".join(result.err.split())
        assert "Traceback" not in result.err
