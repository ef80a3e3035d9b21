"""Damage to saved explanations is an error that names it, never a traceback or another picture."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compnn.errors import SearchError
from compnn.explanation.explanation import Explanation
from explanations import explanation_of, grey_labels, values

SETTINGS = settings(
    deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    explanation_of(grey_labels(void=9)).save(folder / "labels")
    explanation_of(values()).save(folder / "values")
    return folder


@pytest.fixture(params=["labels", "values"])
def saved(sound: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder that a test may damage."""
    return Path(shutil.copytree(sound / request.param, tmp_path / "saved"))


def use_everything(explanation: Explanation) -> list[Any]:
    """All that can be asked of a loaded explanation."""
    pictures = [explanation.query, explanation.network_output, explanation.input]
    where = explanation.provenance
    pictures += [explanation.output, where.image, where.row, where.col]
    used = {source.index for source in explanation.sources()}
    for index in sorted(used | {each.index for each in explanation.candidates[:1]}):
        pictures += explanation.source_images(index)
    return [repr(explanation), *(picture.tobytes() for picture in pictures)]


def test_a_folder_without_an_explanation(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(SearchError, match=f"{folder} holds no saved explanation; give a"):
            Explanation.load(folder)


# Files


def files_of(folder: Path) -> list[Path]:
    """What is read again; of pictures that are stored otherwise, the PNG is for people."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (path.suffix == ".npy" or not path.with_suffix(".npy").is_file())
    ]


def test_each_file_is_missed_and_none_is_waited_for(saved: Path) -> None:
    files = files_of(saved)
    assert len(files) == 1 + 1 + 4 + 2 * 5
    for path in files:
        kept = path.read_bytes()
        for replace in (
            lambda path: None,
            os.mkfifo,
            os.mkdir,
            lambda path: path.write_bytes(b""),
            lambda path: path.write_text("text"),
            lambda path: path.symlink_to("/dev/zero"),
        ):
            path.unlink()
            replace(path)
            with pytest.raises(SearchError):
                use_everything(Explanation.load(saved))
            if path.is_dir():
                path.rmdir()
            elif path.exists() or path.is_symlink():
                path.unlink()
            path.write_bytes(kept)
    use_everything(Explanation.load(saved))


@SETTINGS
@given(st.data())
def test_damaged_files_are_errors_or_change_nothing(saved: Path, data: st.DataObject) -> None:
    """A bit flipped, or the file cut: some bytes of PNG and zip files mean nothing."""
    expected = use_everything(Explanation.load(saved))
    path = data.draw(st.sampled_from(files_of(saved)[1:]))
    assert path.name != "explanation.json"
    kept = path.read_bytes()
    content, place = bytearray(kept), data.draw(st.integers(0, len(kept) - 1))
    if data.draw(st.booleans()):
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        content = content[:place]
    path.write_bytes(content)
    try:
        found = use_everything(Explanation.load(saved))
    except SearchError:
        return
    finally:
        path.write_bytes(kept)
    assert found == expected


def test_pictures_of_one_image_are_not_taken_for_those_of_another(saved: Path) -> None:
    suffix = "npy" if "values" in (saved / "explanation.json").read_text() else "png"
    pairs = ("0-input.png", "1-input.png"), (f"0-target.{suffix}", f"1-target.{suffix}")
    for one, other in pairs:
        kept = (saved / "sources" / one).read_bytes()
        shutil.copy(saved / "sources" / other, saved / "sources" / one)
        with pytest.raises(SearchError, match=rf"{one} is no longer the picture"):
            Explanation.load(saved).source_images(0)
        (saved / "sources" / one).write_bytes(kept)


def test_pickles_are_not_opened(saved: Path) -> None:
    """A .npy file may hold one, which would run what a stranger has put in."""
    np.save(saved / "output.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(SearchError, match=r"output\.npy"):
        Explanation.load(saved)


# The document


def places(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where each value of a document is."""
    found = [before] if before else []
    parts = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        parts = enumerate(value)
    for key, part in parts:
        found += places(part, (*before, key))
    return found


def changed(document: Any, place: tuple[Any, ...], *value: Any) -> Any:
    """The document with another value, or none, at a place."""
    copy = json.loads(json.dumps(document))
    holder = copy
    for key in place[:-1]:
        holder = holder[key]
    if value:
        holder[place[-1]] = value[0]
    else:
        del holder[place[-1]]
    return copy


WRONG = [
    None,
    True,
    "x",
    "",
    -1,
    2.5,
    2**31,
    2**32 - 1,
    2**63,
    10**30,
    math.nan,
    math.inf,
    [],
    [[]],
    {},
    {"x": 1},
]


def kind_of(value: Any) -> str:
    if isinstance(value, (bool, type(None), str, list, dict)):
        return type(value).__name__
    return "number"


def test_every_field_of_the_document_is_needed(saved: Path) -> None:
    path = saved / "explanation.json"
    document = json.loads(path.read_text())
    free = 0
    for place in places(document):
        if isinstance(place[-1], int):
            continue
        path.write_text(json.dumps(changed(document, place)))
        if place[-3:-1] and place[-2] == "attributes":  # an image has those that it has
            Explanation.load(saved)
            free += 1
            continue
        with pytest.raises(SearchError, match=str(saved)):
            Explanation.load(saved)
    assert free == 3


@SETTINGS
@given(st.data())
def test_fields_of_another_type_are_errors(saved: Path, data: st.DataObject) -> None:
    path = saved / "explanation.json"
    document = json.loads(path.read_text())
    place = data.draw(st.sampled_from(places(document)))
    value = document
    for key in place:
        value = value[key]
    wrong = data.draw(st.sampled_from([each for each in WRONG if kind_of(each) != kind_of(value)]))
    is_free = (
        (place[0] == "candidates" and len(place) == 3 and wrong is None and place[2] == 2)
        # A picture that was not saved has no checksum.
        or (place[-1] == "crc32" and wrong is None)
    )
    path.write_text(json.dumps(changed(document, place, wrong)))
    try:
        if is_free:
            Explanation.load(saved)
        else:
            with pytest.raises(SearchError):
                Explanation.load(saved)
    finally:
        path.write_text(json.dumps(document))


@SETTINGS
@given(st.data())
def test_other_values_are_errors_or_usable(saved: Path, data: st.DataObject) -> None:
    """Whatever stands there: no traceback, when it is loaded or later."""
    path = saved / "explanation.json"
    document = json.loads(path.read_text())
    place = data.draw(st.sampled_from(places(document)))
    wrong = data.draw(
        st.sampled_from(WRONG)
        | st.integers()
        | st.floats()
        | st.text(max_size=5)
        | st.lists(st.integers(-3, 2**33), max_size=4)
    )
    path.write_text(json.dumps(changed(document, place, wrong)))
    try:
        use_everything(Explanation.load(saved))
    except SearchError:
        pass
    finally:
        path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "1", "null", '"x"', "{}", "[" * 10**5, '{"format": "compnn-bank"}', "\xff"],
)
def test_documents_that_are_none(saved: Path, text: str) -> None:
    (saved / "explanation.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(SearchError, match=r"explanation\.json"):
        Explanation.load(saved)


def test_a_field_of_another_explanation(saved: Path, tmp_path: Path) -> None:
    explanation_of(grey_labels(void=9), seed=1).save(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "field.npz", saved / "field.npz")
    with pytest.raises(SearchError, match=r"field\.npz is damaged, or of another explanation"):
        Explanation.load(saved)
