"""Property control: restricting the training images, where it is known what that changes."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from compnn.bank.bank import Bank
from compnn.studies.control import UNRESTRICTED, Control, control, subsets_by
from compnn.demo.facades import DemoFacades
from compnn.demo.facade.styles import CLASS_INDEX, WALL_COLOURS
from compnn.errors import ImageError, LayerError, SearchError
from compnn.network.onnx import Model
from compnn.explanation.query import Query
from compnn.report.sheets.control_sheet import control_sheet, most_changed, signed
from compnn.bank.selection import Selection
from memory_dataset import MemoryDataset, patch_call
from tiny_networks import tiny_segnet, tiny_unet

Image = npt.NDArray[np.uint8]
KINDS = {"img_0": "a", "img_1": "b", "img_2": "b", "img_3": "b"}
ATTRIBUTES = {name: {"kind": kind} for name, kind in KINDS.items()}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """Six random photo pairs at two layers; four have the attribute `kind`."""
    folder = tmp_path_factory.mktemp("photos")
    model = Model(tiny_unet(folder / "unet.onnx"), ["encoder_2", "decoder_2"], "encoder_3")
    return Bank.build(folder / "photos.bank", model, MemoryDataset(6, attributes=ATTRIBUTES))


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """Five photos with label maps of five classes in squares; the first three have no class 4."""
    folder = tmp_path_factory.mktemp("labels")
    dataset = MemoryDataset(5, (24, 32), classes=5)
    for number, pair in enumerate(dataset.pairs.values()):
        squares = np.arange(48, dtype=np.uint8).reshape(6, 8) % (4 if number < 3 else 5)
        pair.target[:] = squares.repeat(4, axis=0).repeat(4, axis=1)
    model = Model(tiny_segnet(folder / "segnet.onnx"), ["decoder_1"])
    return Bank.build(folder / "labels.bank", model, dataset)


def query_of(size: tuple[int, int] = (32, 32), classes: int | None = None) -> Query:
    pair = MemoryDataset(1, size, classes=classes, seed=9)[0]
    return Query("q", pair.input, pair.target)


# Where the truth is known: the colour of the demo's walls


@pytest.fixture(scope="module")
def facades(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """Demo facades at decoder 4; the attribute `wall` is the colour that their walls have."""
    with resources.as_file(resources.files("compnn.demo") / "unet.onnx") as path:
        model = Model(path, ["decoder_4"], "decoder_7")
    folder = tmp_path_factory.mktemp("facades")
    return Bank.build(folder / "facades.bank", model, DemoFacades("train", 40))


def walls(photo: Image, painted: Image) -> npt.NDArray[np.float64]:
    """Mean colour of a photo where its painted label map shows a wall."""
    palette = DemoFacades("train", 1).input_palette
    assert palette is not None
    return photo[(painted == palette.colours[CLASS_INDEX["wall"]]).all(axis=2)].mean(axis=0)


def nearest_colour(colour: npt.NDArray[np.float64]) -> str:
    return min(WALL_COLOURS, key=lambda name: np.linalg.norm(colour - WALL_COLOURS[name]))


@pytest.fixture(scope="module")
def yellow(facades: Bank) -> tuple[Query, Control]:
    """A held-out facade whose wall the network paints yellow, under every wall colour."""
    pair = DemoFacades("held-out")[0]
    query = Query(pair.name, pair.input, pair.target)
    subsets = subsets_by(facades, "wall")
    return query, control(facades, query, "decoder_4", subsets, region="wall", method="exhaustive")


@pytest.mark.parametrize("colour", ["red", "blue", "white"])
def test_walls_take_the_colour_that_is_asked_for(
    facades: Bank, yellow: tuple[Query, Control], colour: str
) -> None:
    query, found = yellow
    unrestricted = walls(found.unrestricted.output, query.image)
    restricted = walls(found.explanations[f"wall={colour}"].output, query.image)
    training = [facades.pair(i) for i in Selection(where=(f"wall={colour}",)).select(facades)]
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


def test_a_subset_for_each_value(facades: Bank, yellow: tuple[Query, Control]) -> None:
    _, found = yellow
    titles = list(found.explanations)
    assert titles[0] == UNRESTRICTED
    assert set(titles[1:]) == {f"wall={colour}" for colour in WALL_COLOURS}
    counts = [found.images[title] for title in titles[1:]]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == found.images[UNRESTRICTED] == len(facades)
    for title in titles[1:]:
        used = {source.attributes["wall"] for source in found.explanations[title].sources()}
        assert used == {title.removeprefix("wall=")}
        assert found.similarity_change(title) <= 0, "the search is exact"


def test_regions_that_are_not_there(facades: Bank, photos: Bank) -> None:
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


def test_explanations_are_those_of_the_bank(photos: Bank) -> None:
    query = query_of()
    subsets = {"two": Selection(only=("img_4", "img_1")), "not": Selection(where=("kind!=b",))}
    found = control(photos, query, "decoder_2", subsets, top_k=2, method="exhaustive", matches=2)
    expected = {UNRESTRICTED: None, "two": ["img_1", "img_4"], "not": ["img_0", "img_4", "img_5"]}
    assert list(found.explanations) == list(expected)
    assert found.images == {UNRESTRICTED: 6, "two": 2, "not": 3}
    for title, candidates in expected.items():
        alone = photos.explain(
            query, "decoder_2", candidates=candidates, top_k=2, method="exhaustive", matches=2
        )
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


def test_the_composition_is_passed_on(photos: Bank) -> None:
    subset = {"two": Selection(only=("img_4", "img_1"))}
    found = control(photos, query_of(), "decoder_2", subset, composition="overlap")
    alone = photos.explain(query_of(), "decoder_2", candidates=[1, 4], composition="overlap")
    np.testing.assert_array_equal(found.explanations["two"].output, alone.output)


def test_the_network_runs_once(photos: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = patch_call(
        monkeypatch, Model, "run", lambda original, *args, **kwargs: original(*args, **kwargs)
    )
    reported: list[tuple[str, float]] = []
    control(
        photos,
        query_of().image,
        "encoder_2",
        subsets_by(photos, "kind"),
        progress=lambda title, share: reported.append((title, share)),
    )
    assert len(calls) == 1
    last = dict(reported)
    assert last == {UNRESTRICTED: 1, "kind=b": 1, "kind=a": 1}


def test_class_shares(labels: Bank) -> None:
    query = query_of((24, 32), classes=5)
    found = control(
        labels, query, "decoder_1", {"without": Selection(classes=("not class 4",))},
        method="exhaustive",
    )  # fmt: skip
    assert labels.target_palette is not None
    assert found.quantities == labels.target_palette.classes
    for title, explanation in found.explanations.items():
        for label, share in enumerate(found.statistics[title]):
            assert share == pytest.approx((explanation.output == label).mean())
        assert found.statistics[title].sum() == pytest.approx(1)
    assert found.images["without"] == 3
    assert found.statistics["without"][4] == 0
    assert found.change("without")[4] == -found.statistics[UNRESTRICTED][4] < 0
    assert 4 in most_changed(found, 2)
    assert most_changed(found, 2) == sorted(
        np.argsort(-np.abs(found.change("without")), kind="stable")[:2]
    )


def test_json(labels: Bank) -> None:
    found = control(labels, query_of((24, 32), 5), "decoder_1", {"first": Selection(only="img_0")})
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["layer"] == "decoder_1"
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


# Bad input


def test_subsets_that_make_no_sense(photos: Bank) -> None:
    query = query_of()
    for subsets in ({}, {UNRESTRICTED: Selection(only="img_0")}):
        with pytest.raises(SearchError, match="give at least one subset"):
            control(photos, query, "encoder_2", subsets)
    with pytest.raises(SearchError, match=r"attribute 'wall'; the bank's are kind"):
        subsets_by(photos, "wall")
    empty = {"none": Selection(only="img_0", where="kind=b")}
    with pytest.raises(SearchError, match="no training image is left of 6"):
        control(photos, query, "encoder_2", empty)


def test_bad_queries_are_refused_as_by_the_bank(photos: Bank, tmp_path: Path) -> None:
    subset = {"one": Selection(only="img_0")}
    with pytest.raises(LayerError, match="no layer 'encoder_1'"):
        control(photos, query_of(), "encoder_1", subset)
    with pytest.raises(ImageError, match=r"nowhere\.png does not exist"):
        control(photos, tmp_path / "nowhere.png", "encoder_2", subset)


# The picture


def contains(sheet: Image, picture: Image) -> bool:
    """Whether the picture is somewhere on the sheet, to the pixel."""
    distance = cv2.matchTemplate(sheet, picture, cv2.TM_SQDIFF)
    row, col = np.unravel_index(distance.argmin(), distance.shape)
    height, width = picture.shape[:2]
    return np.array_equal(sheet[row : row + height, col : col + width], picture)


def enlarged(picture: Image, factor: int) -> Image:
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def test_sheet_shows_every_picture(photos: Bank) -> None:
    query = query_of()
    found = control(photos, query, "encoder_2", subsets_by(photos, "kind"))
    sheet = control_sheet(found, title="a query")
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] <= 2400
    assert query.target is not None
    pictures = [query.image, query.target, found.unrestricted.network_output]
    for explanation in found.explanations.values():
        pictures += [explanation.input, explanation.output]
    for picture in pictures:
        assert contains(sheet, enlarged(picture, 12))


def test_sheet_paints_label_maps(labels: Bank) -> None:
    query = query_of((24, 32), classes=5)
    found = control(labels, query, "decoder_1", {"first": Selection(only="img_0")})
    palette = labels.target_palette
    assert palette is not None
    sheet = control_sheet(found)
    for explanation in found.explanations.values():
        assert contains(sheet, enlarged(palette.colourise(explanation.output), 12))


def test_many_subsets_take_several_rows(photos: Bank) -> None:
    subsets = {f"number {index}": Selection(only=f"img_{index % 6}") for index in range(9)}
    found = control(photos, query_of().image, "encoder_2", subsets)
    sheet = control_sheet(found)
    assert sheet.shape[1] <= 2400
    few = dict(list(subsets.items())[:4])
    one_row = control_sheet(control(photos, query_of().image, "encoder_2", few))
    assert sheet.shape[1] == one_row.shape[1], "ten columns are two rows of five"
    assert sheet.shape[0] > 1.5 * one_row.shape[0]


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (12.34, 1, "+12.3"),
        (-0.05, 2, "\N{MINUS SIGN}0.05"),
        (-0.004, 2, "±0"),
        (0.0, 0, "±0"),
        (0.6, 0, "+1"),
    ],
)
def test_signed(value: float, digits: int, text: str) -> None:
    assert signed(value, digits) == text
