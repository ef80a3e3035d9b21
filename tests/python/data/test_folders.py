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
