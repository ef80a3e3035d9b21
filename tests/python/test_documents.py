"""The code in the documents runs, and says what it should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compnn
from compnn.bank.layout import ACTIVATION_DTYPES
from compnn.images.files import write_image
from documents import python_blocks
from memory_dataset import MemoryDataset
from reference import as_kept
from tiny_networks import tiny_unet


@pytest.mark.parametrize("dtype", ACTIVATION_DTYPES)
def test_a_bank_is_read_with_numpy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    """The code of docs/bank_format.md, against the network's own activation."""
    network = compnn.OnnxNetwork(tiny_unet(tmp_path / "unet.onnx"), ["encoder_2"], "encoder_3")
    pairs = MemoryDataset(14)
    monkeypatch.chdir(tmp_path)
    compnn.build("facades.bank", network, pairs, dtype=dtype).close()
    (code,) = python_blocks("docs/bank_format.md")
    found: dict[str, Any] = {}
    exec(compile(code, "bank_format.md", "exec"), found)
    assert found["name"] == pairs.names[12]
    expected = as_kept(network.activations(pairs[12].input)["encoder_2"], dtype)
    np.testing.assert_allclose(found["activation"], expected, atol=1e-2)


def test_the_code_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a small network and few pairs in place of Pix2Pix and Facades."""
    palette = compnn.Palette.named("facades")
    random = np.random.default_rng(0)
    for split, count in (("train", 18), ("val", 1)):
        folder = tmp_path / "facades" / split
        folder.mkdir(parents=True)
        for index in range(count):
            photo = random.integers(0, 256, (32, 32, 3), np.uint8)
            labels = palette.colourise(random.integers(0, len(palette), (32, 32), np.uint8))
            write_image(folder / f"{index}.png", np.concatenate([photo, labels], axis=1))
    for name in ("query", "a", "b"):
        write_image(tmp_path / f"{name}.png", random.integers(0, 256, (32, 32, 3), np.uint8))
    (tmp_path / "walls.csv").write_text("name,wall\n1,red\n2,blue\n")
    tiny_unet(tmp_path / "pix2pix.onnx")
    monkeypatch.chdir(tmp_path)
    api, _, slices = python_blocks("README.md")  # the second needs PyTorch
    # The layers of the small network.
    for theirs, ours in (("decoder_7", "encoder_3"), ("decoder_4", "decoder_2")):
        api = api.replace(f'"{theirs}"', f'"{ours}"')
    found: dict[str, Any] = {}
    exec(compile(api, "README.md", "exec"), found)
    assert found["result"].output.shape == (32, 32, 3)
    assert (tmp_path / "folder" / "explanation.json").is_file()
    assert (tmp_path / "evaluation" / "results.md").is_file()

    (tmp_path / "organs.csv").write_text("index,name,r,g,b\n0,air,0,0,0\n1,liver,255,0,0\n")
    exec(compile(slices, "README.md", "exec"), found)

    class Scan:
        picture, organs = np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.uint8)

    pair = found["Slices"]({"one": Scan()})[0]
    assert (pair.name, pair.input.shape, int(pair.target.max())) == ("one", (8, 8, 3), 1)
