"""Files that list classes, as tools write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compnn.errors import PaletteError
from compnn.images.palette import Palette, resolve_palette
from compnn.images.palette_files import default_colour


def load(path: Path, text: str | object) -> Palette:
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return Palette.load(path)


def test_names_a_line(tmp_path: Path) -> None:
    palette = load(tmp_path / "names.txt", "sky\n\n tall tree \nvoid\nroad\n")
    assert palette.classes == ("sky", "tall tree", "road")
    assert palette.indices == (0, 1, 3)
    assert (palette.void, palette.void_index) == (255, 2)
    assert palette.colours.tolist() == [list(default_colour(index)) for index in (0, 1, 3)]


def test_cvat(tmp_path: Path) -> None:
    text = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar: red:255,0,0:door,hood:open\n"
    palette = load(tmp_path / "labelmap.txt", text)
    assert palette.classes == ("background", "car: red")
    assert palette.colours.tolist() == [[0, 0, 0], [255, 0, 0]]


def test_ade20k(tmp_path: Path) -> None:
    text = (
        "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.1\t9\t9\t1\twall\n2\t0.1\t9\t9\t0\tpool, tub\n"
    )
    palette = load(tmp_path / "objectInfo150.txt", text)
    assert palette.classes == ("wall", "pool, tub")
    assert (palette.indices, palette.void_index) == ((1, 2), 0)


def test_roboflow(tmp_path: Path) -> None:
    palette = load(tmp_path / "_classes.csv", "Pixel Value, Class\n0, background\n3, car\n")
    assert palette.classes == ("background", "car")
    assert palette.indices == (0, 3)


@pytest.mark.parametrize("form", ["id2label", "plain", "label_map"])
def test_json_of_names(tmp_path: Path, form: str) -> None:
    names = {"1": "b", "0": "a", "255": "void"}
    document: object = names if form == "plain" else {form: names, "model_type": "segformer"}
    palette = load(tmp_path / "config.json", document)
    assert palette.classes == ("a", "b")
    assert palette.void == 255


def test_json_with_colours(tmp_path: Path) -> None:
    meta = {"label_map": {"0": "a", "1": "b"}, "segmentation_colors": [[1, 2, 3], [4, 5, 6]]}
    palette = load(tmp_path / "dataset_meta.json", meta)
    assert palette.colours.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_colours_of_indices_with_gaps(tmp_path: Path) -> None:
    """They are listed in the order of the classes, or for each index."""
    names = {"2": "b", "0": "a"}
    for colours in ([[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [7, 8, 9], [4, 5, 6]]):
        meta = {"label_map": names, "segmentation_colors": colours}
        palette = load(tmp_path / "dataset_meta.json", meta)
        assert (palette.classes, palette.indices) == (("a", "b"), (0, 2))
        assert palette.colours.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_the_file_of_a_folder_is_found(tmp_path: Path) -> None:
    with pytest.raises(PaletteError, match="is neither a built-in palette"):
        resolve_palette(tmp_path)
    (tmp_path / "_classes.csv").write_text("Pixel Value, Class\n0, sky\n")
    assert resolve_palette(tmp_path).classes == ("sky",)
    meta = {"label_map": {"0": "a"}, "segmentation_colors": [[1, 2, 3]]}
    (tmp_path / "dataset_meta.json").write_text(json.dumps(meta))
    assert resolve_palette(str(tmp_path)).classes == ("a",)


def test_mapillary(tmp_path: Path) -> None:
    labels = [
        {"name": "animal--bird", "color": [165, 42, 42], "evaluate": True},
        {"name": "void--unlabeled", "color": [0, 0, 0], "evaluate": False},
        {"name": "object--sign", "color": [1, 2, 3]},
        {"name": "void--car-mount", "color": [9, 9, 9], "evaluate": False},
    ]
    palette = load(tmp_path / "config.json", {"version": 1.2, "labels": labels})
    assert palette.classes == ("animal--bird", "object--sign")
    assert palette.indices == (0, 2)
    assert (palette.void_index, palette.void_colour) == (1, (0, 0, 0))
    assert palette.more_void_indices == (3,)


def test_colours_of_pascal_voc() -> None:
    found = [default_colour(index) for index in (0, 1, 2, 3, 4, 15, 20, 255)]
    assert found == [
        *((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (192, 128, 128)),
        *((0, 64, 128), (224, 224, 192)),
    ]
    assert len({default_colour(index) for index in range(256)}) == 256


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "", "has no classes"),
        ("a.txt", "a\na\n", "both named 'a'"),
        ("a.txt", "# label:color_rgb:parts:actions\ncar:1,2::\n", "line 2: a colour is r, g, b"),
        ("a.txt", "# label:color_rgb:parts:actions\ncar\n", "line 2: a colour is r, g, b"),
        ("a.txt", "0\tcar\n", "line 1: has columns; give a name a line"),
        ("a.txt", "Idx Ratio Train Val Stuff Name\n1\ta\n", "line 2: has 2 columns, not 6"),
        ("a.csv", "Pixel Value,Class\n0,a\nx,b\n", r"line 3: the index .* not 'x'"),
        ("a.csv", "Pixel Value,Class\n0\n", "line 2: has 1 cells"),
        ("a.json", "{", "cannot be read"),
        ("a.json", "[" * 100_000, "cannot be read"),
        ("a.json", "[]", "none of the JSON files"),
        ("a.json", "{}", "none of the JSON files"),
        ("a.json", {"id2label": {"0": 3}}, "class '0': its name is 3"),
        ("a.json", {"id2label": {"256": "a"}}, "class '256': the index must be"),
        ("a.json", {"label_map": {"0": "a"}, "segmentation_colors": []}, "colour is r, g, b"),
        ("a.json", {"labels": [{"name": "a"}]}, "label 0: it needs a name and a color"),
        ("a.json", {"labels": [{"name": "a", "color": [1, 2, "x"]}]}, "label 0: a colour is"),
        ("a.json", {"id2label": {"0": "void"}}, "has no classes"),
    ],
)
def test_malformed_files_are_refused(
    tmp_path: Path, name: str, text: str | object, message: str
) -> None:
    with pytest.raises(PaletteError, match=message):
        load(tmp_path / name, text)
