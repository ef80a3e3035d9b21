"""Pixels without a match: shown, measured and counted as a plain loop over pixels has it."""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest

from compnn.explanation.composition import Composition, no_evidence
from compnn.explanation.explanation import Explanation
from compnn.explanation.scores import score
from compnn.images.kinds import Kind, Labels, Photo, Picture, Values
from compnn.network.geometry import Geometry
from compnn.network.layer import Layer
from compnn.search.field import Field
from compnn.search.search import Exhaustive
from memory_images import MemoryImages

SIZE = (24, 32)
COMPOSITIONS = get_args(Composition)
# A palette with void, whose sky is the grey of the hatching; one without; and no palette.
KINDS: list[Kind] = [Labels("camvid"), Labels("facades"), Photo(), Values("m", (0, 10))]


def explained(kind: Kind, how: Composition, input_kind: Kind | None = None) -> Explanation:
    """An image that is its own training image, of which some hyperpatches have no match."""
    layer = Layer("layer", (6, 8, 4), (2, 3), Geometry.by_sizes((6, 8), SIZE))
    random = np.random.default_rng(5)
    none = random.random(layer.grid) < 0.5
    none[:3, :4] = True  # so that windows leave something out, too
    rows, cols = np.indices(layer.grid, np.int32)[:, np.newaxis]
    image = np.zeros_like(rows)
    similarity = np.ones(rows.shape, np.float32)
    for array, value in ((image, -1), (rows, -1), (cols, -1), (similarity, 0)):
        array[:, none] = value
    query = np.full((*SIZE, 3), 128, np.uint8)
    target: Picture = np.zeros(SIZE, np.uint8)
    if isinstance(kind, Photo):
        target = query
    elif isinstance(kind, Values):
        target = np.full(SIZE, 5, np.float32)
    images = MemoryImages([query], [target])
    images.layers = [layer]
    field = Field(image, rows, cols, similarity)
    kinds = input_kind or Photo(), kind
    return Explanation(layer, field, Exhaustive(), query, target, [], kinds, images, how)


def expected(explanation: Explanation, how: Composition) -> npt.NDArray[np.bool_]:
    """Pixel by pixel: whether no hyperpatch that gives to it has a match. A cell is 4x4 pixels."""
    layer, matched = explanation.layer, explanation.field.matched[0]
    (gh, gw), (h, w) = layer.grid, layer.hyperpatch
    nothing = np.ones(SIZE, bool)
    owners = layer.paints.owners()
    for y, x in np.ndindex(SIZE):
        if how == "copy":
            nothing[y, x] = not matched[owners[0][y], owners[1][x]]
            continue
        givers = [
            (i, j)
            for i in range(gh)
            for j in range(gw)
            if i <= y // 4 < i + h and j <= x // 4 < j + w
        ]
        nothing[y, x] = not any(matched[at] for at in givers)
    return nothing


@pytest.mark.parametrize("how", COMPOSITIONS)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_what_has_no_evidence_is_hatched_and_counted(kind: Kind, how: Composition) -> None:
    explanation = explained(kind, how)
    nothing = expected(explanation, how)
    assert 0 < nothing.mean() < 1
    np.testing.assert_array_equal(explanation.no_evidence, nothing)
    np.testing.assert_array_equal(explanation.input_no_evidence, nothing)
    np.testing.assert_array_equal(
        no_evidence(explanation.field, explanation.layer.paints, how), nothing
    )
    rows, cols = np.nonzero(nothing)
    hatching = np.where((rows + cols) % 4 == 0, 96, 160)[:, np.newaxis].repeat(3, axis=1)
    for picture in (explanation.painted_output, explanation.input):
        np.testing.assert_array_equal(picture[nothing], hatching)
    known = ~nothing
    truth = kind.paint(explanation.images.targets.picture(0))
    np.testing.assert_array_equal(explanation.painted_output[known], truth[known])
    scores = score(explanation)
    assert scores.output_no_evidence == scores.input_no_evidence == nothing.mean()
    assert scores.to_json()["output_no_evidence"] == nothing.mean()


@pytest.mark.parametrize("how", COMPOSITIONS)
@pytest.mark.parametrize("palette", ["camvid", "facades"])
def test_labels_without_evidence_are_errors(palette: str, how: Composition) -> None:
    kind = Labels(palette)
    explanation = explained(kind, how, kind)
    right = 1 - expected(explanation, how).mean()
    scores = score(explanation)
    assert scores.output_to_network is not None
    # CamVid's sky is (128, 128, 128), and so is the query: the hatching must not count as it.
    for found in (scores.output_to_network, scores.input):
        assert found.value == pytest.approx(right)
    comparison = kind.comparison()
    for truth, picture, nothing in (
        (explanation.network_output, explanation.output, explanation.no_evidence),
        (explanation.query, explanation.input, explanation.input_no_evidence),
    ):
        assert truth is not None
        summary = comparison.summarise([comparison.observe(truth, picture, nothing)])
        assert summary["pixel_accuracy"] == pytest.approx(right)
