"""Label maps from COCO's JSON: polygons, run lengths, categories, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from compnn.data.coco import CocoJson, counts_of_text, mask_of_polygon, mask_of_runs
from compnn.errors import DatasetError, ImageError
from compnn.images.files import write_image
from compnn.images.kinds import Labels
from compnn.images.palette import Palette

Mask = npt.NDArray[np.bool_]

# Run lengths


def counts_of(mask: Mask) -> list[int]:
    """Pixels outside, inside, outside, ..., column by column."""
    flat = mask.T.ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *changes.tolist(), flat.size]).tolist()
    return [0, *counts] if flat[0] else counts


def text_of(counts: list[int]) -> str:
    """As COCO packs them."""
    text = ""
    for place, count in enumerate(counts):
        value, more = count - (counts[place - 2] if place > 2 else 0), True
        while more:
            code, value = value & 31, value >> 5
            more = value != (-1 if code & 16 else 0)
            text += chr(48 + code + (32 if more else 0))
    return text


def test_runs_go_down_the_columns() -> None:
    found = mask_of_runs([1, 2, 4, 1, 1], (3, 3))
    np.testing.assert_array_equal(found, np.array([[0, 0, 0], [1, 0, 1], [1, 0, 0]], bool))
    assert mask_of_runs([0, 6], (2, 3)).all()
    assert not mask_of_runs([6], (2, 3)).any()


def test_run_lengths_in_a_text() -> None:
    """By hand: 5 is "5"; 16 needs a second character for its sign; 3 to 5 is the difference 2."""
    assert counts_of_text("5") == [5]
    assert counts_of_text("`0") == [16]
    assert counts_of_text("123") == [1, 2, 3]
    assert counts_of_text("5312") == [5, 3, 1, 5], "the fourth is told from the second"
    assert counts_of_text("1535O") == [1, 5, 3, 10, 2], "O is -1"
    assert counts_of_text("") == []


@given(
    hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)),
    st.sampled_from([1, 7, 30]),
)
def test_run_lengths_come_back(mask: Mask, larger: int) -> None:
    mask = np.kron(mask, np.ones((larger, larger), bool))  # long runs, too
    counts = counts_of(mask)
    assert counts_of_text(text_of(counts)) == counts
    np.testing.assert_array_equal(mask_of_runs(counts, mask.shape), mask)


@pytest.mark.parametrize("counts", [[5], [-1, 10], [1, 2], [[9]]])
def test_runs_of_other_images_are_refused(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="run lengths add up to"):
        mask_of_runs(counts, (3, 3))


@pytest.mark.parametrize(("text", "message"), [("5 ", "character ' '"), ("P", "within a number")])
def test_texts_that_are_none_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        counts_of_text(text)


# Polygons


@pytest.mark.parametrize(
    ("corners", "pixels"),
    [
        ([1, 1, 4, 1, 4, 3, 1, 3], (slice(1, 3), slice(1, 4))),
        ([1.2, 0.9, 3.8, 0.9, 3.8, 3.1, 1.2, 3.1], (slice(1, 3), slice(1, 4))),
        ([-9, -9, 99, -9, 99, 99, -9, 99], (slice(None), slice(None))),
        ([9, 9, 12, 9, 12, 12], (slice(0), slice(0))),
        ([1, 1, 4, 1], (slice(0), slice(0))),
        ([], (slice(0), slice(0))),
    ],
)
def test_pixels_whose_middles_are_inside(corners: list[float], pixels: tuple[slice, slice]) -> None:
    wanted = np.zeros((6, 7), bool)
    wanted[pixels] = True
    np.testing.assert_array_equal(mask_of_polygon(corners, (6, 7)), wanted)


def test_slanted_borders() -> None:
    """Below a diagonal half of the pixels are inside, but for those that the border touches."""
    found = mask_of_polygon([0, 0, 60, 60, 0, 60], (60, 60))
    rows, cols = np.mgrid[:60, :60]
    assert found[rows > cols].all()
    assert not found[rows < cols].any()


@pytest.mark.parametrize("corners", [[1, 2, 3], [1, float("nan"), 1, 1, 2, 2], ["x", 1], [[1, 2]]])
def test_what_is_no_polygon_is_refused(corners: list[float]) -> None:
    with pytest.raises(ValueError, match=r"polygon|convert"):
        mask_of_polygon(corners, (4, 4))


# Data sets

CAT = {"id": 3, "name": "cat"}
DOG = {"id": 17, "name": "dog"}


def square(x: int, y: int, side: int = 2) -> list[list[int]]:
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def put(
    folder: Path,
    annotations: list[dict[str, object]],
    *,
    categories: list[dict[str, object]] | None = None,
    changes: Mapping[str, object] | None = None,
) -> Path:
    """A photo of 4x6 and its annotations."""
    (folder / "images").mkdir(exist_ok=True)
    write_image(folder / "images" / "a.png", np.zeros((4, 6, 3), np.uint8))
    document: dict[str, object] = {
        "images": [{"id": 9, "file_name": "a.png", "height": 4, "width": 6}],
        "annotations": [{"image_id": 9, **each} for each in annotations],
        "categories": [DOG, CAT] if categories is None else categories,
    }
    path = folder / "instances.json"
    path.write_text(json.dumps(document | dict(changes or {})))
    return path


def classes(dataset: CocoJson) -> tuple[str, ...]:
    assert isinstance(dataset.target_kind, Labels)
    return dataset.target_kind.palette.classes


def test_categories_become_classes(tmp_path: Path) -> None:
    """By id, whatever its order and gaps; what is not annotated is background; later is above."""
    runs = np.zeros((4, 6), bool)
    runs[3, 5] = runs[0, 5] = True
    path = put(
        tmp_path,
        [
            {"category_id": 3, "segmentation": [*square(0, 0), *square(4, 0)]},
            {"category_id": 17, "segmentation": square(1, 1)},
            {"category_id": 17, "segmentation": []},
            {
                "category_id": 3,
                "segmentation": {"size": [4, 6], "counts": counts_of(runs)},
                "iscrowd": 1,
            },
        ],
    )
    dataset = CocoJson(path, tmp_path / "images")
    assert (dataset.names, dataset.unpaired) == (("a",), 0)
    assert classes(dataset) == ("background", "cat", "dog")
    wanted = [[1, 1, 0, 0, 1, 255], [1, 2, 2, 0, 1, 1], [0, 2, 2, 0, 0, 0], [0, 0, 0, 0, 0, 255]]
    np.testing.assert_array_equal(dataset[0].target, wanted)
    assert dataset[0].target.dtype == np.uint8


@pytest.mark.parametrize("number", [0, 5])
def test_a_category_named_background(tmp_path: Path, number: int) -> None:
    runs = text_of(counts_of(np.arange(24).reshape(4, 6) % 5 == 0))
    annotation = {"category_id": 3, "segmentation": {"size": [4, 6], "counts": runs}}
    own: list[dict[str, object]] = [CAT, {"id": number, "name": "Background"}]
    dataset = CocoJson(put(tmp_path, [annotation], categories=own), tmp_path / "images")
    wanted = ("Background", "cat") if number == 0 else ("cat", "Background")
    assert classes(dataset) == wanted
    is_cat = np.arange(24).reshape(4, 6) % 5 == 0
    target = np.where(is_cat, wanted.index("cat"), wanted.index("Background"))
    np.testing.assert_array_equal(dataset[0].target, target)


def test_a_category_0_is_not_taken_for_the_background(tmp_path: Path) -> None:
    zero: list[dict[str, object]] = [{"id": 0, "name": "cat"}]
    annotation = {"category_id": 0, "segmentation": square(0, 0, 6)}
    dataset = CocoJson(put(tmp_path, [annotation], categories=zero), tmp_path / "images")
    assert classes(dataset) == ("background", "cat")
    assert (dataset[0].target == 1).all()


def test_classes_of_a_palette(tmp_path: Path) -> None:
    """Ids of categories are its indices; without a background it is void."""
    path = put(tmp_path, [{"category_id": 17, "segmentation": square(0, 0, 6)}])
    colours = np.arange(6).reshape(2, 3)
    kind = Labels(Palette("own", ("dog", "cat"), colours, 255, indices=(17, 3)))
    dataset = CocoJson(path, tmp_path / "images", target_kind=kind)
    assert classes(dataset) == ("dog", "cat")
    assert (dataset[0].target == 0).all()
    path = put(tmp_path, [{"category_id": 17, "segmentation": square(0, 0)}])
    assert (CocoJson(path, tmp_path / "images", target_kind=kind)[0].target[2:] == 255).all()
    for palette, message in (
        (Palette("own", ("dog", "cat"), colours), r"category 3 \(cat\) is not in|neither a class"),
        (Palette("own", ("a", "b"), colours, 255), r"category 3 \(cat\) is not in palette 'own'"),
    ):
        with pytest.raises(DatasetError, match=message):
            CocoJson(path, tmp_path / "images", target_kind=Labels(palette))


def test_images_in_subfolders_and_images_that_are_missing(tmp_path: Path) -> None:
    (tmp_path / "images" / "sub").mkdir(parents=True)
    write_image(tmp_path / "images" / "sub" / "b.png", np.zeros((4, 6, 3), np.uint8))
    images = [{"id": 1, "file_name": "sub/b.png"}, {"id": 2, "file_name": "c.png"}]
    annotation = {"image_id": 1, "category_id": 3, "segmentation": square(0, 0)}
    path = put(tmp_path, [], changes={"images": images, "annotations": [annotation]})
    with pytest.raises(DatasetError, match=r"missing: .*c\.png; .*`--ignore-unpaired`"):
        CocoJson(path, tmp_path / "images")
    dataset = CocoJson(path, tmp_path / "images", ignore_unpaired=True)
    assert (dataset.names, dataset.unpaired) == (("sub/b",), 1)
    assert (dataset[0].target > 0).sum() == 4
    with pytest.raises(DatasetError, match=r"missing: .*`--inputs`"):
        CocoJson(path, tmp_path, ignore_unpaired=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": []}, "need lists of images, annotations and categories"),
        ({"categories": [{"id": 1}]}, "a category needs an id of its own and a name"),
        ({"categories": [CAT, CAT]}, "a category needs an id of its own and a name"),
        ({"images": [{"id": 1}]}, "an image needs an id and a file_name"),
        ({"images": [{"id": 1, "file_name": "a.png"}] * 2}, "two images are named 'a'"),
        ({"images": [{"id": 1, "file_name": f"{n}.png"} for n in "ab"]}, "have the id 1"),
        ({"annotations": [{"image_id": 9}]}, "needs image_id and category_id"),
        ({"annotations": [{"image_id": 9, "category_id": 4}]}, "of category 4, which the file"),
        ({"annotations": [{"image_id": 9, "category_id": 3}]}, "have boxes only"),
        ({"categories": [{"id": n, "name": f"c{n}"} for n in range(255)]}, "have 256 classes"),
    ],
)
def test_malformed_files_are_refused(
    tmp_path: Path, changes: Mapping[str, object], message: str
) -> None:
    path = put(tmp_path, [{"category_id": 3, "segmentation": square(0, 0)}], changes=changes)
    with pytest.raises(DatasetError, match=message):
        CocoJson(path, tmp_path / "images")


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.json cannot be read: No such file"):
        CocoJson(tmp_path / "none.json", tmp_path)
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DatasetError, match=r"a\.json are no JSON"):
        CocoJson(tmp_path / "a.json", tmp_path)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 2, 3]], "image a is malformed: a polygon is x, y"),
        ([1, 2, 3, 4, 5, 6], "image a is malformed: its polygons are no lists, but 1"),
        ("mask", "neither polygons nor run lengths"),
        ({"size": [6, 4], "counts": [24]}, r"run lengths are of 6x4, the image of 4x6"),
        ({"size": [4, 6], "counts": [23]}, "run lengths add up to 23, not to the 24 pixels"),
        ({"size": [4, 6], "counts": "1 y"}, "run lengths hold the character ' '"),
        ({"size": [4, 6], "counts": ["x"]}, "image a is malformed"),
    ],
)
def test_malformed_masks_are_refused(tmp_path: Path, segmentation: object, message: str) -> None:
    path = put(tmp_path, [{"category_id": 3, "segmentation": segmentation}])
    with pytest.raises(ImageError, match=message):
        CocoJson(path, tmp_path / "images")[0]


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    path = put(tmp_path, [{"category_id": 3, "segmentation": square(0, 0)}])
    write_image(tmp_path / "images" / "a.png", np.zeros((8, 12, 3), np.uint8))
    with pytest.raises(ImageError, match=r"a\.png is 8x12 but .*instances\.json is 4x6"):
        CocoJson(path, tmp_path / "images")[0]
