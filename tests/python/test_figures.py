"""The paper's figures: the grid of reconstructions, `Figures`, and `compnn figures`."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from command_line import Run, runner
from compnn.bank.bank import Bank
from compnn.studies.control import control, subsets_by
from compnn.errors import CompnnError, DatasetError, LayerError, SearchError
from compnn.explanation.explanation import Explanation
from compnn.report.figures import FIGURES, Figures
from compnn.images.files import read_image, write_image
from compnn.studies.matching import match
from compnn.images.measures import psnr
from compnn.network.onnx import Model
from compnn.report import correspondence_map
from compnn.report.sheets.control_sheet import control_sheet
from compnn.report.sheets.matches import match_sheet
from compnn.report.sheets.reconstruction_grid import GridRow, Kind, reconstruction_grid
from compnn.explanation.scores import Score, Scores
from memory_dataset import MemoryDataset, contents, patch_call
from tiny_networks import tiny_segnet, tiny_unet

Image = npt.NDArray[np.uint8]
Place = tuple[int, int]
EXACT = {"method": "exhaustive", "top_k": 2}
ORDER = ("encoder_2", "encoder_3", "decoder_2")
WALLS = {"img_0": "red", "img_1": "grey", "img_2": "grey", "img_3": "red"}


@pytest.fixture(scope="module")
def banks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos.bank, which has attributes, and labels.bank, without a descriptor."""
    folder = tmp_path_factory.mktemp("figures")
    # Not in the network's order; every image is of the same age.
    unet = Model(tiny_unet(folder / "unet.onnx"), ["decoder_2", *ORDER[:2]], "encoder_3")
    attributes = {name: {"age": "old", "wall": wall} for name, wall in WALLS.items()}
    Bank.build(folder / "photos.bank", unet, MemoryDataset(4, attributes=attributes))
    segnet = Model(tiny_segnet(folder / "segnet.onnx"), ["decoder_1"])
    Bank.build(folder / "labels.bank", segnet, MemoryDataset(3, (24, 32), classes=5))
    for pair in MemoryDataset(6, seed=1):
        write_image(folder / f"{pair.name}.png", np.hstack([pair.input, pair.target]))
    return folder


@pytest.fixture
def photos(banks: Path) -> Bank:
    return Bank(banks / "photos.bank")


@pytest.fixture
def labels(banks: Path) -> Bank:
    return Bank(banks / "labels.bank")


VAL = MemoryDataset(6, seed=1)
STREETS = MemoryDataset(2, (24, 32), classes=5, seed=1)


def place(sheet: Image, picture: Image, width: int) -> Place:
    """Where (left, top) the picture is on the sheet, enlarged without smoothing to a width."""
    factor = width // picture.shape[1]
    large = np.kron(picture, np.ones((factor, factor, 1), np.uint8))
    match_ = cv2.matchTemplate(sheet[:, :, 1], large[:, :, 1], cv2.TM_SQDIFF)
    top, left = map(int, np.unravel_index(int(match_.argmin()), match_.shape))
    np.testing.assert_array_equal(sheet[top : top + large.shape[0], left : left + width], large)
    return left, top


def drawn(figures: Figures) -> dict[tuple[str, str | None], Image]:
    return {(figure.name, figure.image): figure.pixels for figure in figures.draw()}


# --- the grid


def rows_of(
    bank: Bank, count: int, size: tuple[int, int], *, target: bool = True, queries: int = 1
) -> list[GridRow]:
    """Rows of `count` layers, each of which has pictures of one grey of its own."""
    found = []
    base = bank.explain(VAL[0].input, "decoder_2", top_k=1)
    for query in range(queries):
        explanations = []
        for number in range(count):
            layer = dataclasses.replace(
                base.layer, name=f"layer_{number}", image_size=size, stride=(1, 1)
            )
            each = Explanation(layer, base.field, base.query, base.network_output, (), bank)
            each.query = np.full((*size, 3), 40 + query, np.uint8)
            each.network_output = np.full((*size, 3), 60, np.uint8)
            shade = 80 + query * count + number
            each.__dict__["input"] = np.full((*size, 3), shade, np.uint8)
            each.__dict__["output"] = np.full((*size, 3), shade, np.uint8)
            explanations.append(each)
        number = Score("psnr", 20.0)
        scores = Scores(0.9, number, number, number if target else None, number if target else None)
        truth = np.full((*size, 3), 70, np.uint8) if target else None
        found.append(GridRow(f"query {query}", explanations, [scores] * count, truth))
    return found


def boxes(sheet: Image, shade: int) -> list[tuple[int, int, int, int]]:
    """(left, top, width, height), to within three pixels, of large rectangles of one grey."""
    mask = (sheet[::3, ::3] == shade).all(axis=2).astype(np.uint8)
    _, _, found, _ = cv2.connectedComponentsWithStats(mask)
    return [tuple(3 * int(each) for each in box[:4]) for box in found[1:] if box[4] > 200]  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["input", "output"])
@pytest.mark.parametrize(
    ("count", "size", "blocks"),
    [(1, (16, 16), 1), (8, (64, 64), 1), (15, (256, 256), 2), (17, (360, 480), 3)],
)
def test_grid_wraps_layers_into_aligned_blocks(
    photos: Bank, kind: Kind, count: int, size: tuple[int, int], blocks: int
) -> None:
    sheet = reconstruction_grid(rows_of(photos, count, size, queries=2), kind)
    assert sheet.shape[1] <= 2600
    for side in (sheet[:15], sheet[-15:], sheet[:, :15], sheet[:, -15:]):
        assert (side == 255).all()
    found = [boxes(sheet, 80 + number) for number in range(2 * count)]
    assert [len(each) for each in found] == [1] * (2 * count)
    length = -(-count // blocks)
    lefts, tops = ([each[0][axis] for each in found] for axis in (0, 1))
    for number in range(count):
        # Both rows use the same columns, and so do all blocks.
        assert lefts[number] == lefts[number + count] == lefts[number % length]
        assert tops[number] == tops[number - number % length] < tops[number + count]
    assert lefts[:length] == sorted(lefts[:length])
    assert tops[:count] == sorted(tops[:count])
    # Each block has the queries at its left.
    assert len(boxes(sheet, 40)) == len(boxes(sheet, 41)) == blocks
    assert max(box[0] for box in boxes(sheet, 40)) < min(lefts)
    assert len(boxes(sheet, 60)) == len(boxes(sheet, 70)) == 2 * blocks * (kind == "output")


def test_grid_without_targets_and_without_a_note(photos: Bank) -> None:
    rows = rows_of(photos, 2, (64, 64), target=False)
    assert not boxes(reconstruction_grid(rows, "output"), 70)
    short = reconstruction_grid(rows, "input")
    long = reconstruction_grid(rows, "input", note="many words " * 40)
    assert long.shape[0] > short.shape[0]  # the note takes several lines
    assert long.shape[1] == short.shape[1]


def test_grid_writes_the_numbers_of_each_picture(photos: Bank) -> None:
    (row,) = rows_of(photos, 2, (256, 256))
    before = reconstruction_grid([row], "output")
    other = dataclasses.replace(row.scores[1], output_to_target=Score("psnr", 7.0))
    after = reconstruction_grid([dataclasses.replace(row, scores=[row.scores[0], other])], "output")
    ((left, top, width, height),) = boxes(before, 81)
    tops, lefts = np.nonzero((before != after).any(axis=2))
    assert top + height < tops.min() < tops.max() < top + height + 70
    assert left <= lefts.min() < lefts.max() < left + width
    # What is not shown changes nothing.
    hidden = dataclasses.replace(row.scores[1], input=Score("psnr", 7.0))
    same = dataclasses.replace(row, scores=[row.scores[0], hidden])
    np.testing.assert_array_equal(reconstruction_grid([same], "output"), before)


def test_grid_refuses_what_it_cannot_show(photos: Bank) -> None:
    one, two = rows_of(photos, 1, (32, 32)), rows_of(photos, 2, (32, 32))
    with pytest.raises(LayerError, match="at least one query"):
        reconstruction_grid([], "input")
    with pytest.raises(LayerError, match=r"query 0.*layer_0, layer_1"):
        reconstruction_grid([*one, *two], "input")


# --- what is drawn


@pytest.mark.parametrize("kind", ["input", "output"])
def test_reconstructions_are_the_banks_own(photos: Bank, kind: Kind) -> None:
    names = ("img_4", "img_1")
    figures = Figures(photos, VAL, figures=[f"{kind}-reconstructions"], images=names, **EXACT)
    assert figures.layers == ORDER
    ((key, sheet),) = drawn(figures).items()
    assert key == (f"{kind}-reconstructions", None)
    width = 32 * (480 // 32) if kind == "input" else 32 * 12
    columns = []
    for name in names:
        pair = VAL.pairs[name]
        found = photos.explain(pair.input, list(ORDER), **EXACT)
        pictures = [pair.input]
        if kind == "output":
            pictures += [pair.target, found["encoder_2"].network_output]
        pictures += [getattr(found[layer], kind) for layer in ORDER]
        spots = [place(sheet, picture, width) for picture in pictures]
        assert len({top for _, top in spots}) == 1
        columns.append([left for left, _ in spots])
    assert columns[0] == columns[1] == sorted(columns[0])
    first, second = (place(sheet, VAL.pairs[name].input, width)[1] for name in names)
    assert first < second


def test_numbers_are_those_of_the_pictures(photos: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = patch_call(
        monkeypatch,
        sys.modules["compnn.report.figures"],
        "reconstruction_grid",
        lambda original, *args, **kwargs: original(*args, **kwargs),
    )
    drawn(Figures(photos, VAL, figures=["output-reconstructions"], count=1, **EXACT))
    ((row,), _) = calls[0]
    pair = VAL.pairs["img_0"]
    for explanation, scores in zip(row.explanations, row.scores, strict=True):
        found = photos.explain(pair.input, explanation.layer.name, **EXACT)
        assert scores.similarity == pytest.approx(found.field.similarity[0].mean())
        assert scores.output_to_target.value == pytest.approx(psnr(found.output, pair.target))


def test_label_maps(labels: Bank) -> None:
    figures = Figures(labels, STREETS, top_k=None, method="exhaustive")
    assert figures.names == FIGURES[:4]
    assert "no attributes" in figures.left_out["property-control"]
    sheet = drawn(figures)[("output-reconstructions", None)]
    pair = STREETS.pairs["img_0"]
    found = labels.explain(pair.input, "decoder_1", method="exhaustive")
    painted = [found.painted(each) for each in (pair.target, found.network_output, found.output)]
    spots = [place(sheet, picture, 480) for picture in (pair.input, *painted)]
    assert spots == sorted(spots)


def test_maps_of_each_image(photos: Bank) -> None:
    figures = Figures(photos, VAL, figures=["correspondence-map"], count=2, **EXACT)
    found = drawn(figures)
    assert list(found) == [("correspondence-map", "img_0"), ("correspondence-map", "img_3")]
    # The only layer with patches of 8 pixels.
    wanted = correspondence_map(photos.explain(VAL.pairs["img_3"].input, "encoder_3", **EXACT))
    np.testing.assert_array_equal(found[("correspondence-map", "img_3")], wanted)
    fine = {"layers": ["encoder_2", "decoder_2"], "figures": ["correspondence-map"]}
    ((key, pixels),) = drawn(Figures(photos, VAL, **fine, images=["img_3"], **EXACT)).items()
    assert key == ("correspondence-map", None)
    wanted = correspondence_map(photos.explain(VAL.pairs["img_3"].input, "decoder_2", **EXACT))
    np.testing.assert_array_equal(pixels, wanted)


@pytest.mark.parametrize("layer", [None, "decoder_3"])
def test_semantic_matches(photos: Bank, layer: str | None) -> None:
    names = ["img_5", "img_2", "img_0"]
    figures = Figures(
        photos, VAL, figures=["semantic-matches"], images=names, match_layer=layer, **EXACT
    )
    ((_, pixels),) = drawn(figures).items()
    a, b = (VAL.pairs[name].input for name in names[:2])
    wanted = match(photos.model, a, b, layer or "encoder_3", method="exhaustive")
    np.testing.assert_array_equal(pixels, match_sheet(wanted, names=("A: img_5", "B: img_2")))


@pytest.mark.parametrize("layers", [["decoder_2"], ["encoder_3", "decoder_2"]])
def test_semantic_matches_are_of_visible_patches(tmp_path: Path, layers: list[str]) -> None:
    # Without names in its metadata every tap of the network is a layer; relu_3 is the last of 8 px.
    unet = tiny_unet(tmp_path / "unet.onnx", metadata={"input_range": "[-1, 1]"})
    bank = Bank.build(tmp_path / "a.bank", Model(unet, layers), MemoryDataset(1))
    options = {"figures": ["semantic-matches"], "top_k": None, "method": "exhaustive"}
    ((_, pixels),) = drawn(Figures(bank, VAL, count=2, **options)).items()
    a, b = (VAL.pairs[name].input for name in ("img_0", "img_3"))
    layer = "encoder_3" if "encoder_3" in layers else "relu_3"
    wanted = match(bank.model, a, b, layer, method="exhaustive")
    np.testing.assert_array_equal(pixels, match_sheet(wanted, names=("A: img_0", "B: img_3")))


def test_classes_of_semantic_matches(labels: Bank) -> None:
    figures = Figures(
        labels, STREETS, figures=["semantic-matches"], top_k=None, method="exhaustive"
    )
    a, b = (STREETS.pairs[name].input for name in ("img_0", "img_1"))
    # No layer of the network has patches of 8 pixels: the bank's last one is taken.
    wanted = match(
        labels.model, a, b, "decoder_1", palette=labels.target_palette, method="exhaustive"
    )
    ((_, pixels),) = drawn(figures).items()
    np.testing.assert_array_equal(pixels, match_sheet(wanted, names=("A: img_0", "B: img_1")))


@pytest.mark.parametrize(("by", "chosen"), [(None, "wall"), ("age", "age")])
def test_property_control(photos: Bank, by: str | None, chosen: str) -> None:
    figures = Figures(photos, VAL, figures=["property-control"], by=by, **EXACT)
    ((_, pixels),) = drawn(figures).items()
    pair = VAL.pairs["img_0"]
    subsets = subsets_by(photos, chosen)
    query = dataclasses.replace(figures._query("img_0"), target=pair.target)
    wanted = control(photos, query, "decoder_2", subsets, **EXACT)
    np.testing.assert_array_equal(pixels, control_sheet(wanted, title="img_0"))


def test_each_search_is_done_once_and_counted(
    photos: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = patch_call(
        monkeypatch,
        Bank,
        "_search",
        lambda original, *args, **kwargs: original(*args, **kwargs),
    )
    seen: list[tuple[int, int]] = []
    figures = Figures(photos, VAL, count=2, **EXACT)
    for _ in figures.draw(lambda done, total: seen.append((done, total))):
        pass
    # Two images at three layers; all images and two walls.
    assert len(calls) == 2 * 3 + 3
    assert seen[0] == (0, 10)
    assert seen[-1] == (10, 10)
    assert seen == sorted(seen)


# --- which figures and images


def test_images_are_evenly_spread_or_named(photos: Bank) -> None:
    assert Figures(photos, VAL, count=3).images == ("img_0", "img_2", "img_4")
    assert Figures(photos, VAL, count=9).images == VAL.names
    assert Figures(photos, VAL, images=["img_4.png", "img_1", "img_4"]).images == (
        "img_4",
        "img_1",
    )


def test_a_default_leaves_out_what_one_image_cannot_show(photos: Bank) -> None:
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
        ({"method": "magic"}, SearchError, "magic"),
    ],
)
def test_bad_requests(
    photos: Bank, options: dict[str, Any], error: type[CompnnError], message: str
) -> None:
    with pytest.raises(error, match=message):
        Figures(photos, VAL, **options)


@pytest.mark.parametrize("options", [{"figures": ["property-control"]}, {"by": "wall"}])
def test_property_control_needs_attributes(labels: Bank, options: dict[str, Any]) -> None:
    with pytest.raises(SearchError, match=r"property-control cannot be drawn.*no attributes"):
        Figures(labels, STREETS, top_k=None, **options)


def test_nearest_images_need_descriptors(labels: Bank) -> None:
    with pytest.raises(SearchError, match=r"no global descriptors.*--top-k all"):
        Figures(labels, STREETS)


def test_palettes_must_be_the_banks(labels: Bank, photos: Bank) -> None:
    with pytest.raises(DatasetError, match=r"targets are label maps of.*validation targets photos"):
        Figures(labels, MemoryDataset(1, (24, 32)), top_k=None)
    with pytest.raises(DatasetError, match="no validation pairs"):
        Figures(photos, VAL.subset([]))


# --- the command


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """`run(bank, ...)` calls `compnn figures`: exit code, standard output, error in one line."""
    monkeypatch.chdir(tmp_path)
    return runner(monkeypatch, capsys, "figures")


def side_by_side(banks: Path) -> Sequence[object]:
    return banks / "photos.bank", "--side-by-side", banks


def test_files_of_all_figures(run: Run, banks: Path, photos: Bank) -> None:
    code, out, error = run(
        *side_by_side(banks), "--count", 2, "--method", "exhaustive", "--top-k", 2
    )
    assert (code, error) == (0, "")
    names = [
        "input-reconstructions.png",
        "output-reconstructions.png",
        "correspondence-map-img_0.png",
        "correspondence-map-img_3.png",
        "semantic-matches.png",
        "property-control.png",
    ]
    assert out.splitlines() == [f"photos-figures/{name}" for name in names]
    assert set(contents(Path("photos-figures"))) == set(names)  # and no temporary file
    for name, pixels in zip(
        names, drawn(Figures(photos, VAL, count=2, **EXACT)).values(), strict=True
    ):
        np.testing.assert_array_equal(read_image(f"photos-figures/{name}"), pixels)


def test_chosen_figures_as_json(run: Run, banks: Path) -> None:
    code, out, error = run(
        *side_by_side(banks), "--figure", "correspondence-map", "--figure", "semantic-matches",
        "--image", "img_3", "--image", "img_1", "--layer", "decoder_2", "--layer", "encoder_2",
        "--match-layer", "decoder_3", "--top-k", "all", "-o", "out", "--json",
    )  # fmt: skip
    assert (code, error) == (0, "")
    document = json.loads(out)
    assert document["images"] == ["img_3", "img_1"]
    assert document["layers"] == ["encoder_2", "decoder_2"]
    assert (document["top_k"], document["left_out"]) == (None, {})
    files = [Path(each["file"]) for each in document["figures"]]
    assert {str(file.relative_to("out")) for file in files} == set(contents(Path("out")))
    assert [each["image"] for each in document["figures"]] == ["img_3", "img_1", None]


def test_what_is_left_out_is_said(run: Run, banks: Path) -> None:
    palette = STREETS.target_palette
    assert palette is not None
    Path("streets").mkdir()
    for pair in STREETS:
        sides = np.hstack([pair.input, palette.colourise(pair.target)])
        write_image(f"streets/{pair.name}.png", sides)
    code, out, error = run(banks / "labels.bank", "--side-by-side", "streets")
    assert (code, error) == (0, "")  # without descriptors all images are searched
    assert out.splitlines()[-1].startswith("property-control is left out: ")
    code, _, error = run(
        banks / "labels.bank", "--side-by-side", "streets", "--figure", "property-control"
    )
    assert code == 2
    assert "property-control cannot be drawn" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--figure", "fig5"), "there is no figure 'fig5'"),
        (("--top-k", "0"), "'0' is not of the form K, such as 16, or all"),
        (("--image", "img_77"), "there is no validation image 'img_77'"),
        (("--layer", "nothing"), "nothing"),
    ],
)
def test_bad_input_ends_with_2_and_writes_nothing(
    run: Run, banks: Path, options: tuple[str, ...], message: str
) -> None:
    code, out, error = run(*side_by_side(banks), *options)
    assert (code, out) == (2, "")
    assert message in error
    assert not Path("photos-figures").exists()
