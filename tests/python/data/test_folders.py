"""What folders of pairs are refused for, and how their label maps count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compnn.data.folders import PairedFolders, SideBySide
from compnn.errors import DatasetError
from compnn.images.files import write_image
from compnn.images.kinds import Labels, Photo
from compnn.images.palette import Palette


def test_no_image_is_its_own_target(tmp_path: Path) -> None:
    """The same folder twice, or links to the same files."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    write_image(tmp_path / "a" / "1.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"1\.png is input and target of its pair"):
        PairedFolders(tmp_path / "a", tmp_path / "a")
    (tmp_path / "b" / "1.png").symlink_to(tmp_path / "a" / "1.png")
    with pytest.raises(DatasetError, match=r"1\.png is input and target of its pair"):
        PairedFolders(tmp_path / "a", tmp_path / "b")


def test_where_zero_is_no_class_labels_are_one_less(tmp_path: Path) -> None:
    kind = Labels(Palette("two", ("a", "b"), np.array([[1, 2, 3], [4, 5, 6]]), 255))
    stored = np.array([[0, 1, 2, 255]], np.uint8)
    for folder, image in (("in", np.zeros((1, 4, 3), np.uint8)), ("out", stored)):
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / "1.png", image)
    folders = (tmp_path / "in", tmp_path / "out")
    pairs = PairedFolders(*folders, target_kind=kind, reduce_zero_label=True)
    np.testing.assert_array_equal(pairs[0].target, [[255, 0, 1, 255]])
    (tmp_path / "both").mkdir()
    write_image(tmp_path / "both" / "1.png", np.concatenate([stored, stored], axis=1))
    beside = SideBySide(tmp_path / "both", target_kind=kind, reduce_zero_label=True)
    np.testing.assert_array_equal(beside[0].target, [[255, 0, 1, 255]])
    whole = Labels(Palette("two", ("a", "b"), np.array([[1, 2, 3], [4, 5, 6]])))
    for wrong in (Photo(), whole):
        with pytest.raises(DatasetError, match="a palette that has a void class"):
            PairedFolders(*folders, target_kind=wrong, reduce_zero_label=True)
        with pytest.raises(DatasetError, match="a palette that has a void class"):
            SideBySide(tmp_path / "both", target_kind=wrong, reduce_zero_label=True)


def tree(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        index = int("".join(filter(str.isdigit, Path(file).stem)) or 0)
        write_image(root / file, np.full((2, 2, 3), index, np.uint8))
    return root


def test_masks_beside_photos(tmp_path: Path) -> None:
    """As Roboflow has them: `a1.png` and `a1_mask.png` in one folder."""
    tree(tmp_path, "a1.png", "a1_mask.png", "a2.png", "a2_mask.png")
    pairs = PairedFolders(tmp_path, tmp_path, target_suffix="_mask")
    assert pairs.names == ("a1", "a2")
    assert pairs.read("a2").input[0, 0, 0] == pairs.read("a2").target[0, 0, 0] == 2
    both = PairedFolders(
        tree(tmp_path / "x", "1_photo.png"),
        tree(tmp_path / "y", "1_gt.png"),
        input_suffix="_photo",
        target_suffix="_gt",
    )
    assert both.names == ("1",)
    with pytest.raises(DatasetError, match="no images whose names end with '_labels'"):
        PairedFolders(tmp_path, tmp_path, target_suffix="_labels")


def test_folders_in_folders(tmp_path: Path) -> None:
    files = ("1.png", "a/1.png", "b/c/2.png", ".hidden/3.png")
    folders = [tree(tmp_path / side, *files) for side in ("in", "out")]
    assert PairedFolders(*folders).names == ("1",)
    pairs = PairedFolders(*folders, recursive=True)
    assert pairs.names == ("1", "a/1", "b/c/2")
    assert pairs.read("b/c/2").input[0, 0, 0] == 2


def test_images_without_a_partner_are_left_out_and_counted(tmp_path: Path) -> None:
    inputs = tree(tmp_path / "in", "1.png", "2.png", "3.png")
    targets = tree(tmp_path / "out", "2.png", "4.png")
    with pytest.raises(DatasetError, match=r"1\.png.* without a partner .*--ignore-unpaired"):
        PairedFolders(inputs, targets)
    pairs = PairedFolders(inputs, targets, ignore_unpaired=True)
    assert pairs.names == ("2",)
    assert pairs.unpaired == 3
    none = tree(tmp_path / "other", "5.png")
    with pytest.raises(DatasetError, match="without a partner"):
        PairedFolders(inputs, none, ignore_unpaired=True)


def test_a_file_of_names_chooses_pairs(tmp_path: Path) -> None:
    """As ImageSets of Pascal VOC, whose photos have no masks but for some."""
    inputs = tree(tmp_path / "in", "1.png", "2.png", "3.png", "sub/9.png")
    targets = tree(tmp_path / "out", "1.png", "3.png", "m8.png")
    names = tmp_path / "train.txt"
    names.write_text("3\n\n1.png\n")
    assert PairedFolders(inputs, targets, names=names).names == ("1", "3")
    names.write_text("sub/9.png m8.png\n")
    (pair,) = PairedFolders(inputs, targets, names=names)
    assert (pair.name, pair.input[0, 0, 0], pair.target[0, 0, 0]) == ("sub/9", 9, 8)
    for text, message in (
        ("1\n2\n", r"train\.txt, line 2: 2 is not in .*out"),
        ("1\n1.png\n", "line 2: 1 is listed twice"),
        ("1 1 1\n", "line 1: has 3 words"),
        ("\n", "lists no names"),
        ("no.png 1.png", r"line 1: no\.png 1\.png is not in .*in"),
    ):
        names.write_text(text)
        with pytest.raises(DatasetError, match=message):
            PairedFolders(inputs, targets, names=names)
    with pytest.raises(DatasetError, match=r"file of names .*nowhere.* cannot be read"):
        PairedFolders(inputs, targets, names=tmp_path / "nowhere")
