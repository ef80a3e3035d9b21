"""What folders of pairs are refused for, and how their label maps count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import ExifTags, Image

from compnn.data.folders import PairedFolders, SideBySide
from compnn.errors import DatasetError, ImageError
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


# Instances


def put_instances(root: Path, values: npt.NDArray[np.uint16]) -> tuple[Path, Path]:
    folders = root / "in", root / "out"
    for folder in folders:
        folder.mkdir()
    write_image(folders[0] / "1.png", np.zeros((*values.shape, 3), np.uint8))
    Image.fromarray(values).save(folders[1] / "1.png")
    return folders


def test_class_times_256_and_instance(tmp_path: Path) -> None:
    """As KITTI has it; in indices of the palette, and where 0 is no class."""
    values = np.array([[0, 255, 256, 256 * 7 + 3, 255 * 256 + 255]], np.uint16)
    folders = put_instances(tmp_path, values)
    file = tmp_path / "some.csv"
    file.write_text("index,name\n0,void\n1,road\n7,car\n255,sky\n")
    pairs = PairedFolders(*folders, target_kind=Labels(file), instances=256)
    np.testing.assert_array_equal(pairs[0].target, [[255, 255, 0, 1, 2]])
    assert pairs[0].target.dtype == np.uint8
    with pytest.raises(
        ImageError, match=r"1\.png holds the label 65, .* not in palette 'some'.*--ins"
    ):
        PairedFolders(*folders, target_kind=Labels(file), instances=1000)[0]
    seven = Palette("seven", tuple("abcdefg"), np.arange(21).reshape(7, 3), 255)
    kind = Labels(seven)
    pairs = PairedFolders(*folders, target_kind=kind, instances=256, reduce_zero_label=True)
    np.testing.assert_array_equal(pairs[0].target, [[255, 255, 0, 6, 255]])


def test_instances_are_of_classes(tmp_path: Path) -> None:
    folders = put_instances(tmp_path, np.zeros((2, 2), np.uint16))
    with pytest.raises(DatasetError, match=r"targets are photos: .*--target-palette"):
        PairedFolders(*folders, instances=256)
    for factor in (1, 1 << 16):
        with pytest.raises(DatasetError, match=rf"class \* {factor} on; give a factor"):
            PairedFolders(*folders, target_kind=Labels("voc"), instances=factor)
    write_image(folders[1] / "1.png", np.zeros((2, 2, 3), np.uint8))
    pairs = PairedFolders(*folders, target_kind=Labels("voc"), instances=256)
    with pytest.raises(ImageError, match=r"1\.png has colours, but labels and values have one"):
        pairs[0]
    (folders[1] / "1.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"1\.png cannot be decoded .*replace or remove it"):
        pairs[0]


# Photos that are stored turned


def test_an_orientation_that_only_the_photo_has_is_named(tmp_path: Path) -> None:
    for folder in ("photos", "shown", "stored", "larger"):
        (tmp_path / folder).mkdir()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (6, 4)).save(tmp_path / "photos" / "1.jpg", exif=exif)
    for folder, shape in (("shown", (6, 4)), ("stored", (4, 6)), ("larger", (12, 8))):
        write_image(tmp_path / folder / "1.png", np.zeros(shape, np.uint8))
    kind = Labels("voc")
    for folder in ("shown", "larger"):
        pair = PairedFolders(tmp_path / "photos", tmp_path / folder, target_kind=kind)[0]
        assert pair.input.shape == (6, 4, 3)
    with pytest.raises(
        ImageError, match=r"6x4 as it is shown .* 4x6 .* EXIF orientation of 1\.jpg"
    ):
        PairedFolders(tmp_path / "photos", tmp_path / "stored", target_kind=kind)[0]
    Image.new("RGB", (4, 6)).save(tmp_path / "photos" / "1.jpg")
    assert PairedFolders(tmp_path / "photos", tmp_path / "stored", target_kind=kind)[0].target.size


def test_photos_of_strangers_that_are_stored_turned(shared: Path) -> None:
    folder = shared / "data" / "layouts" / "exif"
    if not folder.is_dir():
        pytest.skip(f"photos that are stored turned are absent: {folder}")
    pairs = PairedFolders(folder / "images", folder / "masks", target_kind=Labels("camvid"))
    assert all(pair.input.shape[:2] == pair.target.shape for pair in pairs)
    with pytest.raises(ImageError, match="EXIF orientation"):
        PairedFolders(folder / "images", folder / "masks2", target_kind=Labels("camvid"))[0]
