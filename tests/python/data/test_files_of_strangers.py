"""Folders as strangers leave them: names that are no UTF-8, and what is no file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from compnn.data.attributes import resolve_attributes
from compnn.data.camvid import CamVid
from compnn.data.cityscapes import Cityscapes
from compnn.data.folders import PairedFolders, SideBySide, list_images
from compnn.errors import DatasetError, ImageError, PaletteError
from compnn.images.files import read_image, read_labels, write_image
from compnn.images.kinds import Labels
from compnn.images.palette import Palette

LATIN_1 = b"fa\xe7ade"
NAME = os.fsdecode(LATIN_1)
PHOTO = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo.png"
    os.mkfifo(path)
    return path


# Names


def test_names_that_are_not_utf_8_are_listed_and_read(tmp_path: Path) -> None:
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
        for name in (b"10", LATIN_1, b"\x80\xff 2"):
            write_image(tmp_path / folder / os.fsdecode(name + b".png"), PHOTO)
    assert LATIN_1 + b".png" in os.listdir(os.fsencode(tmp_path / "in"))
    paired = PairedFolders(tmp_path / "in", tmp_path / "out", attributes={NAME: {"wall": "red"}})
    halves = SideBySide(tmp_path / "in")
    for dataset in (paired, halves):
        assert dataset.names == ("10", NAME, os.fsdecode(b"\x80\xff 2"))
        assert [pair.name for pair in dataset] == list(dataset.names)
    np.testing.assert_array_equal(paired[1].input, PHOTO)
    np.testing.assert_array_equal(halves[1].target, PHOTO[:, 3:])
    assert paired.attributes == {NAME: {"wall": "red"}}
    assert paired.subset([NAME]).names == (NAME,)


def test_errors_name_files_that_are_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.png").write_bytes(b"not an image")
    dataset = SideBySide(tmp_path)
    with pytest.raises(ImageError, match=f"{NAME}\\.png cannot be decoded"):
        dataset[0]
    with pytest.raises(DatasetError, match=r"'fa\\udce7ade' twice"):
        resolve_attributes({NAME: {}, f"{NAME}.png": {}}, [NAME])


def test_folders_and_palettes_may_have_such_names(tmp_path: Path) -> None:
    folder = tmp_path / NAME
    folder.mkdir()
    write_image(folder / "1.png", PHOTO)
    assert SideBySide(folder).names == ("1",)
    (tmp_path / f"{NAME}.csv").write_text("index,name,r,g,b\n0,apple,200,0,0\n")
    assert Labels(tmp_path / f"{NAME}.csv").palette.name == NAME


# What is no file


def test_a_fifo_is_no_image_and_no_palette(fifo: Path) -> None:
    for read in (read_image, lambda path: read_labels(path, Palette.named("camvid"))):
        with pytest.raises(ImageError, match=r"fifo\.png cannot be read: it is not a regular file"):
            read(fifo)
    with pytest.raises(PaletteError, match=r"fifo\.png cannot be read: it is not a regular file"):
        Palette.load(fifo)
    with pytest.raises(PaletteError, match=r"fifo\.png' is neither a built-in palette"):
        Labels(fifo)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_neither(device: str) -> None:
    with pytest.raises(ImageError, match="it is not a regular file"):
        read_image(device)
    with pytest.raises(PaletteError, match="it is not a regular file"):
        Palette.load(device)
    with pytest.raises(DatasetError, match="it is not a regular file"):
        resolve_attributes(device, ["1"])


def test_a_fifo_holds_no_attributes(fifo: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"attributes file .*fifo\.png cannot be read: it is not"
    ):
        resolve_attributes(fifo, ["1"])


def test_a_fifo_in_a_folder_is_refused_when_it_is_read(tmp_path: Path, fifo: Path) -> None:
    """It is not left out unseen: somebody may wait for the pair."""
    write_image(tmp_path / "1.png", PHOTO)
    dataset = SideBySide(tmp_path)
    assert dataset.names == ("1", "fifo")
    assert dataset[0].name == "1"
    with pytest.raises(ImageError, match=r"fifo\.png cannot be read: it is not a regular file"):
        dataset[1]


def test_a_link_to_nothing_is_refused_when_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "1.png").symlink_to("nowhere.png")
    with pytest.raises(ImageError, match=r"1\.png does not exist"):
        SideBySide(tmp_path)[0]


def test_label_maps_that_are_fifos(tmp_path: Path) -> None:
    for folder, name in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds")):
        path = tmp_path / folder / "train/aachen" / f"aachen_000000_000019_{name}.png"
        path.parent.mkdir(parents=True)
        if folder == "gtFine":
            os.mkfifo(path)
        else:
            write_image(path, PHOTO)
    with pytest.raises(ImageError, match=r"labelIds\.png cannot be read: it is not a regular"):
        Cityscapes(tmp_path)[0]
    for folder in ("test", "testannot"):
        (tmp_path / folder).mkdir()
    write_image(tmp_path / "test/a.png", PHOTO)
    os.mkfifo(tmp_path / "testannot/a.png")
    with pytest.raises(ImageError, match=r"testannot/a\.png cannot be read: it is not a regular"):
        CamVid(tmp_path, "test")[0]


@pytest.mark.parametrize("name", ["x" * 5000, "nul\0", "nowhere"])
def test_folders_that_cannot_be_are_missing(tmp_path: Path, name: str) -> None:
    for open_folder in (list_images, SideBySide, Cityscapes):
        with pytest.raises(DatasetError, match=r"does not exist; give"):
            open_folder(tmp_path / name)
    for split in (name, f"{name}/below"):
        with pytest.raises(DatasetError, match=r"is not in .*; give the folder that holds"):
            CamVid(tmp_path, split)


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(DatasetError, match=r"cannot be read: Permission denied; check its perm"):
        SideBySide(tmp_path)


@pytest.mark.parametrize("name", ["x" * 5000, "nul\0.png"])
def test_images_that_cannot_be_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        read_image(tmp_path / name)
    with pytest.raises(DatasetError, match="cannot be read"):
        resolve_attributes(tmp_path / name, ["1"])
    with pytest.raises(PaletteError, match="cannot be read"):
        Palette.load(tmp_path / name)
