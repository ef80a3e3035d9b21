"""Banks and validation pairs that figures are drawn of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from compnn.bank.bank import build
from compnn.explanation.explainer import Explainer
from compnn.images.files import write_image
from compnn.network.onnx import OnnxNetwork
from compnn.report.figures import Figures
from memory_dataset import MemoryDataset
from pixels import place_of
from tiny_networks import tiny_segnet, tiny_unet

Image = npt.NDArray[np.uint8]

ORDER = ("encoder_2", "encoder_3", "decoder_2")
WALLS = {"img_0": "red", "img_1": "grey", "img_2": "grey", "img_3": "red"}
VAL = MemoryDataset(6, seed=1)
STREETS = MemoryDataset(2, (24, 32), classes=5, seed=1)


def write_banks(folder: Path) -> Path:
    """Write photos.bank, which has attributes, labels.bank, without a descriptor, and VAL."""
    # Not in the network's order; every image is of the same age.
    unet = OnnxNetwork(tiny_unet(folder / "unet.onnx"), ["decoder_2", *ORDER[:2]], "encoder_3")
    attributes = {name: {"age": "old", "wall": wall} for name, wall in WALLS.items()}
    build(folder / "photos.bank", unet, MemoryDataset(4, attributes=attributes))
    segnet = OnnxNetwork(tiny_segnet(folder / "segnet.onnx"), ["decoder_1"])
    build(folder / "labels.bank", segnet, MemoryDataset(3, (24, 32), classes=5))
    for pair in VAL:
        write_image(folder / f"{pair.name}.png", np.hstack([pair.input, pair.target]))
    return folder


def opened(folder: Path, name: str) -> Explainer:
    """One of the banks, with its network."""
    return Explainer(folder / f"{name}.bank")


def drawn(figures: Figures) -> dict[tuple[str, str | None], Image]:
    """The pictures by figure and image."""
    return {(figure.name, figure.image): figure.pixels for figure in figures.draw()}


def place(sheet: Image, picture: Image, width: int) -> tuple[int, int]:
    """Where (left, top) the picture is on the sheet, enlarged without smoothing to a width."""
    factor = width // picture.shape[1]
    large = np.kron(picture, np.ones((factor, factor, 1), np.uint8))
    found = place_of(sheet, large)
    assert found is not None
    top, left = found
    return left, top
