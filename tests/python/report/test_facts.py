"""What is told of explanations: shares, captions, searches, JSON."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compnn.explanation.scores import score
from compnn.images.kinds import Kind, Labels, Photo, Values
from compnn.names import json_text
from compnn.report.facts import (
    caption_lines,
    explanation_json,
    layer_title,
    legend_rows,
    patch_words,
    quantity_scale,
    search_words,
)
from compnn.search.search import Exhaustive, HyperPatchMatch
from explanation_cases import explain, target_of


def test_shares_are_ranked_and_add_up() -> None:
    explanation = explain([[4, 4, 4, 4], [4, 4, 1, 1], [1, 1, 2, 2], [0, 3, 4, 4]])
    rows = legend_rows(explanation, 2)
    assert [(row.rank, row.index, row.name) for row in rows] == [
        (1, 4, "train_4"),
        (2, 1, "train_1"),
        (None, None, "3 others"),
    ]
    assert [row.share for row in rows] == [0.5, 0.25, 0.25]
    assert [row.percent for row in rows] == ["50.0 %", "25.0 %", "25.0 %"]


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=30), st.integers(1, 8), st.integers(0, 300)
)
def test_percents_always_add_up_to_a_hundred(counts: list[int], shown: int, nothing: int) -> None:
    counts = sorted(counts, reverse=True)
    sources = [SimpleNamespace(index=i, name=str(i), pixels=n) for i, n in enumerate(counts)]
    image = np.repeat([*range(len(counts)), -1], [*counts, nothing])[np.newaxis]
    explanation = SimpleNamespace(sources=lambda: sources, provenance=SimpleNamespace(image=image))
    rows = legend_rows(explanation, shown)  # type: ignore[arg-type]
    assert len(rows) == min(shown, len(counts)) + (len(counts) > shown) + (nothing > 0)
    assert (rows[-1].name == "no match") == (nothing > 0)
    assert sum(round(10 * float(row.percent.removesuffix(" %"))) for row in rows) == 1000
    assert sum(row.share for row in rows) == pytest.approx(1)
    for row in rows:
        assert float(row.percent.removesuffix(" %")) == pytest.approx(100 * row.share, abs=0.1)


def test_the_captions_tell_what_was_measured() -> None:
    kinds: list[tuple[Kind, str, str]] = [
        (Photo(), "PSNR", " dB"),
        (Labels("facades"), "accuracy", "%"),
        (Values("m"), "RMSE", " m"),
    ]
    for kind, measure, unit in kinds:
        explanation = explain([[0, 1]], kind=kind)
        scores = score(explanation, target_of(kind, (64, 64), 3))
        similarity, input_, output = caption_lines(scores)
        assert similarity == "similarity 0.500"
        assert input_ == f"input PSNR {scores.input}"
        assert output == f"output {measure} {scores.output_to_target}"
        assert output.endswith(unit)
        alone = caption_lines(score(explanation))
        assert alone[2] == f"output {measure} {score(explanation).output_to_network}"


def test_searches_are_told_once_or_by_layer() -> None:
    exact, quick = Exhaustive(), HyperPatchMatch(effort=2)
    alike = {name: explain([[0]], name=name, search=exact) for name in "ab"}
    assert search_words(alike) == "exhaustive"
    mixed = {**alike, "c": explain([[0]], name="c", search=quick)}
    assert search_words(mixed) == "exhaustive at a, b; hyperpatch-match, effort 2, seed 0 at c"


def test_layers_have_titles_for_readers() -> None:
    explanation = explain(np.zeros((8, 16)), name="encoder_3")
    assert layer_title(explanation.layer) == "encoder 3"
    assert layer_title(explain([[0]], name="/up_1/Conv_2").layer) == "/up_1/Conv_2"
    assert patch_words(explanation.layer) == "8\N{MULTIPLICATION SIGN}4 px"


def test_an_explanation_as_json() -> None:
    explanation = explain([[0, 1], [1, 1]], kind=Labels("facades"), search=HyperPatchMatch(2))
    document = explanation_json(explanation, score(explanation))
    assert json.loads(json_text(document)) == document
    assert document["layer"]["name"] == "encoder_3"
    assert document["search"]["method"] == "hyperpatch-match"
    assert document["search"]["effort"] == 4
    assert [each["name"] for each in document["sources"]] == ["train_1", "train_0"]
    assert [each["share"] for each in document["sources"]] == [0.75, 0.25]
    assert [each["name"] for each in document["candidates"]] == ["train_0", "train_1"]
    assert document["input"] == {
        "measure": "psnr",
        "value": pytest.approx(score(explanation).input.value),
        "unit": "",
    }
    assert "attributes" not in document


@pytest.mark.parametrize(
    ("kind", "scale"),
    [
        (Photo(), (1, 0)),
        (Labels("facades"), (100, 1)),
        (Values(), (1, 3)),
        (Values("m", (0, 80)), (1, 1)),
        (Values("m", (-0.005, 0.005)), (1, 5)),
        (Values("Pa", (0, 100_000)), (1, 0)),
    ],
)
def test_statistics_have_the_decimals_that_are_seen(kind: Kind, scale: tuple[int, int]) -> None:
    assert quantity_scale(kind) == scale
