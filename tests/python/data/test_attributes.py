"""Attributes of training images, with and without a header."""

from __future__ import annotations

from pathlib import Path

import pytest

from compnn.data.attributes import resolve_attributes
from compnn.errors import DatasetError

NAMES = ("1", "2", "10", "v1.5")


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "attributes.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_with_header(tmp_path: Path) -> None:
    path = write(tmp_path, 'name, wall,style\n1.jpg,red,modern\n\n10,,"late, gothic"\nv1.5,blau,\n')
    assert resolve_attributes(path, NAMES) == {
        "1": {"wall": "red", "style": "modern"},
        "10": {"style": "late, gothic"},
        "v1.5": {"wall": "blau"},
    }


def test_without_header(tmp_path: Path) -> None:
    path = write(tmp_path, "1.jpg,wall=red,style=modern\n2,style = a=b\nv1.5.png\n")
    assert resolve_attributes(path, NAMES) == {
        "1": {"wall": "red", "style": "modern"},
        "2": {"style": "a=b"},
        "v1.5": {},
    }


def test_a_spreadsheet_may_write_a_byte_order_mark(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeffname,wall\n1,red\n")
    assert resolve_attributes(str(path), NAMES) == {"1": {"wall": "red"}}


def test_an_image_may_be_called_name(tmp_path: Path) -> None:
    path = write(tmp_path, "name,wall=red\n")
    assert resolve_attributes(path, ["name"]) == {"name": {"wall": "red"}}


def test_mapping_and_none() -> None:
    given = {"1.png": {"wall": "red"}}
    resolved = resolve_attributes(given, NAMES)
    assert resolved == {"1": {"wall": "red"}}
    resolved["1"]["wall"] = "blue"
    assert given == {"1.png": {"wall": "red"}}
    assert resolve_attributes(None, NAMES) == {}


def test_unknown_names_are_listed(tmp_path: Path) -> None:
    rows = "".join(f"ghost{number},red\n" for number in range(7))
    with pytest.raises(DatasetError, match=r"ghost0, ghost1, .*ghost4 and 2 more") as caught:
        resolve_attributes(write(tmp_path, "name,wall\n1,red\n" + rows), NAMES)
    assert "attributes.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("file,wall\n1,red\n", "line 1: 'wall' is not key=value.*header"),
        ("1,wall=red\n2,modern\n", "line 2: 'modern' is not key=value"),
        ("1,wall=\n", "line 1: 'wall=' is not key=value"),
        ("1,wall=red,wall=blue\n", "line 1: 'wall' is given twice"),
        ("name,wall\n1,red,modern\n", "line 2: has 3 cells, but the header has 2"),
        ("name,wall,wall\n1,red,blue\n", "its own name"),
        ("name\n1\n", "its own name"),
        ("name,wall\n1,red\n1.jpg,blue\n", "names the image '1' twice"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        resolve_attributes(write(tmp_path, text), NAMES)
    assert "attributes.csv" in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere\.csv cannot be read"):
        resolve_attributes(tmp_path / "nowhere.csv", NAMES)
