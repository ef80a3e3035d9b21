"""Both layouts of Cityscapes with drawn scenes, under the exact names of their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from compnn.images.files import write_image
from compnn.images.palette import Palette

Labels = npt.NDArray[np.uint8]
PALETTE = Palette.named("cityscapes")
VOID = 255
SIDE = 256

# The id in labelIds files of some classes, by the label (train id) that it has here.
ROAD, BUILDING, SKY, CAR, BICYCLE = 0, 2, 10, 13, 18
IDS = {ROAD: 7, BUILDING: 11, SKY: 23, CAR: 26, BICYCLE: 33, VOID: 1}  # 1 is the own vehicle
FRAMES = {
    "train": (
        "aachen_000000_000019",
        "aachen_000001_000019",
        "hamburg_000000_042505",
        "zurich_000121_000019",
    ),
    "val": ("frankfurt_000000_000294", "munster_000173_000019"),
    "test": ("berlin_000000_000019",),
}


def scene(seed: int, height: int, width: int) -> Labels:
    """A label map: sky above buildings above a road, a car, a bicycle, and the own vehicle."""
    shift = 4 * seed
    labels = np.full((height, width), ROAD, np.uint8)
    labels[: height // 3] = SKY
    labels[height // 4 : height // 2, shift:] = BUILDING
    labels[height // 2 : height // 2 + height // 5, shift : shift + width // 5] = CAR
    labels[height // 2 : height // 2 + height // 6, width // 2 : width // 2 + width // 8] = BICYCLE
    labels[-height // 10 :] = VOID
    return labels


def photo(labels: Labels) -> npt.NDArray[np.uint8]:
    return np.stack([255 - labels, labels // 2 + 60, labels], axis=2)


def put_pix2pix(root: Path) -> Path:
    """cityscapes/train/1.jpg ... 2975.jpg and val/1.jpg ... 500.jpg, 512x256; a few of them."""
    for split, names in (("train", (1, 2, 10)), ("val", (1,))):
        (root / split).mkdir(parents=True)
        for name in names:
            labels = scene(name, SIDE, SIDE)
            pair = np.hstack([photo(labels), PALETTE.colourise(labels)])
            # With the quality of Pix2Pix's files, which is Pillow's default.
            Image.fromarray(pair).save(root / split / f"{name}.jpg")
    return root


def with_ids(labels: Labels) -> Labels:
    table = np.zeros(256, np.uint8)
    for label, stored in IDS.items():
        table[label] = stored
    return table[labels]


def put_official(root: Path) -> Path:
    """Train and val with the files of the packages and of csCreateTrainIdLabelImgs; test bare."""
    for split, frames in FRAMES.items():
        for number, frame in enumerate(frames):
            city = frame.split("_")[0]
            photos, fine = root / "leftImg8bit" / split / city, root / "gtFine" / split / city
            photos.mkdir(parents=True, exist_ok=True)
            fine.mkdir(parents=True, exist_ok=True)
            labels = scene(number, 64, 128)
            write_image(photos / f"{frame}_leftImg8bit.png", photo(labels))
            if split == "test":
                continue
            write_image(fine / f"{frame}_gtFine_color.png", PALETTE.colourise(labels))
            write_image(fine / f"{frame}_gtFine_instanceIds.png", with_ids(labels))
            (fine / f"{frame}_gtFine_polygons.json").write_text("{}")
            # Some have only one of the two kinds of label maps.
            if number != 1:
                write_image(fine / f"{frame}_gtFine_labelIds.png", with_ids(labels))
            if number != 2:
                write_image(fine / f"{frame}_gtFine_labelTrainIds.png", labels)
    (root / "license.txt").write_text("")
    return root
