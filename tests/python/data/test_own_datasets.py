"""Datasets that users write: names, kinds, and a method that reads a pair."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compnn.data.dataset import Dataset, Pair, natural_key
from compnn.data.folders import SideBySide
from compnn.errors import DatasetError, ImageError
from compnn.images.files import write_image
from compnn.images.kinds import Labels, Photo, Values
from dataset_readers import read_pair
from memory_dataset import MemoryDataset, grey_palette


class Doubled(Dataset):
    """Pairs whose input and target tell the number that is their name."""

    def __init__(self, names: Sequence[str], **options: Any) -> None:
        super().__init__(names, **options)
        self.reads: list[str] = []

    def read(self, name: str) -> Pair:
        self.reads.append(name)
        value = int(name)
        return Pair(
            name, np.full((4, 6, 3), value, np.uint8), np.full((4, 6), 2 * value, np.float32)
        )


def test_a_class_with_one_method_is_a_dataset() -> None:
    dataset = Doubled(["10", "9", "2"], target_kind=Values("m"), attributes={"9": {"wall": "red"}})
    assert dataset.names == ("2", "9", "10")
    assert (dataset.input_kind, dataset.target_kind) == (Photo(), Values("m"))
    assert dataset.attributes == {"9": {"wall": "red"}}
    assert dataset.reads == []  # only when asked for
    assert dataset[1].target[0, 0] == 18
    assert [pair.input[0, 0, 0] for pair in dataset] == [2, 9, 10]
    assert dataset.reads == ["9", "2", "9", "10"]
    smaller = dataset.subset(["10", "9"])
    assert isinstance(smaller, Doubled)
    assert (smaller.names, smaller[0].name, smaller.target_kind) == (("9", "10"), "9", Values("m"))
    assert repr(smaller) == "Doubled(2 pairs)"


def test_a_dataset_must_say_how_it_reads() -> None:
    class Nameless(Dataset):
        pass

    with pytest.raises(TypeError, match="read"):
        Nameless(["a"])  # type: ignore[abstract]


@pytest.mark.parametrize("kind", ["photo", Photo, grey_palette(3), 7])
@pytest.mark.parametrize("role", ["input_kind", "target_kind"])
def test_what_is_no_kind_is_refused(role: str, kind: Any) -> None:
    with pytest.raises(DatasetError, match=r"is no kind of picture; give compnn\.Photo\(\)"):
        Doubled(["1"], **{role: kind})


@pytest.mark.parametrize("names", [[1, 2], ["1", None], [b"1"], [Path("1")]])
def test_names_are_texts(names: Any) -> None:
    with pytest.raises(DatasetError, match="names of pairs are texts, not"):
        Doubled(names)


@pytest.mark.parametrize(
    "attributes", [{"1": {"wall": 3}}, {"1": {3: "red"}}, {"1": {"wall": None}}]
)
def test_attributes_are_texts(attributes: Any) -> None:
    with pytest.raises(DatasetError, match=r"attributes of '1' hold .*; give texts only"):
        Doubled(["1"], attributes=attributes)


def test_values_in_memory_are_targets() -> None:
    dataset = MemoryDataset(3, (5, 7), unit="m")
    assert dataset.target_kind == Values("m", (-1, 1))
    for pair in dataset:
        target = dataset.target_kind.check(pair.target, pair.name)
        assert target is pair.target
        assert (target.shape, target.dtype) == ((5, 7), np.float32)
        painted = dataset.target_kind.paint(target)
        expected = np.rint(255 * (target.astype(np.float64) + 1) / 2)
        np.testing.assert_array_equal(painted, np.stack([expected] * 3, axis=2))


def test_pairs_in_memory_may_have_sizes_of_their_own() -> None:
    sizes = ((8, 8), (16, 24))
    pairs = list(MemoryDataset(3, sizes=sizes, classes=4))
    assert [pair.input.shape[:2] for pair in pairs] == [(8, 8), (16, 24), (8, 8)]
    assert [pair.target.shape for pair in pairs] == [(8, 8), (16, 24), (8, 8)]


def test_errors_of_reading_are_those_of_the_dataset() -> None:
    dataset = MemoryDataset(2, bad=[1])
    assert dataset[0].name == "img_0"
    with pytest.raises(ImageError, match=r"img_1\.png is cut short"):
        dataset[1]


# In other processes


def test_datasets_are_read_in_another_process(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("1", "2"):
        labels = Labels("facades").paint(random.integers(0, 12, (4, 6), np.uint8))
        write_image(tmp_path / f"{name}.png", np.hstack([labels, labels[::-1]]))
    folder = SideBySide(tmp_path, target_kind=Labels("facades"), attributes={"2": {"a": "b"}})
    datasets = [folder, folder.subset(["2"]), MemoryDataset(2, (4, 6), classes=3)]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        for dataset in datasets:
            there, pair = pool.submit(read_pair, dataset, -1).result()
            expected = dataset[-1]
            assert (there.names, there.attributes) == (dataset.names, dataset.attributes)
            assert (there.input_kind, there.target_kind) == (Photo(), dataset.target_kind)
            assert pair.name == expected.name
            np.testing.assert_array_equal(pair.input, expected.input)
            np.testing.assert_array_equal(pair.target, expected.target)


def test_a_subset_shares_no_attributes_with_its_dataset() -> None:
    dataset = MemoryDataset(2, attributes={"img_0": {"wall": "red"}})
    smaller = pickle.loads(pickle.dumps(dataset.subset(["img_0"])))
    smaller.attributes["img_0"]["wall"] = "blue"
    assert dataset.attributes == smaller.attributes == {"img_0": {"wall": "red"}}


# Order


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b_"]), st.integers(0, 10**30)), unique=True))
def test_numbers_in_names_count_by_value(pairs: list[tuple[str, int]]) -> None:
    names = [f"{text}{number}" for text, number in pairs]
    expected = [f"{text}{number}" for text, number in sorted(pairs)]
    assert sorted(names, key=natural_key) == expected


def test_the_order_of_names() -> None:
    ordered = ["", "0", "00", "1", "01", "1a", "1a2", "1a10", "2", "10", "a", "a-", "a1", "a01"]
    ordered += ["a1b", "a2", "b", "\udce7", "9" * 5000]
    expected = sorted(ordered[:-1], key=lambda name: natural_key(name))
    assert expected == ["", "0", "00", "01", "1", "1a", "1a2", "1a10", "2", "10", *expected[10:]]
    assert expected[10:] == ["a", "a01", "a1", "a1b", "a2", "a-", "b", "\udce7"]
    assert natural_key("9" * 5000) > natural_key("10")  # more digits than Python's int reads
