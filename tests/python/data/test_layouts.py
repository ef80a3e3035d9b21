"""Public data sets in the folders that they come in: `compnn.data.layouts`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from compnn.data.camvid import CamVid, grouped
from compnn.data.folders import PairedFolders
from compnn.data.layouts import Ade20k, CocoStuff, PascalVoc, Roboflow
from compnn.errors import DatasetError, ImageError
from compnn.images.files import write_image
from compnn.images.kinds import Labels
from compnn.images.palette import Palette

VOC, ADE, COCO = (Palette.named(name) for name in ("voc", "ade20k", "coco-stuff"))


def labels(among: list[int], seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).choice(among, (6, 8)).astype(np.uint8)


def put(path: Path, image: npt.NDArray[np.uint8] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.full((6, 8, 3), 7, np.uint8) if image is None else image)
    return path


def put_voc(root: Path, stored: npt.NDArray[np.uint8]) -> Path:
    for name in ("2007_1", "2007_2", "2007_3"):
        put(root / "JPEGImages" / f"{name}.png")
    image = Image.fromarray(stored)
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    (root / "SegmentationClass").mkdir()
    for name in ("2007_1", "2007_2"):
        image.save(root / "SegmentationClass" / f"{name}.png")
    sets = root / "ImageSets" / "Segmentation"
    sets.mkdir(parents=True)
    (sets / "train.txt").write_text("2007_1\n")
    (sets / "val.txt").write_text("2007_2\n")
    return root


def test_pascal_voc(tmp_path: Path) -> None:
    """Indices count, whatever the table's colours are."""
    stored = labels([0, 15, 20, 255])
    root = put_voc(tmp_path / "VOC2012", stored)
    for dataset, name in ((PascalVoc(root), "2007_1"), (PascalVoc(root, "val"), "2007_2")):
        assert dataset.names == (name,)
        assert dataset.target_kind == Labels("voc")
        np.testing.assert_array_equal(dataset[0].target, stored)
    own = Palette("own", VOC.classes, VOC.colours[::-1], 255)
    found = PascalVoc(root, target_kind=Labels(own))
    assert found.target_kind == Labels(own)
    np.testing.assert_array_equal(found[0].target, stored)


def test_other_classes_in_the_layout_of_pascal_voc(tmp_path: Path) -> None:
    """As CVAT and Datumaro export them: in colours, with the list of classes beside."""
    stored = labels([0, 1])
    root = put_voc(tmp_path, stored)
    put(root / "SegmentationClass" / "2007_1.png", np.array([[0] * 3, [9, 8, 7]], np.uint8)[stored])
    (root / "ImageSets" / "Segmentation" / "default.txt").write_text("2007_1\n")
    (root / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:9,8,7::\n"
    )
    meta = {"label_map": {"0": "ground", "1": "car"}, "segmentation_colors": [[0] * 3, [9, 8, 7]]}
    for first in ("background", "ground"):
        dataset = PascalVoc(root, "default")
        assert isinstance(dataset.target_kind, Labels)
        assert dataset.target_kind.palette.classes == (first, "car")
        np.testing.assert_array_equal(dataset[0].target, stored)
        (root / "dataset_meta.json").write_text(json.dumps(meta))


def test_ade20k(tmp_path: Path) -> None:
    stored = labels([0, 1, 2, 150])
    for split in ("training", "validation"):
        put(tmp_path / "images" / split / "a.png")
        put(tmp_path / "annotations" / split / "a.png", stored)
    wanted = np.where(stored == 0, 255, stored.astype(int) - 1)
    for split in ("train", "training", "val", "validation"):
        dataset = Ade20k(tmp_path, split)
        assert dataset.target_kind == Labels("ade20k")
        np.testing.assert_array_equal(dataset[0].target, wanted)
    from_zero = Palette("from zero", ADE.classes, ADE.colours, 255)
    reduced = Ade20k(tmp_path, reduce_zero_label=True, target_kind=Labels(from_zero))
    np.testing.assert_array_equal(reduced[0].target, wanted)


def test_classes_of_an_ade20k_folder(tmp_path: Path) -> None:
    """The folder's own list counts where it has other classes, not where it adds synonyms."""
    put(tmp_path / "images" / "training" / "a.png")
    put(tmp_path / "annotations" / "training" / "a.png", labels([0, 1]))
    header, listed = "Idx\tRatio\tTrain\tVal\tStuff\tName", tmp_path / "objectInfo150.txt"
    rows = [f"{place}\t0.1\t1\t1\t1\t{name}, more" for place, name in enumerate(ADE.classes, 1)]
    listed.write_text("\n".join([header, *rows]))
    assert Ade20k(tmp_path).target_kind == Labels("ade20k")
    listed.write_text("\n".join([header, "1\t0.1\t1\t1\t1\tsky", "2\t0.1\t1\t1\t1\troad"]))
    kind = Ade20k(tmp_path).target_kind
    assert isinstance(kind, Labels)
    assert kind.palette.classes == ("sky", "road")


@pytest.mark.parametrize("maps", ["annotations", "stuffthingmaps"])
def test_coco_stuff(tmp_path: Path, maps: str) -> None:
    stored = labels([0, 12, 181, 255])
    for split in ("train2017", "val2017"):
        put(tmp_path / "images" / split / "000000000009.png")
        put(tmp_path / maps / split / "000000000009.png", stored)
        put(tmp_path / maps / split / "000000000009_labelTrainIds.png", labels([3]))
    wanted = COCO.label_of_index()[stored]
    assert set(np.unique(wanted)) == {0, 11, 170, 255}
    for split in ("train", "train2017", "val", "val2017"):
        np.testing.assert_array_equal(CocoStuff(tmp_path, split)[0].target, wanted)


def put_roboflow(folder: Path) -> Path:
    put(folder / "a_jpg.rf.1.png")
    put(folder / "a_jpg.rf.1_mask.png", labels([0, 1]))
    (folder / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, car\n")
    return folder


def test_roboflow(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        put_roboflow(tmp_path / split)
    for dataset in (
        *(Roboflow(tmp_path, split) for split in ("train", "valid", "val")),
        *(Roboflow(tmp_path / "train", split) for split in ("train", "val")),
    ):
        assert dataset.names == ("a_jpg.rf.1",)
        assert isinstance(dataset.target_kind, Labels)
        assert dataset.target_kind.palette.classes == ("background", "car")
        np.testing.assert_array_equal(dataset[0].target, labels([0, 1]))
    put(tmp_path / "own" / "a.png")
    put(tmp_path / "own" / "a_mask.png", labels([0, 7]))
    assert Roboflow(tmp_path / "own", target_kind=Labels("voc")).names == ("a",)


@pytest.mark.parametrize(
    ("layout", "files", "message"),
    [
        (PascalVoc, [], r"JPEGImages does not exist; give the folder that holds JPEGImages, Seg"),
        (PascalVoc, ["JPEGImages/a.png"], r"SegmentationClass does not exist"),
        (
            PascalVoc,
            ["JPEGImages/a.png", "SegmentationClass/a.png", "ImageSets/Segmentation/val.png"],
            r"split 'train' is not in .*train\.txt does not exist; give a split .* \(none\)",
        ),
        (Ade20k, [], r"images/training does not exist; .*\(ADEChallengeData2016\), and a split"),
        (Ade20k, ["images/training/a.png"], r"annotations/training does not exist"),
        (CocoStuff, [], r"images/train2017 does not exist; .* images and annotations"),
        (
            CocoStuff,
            ["images/train2017/a.png"],
            r"annotations/train2017 nor .*stuffthingmaps/train2017 does not exist",
        ),
        (Roboflow, ["valid/a.png"], r"train does not exist; give the folder that holds the splits"),
        (Roboflow, ["a.png"], r"_classes\.csv, which .* does not exist; export as .*--target-pal"),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, layout: Callable[[Path], PairedFolders], files: list[str], message: str
) -> None:
    for file in files:
        put(tmp_path / file)
    with pytest.raises(DatasetError, match=message):
        layout(tmp_path)


def test_an_export_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere does not exist; give the export of Roboflow"):
        Roboflow(tmp_path / "nowhere")


def test_data_as_people_have_it(shared: Path) -> None:
    folders = shared / "data" / "layouts"
    if not folders.is_dir():
        pytest.skip(f"data in the layouts of strangers are absent: {folders}")
    for layout, folder, pairs, classes in (
        (PascalVoc, "voc", 12, 21),
        (Ade20k, "ade", 14, 11),
        (Roboflow, "robo", 14, 12),
    ):
        dataset = layout(folders / folder)
        assert isinstance(dataset.target_kind, Labels)
        assert (len(dataset), len(dataset.target_kind.palette)) == (pairs, classes)
        for pair in dataset:
            assert pair.input.shape[:2] == pair.target.shape


# CamVid's own classes


@pytest.mark.parametrize(
    ("images", "maps"),
    [("train", "train_labels"), ("train", "trainannot"), ("train/images", "train/labels")],
)
@pytest.mark.parametrize("end", ["_L", ""])
def test_colours_of_camvid_are_grouped(tmp_path: Path, images: str, maps: str, end: str) -> None:
    palette = Palette.named("camvid-32")
    stored = np.array([[*range(31), 255]], np.uint8)
    put(tmp_path / images / "a.png", np.zeros((1, 32, 3), np.uint8))
    file = put(tmp_path / maps / f"a{end}.png", palette.colourise(stored))
    dataset = CamVid(tmp_path)
    assert dataset.names == ("a",)
    found = dataset[0].target
    np.testing.assert_array_equal(found, grouped(stored))
    names = Palette.named("camvid").classes
    assert {
        palette.classes[fine]: names[coarse]
        for fine, coarse in zip(stored[0, :-1], found[0, :-1], strict=True)
        if names[coarse] in ("pole", "pavement", "bicyclist")
    } == {
        "Column_Pole": "pole",
        "TrafficCone": "pole",
        "Sidewalk": "pavement",
        "ParkingBlock": "pavement",
        "RoadShoulder": "pavement",
        "Bicyclist": "bicyclist",
        "MotorcycleScooter": "bicyclist",
    }
    assert found[0, -1] == 11
    put(file, np.full((1, 32, 3), (60, 40, 222), np.uint8))
    with pytest.raises(ImageError, match=r"the colour \(60, 40, 222\), which palette 'camvid-32'"):
        dataset[0]


def test_colours_of_the_11_classes_are_theirs(tmp_path: Path) -> None:
    stored = np.arange(12, dtype=np.uint8)[None]
    put(tmp_path / "train" / "a.png", np.zeros((1, 12, 3), np.uint8))
    put(tmp_path / "trainannot" / "a.png", Palette.named("camvid").colourise(stored))
    np.testing.assert_array_equal(CamVid(tmp_path)[0].target, stored)
