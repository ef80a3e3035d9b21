"""Property control: restricting the training images, where it is known what that changes."""

from __future__ import annotations

import json
import math
import pickle
import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from compnn.bank.bank import build
from compnn.bank.selection import Selection
from compnn.demo.facade.styles import CLASS_INDEX, WALL_COLOURS
from compnn.demo.facades import DemoFacades
from compnn.errors import ImageError, LayerError, SearchError
from compnn.explanation.explainer import Explainer
from compnn.explanation.query import Query
from compnn.images.kinds import Labels
from compnn.network.onnx import OnnxNetwork
from compnn.search import search as searches
from compnn.search.search import Auto, Exhaustive, HyperPatchMatch, search_from_json
from compnn.studies.control import UNRESTRICTED, Control, control, subsets_by
from control_cases import explainer_of_labels, explainer_of_photos, query_of
from evaluation_cases import pooling_network
from memory_dataset import MemoryDataset, patch_call

Image = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Explainer:
    return explainer_of_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Explainer:
    return explainer_of_labels(tmp_path_factory.mktemp("labels"))


# Where the truth is known: the colour of the demo's walls


@pytest.fixture(scope="module")
def facades(tmp_path_factory: pytest.TempPathFactory) -> Explainer:
    """Demo facades at decoder 4; the attribute `wall` is the colour that their walls have."""
    with resources.as_file(resources.files("compnn.demo") / "unet.onnx") as path:
        network = OnnxNetwork(path, ["decoder_4"], "decoder_7")
    folder = tmp_path_factory.mktemp("facades")
    bank = build(folder / "facades.bank", network, DemoFacades("train", 40))
    return Explainer(bank, network)


def walls(photo: Image, painted: Image) -> npt.NDArray[np.float64]:
    """Mean colour of a photo where its painted label map shows a wall."""
    kind = DemoFacades("train", 1).input_kind
    assert isinstance(kind, Labels)
    return photo[(painted == kind.palette.colours[CLASS_INDEX["wall"]]).all(axis=2)].mean(axis=0)


def nearest_colour(colour: npt.NDArray[np.float64]) -> str:
    return min(WALL_COLOURS, key=lambda name: np.linalg.norm(colour - WALL_COLOURS[name]))


@pytest.fixture(scope="module")
def yellow(facades: Explainer) -> tuple[Query, Control]:
    """A held-out facade whose wall the network paints yellow, under every wall colour."""
    pair = DemoFacades("held-out")[0]
    query = Query(pair.name, pair.input, pair.target)
    subsets = subsets_by(facades.bank, "wall")
    return query, control(facades, query, "decoder_4", subsets, Exhaustive(), region="wall")


@pytest.mark.parametrize("colour", ["red", "blue", "white"])
def test_walls_take_the_colour_that_is_asked_for(
    facades: Explainer, yellow: tuple[Query, Control], colour: str
) -> None:
    query, found = yellow
    unrestricted = walls(found.unrestricted.output, query.image)
    restricted = walls(found.explanations[f"wall={colour}"].output, query.image)
    training = [facades.bank.pair(index) for index in facades.indices(f"wall={colour}")]
    expected = np.mean([walls(photo, painted) for painted, photo in training], axis=0)
    assert nearest_colour(unrestricted) == "yellow"
    assert nearest_colour(restricted) == colour
    assert np.linalg.norm(restricted - expected) < 30
    assert np.linalg.norm(unrestricted - expected) > 60


def test_statistics_of_a_region(yellow: tuple[Query, Control]) -> None:
    query, found = yellow
    assert found.region == "wall"
    assert found.quantities == ("red", "green", "blue")
    for title, explanation in found.explanations.items():
        expected = walls(explanation.output, query.image)
        np.testing.assert_allclose(found.statistics[title], expected, atol=1e-9)
    painted = walls(found.unrestricted.network_output, query.image)
    np.testing.assert_allclose(found.network_statistics, painted, atol=1e-9)
    red = found.change("wall=red")
    assert red[1] < -40
    assert red[1] < red[0]
    np.testing.assert_allclose(
        red, found.statistics["wall=red"] - found.statistics[UNRESTRICTED], atol=1e-9
    )


def test_a_subset_for_each_value(facades: Explainer, yellow: tuple[Query, Control]) -> None:
    _, found = yellow
    titles = list(found.explanations)
    assert titles[0] == UNRESTRICTED
    assert set(titles[1:]) == {f"wall={colour}" for colour in WALL_COLOURS}
    counts = [found.images[title] for title in titles[1:]]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == found.images[UNRESTRICTED] == len(facades.bank)
    for title in titles[1:]:
        used = {source.attributes["wall"] for source in found.explanations[title].sources()}
        assert used == {title.removeprefix("wall=")}
        assert found.similarity_change(title) <= 0, "the search is exact"


def test_regions_that_are_not_there(facades: Explainer, photos: Explainer) -> None:
    subset = {"red": Selection(where=("wall=red",))}
    image = DemoFacades("held-out")[0].input
    with pytest.raises(SearchError, match=r"no class 'wal'.*wall, window"):
        control(facades, image, "decoder_4", subset, region="wal")
    sky = np.broadcast_to(np.array((150, 208, 240), np.uint8), (256, 256, 3))
    with pytest.raises(SearchError, match="no pixel of the class 'wall'"):
        control(facades, np.array(sky), "decoder_4", subset, region="wall")
    with pytest.raises(SearchError, match=r"'wall' .* which is a photo.*--input-palette"):
        control(photos, query_of(), "encoder_2", {"a": Selection(only="img_0")}, region="wall")


# Any bank


def test_explanations_are_those_of_the_explainer(photos: Explainer) -> None:
    query = query_of()
    subsets = {"two": Selection(only=("img_4", "img_1")), "not": Selection(where=("kind!=b",))}
    search = Exhaustive(matches=2)
    found = control(photos, query, "decoder_2", subsets, search, top_k=2)
    assert found.search == search
    expected = {UNRESTRICTED: None, "two": ["img_1", "img_4"], "not": ["img_0", "img_4", "img_5"]}
    assert list(found.explanations) == list(expected)
    assert found.images == {UNRESTRICTED: 6, "two": 2, "not": 3}
    for title, candidates in expected.items():
        alone = photos.explain(query, "decoder_2", search, among=candidates, top_k=2)
        explanation = found.explanations[title]
        np.testing.assert_array_equal(explanation.field.image, alone.field.image)
        np.testing.assert_array_equal(explanation.output, alone.output)
        assert explanation.candidates == alone.candidates
        mean = alone.output.reshape(-1, 3).mean(axis=0)
        np.testing.assert_allclose(found.statistics[title], mean, atol=1e-9)
        assert found.scores[title].similarity == alone.field.mean_similarity
    assert query.target is not None
    assert found.scores["two"].output_to_target is not None
    np.testing.assert_array_equal(found.target, query.target)


def test_the_composition_is_passed_on(photos: Explainer) -> None:
    subset = {"two": Selection(only=("img_4", "img_1"))}
    found = control(photos, query_of(), "decoder_2", subset, composition="overlap")
    alone = photos.explain(query_of(), "decoder_2", among=[1, 4], composition="overlap")
    np.testing.assert_array_equal(found.explanations["two"].output, alone.output)


def test_the_network_runs_once(photos: Explainer, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = patch_call(
        monkeypatch,
        OnnxNetwork,
        "read",
        lambda original, *args, **kwargs: original(*args, **kwargs),
    )
    reported: list[tuple[str, float]] = []
    control(
        photos,
        query_of().image,
        "encoder_2",
        subsets_by(photos.bank, "kind"),
        progress=lambda title, share: reported.append((title, share)),
    )
    assert len(calls) == 1
    last = dict(reported)
    assert last == {UNRESTRICTED: 1, "kind=b": 1, "kind=a": 1}


def test_class_shares(labels: Explainer) -> None:
    query = query_of((24, 32), classes=5)
    found = control(
        labels,
        query,
        "decoder_1",
        {"without": Selection(classes=("not class 4",))},
        Exhaustive(),
    )
    assert isinstance(labels.bank.target_kind, Labels)
    assert found.quantities == labels.bank.target_kind.palette.classes
    for title, explanation in found.explanations.items():
        for label, share in enumerate(found.statistics[title]):
            assert share == pytest.approx((explanation.output == label).mean())
        assert found.statistics[title].sum() == pytest.approx(1)
    assert found.images["without"] == 3
    assert found.statistics["without"][4] == 0
    assert found.change("without")[4] == -found.statistics[UNRESTRICTED][4] < 0


def test_json(labels: Explainer) -> None:
    found = control(labels, query_of((24, 32), 5), "decoder_1", {"first": Selection(only="img_0")})
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["layer"] == "decoder_1"
    assert search_from_json(document["search"]) == found.search
    everything, first = document["subsets"]
    assert everything["subset"] == UNRESTRICTED
    assert set(everything["change"].values()) == {0}
    assert (first["subset"], first["images"], first["candidates"]) == ("first", 1, 1)
    assert [source["name"] for source in first["sources"]] == ["img_0"]
    assert first["statistics"]["class 4"] == 0
    assert first["similarity_change"] == pytest.approx(
        first["similarity"] - everything["similarity"]
    )
    assert set(document["network_output"]) == set(found.quantities)


def test_values_are_told_by_their_mean(tmp_path: Path) -> None:
    network = OnnxNetwork(pooling_network(tmp_path / "depth.onnx", size=(32, 32)))
    explainer = Explainer(build(tmp_path / "bank", network, MemoryDataset(3, unit="m")), network)
    pair = MemoryDataset(1, unit="m", seed=9)[0]
    query = Query("q", pair.input, pair.target)
    found = control(explainer, query, "cells", {"first": Selection(only="img_0")}, Exhaustive())
    assert found.quantities == ("mean",)
    for title, explanation in found.explanations.items():
        assert found.statistics[title] == pytest.approx([explanation.output.mean()], abs=1e-6)
        truth = found.scores[title].output_to_target
        assert truth is not None
        assert truth.measure == "rmse"
    assert found.network_statistics == pytest.approx(
        [found.unrestricted.network_output.mean()], abs=1e-6
    )
    json.dumps(found.to_json(), allow_nan=False)


# The search, and the value


def test_auto_is_decided_once_for_all_images(
    photos: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = photos.bank.cells("decoder_2", [])
    pairs = math.prod(photos.bank.layer("decoder_2").grid) ** 2
    # One image alone would be searched exhaustively, not all six.
    monkeypatch.setattr(searches, "_QUICK", 2 * pairs * cells.channels)
    subsets = {"one": Selection(only="img_0")}
    found = control(photos, query_of(), "decoder_2", subsets, Auto(seed=4))
    searched = [each.search for each in found.explanations.values()]
    assert searched == [HyperPatchMatch(seed=4)] * 2
    assert found.search == HyperPatchMatch(seed=4)
    few = control(photos, query_of(), "decoder_2", subsets, Auto(seed=4), top_k=2)
    assert [each.search for each in few.explanations.values()] == [Exhaustive()] * 2
    assert control(photos, query_of(), "decoder_2", subsets).search == HyperPatchMatch()


def test_the_bank_may_change_meanwhile(photos: Explainer, tmp_path: Path) -> None:
    copied = shutil.copytree(photos.bank.path, tmp_path / "bank")
    explainer = Explainer(copied, photos.network)
    subsets = subsets_by(photos.bank, "kind")

    def drop(title: str, share: float) -> None:
        if title == UNRESTRICTED and share == 1 and len(explainer.bank) == 6:
            explainer.bank.drop(["img_0"])

    found = control(explainer, query_of(), "encoder_2", subsets, Exhaustive(), progress=drop)
    assert len(explainer.bank) == 5
    still = control(photos, query_of(), "encoder_2", subsets, Exhaustive())
    assert found.to_json() == still.to_json()


def test_a_control_can_be_pickled(photos: Explainer) -> None:
    found = control(photos, query_of(), "encoder_2", subsets_by(photos.bank, "kind"))
    loaded = pickle.loads(pickle.dumps(found))
    assert loaded.to_json() == found.to_json()
    for title, explanation in found.explanations.items():
        np.testing.assert_array_equal(loaded.explanations[title].output, explanation.output)


# Bad input


def test_subsets_that_make_no_sense(photos: Explainer) -> None:
    query = query_of()
    for subsets in ({}, {UNRESTRICTED: Selection(only="img_0")}):
        with pytest.raises(SearchError, match="give at least one subset"):
            control(photos, query, "encoder_2", subsets)
    with pytest.raises(SearchError, match=r"attribute 'wall'; the bank's are kind"):
        subsets_by(photos.bank, "wall")
    empty = {"none": Selection(only="img_0", where="kind=b")}
    with pytest.raises(SearchError, match="no training image is left of 6"):
        control(photos, query, "encoder_2", empty)


def test_bad_queries_are_refused_as_by_an_explainer(photos: Explainer, tmp_path: Path) -> None:
    subset = {"one": Selection(only="img_0")}
    with pytest.raises(LayerError, match="no layer 'encoder_1'"):
        control(photos, query_of(), "encoder_1", subset)
    with pytest.raises(ImageError, match=r"nowhere\.png does not exist"):
        control(photos, tmp_path / "nowhere.png", "encoder_2", subset)
