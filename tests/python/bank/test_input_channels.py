"""Networks whose images a bank cannot keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compnn.bank.bank import build
from compnn.data.dataset import Dataset, Pair
from compnn.errors import BankError
from compnn.network.onnx import OnnxNetwork
from compnn.network.output import OutputChoice
from compnn.network.preprocessing import Preprocessing
from input_networks import network


class Tiles(Dataset):
    """Images of four channels."""

    def read(self, name: str) -> Pair:
        tile = np.full((12, 16, 4), int(name), np.uint8)
        return Pair(name, tile, tile[..., :3].copy())


@pytest.mark.parametrize("skip_bad", [False, True])
def test_inputs_of_other_channels_are_refused(tmp_path: Path, skip_bad: bool) -> None:
    """They were written into rows of three, and the bank was damaged from the start."""
    file = network(tmp_path / "net.onnx", (1, 4, 12, 16), channels=4)
    four = OnnxNetwork(
        file, ["e"], preprocessing=Preprocessing(range=(0, 1)), output=OutputChoice(kind="none")
    )
    assert four.activations(Tiles(["1"])[0].input)["e"].shape == (12, 16, 5)
    with pytest.raises(BankError, match=r"net\.onnx takes images of 4 channels; a bank keeps inp"):
        build(tmp_path / "bank", four, Tiles(["1", "2"]), skip_bad=skip_bad)
    assert not (tmp_path / "bank").exists()
