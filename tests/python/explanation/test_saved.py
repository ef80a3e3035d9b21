"""Saved explanations: what comes back, without the bank, and what is said where it cannot."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from compnn.errors import OutputError, SearchError
from compnn.explanation import explanation as module
from compnn.explanation.explanation import Explanation
from compnn.images.files import read_image
from compnn.images.palette import Palette
from explained import described
from explanations import (
    ATTRIBUTES,
    COUNT,
    Training,
    explanation_of,
    grey_labels,
    painted_labels,
    photos,
    values,
)
from memory_images import MemoryImages

SIZES = [(32, 24), (9, 40), (50, 7), (31, 33), (4, 4)]
KINDS: dict[str, Callable[[], Training]] = {
    "photos": photos,
    "label maps": lambda: grey_labels(void=9),
    "painted inputs": painted_labels,
    "values": values,
    "sizes": lambda: photos(SIZES),
}


@pytest.fixture(params=KINDS)
def training(request: pytest.FixtureRequest) -> Training:
    return KINDS[request.param]()


def same(found: Explanation, expected: Explanation) -> None:
    """All that an explanation says is the same, but for pictures of sources."""
    assert found.layer == expected.layer
    assert found.search == expected.search
    assert found.composition == expected.composition
    assert found.candidates == expected.candidates
    assert (found.input_kind, found.target_kind) == (expected.input_kind, expected.target_kind)
    assert found.sources() == expected.sources()
    assert repr(found) == repr(expected)
    for name in ("query", "network_output", "input", "output"):
        one, other = getattr(found, name), getattr(expected, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    for name in ("image", "row", "col"):
        for part in ("field", "provenance"):
            pair = [getattr(getattr(each, part), name) for each in (found, expected)]
            np.testing.assert_array_equal(*pair)
    np.testing.assert_array_equal(found.field.similarity, expected.field.similarity)


def same_sources(found: Explanation, expected: Explanation) -> None:
    """The pictures of all images that matches point to, and of the nearest, are the same."""
    images = {*np.unique(expected.field.image).tolist(), expected.candidates[0].index}
    assert len(images) in (2, COUNT)
    for index in images:
        for one, other in zip(
            found.source_images(index), expected.source_images(index), strict=True
        ):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


# What comes back


@pytest.mark.parametrize("composition", ["copy", "overlap"])
def test_explanations_come_back(training: Training, composition: str, tmp_path: Path) -> None:
    expected = explanation_of(training, composition=composition)  # type: ignore[arg-type]
    expected.save(tmp_path / "saved")
    found = Explanation.load(tmp_path / "saved")
    same(found, expected)
    same_sources(found, expected)
    assert found.images.path == tmp_path / "saved"
    # What was put together can be put together again.
    again = Explanation(
        found.layer,
        found.field,
        found.search,
        found.query,
        found.network_output,
        found.candidates,
        (found.input_kind, found.target_kind),
        found.images,
        found.composition,
    )
    same(again, expected)


def test_explanations_come_back_without_their_sources(training: Training, tmp_path: Path) -> None:
    expected = explanation_of(training, composition="overlap")
    expected.save(str(tmp_path), sources="none")
    assert not (tmp_path / "sources").exists()
    found = Explanation.load(str(tmp_path))
    same(found, expected)
    with pytest.raises(
        SearchError, match=r'input of training image 0 was not saved in .*sources="used"'
    ):
        found.source_images(0)


def test_a_saved_explanation_has_the_images_that_matches_point_to(tmp_path: Path) -> None:
    """And the one that is nearest, here image 2."""
    explanation_of(photos(), used=[3]).save(tmp_path)
    found = Explanation.load(tmp_path)
    for index in (2, 3):
        given, _ = found.source_images(index)
        np.testing.assert_array_equal(given, photos().images.inputs.picture(index))
    with pytest.raises(SearchError, match=r"training image 1 was not saved.*no match points to it"):
        found.source_images(1)


def test_attributes_of_sources_come_back(tmp_path: Path) -> None:
    explanation_of(photos()).save(tmp_path)
    found = {source.name: source.attributes for source in Explanation.load(tmp_path).sources()}
    assert found == {
        name: ATTRIBUTES.get(name, {}) for name in ("img_0", "img_1", "img_3", "img_4")
    }


def test_a_loaded_explanation_is_saved_again(training: Training, tmp_path: Path) -> None:
    expected = explanation_of(training)
    expected.save(tmp_path / "first")
    Explanation.load(tmp_path / "first").save(tmp_path / "second")
    # Into its own folder, too, which it reads from.
    Explanation.load(tmp_path / "second").save(tmp_path / "second")
    shutil.rmtree(tmp_path / "first")
    found = Explanation.load(tmp_path / "second")
    same(found, expected)
    same_sources(found, expected)
    assert json.loads((tmp_path / "second" / "explanation.json").read_text())["bank"] == str(
        MemoryImages([], []).path
    )


def test_a_folder_is_given_relative_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = explanation_of(photos())
    monkeypatch.chdir(tmp_path)
    expected.save("saved")
    found = Explanation.load("saved")
    monkeypatch.chdir("/")
    same_sources(found, expected)


HOSTILE = ["fa\udce7ade", "\x1b[31mred", "a\"b'c\\", "=1+1", "line\r\nbreak\u2028"]


def test_hostile_names_come_back(tmp_path: Path) -> None:
    """Names of files that are no UTF-8, quotes, control characters; as attributes, too."""
    attributes = {HOSTILE[0]: {"w\udce7ll": "r\x1bd"}}
    expected = explanation_of(photos(names=HOSTILE, attributes=attributes))
    expected.save(tmp_path / os.fsdecode(b"fa\xe7ade"))
    found = Explanation.load(tmp_path / os.fsdecode(b"fa\xe7ade"))
    same(found, expected)
    assert {source.name for source in found.sources()} == {HOSTILE[i] for i in (0, 1, 3, 4)}
    assert [each.name for each in found.candidates] == [HOSTILE[i] for i in (2, 0, 1, 3, 4)]
    assert found.images.attributes == attributes


# The folder


def test_what_is_in_the_folder(training: Training, tmp_path: Path) -> None:
    expected = explanation_of(training)
    folder = tmp_path / "deep" / "saved"
    paths = expected.save(folder)
    pictures = ["query", "network_output", "input", "output"]
    assert paths == [*(folder / f"{name}.png" for name in pictures), folder / "field.npz"]
    for name in pictures:
        kind = expected.target_kind if "output" in name else expected.input_kind
        shown = kind.paint(getattr(expected, name))
        np.testing.assert_array_equal(read_image(folder / f"{name}.png"), shown)
    names = {path.name for path in paths} | {"explanation.json", "sources"}
    if expected.target_kind.trailing == ():  # a PNG shows them in colours
        names |= {"network_output.npy", "output.npy"}
    assert {path.name for path in folder.iterdir()} == names
    suffix = "npy" if expected.target_kind.name == "values" else "png"
    sources = {f"{i}-input.png" for i in range(COUNT)} | {
        f"{i}-target.{suffix}" for i in range(COUNT)
    }
    assert {path.name for path in (folder / "sources").iterdir()} == sources


def test_an_older_explanation_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    for mine in ("notes.txt", "sources/mine.png", "contact_sheet.png"):
        (tmp_path / mine).write_text("mine")
    orders = [photos, lambda: grey_labels(9), values, photos, painted_labels]
    for seed, make in enumerate(orders):
        expected = explanation_of(make(), seed=seed)
        expected.save(tmp_path)
        found = Explanation.load(tmp_path)
        same(found, expected)
        same_sources(found, expected)
    few = explanation_of(photos(), used=[1])
    few.save(tmp_path, sources="none")
    same(Explanation.load(tmp_path), few)
    assert not list(tmp_path.glob("*.npy"))
    assert [path.name for path in (tmp_path / "sources").iterdir()] == ["mine.png"]
    for mine in ("notes.txt", "sources/mine.png", "contact_sheet.png"):
        assert (tmp_path / mine).read_text() == "mine"


def test_another_explanation_in_its_folder_is_not_taken_for_it(tmp_path: Path) -> None:
    expected = explanation_of(photos())
    expected.save(tmp_path)
    early, late = Explanation.load(tmp_path), Explanation.load(tmp_path)
    same_sources(early, expected)
    other = photos()
    for pictures in (other.images.inputs.pictures, other.images.targets.pictures):
        for picture in pictures:
            picture ^= 255
    explanation_of(other).save(tmp_path)
    same_sources(early, expected)  # has read them
    with pytest.raises(SearchError, match=r"0-input\.png is no longer the picture that was saved"):
        late.source_images(0)


def test_sources_that_there_are_not(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match='sources are "used" or "none", not \'all\''):
        explanation_of(photos()).save(tmp_path / "saved", sources="all")  # type: ignore[arg-type]
    assert not (tmp_path / "saved").exists()


# What is in the way


def test_saving_where_a_file_or_a_folder_is_in_the_way(tmp_path: Path) -> None:
    found = explanation_of(photos())
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match=f"cannot write {folder}: "):
            found.save(folder)
    for name in ("field.npz", "explanation.json"):
        saved = tmp_path / name
        (saved / name).mkdir(parents=True)
        with pytest.raises(OutputError, match=rf"cannot write {saved / name}: "):
            found.save(saved)
        assert not [path for path in saved.rglob("*") if path.name.startswith(".")]
        with pytest.raises(SearchError):
            Explanation.load(saved)
    assert (tmp_path / "file").read_text() == "mine"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_full_disk_leaves_the_old_explanation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever file it is that finds no room."""
    old, new = explanation_of(photos()), explanation_of(grey_labels(), seed=1)
    old.save(tmp_path)
    before = contents(tmp_path)
    for room in range(4 + 2 + 1 + 2 * COUNT + 1):
        written: list[int] = []

        def fsync(descriptor: int, room: int = room, written: list[int] = written) -> None:
            if os.path.isfile(f"/proc/self/fd/{descriptor}"):
                written.append(descriptor)
            if len(written) > room:
                raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", fsync)
            with pytest.raises(OutputError, match="No space left on device"):
                new.save(tmp_path)
        assert contents(tmp_path) == before
        same(Explanation.load(tmp_path), old)
    new.save(tmp_path)
    same(Explanation.load(tmp_path), new)


class KilledError(BaseException):
    """In place of a signal that kills."""


@pytest.mark.parametrize("function", ["replace", "unlink"])
def test_a_save_that_is_killed_leaves_no_half_explanation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    """The folder has the old explanation, the new one, or says that it has none."""
    original = getattr(os, function)
    old = explanation_of(values(), used=[1])
    new = explanation_of(photos(), used=[3], seed=1)
    outcomes = set()
    for moment in range(100):
        folder = tmp_path / str(moment)
        old.save(folder)
        calls = []

        def killed(*arguments: object, moment: int = moment, calls: list[int] = calls) -> None:
            if len(calls) == moment:
                raise KilledError
            calls.append(1)
            original(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(os, function, killed)
            # What is killed does not clean up.
            patch.setattr(shutil, "rmtree", lambda *_, **__: None)
            if function == "unlink":
                patch.setattr(Path, "unlink", lambda path, missing_ok=False: killed(path))
            with suppress(KilledError):
                new.save(folder)
        try:
            found = Explanation.load(folder)
        except SearchError:
            outcomes.add("none")
        else:
            is_new = found.target_kind == new.target_kind
            outcomes.add("new" if is_new else "old")
            same(found, new if is_new else old)
            same_sources(found, new if is_new else old)
        new.save(folder)
        same(Explanation.load(folder), new)
        if len(calls) < moment:  # it came to its end
            break
    assert outcomes == {"old", "none", "new"}


# Pickles


@pytest.mark.parametrize("kind", ["label maps", "values"])
def test_a_loaded_explanation_works_in_another_process(kind: str, tmp_path: Path) -> None:
    expected = explanation_of(KINDS[kind]())
    expected.save(tmp_path)
    found = Explanation.load(tmp_path)
    found.source_images(0)
    same(pickle.loads(pickle.dumps(found)), expected)
    with get_context("spawn").Pool(1) as pool:
        assert pool.apply(described, (found,)) == described(expected)


def test_a_pickle_holds_no_pictures_that_are_in_the_folder(tmp_path: Path) -> None:
    explanation_of(photos()).save(tmp_path)
    found = Explanation.load(tmp_path)
    before = len(pickle.dumps(found))
    for index in range(COUNT):
        found.source_images(index)
    assert len(pickle.dumps(found)) == before


def test_the_version_is_that_of_this_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    explanation_of(photos()).save(tmp_path)
    monkeypatch.setattr(module, "_VERSION", 99)
    with pytest.raises(SearchError, match=r"explanation\.json is of version 2, not 99"):
        Explanation.load(tmp_path)


def test_palettes_come_back_whole(tmp_path: Path) -> None:
    expected = explanation_of(painted_labels())
    expected.save(tmp_path)
    kind = Explanation.load(tmp_path).input_kind
    assert kind == expected.input_kind
    assert getattr(kind, "palette") == Palette.named("camvid")  # noqa: B009
