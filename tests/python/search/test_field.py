"""Fields: written, read, damaged, merged."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compnn.errors import OutputError, SearchError
from compnn.search.field import Field
from compnn.search.search import Exhaustive
from engine import bank_of, check_same
from reference import cell_norms, random_case

NAMES = ("image", "row", "col", "similarity")


def random_field(
    seed: int, matches: int = 2, grid: tuple[int, int] = (3, 5), images: tuple[int, int] = (0, 9)
) -> Field:
    random = np.random.default_rng(seed)
    shape = (matches, *grid)
    image, row, col = (random.integers(*images, shape, np.int32) for _ in range(3))
    similarity = -np.sort(-random.uniform(-1, 1, shape).astype(np.float32), axis=0)
    return Field(image, row, col, similarity)


def arrays(field: Field) -> tuple[np.ndarray, ...]:
    return tuple(getattr(field, name) for name in NAMES)


def test_what_a_field_knows() -> None:
    field = random_field(0)
    assert field.matches == 2
    assert field.grid == (3, 5)
    assert field.mean_similarity == pytest.approx(field.similarity[0].mean())
    assert repr(field) == (
        f"Field(3x5 hyperpatches, 2 matches each, mean similarity {field.mean_similarity:.4f})"
    )
    assert "1 match each" in repr(random_field(0, matches=1))


@pytest.mark.parametrize("grid", [(1, 1), (3, 5), (1, 40)])
def test_fields_come_back_from_files_and_pickles(tmp_path: Path, grid: tuple[int, int]) -> None:
    field = random_field(1, 3, grid)
    path = tmp_path / "field.npz"
    field.save(str(path))
    assert [each.name for each in tmp_path.iterdir()] == ["field.npz"]
    for found in (Field.load(path), Field.load(str(path)), pickle.loads(pickle.dumps(field))):
        check_same(arrays(found), arrays(field))
        assert [array.dtype for array in arrays(found)] == [array.dtype for array in arrays(field)]
    with np.load(path) as stored:  # by whoever has NumPy
        assert set(stored) == set(NAMES)


def test_a_field_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "nowhere" / "field.npz"):
        with pytest.raises(OutputError, match=f"cannot write {path}: "):
            random_field(0).save(path)
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


def test_a_full_disk_leaves_the_old_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "field.npz"
    random_field(0).save(path)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match=r"cannot write .*field\.npz: No space left on device"):
        random_field(1).save(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["field.npz"]


@pytest.mark.parametrize(
    "change",
    [
        {"image": None},
        {"row": np.zeros((2, 3, 5), np.int64)},
        {"col": np.zeros((2, 3, 4), np.int32)},
        {"image": np.zeros((2, 3, 5), ">i4")},
        {"image": np.full((2, 3, 5), -1, np.int32)},
        {"row": np.full((2, 3, 5), -1, np.int32)},
        {"similarity": np.zeros((2, 3, 5))},
        {"similarity": np.full((2, 3, 5), np.nan, np.float32)},
        {"similarity": np.full((2, 3, 5), 1.5, np.float32)},
        {
            name: np.zeros((0, 3, 5), np.float32 if name == "similarity" else np.int32)
            for name in NAMES
        },
        {
            name: np.zeros((3, 5), np.float32 if name == "similarity" else np.int32)
            for name in NAMES
        },
    ],
)
def test_files_that_hold_no_field(tmp_path: Path, change: dict[str, np.ndarray | None]) -> None:
    field = random_field(2)
    found = {name: getattr(field, name) for name in NAMES} | change
    np.savez(tmp_path / "field.npz", **{n: a for n, a in found.items() if a is not None})
    with pytest.raises(SearchError, match=r"field\.npz is not a field that compnn saved"):
        Field.load(tmp_path / "field.npz")


def test_what_is_no_file_of_a_field(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")  # it would be waited for
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "pickle").write_bytes(pickle.dumps({"image": 1}))
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_text("field")
    (tmp_path / "folder").mkdir()
    for path in [*tmp_path.iterdir(), tmp_path / "missing", Path("/dev/zero")]:
        with pytest.raises(SearchError, match=f"{path} is not a field that compnn saved"):
            Field.load(path)


def test_where_there_is_no_match(tmp_path: Path) -> None:
    field = random_field(4)
    field.image[:, 0, 0] = field.row[:, 0, 0] = field.col[:, 0, 0] = -1
    field.similarity[:, 0, 0] = 0
    field.image[1, 1, 1] = field.row[1, 1, 1] = field.col[1, 1, 1] = -1
    field.similarity[1, 1, 1] = 0
    expected = np.ones((2, 3, 5), bool)
    expected[:, 0, 0] = expected[1, 1, 1] = False
    np.testing.assert_array_equal(field.matched, expected)
    assert field.mean_similarity == pytest.approx(field.similarity[0].ravel()[1:].mean())
    field.save(tmp_path / "field.npz")
    check_same(arrays(Field.load(tmp_path / "field.npz")), arrays(field))


def test_no_match_has_mean_similarity_zero() -> None:
    none = np.full((2, 3, 5), -1, np.int32)
    assert Field(none, none, none, np.zeros((2, 3, 5), np.float32)).mean_similarity == 0


@pytest.mark.parametrize(
    ("name", "value"), [("image", -1), ("row", -1), ("col", -1), ("row", 0), ("similarity", 0.5)]
)
def test_half_a_match_is_no_field(tmp_path: Path, name: str, value: float) -> None:
    field = random_field(5)
    if value >= 0:  # of what is no match
        for each in arrays(field):
            each[1, 2, 3] = 0 if each is field.similarity else -1
    getattr(field, name)[1, 2, 3] = value
    field.save(tmp_path / "field.npz")
    with pytest.raises(SearchError, match="where there is no match"):
        Field.load(tmp_path / "field.npz")


def test_a_match_after_none_is_no_field(tmp_path: Path) -> None:
    field = random_field(6)
    for each in arrays(field):
        each[0, 2, 3] = 0 if each is field.similarity else -1
    field.save(tmp_path / "field.npz")
    with pytest.raises(SearchError, match="matches after none"):
        Field.load(tmp_path / "field.npz")


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damage_is_an_error_or_changes_nothing(tmp_path: Path, data: st.DataObject) -> None:
    """A bit flipped, or the file cut: some bytes of a zip file mean nothing."""
    field = random_field(3)
    path = tmp_path / "field.npz"
    field.save(path)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        content = content[:place]
    path.write_bytes(content)
    try:
        found = Field.load(path)
    except SearchError:
        return
    check_same(arrays(found), arrays(field))


# Merging


@pytest.mark.parametrize("parts", [[[0, 1, 2, 3, 4]], [[0, 3], [1, 2, 4]], [[4], [2, 1], [0, 3]]])
def test_merged_fields_are_those_of_one_search(parts: list[list[int]]) -> None:
    case = random_case(1, images=5)
    case.bank[3] = case.bank[1]  # equally similar matches, in the order of the images
    case.query[:2, :3] = 0  # no match
    case.bank[4] *= np.eye(*case.bank.shape[1:3])[..., None] > 0
    case.bank[0] = case.bank[2] = 0
    bank = bank_of(list(case.bank), [cell_norms(image) for image in case.bank])
    queries = [(case.query, cell_norms(case.query), None)]
    search = Exhaustive(4)
    fields = [search.run(bank, queries, np.array(sorted(p), np.int32), (2, 2)) for p in parts]
    whole = search.run(bank, queries, case.candidates, (2, 2))
    check_same(arrays(Field.merged(fields)), arrays(whole))
    check_same(arrays(Field.merged(fields[::-1])), arrays(whole))


def test_fields_that_cannot_be_merged() -> None:
    field = random_field(0, images=(0, 4))
    for others in ([random_field(1, 3)], [random_field(1, grid=(3, 4))]):
        with pytest.raises(SearchError, match="with as many matches each can be merged"):
            Field.merged([field, *others])
    with pytest.raises(SearchError, match="not none"):
        Field.merged([])
    with pytest.raises(SearchError, match="in the same image"):
        Field.merged([field, field])
