"""What is counted of training images, against plain counting of pixels."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compnn.bank.bank import build
from compnn.errors import OutputError, SearchError
from compnn.explanation.explainer import Explainer
from compnn.explanation.explanation import Explanation
from compnn.network.onnx import OnnxNetwork
from compnn.search.search import Exhaustive
from compnn.studies.usage import Usage, UsageCounter, usage
from memory_dataset import MemoryDataset
from tiny_networks import tiny_unet

COUNT = 6
WALLS = ["red", "red", "blue", "red", "blue", None]
ATTRIBUTES = {
    f"img_{index}": {"wall": wall, "height": "low" if index < 2 else "high"}
    for index, wall in enumerate(WALLS)
    if wall is not None
}
HELD_OUT = MemoryDataset(3, seed=1)


NAMES = tuple(f"img_{index}" for index in range(COUNT))


@pytest.fixture(scope="module")
def explainer(tmp_path_factory: pytest.TempPathFactory) -> Explainer:
    folder = tmp_path_factory.mktemp("usage")
    network = OnnxNetwork(tiny_unet(folder / "net.onnx"), ["encoder_2", "encoder_1"], "encoder_3")
    pairs = MemoryDataset(COUNT, attributes=ATTRIBUTES)
    return Explainer(build(folder / "bank", network, pairs), network)


@pytest.fixture(scope="module")
def explanations(explainer: Explainer) -> list[Explanation]:
    return [explainer.explain(pair.input, "encoder_2", Exhaustive()) for pair in HELD_OUT]


indices = st.integers(0, COUNT - 1)
counts = st.dictionaries(indices, st.integers(0, 50), min_size=1).filter(
    lambda pixels: sum(pixels.values()) > 0
)


@st.composite
def queries(draw: st.DrawFn) -> list[tuple[dict[int, int], list[int]]]:
    """For each query the pixels of images, and its candidates, which those images are among."""
    found = []
    for _ in range(draw(st.integers(1, 5))):
        pixels = draw(counts)
        found.append((pixels, sorted({*pixels, *draw(st.lists(indices))})))
    return found


@given(queries())
def test_shares_and_pixels_add_up(found: list[tuple[dict[int, int], list[int]]]) -> None:
    counter = UsageCounter(NAMES, ATTRIBUTES)
    for pixels, candidates in found:
        counter.add_pixels(pixels, candidates)
    usage = counter.usage()
    total = sum(sum(pixels.values()) for pixels, _ in found)
    assert usage.pixels == total == sum(image.pixels for image in usage.images)
    assert usage.queries == len(found)
    assert sorted(image.index for image in usage.images) == list(range(COUNT))
    assert sum(image.share for image in usage.images) == pytest.approx(1)
    assert sum(image.bank_share for image in usage.images) == pytest.approx(1)
    assert [i.pixels for i in usage.images] == sorted(
        (i.pixels for i in usage.images), reverse=True
    )

    for image in usage.images:
        index = image.index
        assert image.name == f"img_{index}"
        assert image.pixels == sum(pixels.get(index, 0) for pixels, _ in found)
        assert image.queries == sum(pixels.get(index, 0) > 0 for pixels, _ in found)
        # The pixels that it would give if each query took as many from each candidate.
        even = sum(
            sum(pixels.values()) / len(candidates)
            for pixels, candidates in found
            if index in candidates
        )
        assert image.bank_share == pytest.approx(even / total)
        if even:
            assert image.ratio == pytest.approx(image.pixels / even)
        else:
            assert math.isnan(image.ratio)

    by_key = defaultdict(list)
    for row in usage.attributes:
        by_key[row.key].append(row)
        having = [
            image
            for image in usage.images
            if ATTRIBUTES.get(image.name, {}).get(row.key, "") == row.value
        ]
        assert row.pixels == sum(image.pixels for image in having)
        assert row.share == pytest.approx(sum(image.share for image in having))
        assert row.bank_share == pytest.approx(sum(image.bank_share for image in having))
    assert list(by_key) == ["height", "wall"]
    for rows in by_key.values():
        assert sum(row.pixels for row in rows) == total
        assert sum(row.share for row in rows) == pytest.approx(1)
        assert sum(row.bank_share for row in rows) == pytest.approx(1)
        assert [row.pixels for row in rows] == sorted((row.pixels for row in rows), reverse=True)


@given(st.lists(counts, min_size=1, max_size=4), st.sets(indices, min_size=1))
def test_compared_with_the_images_that_could_be_used(
    found: list[dict[int, int]], among: set[int]
) -> None:
    everything, some = UsageCounter(NAMES, ATTRIBUTES), UsageCounter(NAMES, ATTRIBUTES, among)
    for pixels in found:
        everything.add_pixels(pixels)
        some.add_pixels(pixels, [0])
    for image in everything.usage().images:
        assert image.bank_share == pytest.approx(1 / COUNT)
        assert image.ratio == pytest.approx(image.share * COUNT)
    for image in some.usage().images:
        expected = 1 / len(among) if image.index in among else 0
        assert image.bank_share == pytest.approx(expected)


def test_of_explanations(explanations: list[Explanation]) -> None:
    counted: Counter[int] = Counter()
    for each in explanations:
        counted.update(each.provenance.image.ravel().tolist())
    found = usage(explanations)
    assert {image.index: image.pixels for image in found.images if image.pixels} == dict(counted)
    assert found.pixels == sum(each.query[..., 0].size for each in explanations)
    assert found.queries == len(explanations)

    one = explanations[0]
    shares = {source.name: source.share for source in one.sources()}
    alone = usage(one)
    assert {image.name: image.share for image in alone.images if image.pixels} == shares
    assert alone == usage([one]) == usage(iter([one]))


def test_candidates_of_explanations(explainer: Explainer) -> None:
    image = HELD_OUT[0].input
    restricted = explainer.explain(image, "encoder_2", among=[1, 3, 4])
    found = {each.index: each.bank_share for each in usage(restricted).images}
    assert found == {1: 1 / 3, 3: 1 / 3, 4: 1 / 3, 0: 0, 2: 0, 5: 0}
    nearest = explainer.explain(image, "encoder_2", among=[1, 3, 4], top_k=1)
    assert usage(nearest).images[0].ratio == 1
    assert usage(nearest, among=[1, 3, 4]).images[0].ratio == pytest.approx(3)


def small_usage() -> Usage:
    counter = UsageCounter(NAMES, ATTRIBUTES)
    counter.add_pixels({4: 30, 1: 10}, [1, 4, 2, 5])
    counter.add_pixels({1: 20, 5: 0, 2: 20}, [1, 4, 2, 5])
    return counter.usage()


def test_hubs_and_never_used() -> None:
    found = small_usage()
    # Images 1 and 4 gave as much: the bank's order.
    assert [hub.name for hub in found.hubs(2)] == ["img_1", "img_4"]
    assert [hub.name for hub in found.hubs()] == ["img_1", "img_4", "img_2"]
    assert found.never_used == ["img_0", "img_3", "img_5"]


def test_files_and_json(tmp_path: Path) -> None:
    found = small_usage()
    paths = found.save_csv(tmp_path / "new" / "usage")
    assert [path.name for path in paths] == ["images.csv", "attributes.csv"]
    assert sorted(path.name for path in paths[0].parent.iterdir()) == [
        "attributes.csv",
        "images.csv",
    ]
    with open(paths[0]) as file:
        images = list(csv.DictReader(file))
    assert images[0] == {
        "index": "1",
        "name": "img_1",
        "pixels": "30",
        "share": "0.375",
        "bank_share": "0.25",
        "ratio": "1.5",
        "queries": "2",
    }
    assert [row["ratio"] for row in images if row["name"] in ("img_0", "img_3")] == ["", ""]
    with open(paths[1]) as file:
        walls = [row for row in csv.DictReader(file) if row["key"] == "wall"]
    assert [(row["value"], row["pixels"], row["share"], row["bank_share"]) for row in walls] == [
        ("blue", "50", "0.625", "0.5"),
        ("red", "30", "0.375", "0.25"),
        ("", "0", "0", "0.25"),
    ]

    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["pixels"] == 80
    assert document["queries"] == 2
    assert document["never_used"] == found.never_used
    assert document["images"][0] == {**vars(found.images[0])}
    assert [row["ratio"] for row in document["images"] if row["index"] in (0, 3)] == [None, None]
    assert document["attributes"] == [vars(row) for row in found.attributes]

    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        found.save_csv(tmp_path / "file")


def test_a_journal_of_counts_gives_the_same(
    explainer: Explainer, explanations: list[Explanation]
) -> None:
    """Pixels and candidates kept as JSON can be counted again, as when a run is resumed."""
    counter = UsageCounter(explainer.bank.names, explainer.bank.attributes)
    for each in explanations:
        line = json.dumps([(source.index, source.pixels) for source in each.sources()])
        counter.add_pixels(dict(json.loads(line)))
    assert counter.usage() == usage(explanations)


def test_what_cannot_be_counted(explanations: list[Explanation], tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="no explanations"):
        usage([])
    counter = UsageCounter(NAMES, ATTRIBUTES)
    with pytest.raises(SearchError, match="no pixels have been counted yet"):
        counter.usage()
    with pytest.raises(SearchError, match=r"images 0 to 5, not for \[2, 6\]"):
        counter.add_pixels({6: 1, 2: 1})
    with pytest.raises(SearchError, match=r"images 0 to 5, not for \[-1\]"):
        counter.add_pixels({1: 1}, [-1])
    with pytest.raises(SearchError, match="cannot give -3 pixels"):
        counter.add_pixels({1: -3})
    with pytest.raises(SearchError, match="at least one"):
        UsageCounter(NAMES, ATTRIBUTES, [])

    network = OnnxNetwork(tiny_unet(tmp_path / "net.onnx"), ["encoder_2"])
    other = Explainer(build(tmp_path / "bank", network, MemoryDataset(2)), network)
    with pytest.raises(SearchError, match=r"one bank.*with other images"):
        usage([explanations[0], other.explain(HELD_OUT[0].input, "encoder_2")])


def test_saved_explanations_are_counted_where_all_names_are_known(
    explainer: Explainer, explanations: list[Explanation], tmp_path: Path
) -> None:
    loaded = []
    for number, each in enumerate(explanations):
        each.save(tmp_path / str(number))
        loaded.append(Explanation.load(tmp_path / str(number)))
    counter = UsageCounter(explainer.bank.names, explainer.bank.attributes)
    for each in loaded:
        counter.add(each)
    assert counter.usage() == usage(explanations)
    # Only the names of sources are in the folder.
    with pytest.raises(SearchError, match=r"names of its sources only.*UsageCounter\(bank\.names"):
        usage(loaded)
    assert usage([explanations[0], *loaded[1:]]) == usage(explanations)
    for names in (NAMES[:2], [*NAMES[:-1], "another"]):
        with pytest.raises(SearchError, match=r"one bank.*with other images"):
            UsageCounter(names).add(loaded[0])


def test_names_of_strangers_in_tables(tmp_path: Path) -> None:
    names = ["=1+1", "caf\udce9", "a\rb"]
    counter = UsageCounter(names, {names[0]: {"-key": "@value"}})
    counter.add_pixels({0: 4, 1: 2, 2: 1})
    paths = counter.usage().save_csv(tmp_path)
    with open(paths[0], newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["'=1+1", "caf\\xE9", "a\\x0Db"]
    with open(paths[1], newline="") as file:
        row = next(csv.DictReader(file))
    assert (row["key"], row["value"]) == ("'-key", "'@value")


def test_without_attributes_there_are_no_rows_of_them() -> None:
    counter = UsageCounter(NAMES)
    counter.add_pixels({0: 4})
    assert counter.usage().attributes == ()
    assert counter.usage().images[0].ratio == pytest.approx(COUNT)


def test_an_answer_without_any_match_is_of_nobody() -> None:
    counter = UsageCounter(["a", "b"], {"a": {"wall": "red"}})
    counter.add_pixels({}, [0, 1])
    found = counter.usage()
    assert (found.pixels, found.queries) == (0, 1)
    assert found.never_used == ["a", "b"]
    assert {image.share for image in found.images} == {0}
    assert all(math.isnan(image.ratio) for image in found.images)
