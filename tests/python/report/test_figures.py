"""The paper's figures: what is drawn, of which images, and what cannot be."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compnn.bank.bank import build
from compnn.errors import CompnnError, DatasetError, LayerError, SearchError
from compnn.explanation.explainer import Explainer
from compnn.images.kinds import Labels
from compnn.images.measures import psnr
from compnn.network.onnx import OnnxNetwork
from compnn.report import control_sheet, correspondence_map, match_sheet
from compnn.report.figures import FIGURES, Figures
from compnn.report.sheets.reconstruction_grid import Side
from compnn.search import search as searches
from compnn.search.search import Auto, Exhaustive, HyperPatchMatch, Search
from compnn.studies.control import control, subsets_by
from compnn.studies.matching import match
from figure_cases import ORDER, STREETS, VAL, drawn, opened, place, write_banks
from memory_dataset import MemoryDataset, patch_call
from tiny_networks import tiny_unet

EXACT = Exhaustive()


@pytest.fixture(scope="module")
def banks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_banks(tmp_path_factory.mktemp("figures"))


@pytest.fixture(scope="module")
def photos(banks: Path) -> Explainer:
    return opened(banks, "photos")


@pytest.fixture(scope="module")
def labels(banks: Path) -> Explainer:
    return opened(banks, "labels")


# --- what is drawn


@pytest.mark.parametrize("side", ["input", "output"])
def test_reconstructions_are_the_banks_own(photos: Explainer, side: Side) -> None:
    names = ("img_4", "img_1")
    figures = Figures(
        photos, VAL, EXACT, figures=[f"{side}-reconstructions"], images=names, top_k=2
    )
    assert figures.layers == ORDER
    ((key, sheet),) = drawn(figures).items()
    assert key == (f"{side}-reconstructions", None)
    width = 32 * (480 // 32) if side == "input" else 32 * 12
    columns = []
    for name in names:
        pair = VAL.pairs[name]
        (found,) = photos.explain_all([pair.input], ORDER, EXACT, top_k=2)
        pictures = [pair.input]
        if side == "output":
            pictures += [pair.target, found["encoder_2"].network_output]
        pictures += [getattr(found[layer], side) for layer in ORDER]
        spots = [place(sheet, picture, width) for picture in pictures]
        assert len({top for _, top in spots}) == 1
        columns.append([left for left, _ in spots])
    assert columns[0] == columns[1] == sorted(columns[0])
    first, second = (place(sheet, VAL.pairs[name].input, width)[1] for name in names)
    assert first < second


def test_numbers_are_those_of_the_pictures(
    photos: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = patch_call(
        monkeypatch,
        sys.modules["compnn.report.figures"],
        "reconstruction_grid",
        lambda original, *args, **kwargs: original(*args, **kwargs),
    )
    drawn(Figures(photos, VAL, EXACT, figures=["output-reconstructions"], count=1, top_k=2))
    ((row,), _) = calls[0]
    pair = VAL.pairs["img_0"]
    for explanation, scores in zip(row.explanations, row.scores, strict=True):
        found = photos.explain(pair.input, explanation.layer.name, EXACT, top_k=2)
        assert scores.similarity == pytest.approx(found.field.similarity[0].mean())
        assert scores.output_to_target.value == pytest.approx(psnr(found.output, pair.target))


def test_label_maps(labels: Explainer) -> None:
    figures = Figures(labels, STREETS, EXACT, top_k=None)
    assert figures.names == FIGURES[:4]
    assert "no attributes" in figures.left_out["property-control"]
    sheet = drawn(figures)[("output-reconstructions", None)]
    pair = STREETS.pairs["img_0"]
    found = labels.explain(pair.input, "decoder_1", EXACT)
    painted = [
        found.target_kind.paint(each) for each in (pair.target, found.network_output, found.output)
    ]
    spots = [place(sheet, picture, 480) for picture in (pair.input, *painted)]
    assert spots == sorted(spots)


def test_maps_of_each_image(photos: Explainer) -> None:
    figures = Figures(photos, VAL, EXACT, figures=["correspondence-map"], count=2, top_k=2)
    found = drawn(figures)
    assert list(found) == [("correspondence-map", "img_0"), ("correspondence-map", "img_3")]
    # The only layer with patches of 8 pixels.
    wanted = correspondence_map(
        photos.explain(VAL.pairs["img_3"].input, "encoder_3", EXACT, top_k=2)
    )
    np.testing.assert_array_equal(found[("correspondence-map", "img_3")], wanted)
    fine = {"layers": ["encoder_2", "decoder_2"], "figures": ["correspondence-map"]}
    figures = Figures(photos, VAL, EXACT, **fine, images=["img_3"], top_k=2)
    ((key, pixels),) = drawn(figures).items()
    assert key == ("correspondence-map", None)
    wanted = correspondence_map(
        photos.explain(VAL.pairs["img_3"].input, "decoder_2", EXACT, top_k=2)
    )
    np.testing.assert_array_equal(pixels, wanted)


@pytest.mark.parametrize("layer", [None, "decoder_3"])
def test_semantic_matches(photos: Explainer, layer: str | None) -> None:
    names = ["img_5", "img_2", "img_0"]
    figures = Figures(
        photos, VAL, figures=["semantic-matches"], images=names, match_layer=layer, top_k=2
    )
    ((_, pixels),) = drawn(figures).items()
    a, b = (VAL.pairs[name].input for name in names[:2])
    wanted = match(photos.network, a, b, layer or "encoder_3", EXACT)
    np.testing.assert_array_equal(pixels, match_sheet(wanted, names=("A: img_5", "B: img_2")))


@pytest.mark.parametrize("layers", [["decoder_2"], ["encoder_3", "decoder_2"]])
def test_semantic_matches_are_of_visible_patches(tmp_path: Path, layers: list[str]) -> None:
    # Without names in its metadata every tap of the network is a layer; relu_3 is the last of 8 px.
    unet = tiny_unet(tmp_path / "unet.onnx", metadata={"input_range": "[-1, 1]"})
    network = OnnxNetwork(unet, layers)
    explainer = Explainer(build(tmp_path / "a.bank", network, MemoryDataset(1)), network)
    figures = Figures(explainer, VAL, EXACT, figures=["semantic-matches"], top_k=None, count=2)
    ((_, pixels),) = drawn(figures).items()
    a, b = (VAL.pairs[name].input for name in ("img_0", "img_3"))
    layer = "encoder_3" if "encoder_3" in layers else "relu_3"
    wanted = match(network, a, b, layer, EXACT)
    np.testing.assert_array_equal(pixels, match_sheet(wanted, names=("A: img_0", "B: img_3")))


def test_classes_of_semantic_matches(labels: Explainer) -> None:
    figures = Figures(labels, STREETS, EXACT, figures=["semantic-matches"], top_k=None)
    a, b = (STREETS.pairs[name].input for name in ("img_0", "img_1"))
    # No layer of the network has patches of 8 pixels: the bank's last one is taken.
    kind = labels.bank.target_kind
    assert isinstance(kind, Labels)
    wanted = match(labels.network, a, b, "decoder_1", EXACT, palette=kind.palette)
    ((_, pixels),) = drawn(figures).items()
    np.testing.assert_array_equal(pixels, match_sheet(wanted, names=("A: img_0", "B: img_1")))


@pytest.mark.parametrize(("by", "chosen"), [(None, "wall"), ("age", "age")])
def test_property_control(photos: Explainer, by: str | None, chosen: str) -> None:
    figures = Figures(photos, VAL, EXACT, figures=["property-control"], by=by, top_k=2)
    ((_, pixels),) = drawn(figures).items()
    pair = VAL.pairs["img_0"]
    subsets = subsets_by(photos.bank, chosen)
    query = replace(figures._query("img_0"), target=pair.target)
    wanted = control(photos, query, "decoder_2", subsets, EXACT, top_k=2)
    np.testing.assert_array_equal(pixels, control_sheet(wanted, title="img_0"))


def test_each_search_is_done_once_and_counted(
    photos: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = patch_call(
        monkeypatch,
        Explainer,
        "explain",
        lambda original, *args, **kwargs: original(*args, **kwargs),
    )
    seen: list[tuple[int, int]] = []
    figures = Figures(photos, VAL, EXACT, count=2, top_k=2)
    for _ in figures.draw(lambda done, total: seen.append((done, total))):
        pass
    # Two images at three layers; all images and two walls.
    assert len(calls) == 2 * 3 + 3
    assert seen[0] == (0, 10)
    assert seen[-1] == (10, 10)
    assert seen == sorted(seen)


@pytest.mark.parametrize("search", [None, Auto(seed=3), Exhaustive(), HyperPatchMatch(effort=2)])
def test_one_search_is_chosen_for_all_reconstructions(
    photos: Explainer, search: Search | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the layer of most work, so that the layers of a figure can be compared."""
    # Alone, encoder_2 would be searched exhaustively.
    monkeypatch.setattr(searches, "_QUICK", 1e5)
    figures = Figures(photos, VAL, search, count=1, top_k=3)
    found = {figure.name: figure.search for figure in figures.draw()}
    wanted = {
        None: HyperPatchMatch(),
        Auto(seed=3): HyperPatchMatch(seed=3),
    }.get(search, search)
    assert {found[name] for name in FIGURES[:3]} == {str(wanted)}
    alone = Figures(photos, VAL, search, count=1, layers=["encoder_2"], top_k=3)
    exact = search is None or isinstance(search, Auto | Exhaustive)
    for figure in alone.draw():
        assert (figure.search == "exhaustive") == exact


# --- which figures and images


def test_images_are_evenly_spread_or_named(photos: Explainer) -> None:
    assert Figures(photos, VAL, count=3).images == ("img_0", "img_2", "img_4")
    assert Figures(photos, VAL, count=9).images == VAL.names
    assert Figures(photos, VAL, images=["img_4.png", "img_1", "img_4"]).images == (
        "img_4",
        "img_1",
    )


def test_a_default_leaves_out_what_one_image_cannot_show(photos: Explainer) -> None:
    figures = Figures(photos, VAL, count=1)
    assert figures.names == (*FIGURES[:3], "property-control")
    assert list(figures.left_out) == ["semantic-matches"]
    assert not Figures(photos, VAL, count=1, figures=["correspondence-map"]).left_out
    assert figures.top_k == 4  # no more than the bank has


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"figures": ["figure-5"]}, SearchError, "'figure-5'.*input-reconstructions"),
        ({"figures": ["semantic-matches"], "count": 1}, SearchError, "two validation images"),
        ({"by": "colour"}, SearchError, "colour.*wall"),
        ({"images": ["img_9"]}, DatasetError, "'img_9'.*img_"),
        ({"count": 0}, DatasetError, "at least 1"),
        ({"layers": ["decoder_9"]}, LayerError, "decoder_9"),
        ({"match_layer": "decoder_9"}, LayerError, "decoder_9"),
    ],
)
def test_bad_requests(
    photos: Explainer, options: dict[str, Any], error: type[CompnnError], message: str
) -> None:
    with pytest.raises(error, match=message):
        Figures(photos, VAL, **options)


@pytest.mark.parametrize("options", [{"figures": ["property-control"]}, {"by": "wall"}])
def test_property_control_needs_attributes(labels: Explainer, options: dict[str, Any]) -> None:
    with pytest.raises(SearchError, match=r"property-control cannot be drawn.*no attributes"):
        Figures(labels, STREETS, top_k=None, **options)


def test_nearest_images_need_descriptors(labels: Explainer) -> None:
    with pytest.raises(SearchError, match=r"no global descriptors.*--top-k all"):
        Figures(labels, STREETS)


def test_kinds_must_be_the_banks(labels: Explainer, photos: Explainer) -> None:
    with pytest.raises(DatasetError, match=r"targets are label maps of.*validation targets photos"):
        Figures(labels, MemoryDataset(1, (24, 32)), top_k=None)
    with pytest.raises(DatasetError, match="no validation pairs"):
        Figures(photos, VAL.subset([]))
