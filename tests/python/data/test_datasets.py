"""Datasets: real ones as they are stored, and small trees with what can be wrong in them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from compnn.data.camvid import CamVid
from compnn.data.cityscapes import Cityscapes
from compnn.data.dataset import Dataset, Pair
from compnn.data.folders import PairedFolders, SideBySide
from compnn.errors import DatasetError, ImageError, PaletteError
from compnn.images.files import write_image
from compnn.images.kinds import Labels, Photo
from compnn.images.palette import Palette


def photo(seed: int = 0, height: int = 8, width: int = 12) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def labels(classes: int, seed: int = 0, height: int = 8, width: int = 12) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, classes, (height, width), dtype=np.uint8)


def put(path: Path, image: npt.NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image)
    return path


# Real data


@pytest.mark.parametrize(("split", "count"), [("train", 400), ("val", 100)])
def test_facades_has_its_pairs_in_natural_order(shared: Path, split: str, count: int) -> None:
    dataset = SideBySide(shared / "data/facades" / split, target_kind=Labels("facades"))
    assert dataset.names == tuple(str(number) for number in range(1, count + 1))
    assert len(dataset) == count


def test_facades_label_halves_are_near_their_palette(shared: Path) -> None:
    folder = shared / "data/facades/val"
    palette = Palette.named("facades")
    to_labels = SideBySide(folder, "left", target_kind=Labels("facades"))
    to_photo = SideBySide(folder, "right", input_kind=Labels("facades"))
    counts, near = np.zeros(12, np.int64), []
    for index in range(0, 100, 10):
        pair, reverse = to_labels[index], to_photo[index]
        assert pair.input.shape == reverse.input.shape == (256, 256, 3)
        assert pair.target.shape == (256, 256)
        np.testing.assert_array_equal(pair.input, reverse.target)
        counts += np.bincount(pair.target.ravel(), minlength=12)
        # What is left is the ringing of JPEG.
        distance = np.abs(palette.colourise(pair.target).astype(int) - reverse.input).max(axis=2)
        assert np.median(distance) <= 12
        near.append((distance <= 24).mean())
    assert np.mean(near) > 0.7
    assert len(counts) == 12
    assert (counts > 0).all()
    shares = counts / counts.sum()
    assert 0.6 < shares[:4].sum() < 0.9  # background, facade, window, door
    assert 0.02 < shares[palette.classes.index("molding")] < 0.2
    assert 0.01 < shares[palette.classes.index("balcony")] < 0.15


@pytest.mark.parametrize(("split", "count"), [("train", 367), ("val", 101)])
def test_camvid_has_its_pairs(shared: Path, split: str, count: int) -> None:
    dataset = CamVid(shared / "data/camvid", split)
    assert len(dataset) == len(set(dataset.names)) == count
    assert dataset.target_kind == Labels("camvid")
    assert dataset.input_kind == Photo()
    seen: set[int] = set()
    for index in range(0, count, 12):
        pair = dataset[index]
        assert pair.input.shape == (360, 480, 3)
        assert pair.target.shape == (360, 480)
        seen |= set(np.unique(pair.target).tolist())
    assert seen == set(range(12))


# What all datasets share


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Side-by-side images 10, 2, 1 with a hidden file and one that is no image."""
    folder = tmp_path / "pairs"
    for name in ("10", "2", "1"):
        put(folder / f"{name}.png", photo(int(name)))
    put(folder / ".hidden.png", photo())
    (folder / "notes.txt").write_text("not an image")
    (folder / "folder.png").mkdir()
    return folder


def test_names_are_natural_and_iteration_follows_them(folder: Path) -> None:
    dataset = SideBySide(folder)
    assert dataset.names == ("1", "2", "10")
    assert [pair.name for pair in dataset] == ["1", "2", "10"]
    assert dataset[-1].name == "10"
    with pytest.raises(IndexError):
        dataset[3]


def test_upper_case_extensions_are_images(folder: Path) -> None:
    (folder / "2.png").rename(folder / "2.PNG")
    assert SideBySide(folder).names == ("1", "2", "10")


def test_attributes_and_subset(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "attributes.csv"
    table.write_text("1.png,wall=red\n10,wall=blue\n")
    dataset = SideBySide(folder, attributes=table)
    assert dataset.attributes == {"1": {"wall": "red"}, "10": {"wall": "blue"}}
    smaller = dataset.subset(["10", "2"])
    assert isinstance(smaller, SideBySide)
    assert smaller.names == ("2", "10")
    assert smaller.attributes == {"10": {"wall": "blue"}}
    np.testing.assert_array_equal(smaller[1].input, dataset[2].input)
    assert len(dataset) == 3


def test_attributes_of_unknown_images_are_refused(folder: Path) -> None:
    with pytest.raises(DatasetError, match="does not have: 3"):
        SideBySide(folder, attributes={"3": {"wall": "red"}})


@pytest.mark.parametrize(("names", "message"), [(["2", "7"], "7"), (["2", "2"], "twice")])
def test_wrong_subsets_are_refused(folder: Path, names: list[str], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        SideBySide(folder).subset(names)


def test_own_datasets_must_have_unique_names() -> None:
    class Constant(Dataset):
        def read(self, name: str) -> Pair:
            return Pair(name, photo(), photo())

    assert Constant(["b", "a"])[0].name == "a"
    with pytest.raises(DatasetError, match="two pairs are named 'a'"):
        Constant(["a", "b", "a"])


def test_unknown_palette_is_refused(folder: Path) -> None:
    with pytest.raises(PaletteError, match="facades, cmp-facades, camvid, "):
        SideBySide(folder, target_kind=Labels("facade"))


def test_bad_images_surface_only_when_read(folder: Path) -> None:
    (folder / "2.png").write_bytes(b"not an image")
    dataset = SideBySide(folder)
    assert dataset[0].name == "1"
    with pytest.raises(ImageError, match=r"2\.png"):
        dataset[1]


def test_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere does not exist.*\.png \.jpg"):
        SideBySide(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"holds no images; looked for \.png \.jpg") as caught:
        SideBySide(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_one_stem_in_two_files_is_refused(folder: Path) -> None:
    shutil.copy(folder / "2.png", folder / "2.jpg")
    with pytest.raises(DatasetError, match=r"2\.jpg and 2\.png"):
        SideBySide(folder)


# Side by side


def test_side_by_side_splits_in_the_middle(tmp_path: Path) -> None:
    left, right = photo(1), photo(2)
    put(tmp_path / "a.png", np.hstack([left, right]))
    for side, given, wanted in (("left", left, right), ("right", right, left)):
        pair = SideBySide(tmp_path, side)[0]  # type: ignore[arg-type]
        np.testing.assert_array_equal(pair.input, given)
        np.testing.assert_array_equal(pair.target, wanted)


def test_side_by_side_label_maps(tmp_path: Path) -> None:
    palette = Palette.named("facades")
    painted, ramp = palette.colourise(labels(12)), photo()
    put(tmp_path / "a.png", np.hstack([ramp, painted]))
    to_labels = SideBySide(tmp_path, target_kind=Labels(palette))[0]
    np.testing.assert_array_equal(to_labels.target, labels(12))
    from_labels = SideBySide(tmp_path, "right", input_kind=Labels(palette))[0]
    np.testing.assert_array_equal(from_labels.input, painted)
    np.testing.assert_array_equal(from_labels.target, ramp)


def test_odd_widths_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "odd.png", photo(width=13))
    with pytest.raises(ImageError, match=r"odd\.png is 8x13"):
        SideBySide(tmp_path)[0]


def test_other_sides_are_refused(folder: Path) -> None:
    with pytest.raises(DatasetError, match="'top'"):
        SideBySide(folder, "top")  # type: ignore[arg-type]


# Paired folders


def test_paired_folders_match_stems(tmp_path: Path) -> None:
    for name in ("10", "9"):
        put(tmp_path / "in" / f"{name}.png", labels(12, int(name)))
        put(tmp_path / "out" / f"{name}.png", photo(int(name)))
    (tmp_path / "out/9.png").rename(tmp_path / "out/9.jpeg")  # decoded by content
    dataset = PairedFolders(tmp_path / "in", tmp_path / "out", input_kind=Labels("facades"))
    assert dataset.names == ("9", "10")
    pair = dataset[0]
    np.testing.assert_array_equal(pair.input, Palette.named("facades").colourise(labels(12, 9)))
    np.testing.assert_array_equal(pair.target, photo(9))


@pytest.mark.parametrize("lonely", ["in", "out"])
def test_images_without_a_partner_are_refused(tmp_path: Path, lonely: str) -> None:
    for side in ("in", "out"):
        put(tmp_path / side / "1.png", photo())
    for number in range(2, 7):
        put(tmp_path / lonely / f"{number}.png", photo())
    with pytest.raises(DatasetError, match=rf"{lonely}/2\.png, .*4\.png and 2 more without"):
        PairedFolders(tmp_path / "in", tmp_path / "out")


def test_a_target_may_have_the_size_of_an_output(tmp_path: Path) -> None:
    """What size that is, is known to the network."""
    put(tmp_path / "in/1.png", photo(height=8))
    put(tmp_path / "out/1.png", photo(height=10))
    (pair,) = PairedFolders(tmp_path / "in", tmp_path / "out")
    assert (pair.input.shape, pair.target.shape) == ((8, 12, 3), (10, 12, 3))


# CamVid


@pytest.mark.parametrize(
    ("images", "annotations"), [("test", "testannot"), ("test/images", "test/labels")]
)
def test_camvid_layouts(tmp_path: Path, images: str, annotations: str) -> None:
    for name in ("0001TP_2", "0001TP_10"):
        put(tmp_path / images / f"{name}.png", photo())
        put(tmp_path / annotations / f"{name}.png", labels(12))
    dataset = CamVid(tmp_path, "test")
    assert dataset.names == ("0001TP_2", "0001TP_10")
    np.testing.assert_array_equal(dataset[0].input, photo())
    np.testing.assert_array_equal(dataset[0].target, labels(12))


def test_camvid_without_the_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"'val' is not in .*val/images.*valannot"):
        CamVid(tmp_path, "val")


def test_camvid_labels_out_of_range_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "train/a.png", photo())
    put(tmp_path / "trainannot/a.png", np.full((8, 12), 12, np.uint8))
    with pytest.raises(ImageError, match=r"trainannot/a\.png holds the label 12"):
        CamVid(tmp_path)[0]


# Cityscapes

# Official ids of the 19 evaluation classes, by the class's name in the palette.
CITYSCAPES_IDS = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}


def put_frame(root: Path, frame: str, suffix: str, target: npt.NDArray[np.uint8]) -> None:
    city = frame.split("_")[0]
    height, width = target.shape
    image = photo(height=height, width=width)
    put(root / "leftImg8bit/train" / city / f"{frame}_leftImg8bit.png", image)
    put(root / "gtFine/train" / city / f"{frame}_gtFine_{suffix}.png", target)


def test_cityscapes_ids_become_train_ids(tmp_path: Path) -> None:
    ids = np.arange(36, dtype=np.uint8).reshape(4, 9)
    ids[3, 7:] = 255
    put_frame(tmp_path, "zurich_000000_000019", "labelIds", ids)
    put_frame(tmp_path, "aachen_000010_000019", "labelIds", ids)
    put_frame(tmp_path, "aachen_000002_000019", "labelIds", ids)
    put(tmp_path / "gtFine/train/aachen/aachen_000002_000019_gtFine_color.png", photo())
    dataset = Cityscapes(tmp_path)
    assert dataset.names == (
        "aachen_000002_000019",
        "aachen_000010_000019",
        "zurich_000000_000019",
    )
    assert isinstance(dataset.target_kind, Labels)
    palette = dataset.target_kind.palette
    expected = np.full(256, 255, np.uint8)
    for name, stored in CITYSCAPES_IDS.items():
        expected[stored] = palette.classes.index(name)
    pair = dataset[0]
    np.testing.assert_array_equal(pair.target, expected[ids])
    np.testing.assert_array_equal(pair.input, photo(height=4, width=9))


def test_cityscapes_train_ids_are_taken_as_they_are(tmp_path: Path) -> None:
    target = np.array([[0, 18, 255]], np.uint8)
    put_frame(tmp_path, "aachen_000000_000019", "labelTrainIds", target)
    np.testing.assert_array_equal(Cityscapes(tmp_path)[0].target, target)


def test_cityscapes_photo_without_labels_is_refused(tmp_path: Path) -> None:
    put_frame(tmp_path, "aachen_000000_000019", "labelIds", labels(30))
    put_frame(tmp_path, "aachen_000001_000019", "color", labels(30))
    with pytest.raises(DatasetError, match=r"aachen_000001_000019_leftImg8bit\.png has no label"):
        Cityscapes(tmp_path)


def test_cityscapes_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="leftImg8bit/val does not exist"):
        Cityscapes(tmp_path, "val")
    (tmp_path / "leftImg8bit/val/aachen").mkdir(parents=True)
    (tmp_path / "gtFine/val").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"holds no photos; looked for .*_leftImg8bit\.png"):
        Cityscapes(tmp_path, "val")
