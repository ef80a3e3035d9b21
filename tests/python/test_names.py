"""Names of strangers on their way to terminals, pictures, tables, JSON and file names."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from compnn.names import csv_rows, csv_table, file_name, json_text, shown

LATIN_1 = os.fsdecode(b"fa\xe7ade")
FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"
CONTROLS = [*map(chr, range(32)), *map(chr, range(0x7F, 0xA0))]
NASTY = [*CONTROLS, *"\u202e\u2066\u200b\ufeff\u2028\u2029\udce7\udcff\ud800\ue000\U000e0041\uffff"]
PLAIN = [*"aZ09 -_.,;:'\"\\/~=+@|[]<>%#é立ß\u0301😀½\uff1d\u3000\xa0"]

# As file systems give them (bytes that may be no UTF-8), and as enemies would write them.
names = st.one_of(
    st.binary(max_size=12).map(os.fsdecode),
    st.text(NASTY + PLAIN, max_size=12),
    st.lists(st.integers(0, 0x10FFFF).map(chr), max_size=6).map("".join),
)
nasty = pytest.mark.parametrize("character", NASTY, ids=[f"{ord(c):x}" for c in NASTY])


def is_safe(text: str) -> bool:
    """Neither control nor hidden characters, neither halves of surrogates nor ends of lines."""
    text.encode()
    bad = {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
    hidden = any(unicodedata.category(c) == "Cf" and c not in "\u200c\u200d" for c in text)
    return not hidden and not bad.intersection(map(unicodedata.category, text))


# What people see


@given(names)
@example("\x1b]0;title\x07\x1b[31m\r\n\x9b2J")
def test_what_is_shown_is_safe(name: str) -> None:
    found = shown(name)
    assert is_safe(found)
    assert found.splitlines() == ([found] if found else [])
    assert shown(found) == found


@given(st.text(PLAIN))
def test_safe_texts_are_shown_as_they_are(text: str) -> None:
    assert shown(text) == text


@nasty
def test_what_cannot_be_shown_is_an_escape(character: str) -> None:
    found = shown(f"a{character}b")
    assert found[0] + found[-1] == "ab"
    assert found[1] == "\\"
    kind, digits = found[2], found[3:-1]
    code = ord(character) - (0xDC00 if 0xDC80 <= ord(character) <= 0xDCFF else 0)
    assert int(digits, 16) == code
    assert len(digits) == {"x": 2, "u": 4, "U": 8}[kind]


def test_names_that_are_not_utf_8() -> None:
    assert shown(LATIN_1) == "fa\\xE7ade"
    assert shown("façade") == "façade"
    assert shown("a\u200db \u202edcba") == "a\u200db \\u202Edcba"


def test_line_breaks_of_a_message_may_stay() -> None:
    assert shown("a\n\tb\r\x1b", keep="\n") == "a\n\\x09b\\x0D\\x1B"
    assert shown("é\n", keep="\n") == "é\n"


# Names of files


@given(names)
@example("")
@example("x" * 5000)
@example("立" * 5000)
@example("😀\U0001f600" * 100)
@example("../../etc/passwd")
@example(".hidden")
@example("-rf")
@example("...")
def test_names_of_files_are_safe_and_short(name: str) -> None:
    found = file_name(name)
    assert is_safe(found)
    assert 1 <= len(os.fsencode(found)) <= 120
    assert all(c.isalnum() or c in "-_.~" for c in found)
    assert found[0] not in ".-~"
    assert found[-1] != "."
    assert file_name(name) == found


@given(names, names)
@example("a/b", "a_b")
@example("a/b", "a\\b")
@example("a", "a.")
@example(".a", "a")
@example(LATIN_1, "fa\\xE7ade")
@example("x" * 500 + "y" + "x" * 500, "x" * 500 + "z" + "x" * 500)
def test_names_of_files_tell_names_apart(first: str, second: str) -> None:
    assert (file_name(first) == file_name(second)) == (first == second)


@pytest.mark.parametrize("name", ["1", "decoder_2", "frankfurt_000000_000294", "v1.5-b", "größe"])
def test_plain_names_are_names_of_files(name: str) -> None:
    assert file_name(name) == name


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("/up/Conv", "_up_Conv~"),
        (LATIN_1, "fa_xE7ade~"),
        ("a b", "a_b~"),
        ("-rf", "rf~"),
        ("", "unnamed~"),
        ("..", "unnamed~"),
    ],
)
def test_names_of_files_stay_readable(tmp_path: Path, name: str, begins: str) -> None:
    found = file_name(name)
    assert found.startswith(begins)
    assert len(found) == len(begins) + 8
    (tmp_path / f"{found}.png").write_bytes(b"")
    assert [path.name for path in tmp_path.iterdir()] == [f"{found}.png"]


# Tables


@given(st.lists(st.tuples(names, names), max_size=4), names)
def test_tables_have_one_line_a_row(rows: list[tuple[str, str]], column: str) -> None:
    text = csv_table(["name", column], rows)
    assert is_safe(text.replace("\n", ""))
    for lines in (text.split("\n")[:-1], text.splitlines(), list(io.StringIO(text, newline=""))):
        assert len(lines) == len(rows) + 1
    assert text.count("\n") == len(rows) + 1
    read = list(csv.reader(text.splitlines()))
    assert read == list(csv.reader(io.StringIO(text, newline="")))
    for row, expected in zip(read, [("name", column), *rows], strict=True):
        for cell, name in zip(row, expected, strict=True):
            assert cell in (shown(name), f"'{shown(name)}")


@given(names)
@example("=1+1")
@example(" \t=1+1")
@example("\r=1+1")
@example("\u3000\uff1dcmd|' /C calc'!A0")
@example("@SUM(1)")
def test_no_cell_is_a_formula(name: str) -> None:
    [[column], [cell]] = csv.reader(csv_table([name], [(name,)]).splitlines())
    assert column == cell
    assert cell.strip()[:1] not in {*FORMULA}
    assert not cell.startswith(("\t", "\r", "\n"))


def test_a_lone_carriage_return_breaks_no_row() -> None:
    text = csv_table(["name", "value"], [("a\rb", 1), ("c\nd", 2), ("e\r\nf", 3), ("g\x85h", 4)])
    assert [row[0] for row in csv.reader(text.splitlines())] == [
        "name",
        "a\\x0Db",
        "c\\x0Ad",
        "e\\x0D\\x0Af",
        "g\\x85h",
    ]


def test_numbers_are_numbers() -> None:
    row = [1.23456789, -2.5, math.nan, None, math.inf, 7, -7, True]
    numpy = [np.float32(0.1), np.float64(math.nan), np.int64(-3), np.float32(math.nan)]
    others = [Path("=a"), Decimal("-1.5"), ("=a", 1)]
    [cells] = csv.reader([csv_table([], [[*row, *numpy, *others]]).splitlines()[1]])
    assert cells == [
        *["1.23457", "-2.5", "", "", "inf", "7", "-7", "True"],
        *["0.1", "", "-3", ""],
        *["'=a", "'-1.5", "('=a', 1)"],
    ]


@given(st.lists(st.lists(st.text(PLAIN), min_size=2, max_size=3), max_size=4))
def test_tables_are_read_back(rows: list[list[str]]) -> None:
    text = csv_table(["name", "b"], rows)
    expected = [["name", "b"], *([cell.strip() for cell in map(quoted, row)] for row in rows)]
    assert [cells for _, cells in csv_rows(text.encode())] == [row for row in expected if any(row)]


def quoted(cell: str) -> str:
    return f"'{cell}" if cell.lstrip().startswith(tuple(FORMULA)) else cell


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_rows_are_counted_by_the_lines_of_the_file(end: str, mark: str) -> None:
    text = f'{mark}name, wall{end} a , "b{end}c\u2028"{end}{end} ,{end}"d",\x0ce{end}'
    assert csv_rows(text.encode()) == [
        (1, ["name", "wall"]),
        (3, ["a", f"b{end}c"]),
        (6, ["d", "e"]),
    ]


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a,b\nfa\xe7ade,1\n", b'a,"' + b"b" * 200_000])
def test_what_is_no_table_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"utf-8|field larger"):
        csv_rows(data)


# JSON

documents: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # A half of a surrogate in front of another would read as one character; no name has that.
    | names.filter(lambda name: not any("\ud800" <= c <= "\udbff" for c in name)),
    lambda parts: (
        st.lists(parts, max_size=3)
        | st.dictionaries(st.binary(max_size=6).map(os.fsdecode), parts, max_size=3)
    ),
    max_leaves=6,
)


@given(documents, st.sampled_from([None, 0, 2]))
@example({LATIN_1: ["\x9b2J\x7f\u202e\U000e0041立😀\n"]}, None)
def test_json_is_safe_text_that_programs_read_as_it_was(document: Any, indent: int | None) -> None:
    text = json_text(document, indent)
    assert is_safe(text.replace("\n", ""))
    if indent is None:
        assert "\n" not in text
    assert json.loads(text.encode()) == document


def test_names_stay_readable_in_json() -> None:
    assert json_text({"name": "立面 é", "raw": LATIN_1}, None) == (
        '{"name": "立面 é", "raw": "fa\\udce7ade"}'
    )
    assert json_text(["a"]) == '[\n  "a"\n]'


def test_numbers_that_json_does_not_have_are_null() -> None:
    document: Mapping[str, object] = {
        "a": [math.nan, (math.inf, -math.inf), np.float32(0.5), np.float64(math.nan)],
        "b": {"c": np.int64(3), "d": np.bool_(True)},
    }
    assert json.loads(json_text(document)) == {
        "a": [None, [None, None], 0.5, None],
        "b": {"c": 3, "d": True},
    }
