"""Both layouts of Cityscapes, under the exact names of their files, from the folder to the bank."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from command_line import call_main
from compnn.bank.bank import Bank
from compnn.data import Cityscapes, SideBySide
from compnn.errors import DatasetError
from compnn.images.files import read_image, write_image
from compnn.images.palette import Palette
from tiny_networks import tiny_unet

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


# Pix2Pix: cityscapes/train/1.jpg ... 2975.jpg and val/1.jpg ... 500.jpg, 512x256


@pytest.fixture(scope="module")
def pix2pix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pix2pix") / "cityscapes"
    for split, names in (("train", (1, 2, 10)), ("val", (1,))):
        (root / split).mkdir(parents=True)
        for name in names:
            labels = scene(name, SIDE, SIDE)
            pair = np.hstack([photo(labels), PALETTE.colourise(labels)])
            # The quality of Pix2Pix's files: they are written with the default of PIL.
            quality = [cv2.IMWRITE_JPEG_QUALITY, 75]
            cv2.imwrite(str(root / split / f"{name}.jpg"), pair[:, :, ::-1], quality)
    return root


@pytest.mark.parametrize(("split", "names"), [("train", ("1", "2", "10")), ("val", ("1",))])
def test_pix2pix_photo_to_labels(pix2pix: Path, split: str, names: tuple[str, ...]) -> None:
    dataset = SideBySide(pix2pix / split, target_palette="cityscapes")
    assert dataset.names == names
    for pair in dataset:
        expected = scene(int(pair.name), SIDE, SIDE)
        assert pair.input.shape == (SIDE, SIDE, 3)
        assert np.abs(pair.input.astype(int) - photo(expected)).mean() < 8
        assert (pair.target == expected).mean() > 0.97, "all but what JPEG blurs at the borders"
        assert (pair.target[-20:] == VOID).mean() > 0.97, "black is void, not the dark blue truck"


def test_pix2pix_labels_to_photo(pix2pix: Path) -> None:
    pair = SideBySide(pix2pix / "val", "right", input_palette="cityscapes")[0]
    stored = read_image(pix2pix / "val" / "1.jpg")
    np.testing.assert_array_equal(pair.input, stored[:, SIDE:])
    np.testing.assert_array_equal(pair.target, stored[:, :SIDE])


def test_bank_of_the_pix2pix_layout(
    pix2pix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_unet(tmp_path / "unet.onnx", size=(SIDE, SIDE))
    common = (model, "--side-by-side", pix2pix / "train", "--layer", "encoder_3")
    to_labels = ("--target-palette", "cityscapes")
    assert call_main(monkeypatch, "build", tmp_path / "labels.bank", *common, *to_labels) == 0
    bank = Bank(tmp_path / "labels.bank")
    assert bank.names == ("1", "2", "10")
    assert bank.target_palette == PALETTE
    assert (bank.pair(2)[1] == scene(10, SIDE, SIDE)).mean() > 0.97
    to_photo = ("--input", "right", "--input-palette", "cityscapes")
    assert call_main(monkeypatch, "build", tmp_path / "photo.bank", *common, *to_photo) == 0
    assert Bank(tmp_path / "photo.bank").input_palette == PALETTE


# The official one: leftImg8bit and gtFine, a folder for each city


def with_ids(labels: Labels) -> Labels:
    table = np.zeros(256, np.uint8)
    for label, stored in IDS.items():
        table[label] = stored
    return table[labels]


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """Train and val with the files of the packages and of csCreateTrainIdLabelImgs; test bare."""
    root = tmp_path / "cityscapes"
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


@pytest.mark.parametrize("split", ["train", "val"])
def test_official_labels(official: Path, split: str) -> None:
    dataset = Cityscapes(official, split)
    assert dataset.names == FRAMES[split]
    for number, pair in enumerate(dataset):
        expected = scene(number, 64, 128)
        np.testing.assert_array_equal(pair.target, expected)
        np.testing.assert_array_equal(pair.input, photo(expected))


def test_the_test_split_has_no_labels(official: Path) -> None:
    with pytest.raises(DatasetError, match=r"berlin_000000_000019_leftImg8bit\.png has no label"):
        Cityscapes(official, "test")


def test_bank_of_the_official_layout(
    official: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_unet(tmp_path / "unet.onnx", size=(32, 64))
    cities = tmp_path / "cities.csv"
    cities.write_text("\n".join(["name,city", *(f"{f},{f[:3]}" for f in FRAMES["train"])]))
    common = (model, "--cityscapes", official, "--layer", "encoder_2", "--resize")
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
