"""A network that looks and paints elsewhere, with images of many sizes: from bank to report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import compnn
from bordered_network import BORDER, BorderedNetwork, BorderedPairs
from compnn.bank.bank import Bank, build, merge
from compnn.errors import ImageError, SearchError
from compnn.explanation.explainer import Explainer
from compnn.explanation.explanation import Explanation
from compnn.explanation.query import Query
from compnn.explanation.scores import score
from compnn.report.facts import layer_json
from compnn.report.folder import write_report
from compnn.report.sheets.matches import match_sheet
from compnn.search.search import Exhaustive
from compnn.studies.control import control
from compnn.studies.evaluation.evaluate import evaluate
from compnn.studies.matching import match
from compnn.studies.usage import usage
from placements import given_by, owner

SIZES = [(32, 32), (20, 28), (32, 32), (44, 18)]


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """Built, appended to, and made compact: all of it must know where cells lie."""
    path, network = tmp_path_factory.mktemp("bank") / "bank", BorderedNetwork()
    made = build(path, network, BorderedPairs(SIZES[:2]))
    made.append(network, BorderedPairs(SIZES[2:], "more_"))
    made.drop(["img_0"])
    made.compact()
    return made


def pairs() -> list[compnn.Pair]:
    """The pairs of the bank."""
    return [BorderedPairs(SIZES[:2])[1], *BorderedPairs(SIZES[2:], "more_")]


def test_a_bank_knows_where_cells_lie_without_the_network(bank: Bank, tmp_path: Path) -> None:
    bank.verify()
    for known in (bank, Bank(bank.path), merge([bank], tmp_path / "merged")):
        assert known.shards == 1
        for index, pair in enumerate(pairs()):
            size = pair.input.shape[0], pair.input.shape[1]
            assert known.layer_of("half", index) == BorderedNetwork().layer("half", size)
            np.testing.assert_array_equal(known.pair(index)[1], pair.target)


def test_each_image_finds_itself_and_is_given_back(bank: Bank) -> None:
    explainer = Explainer(bank, BorderedNetwork())
    for index, pair in enumerate(pairs()):
        found = explainer.explain(pair.input, "half", Exhaustive())
        assert (found.field.image == index).all()
        np.testing.assert_array_equal(found.input, pair.input)
        np.testing.assert_array_equal(found.output, pair.target)
        assert found.network_output.shape == pair.target.shape


def test_both_pictures_equal_loops_over_pixels(bank: Bank, tmp_path: Path) -> None:
    query = BorderedPairs([(26, 36)], "query_")[0]
    found = Explainer(bank, BorderedNetwork()).explain(query.input, "half", Exhaustive())
    assert found.layer == BorderedNetwork().layer("half", (26, 36))
    counts = {}
    for side, picture in (("input", found.input), ("output", found.output)):
        own = found.layer.looks if side == "input" else found.layer.paints
        assert picture.shape == (*own.size, 3)
        given = []
        for y, x in np.ndindex(*own.size):
            at = owner(own, 0, y), owner(own, 1, x)
            image, row, col = (
                int(a[0][at]) for a in (found.field.image, found.field.row, found.field.col)
            )
            layer, pair = bank.layer_of("half", image), pairs()[image]
            source, there = (
                (layer.looks, pair.input) if side == "input" else (layer.paints, pair.target)
            )
            place = (
                given_by(own, source, 0, y, at[0], row, there.shape[0]),
                given_by(own, source, 1, x, at[1], col, there.shape[1]),
            )
            assert (picture[y, x] == there[place]).all()
            given.append(image)
        counts[side] = {i: given.count(i) for i in set(given)}
    assert {each.index: each.pixels for each in found.sources()} == counts["output"]
    assert {each.index: each.pixels for each in found.sources("input")} == counts["input"]
    assert usage(found).pixels == found.output[..., 0].size

    found.save(tmp_path)
    loaded = Explanation.load(tmp_path)
    assert loaded.layer == found.layer
    for one, other in (
        (loaded.provenance, found.provenance),
        (loaded.input_provenance, found.input_provenance),
    ):
        np.testing.assert_array_equal(one.row, other.row)
        np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(loaded.sheet(), found.sheet())
    with pytest.raises(SearchError, match="says nothing of 'other'"):
        loaded.images.layer_of("other", 0)


def test_targets_must_have_the_size_of_the_output(tmp_path: Path) -> None:
    class Wrong(BorderedPairs):
        def read(self, name: str) -> compnn.Pair:
            pair = super().read(name)
            return compnn.Pair(name, pair.input, pair.input)

    message = r"img_0 is 20x28, but for its input of 20x28 bordered paints 28x44"
    with pytest.raises(ImageError, match=message):
        build(tmp_path / "bank", BorderedNetwork(), Wrong([(20, 28)]))


def test_studies_take_each_picture_by_its_own_size(bank: Bank, tmp_path: Path) -> None:
    network = BorderedNetwork()
    explainer = Explainer(bank, network)
    dataset = BorderedPairs([(26, 36), (32, 32)], "val_")
    found = evaluate(explainer, dataset, tmp_path / "evaluation", top_k=[1, None])
    assert len(found.lines) > 4
    query = Query("query", dataset[0].input, dataset[0].target)
    controlled = control(
        explainer, query, "half", {"few": compnn.Selection(only=("more_0",))}, Exhaustive()
    )
    assert controlled.sheet().ndim == 3
    explanation = controlled.unrestricted
    assert score(explanation, query.target).output_to_target is not None
    write_report(tmp_path / "report", query, {"half": explanation}, {"half": score(explanation)})
    one, other = (pair.input for pair in dataset)
    matching = match(network, one, other, "half")
    assert matching.a_from_b.shape == one.shape
    assert match_sheet(matching, points=[(0, 0), (25, 35)]).ndim == 3
    assert match(network, one, one, "half").point(7, 9)[:2] == (7, 9)


def test_what_is_told_of_the_layer() -> None:
    layer = BorderedNetwork().layers["half"]
    assert str(layer) == "half: hyperpatch 2x2x3 <-> patch 4x4"
    told = layer_json(layer)
    assert (told["looks"], told["paints"]) == ([f"2u + {BORDER}"] * 2, ["4u"] * 2)
