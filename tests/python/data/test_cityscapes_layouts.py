"""Both layouts of Cityscapes, under the exact names of their files, as datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cityscapes_scenes import FRAMES, SIDE, VOID, photo, put_official, put_pix2pix, scene, with_ids
from compnn.data.cityscapes import Cityscapes
from compnn.data.folders import SideBySide
from compnn.errors import DatasetError, ImageError
from compnn.images.files import read_image, write_image
from compnn.images.kinds import Labels


@pytest.fixture(scope="module")
def pix2pix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_pix2pix(tmp_path_factory.mktemp("pix2pix") / "cityscapes")


@pytest.fixture
def official(tmp_path: Path) -> Path:
    return put_official(tmp_path / "cityscapes")


@pytest.mark.parametrize(("split", "names"), [("train", ("1", "2", "10")), ("val", ("1",))])
def test_pix2pix_photo_to_labels(pix2pix: Path, split: str, names: tuple[str, ...]) -> None:
    dataset = SideBySide(pix2pix / split, target_kind=Labels("cityscapes"))
    assert dataset.names == names
    for pair in dataset:
        expected = scene(int(pair.name), SIDE, SIDE)
        assert pair.input.shape == (SIDE, SIDE, 3)
        assert np.abs(pair.input.astype(int) - photo(expected)).mean() < 8
        assert (pair.target == expected).mean() > 0.97, "all but what JPEG blurs at the borders"
        assert (pair.target[-20:] == VOID).mean() > 0.97, "black is void, not the dark blue truck"


def test_pix2pix_labels_to_photo(pix2pix: Path) -> None:
    pair = SideBySide(pix2pix / "val", "right", input_kind=Labels("cityscapes"))[0]
    stored = read_image(pix2pix / "val" / "1.jpg")
    np.testing.assert_array_equal(pair.input, stored[:, SIDE:])
    np.testing.assert_array_equal(pair.target, stored[:, :SIDE])


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


def without(official: Path, *kinds: str) -> None:
    for path in (official / "gtFine").rglob("*.png"):
        if path.stem.split("_")[-1] in kinds:
            path.unlink()


def test_instances_where_there_are_no_labels(official: Path) -> None:
    without(official, "labelIds", "labelTrainIds")
    for number, frame in enumerate(FRAMES["train"]):
        ids = with_ids(scene(number, 64, 128)).astype(np.uint16)
        # Cars and bicycles are counted, but for some that are a group.
        counted = (ids >= 24) & (np.arange(ids.shape[1]) % 7 > 0)
        (file,) = (official / "gtFine").rglob(f"{frame}_gtFine_instanceIds.png")
        Image.fromarray(np.where(counted, 1000 * ids + 12, ids).astype(np.uint16)).save(file)
    for number, pair in enumerate(Cityscapes(official)):
        np.testing.assert_array_equal(pair.target, scene(number, 64, 128))


def test_void_may_be_19_in_train_ids(official: Path) -> None:
    without(official, "labelIds")
    (file,) = (official / "gtFine").rglob("zurich*_labelTrainIds.png")
    for void in (255, 19):
        labels = scene(3, 64, 128)
        write_image(file, np.where(labels == VOID, void, labels).astype(np.uint8))
        np.testing.assert_array_equal(Cityscapes(official)[3].target, labels)
    write_image(file, np.full((64, 128), 20, np.uint8))
    with pytest.raises(
        ImageError, match="holds the label 20, which is not in palette 'cityscapes'"
    ):
        Cityscapes(official)[3]
