"""Palettes: nearest colours, the way back, and the files and names they come from."""

from __future__ import annotations

import csv
import json
import math
import pickle
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from compnn.errors import ImageError, PaletteError
from compnn.images.files import read_labels, write_image
from compnn.images.palette import BUILT_IN, Palette, resolve_palette
from memory_dataset import patch_call

_colour = st.tuples(*[st.integers(0, 255)] * 3)


@st.composite
def palettes(draw: st.DrawFn) -> Palette:
    void, black = draw(st.none() | st.integers(30, 255)), draw(_colour)
    allowed = _colour if void is None else _colour.filter(lambda colour: colour != black)
    colours = draw(st.lists(allowed, min_size=1, max_size=30, unique=True))
    classes = tuple(f"class {index}" for index in range(len(colours)))
    count = len(colours) + draw(st.integers(1, 4))
    indices = draw(st.lists(st.integers(0, 255), min_size=count, max_size=count, unique=True))
    last = None if void is None else indices[-1]
    ids = tuple(indices[: len(colours)])
    more = () if void is None else tuple(indices[len(colours) : -1])
    values = np.array(colours, dtype=np.uint8)
    return Palette("drawn", classes, values, void, black, ids, last, more)


@st.composite
def painted(draw: st.DrawFn) -> tuple[Palette, npt.NDArray[np.uint8]]:
    palette = draw(palettes())
    labels = list(range(len(palette)))
    if palette.void is not None:
        labels.append(palette.void)
    shape = hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)
    return palette, draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from(labels)))


def brute_force(palette: Palette, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Nearest colour with 64-bit integers, all at once; argmin takes the first of ties."""
    colours = palette.colours.astype(np.int64)
    labels = np.arange(len(palette))
    if palette.void is not None:
        colours = np.vstack([colours, np.array(palette.void_colour, np.int64)])
        labels = np.append(labels, palette.void)
    differences = rgb[:, :, None, :].astype(np.int64) - colours
    nearest: npt.NDArray[np.intp] = (differences**2).sum(axis=-1).argmin(axis=-1)
    return labels[nearest].astype(np.uint8)


@given(painted())
def test_quantise_undoes_colourise(case: tuple[Palette, npt.NDArray[np.uint8]]) -> None:
    palette, labels = case
    rgb = palette.colourise(labels)
    assert rgb.shape == (*labels.shape, 3)
    np.testing.assert_array_equal(palette.quantise(rgb), labels)


@given(palettes(), st.integers(0, 2**32 - 1))
def test_quantise_is_the_exact_nearest_colour(palette: Palette, seed: int) -> None:
    rgb = np.random.default_rng(seed).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    np.testing.assert_array_equal(palette.quantise(rgb), brute_force(palette, rgb))


@pytest.mark.parametrize("name", BUILT_IN)
def test_quantise_is_exact_on_images_of_more_than_one_chunk(name: str) -> None:
    palette = Palette.named(name)
    rgb = np.random.default_rng(1).integers(0, 256, (211, 401, 3), dtype=np.uint8)
    np.testing.assert_array_equal(palette.quantise(rgb), brute_force(palette, rgb))


def test_ties_go_to_the_lowest_label() -> None:
    colours = np.array([[30, 0, 0], [10, 0, 0], [20, 10, 0]], dtype=np.uint8)
    palette = Palette("ties", ("a", "b", "c"), colours)
    # 20,0,0 is 10 away from all three; 15,5,0 is nearer to b and c, alike.
    rgb = np.array([[[20, 0, 0], [15, 5, 0]]], dtype=np.uint8)
    assert palette.quantise(rgb).tolist() == [[0, 1]]


def test_quantise_takes_views() -> None:
    palette = Palette.named("facades")
    rgb = np.random.default_rng(2).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    view = rgb[::2, 5:25:3]
    np.testing.assert_array_equal(palette.quantise(view), brute_force(palette, view))


def test_built_in_palettes() -> None:
    assert (
        *("facades", "cmp-facades", "camvid", "camvid-32", "cityscapes"),
        *("voc", "ade20k", "coco-stuff", "mapillary"),
    ) == BUILT_IN
    facades, cmp, camvid, camvid_32, cityscapes, voc, ade20k, coco, mapillary = map(
        Palette.named, BUILT_IN
    )
    assert (len(facades), facades.void) == (12, None)
    assert (len(camvid), camvid.void) == (11, 11)
    assert (len(cityscapes), cityscapes.void) == (19, 255)
    assert (len(voc), voc.void, voc.void_colour) == (21, 255, (224, 224, 192))
    assert voc.colours[voc.classes.index("person")].tolist() == [192, 128, 128]
    assert (len(ade20k), ade20k.void, ade20k.void_index) == (150, 255, 0)
    assert ade20k.indices == tuple(range(1, 151))
    assert (len(coco), coco.void, coco.void_index) == (171, 255, 255)
    stuff = dict(zip(coco.indices or (), coco.classes, strict=True))
    assert (stuff[0], stuff[12], stuff[89], stuff[91], stuff[181]) == (
        *("person", "stop sign", "toothbrush", "banner", "wood"),
    )
    # Of COCO's 182 categories eleven have no pixels: street sign, hat, shoe, ...
    assert set(range(182)) - stuff.keys() == {11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90}
    assert (len(camvid_32), camvid_32.void, camvid_32.void_index) == (31, 255, 30)
    colours = camvid_32.colours.tolist()
    assert all(colour in colours for colour in camvid.colours.tolist())
    assert (len(mapillary), mapillary.void) == (65, 65)
    for place, name, colour in ((0, "Bird", (165, 42, 42)), (55, "Car", (0, 0, 142))):
        assert mapillary.classes[place] == name
        assert tuple(mapillary.colours[place].tolist()) == colour
    assert facades.classes == cmp.classes
    assert facades.colours[facades.classes.index("sill")].tolist() == [112, 255, 142]
    assert cmp.colours[cmp.classes.index("sill")].tolist() == [85, 255, 170]
    assert camvid.classes[8] == "car"
    assert cityscapes.colours[cityscapes.classes.index("person")].tolist() == [220, 20, 60]


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_palettes_are_files_like_those_of_users(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    file = resources.files("compnn.images") / "palettes" / f"{name}.csv"
    header, *rows = csv.reader(file.read_text().splitlines())
    assert header == ["index", "name", "r", "g", "b"]
    loaded = patch_call(
        monkeypatch, Palette, "load", lambda original, *arguments: original(*arguments)
    )
    palette = Palette.named(name)
    assert [Path(path).name for (path,) in loaded] == [f"{name}.csv"]
    assert palette.name == name
    void = [int(index) for index, each, *_ in rows if each == "void"]
    more = palette.more_void_indices
    assert void == ([] if palette.void_index is None else [palette.void_index, *more])
    classes = {int(index): row for index, *row in rows if int(index) not in void}
    assert tuple(sorted(classes)) == palette.indices
    labels = palette.label_of_index()
    for index, (class_name, *colour) in classes.items():
        assert palette.classes[labels[index]] == class_name
        assert palette.colours[labels[index]].tolist() == [int(value) for value in colour]


def test_the_files_are_those_that_are_built_in() -> None:
    files = (resources.files("compnn.images") / "palettes").iterdir()
    assert sorted(file.name for file in files) == sorted(f"{name}.csv" for name in BUILT_IN)


def test_void_has_its_colour_and_strays_are_refused() -> None:
    camvid = Palette.named("camvid")
    assert camvid.colourise(np.array([[11, 0]], np.uint8)).tolist() == [[[0, 0, 0], [128] * 3]]
    with pytest.raises(PaletteError, match=r"label 12 is not in .*camvid.*0\.\.10, void 11"):
        camvid.colourise(np.array([[0, 12, 40]], np.uint8))


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_quantise_refuses_other_arrays(wrong: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(PaletteError, match=r"\(H, W, 3\) uint8, not \(4, 4"):
        Palette.named("facades").quantise(wrong)


@pytest.mark.parametrize("wrong", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.int64)])
def test_colourise_refuses_other_arrays(wrong: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(PaletteError, match=r"\(H, W\) uint8, not \(4, 4"):
        Palette.named("facades").colourise(wrong)


def test_colours_are_a_read_only_copy() -> None:
    colours = np.array([[1, 2, 3]], dtype=np.uint8)
    palette = Palette("one", ("only",), colours)
    colours[0, 0] = 9
    assert palette.colours.tolist() == [[1, 2, 3]]
    with pytest.raises(ValueError, match="read-only"):
        palette.colours[0, 0] = 9


def test_a_pickled_palette_is_read_only_still() -> None:
    palette = pickle.loads(pickle.dumps(Palette.named("camvid")))
    assert palette == Palette.named("camvid")
    assert hash(palette) == hash(Palette.named("camvid"))
    with pytest.raises(ValueError, match="read-only"):
        palette.colours[0, 0] = 9


@given(palettes())
def test_json_round_trip(palette: Palette) -> None:
    again = Palette.from_json(json.loads(json.dumps(palette.to_json())))
    assert again == palette
    assert hash(again) == hash(palette)


def test_equality_looks_at_the_colours() -> None:
    first = Palette("p", ("a",), np.array([[1, 2, 3]], np.uint8))
    assert first != Palette("p", ("a",), np.array([[1, 2, 4]], np.uint8))
    assert first != "p"


@pytest.mark.parametrize(
    "change",
    [
        {"colours": [[1, 2]]},
        {"colours": [[1, 2, 256]]},
        {"colours": [[1, 2, "x"]]},
        {"classes": ["a", "b"]},
        {"void": "black"},
        {"void": "11"},
        {"void": math.inf},
        {"void_colour": [1, 2]},
        {"void_colour": [1, 2, 256]},
        {"indices": []},
        {"indices": [256]},
        {"indices": ["0"]},
        {"void_index": 3},
    ],
)
def test_malformed_json_is_refused(change: dict[str, object]) -> None:
    data = Palette("p", ("a",), np.array([[1, 2, 3]])).to_json()
    Palette.from_json(data)
    with pytest.raises(PaletteError):
        Palette.from_json(data | change)
    (key,) = change
    with pytest.raises(PaletteError, match=key):
        Palette.from_json({each: value for each, value in data.items() if each != key})


@pytest.mark.parametrize(
    ("classes", "colours", "void", "message"),
    [
        (("a", "b"), [[0, 0, 1], [0, 0, 1]], None, "'a' and 'b' have the same colour"),
        (("a", "a"), [[0, 0, 1], [0, 0, 2]], None, "0 and 1 are both named 'a'"),
        (("a",), [[0, 0, 300]], None, r"0\.\.255"),
        (("a",), [[0, 0, 0.5]], None, "whole numbers"),
        (("a", "b"), [[0, 0, 1], [0, 0, 2]], 1, r"void is 1.*2\.\.255"),
        ((), np.zeros((0, 3)), None, "0 classes"),
    ],
)
def test_contradictory_palettes_are_refused(
    classes: tuple[str, ...], colours: npt.ArrayLike, void: int | None, message: str
) -> None:
    with pytest.raises(PaletteError, match=message):
        Palette("wrong", classes, np.array(colours), void)


def test_load(tmp_path: Path) -> None:
    path = tmp_path / "fruit.csv"
    path.write_text("index,name,r,g,b\n1,pear,0,200,0\n255,void,0,0,0\n\n0, apple, 200,0,0\n")
    palette = Palette.load(path)
    assert palette.name == "fruit"
    assert palette.classes == ("apple", "pear")
    assert palette.colours.tolist() == [[200, 0, 0], [0, 200, 0]]
    assert palette.void == 255
    assert resolve_palette(path) == resolve_palette(str(path)) == palette
    assert resolve_palette(palette) is palette


def test_indices_of_files_need_not_be_labels(tmp_path: Path) -> None:
    """0 for no class, as in ADE20K; 255 for the one class of a mask; void of the first's colour."""
    path = tmp_path / "some.csv"
    path.write_text("index,name,r,g,b\n0,void,5,5,5\n7,car,1,1,1\n255,sky,5,5,5\n")
    palette = Palette.load(path)
    assert palette.classes == ("car", "sky")
    assert (palette.void, palette.void_index, palette.indices) == (255, 0, (7, 255))
    found = palette.label_of_index()
    assert (found[0], found[7], found[255]) == (255, 0, 1)
    assert (np.delete(found, [0, 7, 255]) == -1).all()
    assert palette.colourise(np.array([[255, 0, 1]], np.uint8)).tolist() == [
        [[5] * 3, [1] * 3, [5] * 3]
    ]
    assert palette.quantise(np.array([[[5, 5, 5], [1, 1, 1]]], np.uint8)).tolist() == [[1, 0]]
    assert palette.describe_indices() == "palette 'some' (indices 7, 255, void 0)"
    assert Palette.named("camvid").describe_indices() == Palette.named("camvid").describe_labels()
    write_image(tmp_path / "map.png", np.array([[0, 7, 255]], np.uint8))
    assert read_labels(tmp_path / "map.png", palette).tolist() == [[255, 0, 1]]
    write_image(tmp_path / "map.png", np.array([[0, 7, 1]], np.uint8))
    with pytest.raises(ImageError, match=r"holds the label 1, .*\(indices 7, 255, void 0\)"):
        read_labels(tmp_path / "map.png", palette)


def test_several_indices_may_be_void(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_text("index,name,r,g,b\n0,void,5,5,5\n7,car,1,1,1\n9,void,6,6,6\n255,void,7,7,7\n")
    palette = Palette.load(path)
    assert (palette.void, palette.void_index, palette.more_void_indices) == (255, 0, (9, 255))
    assert palette.void_colour == (5, 5, 5), "the first's"
    assert palette.describe_indices() == "palette 'some' (indices 7, void 0, 9, 255)"
    write_image(tmp_path / "map.png", np.array([[0, 7, 9, 255]], np.uint8))
    assert read_labels(tmp_path / "map.png", palette).tolist() == [[255, 0, 255, 255]]
    assert "more_void_indices" not in Palette.named("voc").to_json(), "as older banks have it"
    with pytest.raises(PaletteError, match="malformed"):
        Palette.from_json(palette.to_json() | {"more_void_indices": 9})


@pytest.mark.parametrize(
    "parts",
    [
        {"indices": (0,)},
        {"indices": (0, 0)},
        {"indices": (0, 256)},
        {"indices": (0, 9), "void": 9},
        {"indices": (0, 1), "void": 9, "void_index": 1},
        {"void_index": 9},
        {"more_void_indices": (9,)},
        {"void": 9, "more_void_indices": (9,)},
        {"void": 9, "more_void_indices": (1,)},
        {"void": 9, "more_void_indices": (256,)},
        {"void": 9, "void_colour": (0, 0)},
        {"void": 9, "void_colour": (0, 0, 256)},
    ],
)
def test_indices_that_make_no_sense_are_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(PaletteError, match="palette 'p'"):
        Palette("p", ("a", "b"), np.array([[1, 1, 1], [2, 2, 2]]), **parts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "header index,name,r,g,b"),
        ("name,r,g,b\napple,1,2,3\n", "header index,name,r,g,b"),
        ("index,name,r,g,b\n", "has no classes"),
        ("index,name,r,g,b\n0,void,1,2,3\n", "has no classes"),
        ("index,name,r,g,b\n0,apple,1,2,3\n0,pear,4,5,6\n", "line 3: index 0 is used twice"),
        ("index,name,r,g,b\n0,apple,1,2,256\n", r"line 2.*0\.\.255"),
        ("index,name,r,g,b\n0,apple,1,2,red\n", "line 2.*whole numbers"),
        ("index,name,r,g,b\n0,apple,1,2\n", "line 2: has 4 cells"),
        ("index,name,r,g,b\n0,void,1,2,3\n0,apple,9,9,9\n", "line 3: index 0 is used twice"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text(text)
    with pytest.raises(PaletteError, match=message) as caught:
        Palette.load(path)
    assert str(path) in str(caught.value)


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PaletteError, match=r"binary\.csv cannot be read"):
        Palette.load(path)


def test_cells_may_be_quoted(tmp_path: Path) -> None:
    path = tmp_path / "quoted.csv"
    path.write_bytes(b'index,name,r,g,b\r\n0,"a, ""b"" \xe2\x80\xa8 c\nd",1,2,3\r1,e,4,5,6\r\n')
    assert Palette.load(path).classes == ('a, "b" \u2028 c\nd', "e")


def test_a_cell_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "endless.csv"
    path.write_text('index,name,r,g,b\n0,"' + "a" * 200_000)
    with pytest.raises(PaletteError, match=r"endless\.csv cannot be read: line 2: field larger"):
        Palette.load(path)


@pytest.mark.parametrize("spec", ["facade", Path("nowhere.csv"), "x" * 5000, "nul\0.csv"])
def test_unknown_palettes_list_the_built_in_ones(spec: str | Path) -> None:
    spec_text = re.escape(repr(str(spec)))
    with pytest.raises(PaletteError, match=rf"^{spec_text}.*facades, cmp-facades, camvid, "):
        resolve_palette(spec)


def test_unknown_name_lists_the_built_in_ones() -> None:
    with pytest.raises(PaletteError, match="'coco'; built in are facades, cmp-facades, camvid, "):
        Palette.named("coco")
