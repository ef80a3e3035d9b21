"""The contact sheet and the correspondence map."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compnn.data import SideBySide
from compnn.errors import ImageError, LayerError, PaletteError, SearchError
from compnn.explanation.explanation import Explanation
from compnn.search.field import Field
from compnn.network.layer import Layer
from compnn.images.palette import Palette
from compnn.report import contact_sheet, correspondence_map
from compnn.report.sheets.colours import SOURCE_COLOURS, highlight
from compnn.report.sheets.pictures import shades
from compnn.report.sheets.region_badges import badge_centres
from compnn.report.sheets.shares import legend_rows
from compnn.report.sheets.text import Style, shorten, text_width

FACADES = Palette.named("facades")
# Hues that no source colour and no class of the palette has.
PINK, LIME = (255, 0, 200), (60, 255, 0)


@dataclass
class MemoryBank:
    """The parts of a bank that an explanation reads."""

    all_inputs: npt.NDArray[np.uint8]
    all_targets: npt.NDArray[np.uint8]
    names: tuple[str, ...]
    input_palette: Palette | None = None
    target_palette: Palette | None = None
    attributes: dict[str, dict[str, str]] = field(default_factory=dict)

    def inputs(self, images: object) -> npt.NDArray[np.uint8]:
        return self.all_inputs

    def targets(self, images: object) -> npt.NDArray[np.uint8]:
        return self.all_targets

    def pair(self, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        return self.all_inputs[index], self.all_targets[index]


def grey(size: tuple[int, int], seed: int) -> npt.NDArray[np.uint8]:
    levels = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
    return np.repeat(levels[:, :, None], 3, axis=2)


def explain(
    image: npt.ArrayLike,
    *,
    name: str = "encoder_3",
    size: tuple[int, int] = (64, 64),
    palette: Palette | None = None,
    matches: int = 1,
    query: npt.NDArray[np.uint8] | None = None,
) -> Explanation:
    """Explanation whose hyperpatches match the given bank images, each at its own position."""
    images = np.asarray(image, dtype=np.int32)
    gh, gw = images.shape
    layer = Layer.of(name, (gh, gw, 4), size, hyperpatch=(1, 1))
    rows, cols = np.mgrid[:gh, :gw].astype(np.int32)
    # Worse matches point elsewhere: they must not be shown.
    worse = [np.full_like(images, images.max())] * (matches - 1)
    found = Field(
        np.stack([images, *worse]),
        np.stack([rows] * matches),
        np.stack([cols] * matches),
        np.full((matches, gh, gw), 0.5, dtype=np.float32),
    )
    count = int(images.max()) + 1
    inputs = np.stack([grey(size, seed) for seed in range(count)])
    if palette is None:
        targets = np.stack([grey(size, 100 + seed) for seed in range(count)])
    else:
        random = np.random.default_rng(7)
        targets = random.integers(0, len(palette), (count, *size), np.uint8)
    names = tuple(f"train_{index}" for index in range(count))
    bank = MemoryBank(inputs, targets, names, target_palette=palette)
    query = grey(size, 99) if query is None else query
    return Explanation(layer, found, query, targets[0], (), bank)  # type: ignore[arg-type]


def layers(count: int, *, size: tuple[int, int] = (64, 64)) -> list[Explanation]:
    return [explain(np.zeros((8, 8)), name=f"layer_{i}", size=size) for i in range(count)]


def is_coloured(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Neither grey nor the nearly grey of text and hairlines."""
    return np.ptp(picture.astype(int), axis=2) > 24


def hues(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.int_]:
    """Hue of each pixel in degrees."""
    return cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)[:, :, 0].astype(int) * 2


def hue_of(colour: tuple[int, int, int]) -> int:
    return int(hues(np.array([[colour]], dtype=np.uint8))[0, 0])


def near(found: npt.NDArray[np.int_], hue: int) -> npt.NDArray[np.bool_]:
    distance = np.abs(found - hue)
    return np.minimum(distance, 360 - distance) <= 6


def holds(sheet: npt.NDArray[np.uint8], picture: npt.NDArray[np.uint8]) -> bool:
    """Whether the picture is on the sheet, pixel by pixel."""
    height, width = picture.shape[:2]
    # The match is computed by Fourier transforms, so that it finds the place but is not exact.
    match = cv2.matchTemplate(sheet[:, :, 1], picture[:, :, 1], cv2.TM_SQDIFF)
    top, left = np.unravel_index(int(match.argmin()), match.shape)
    return np.array_equal(sheet[top : top + height, left : left + width], picture)


def boxes(sheet: npt.NDArray[np.uint8], colour: tuple[int, int, int]) -> list[tuple[int, ...]]:
    """(left, top, width, height) of the rectangles of exactly this colour."""
    mask = (sheet == colour).all(axis=2).astype(np.uint8)
    _, _, found, _ = cv2.connectedComponentsWithStats(mask)
    assert all(box[4] == box[2] * box[3] for box in found[1:])
    return [tuple(int(value) for value in box[:4]) for box in found[1:]]


# --- contact sheet


@pytest.mark.parametrize("count", [1, 7, 30])
@pytest.mark.parametrize("size", [(16, 16), (256, 256), (360, 480)])
def test_sheet_is_at_most_2400_wide_with_white_margins(count: int, size: tuple[int, int]) -> None:
    sheet = contact_sheet(layers(count, size=size), title="A query")
    assert sheet.dtype == np.uint8
    assert sheet.shape[2] == 3
    assert sheet.shape[1] <= 2400
    edge = 16
    for side in (sheet[:edge], sheet[-edge:], sheet[:, :edge], sheet[:, -edge:]):
        assert (side == 255).all()


def test_sheet_holds_every_picture_whole_and_unchanged() -> None:
    size = (256, 256)
    explanation = explain([[0, 1], [2, 3]], size=size)
    target, best = grey(size, 50), grey(size, 51)
    sheet = contact_sheet([explanation] * 6, target=target, global_output=best)
    pictures = (explanation.query, explanation.network_output, target, best)
    for picture in (*pictures, explanation.input, explanation.output):
        assert holds(sheet, picture)
    assert not holds(sheet, grey(size, 52))


def test_output_is_right_below_input_and_layers_run_from_left_to_right() -> None:
    first, second = explain([[0]], name="a"), explain([[0]], name="b")
    for each, colour in ((first, PINK), (second, LIME)):
        each.__dict__["input"] = np.full((64, 64, 3), colour, dtype=np.uint8)
        each.__dict__["output"] = each.input
    sheet = contact_sheet([first, second])
    (left, top, width, height), below = sorted(boxes(sheet, PINK), key=lambda box: box[1])
    assert width == height
    assert width % 64 == 0
    assert below[0] == left
    assert below[1] > top + height
    right, _ = sorted(boxes(sheet, LIME), key=lambda box: box[1])
    assert right[1] == top
    assert right[0] > left + width


@pytest.mark.parametrize(("count", "rows"), [(6, 1), (7, 2), (16, 2), (17, 3)])
def test_layers_wrap_into_rows(count: int, rows: int) -> None:
    explanations = layers(count)
    for each in explanations:
        each.__dict__["input"] = np.full((64, 64, 3), PINK, dtype=np.uint8)
    found = boxes(contact_sheet(explanations), PINK)
    assert len(found) == count
    assert len({box[1] for box in found}) == rows
    # Columns of all rows are aligned.
    assert len({box[0] for box in found}) == -(-count // rows)


def test_large_images_are_reduced_to_fit() -> None:
    explanations = layers(6, size=(512, 1024))
    for each in explanations:
        each.__dict__["input"] = np.full((512, 1024, 3), PINK, dtype=np.uint8)
    sheet = contact_sheet(explanations)
    assert 2300 <= sheet.shape[1] <= 2400
    _, _, width, height = boxes(sheet, PINK)[0]
    assert width == pytest.approx(2 * height, abs=1)


def test_label_maps_are_painted_and_their_classes_listed() -> None:
    explanation = explain([[0, 1], [1, 0]], size=(256, 256), palette=FACADES)
    sheet = contact_sheet([explanation], target=explanation.network_output)
    scale = 2
    wanted = FACADES.colourise(explanation.output).repeat(scale, axis=0).repeat(scale, axis=1)
    assert holds(sheet, wanted)
    below_pictures = sheet[-150:]
    for colour in FACADES.colours.tolist():
        assert (below_pictures == colour).all(axis=2).sum() > 200


def test_captions_and_title_are_written_only_where_they_belong() -> None:
    explanations = layers(3)
    plain = contact_sheet(explanations)
    captioned = contact_sheet(explanations, captions={"layer_2": ["similarity 0.91"]})
    assert captioned.shape[0] > plain.shape[0]
    same = plain.shape[0] - 60
    assert np.array_equal(plain[:same], captioned[:same])
    written = np.nonzero((captioned[same:] < 200).any(axis=(0, 2)))[0]
    assert written.min() > captioned.shape[1] * 0.6
    assert contact_sheet(explanations, title="One query").shape[0] > plain.shape[0]


def test_sheet_refuses_what_it_cannot_show() -> None:
    explanations = layers(2)
    with pytest.raises(LayerError, match="at least one"):
        contact_sheet([])
    with pytest.raises(LayerError, match=r"'layer_9'.*layer_0, layer_1"):
        contact_sheet(explanations, captions={"layer_9": ["?"]})
    with pytest.raises(ImageError, match="target is 32x64"):
        contact_sheet(explanations, target=np.zeros((32, 64, 3), dtype=np.uint8))
    other = explain([[0]], name="other", query=grey((64, 64), 5))
    with pytest.raises(ImageError, match="'layer_0' and 'other'"):
        contact_sheet([*explanations, other])
    labelled = explain([[0]], palette=FACADES)
    with pytest.raises(PaletteError, match="label 200"):
        contact_sheet([labelled], target=np.full((64, 64), 200, dtype=np.uint8))


# --- correspondence map


def test_only_the_pixels_of_shown_sources_are_coloured() -> None:
    ranks = np.array([[0, 1, 7, -1]] * 4, dtype=np.int32)
    for level in (0, 40, 128, 255):
        row = highlight(np.full((4, 4), level, dtype=np.uint8), ranks)[:1]
        assert near(hues(row)[0, :1], hue_of(SOURCE_COLOURS[0])).all()
        assert near(hues(row)[0, 1:2], hue_of(SOURCE_COLOURS[1])).all()
        assert np.ptp(row[0, 3].astype(int)) == 0


def test_tints_keep_the_picture_readable() -> None:
    level = np.arange(256, dtype=np.uint8)[None]
    for rank in range(-1, len(SOURCE_COLOURS)):
        brightness = highlight(level, np.full((1, 256), rank, dtype=np.int32)).sum(axis=2)[0]
        assert (np.diff(brightness.astype(int)) >= 0).all()
        assert brightness[-1] - brightness[0] > 150


def test_tints_of_black_are_darker_than_anything_faded() -> None:
    level = np.arange(256, dtype=np.uint8)[None]
    black = highlight(level, np.full((1, 256), 7, dtype=np.int32))
    faded = highlight(level, np.full((1, 256), -1, dtype=np.int32))
    assert black.max() < faded.min()


def test_source_colours_differ_for_every_kind_of_colour_vision() -> None:
    # Machado, Oliveira, Fernandes (2009), severity 1: protanopia and deuteranopia, linear RGB.
    protan = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
    deutan = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]
    linear = (np.array(SOURCE_COLOURS) / 255) ** 2.2
    for kind in (np.eye(3), np.array(protan), np.array(deutan)):
        seen = np.clip(linear @ kind.T, 0, 1) ** (1 / 2.2)
        distances = np.linalg.norm(seen[:, None] - seen[None], axis=2)
        assert distances[~np.eye(8, dtype=bool)].min() > 0.12


def large_map(sheet: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """The large picture: the part right of the margin where the first long frame begins."""
    hairline = (sheet[:, 40 : 40 + side] == (208, 215, 222)).all(axis=(1, 2))
    top = int(np.nonzero(hairline)[0][0]) + 1
    return sheet[top : top + side, 40 : 40 + side]


def test_map_colours_the_patches_of_each_source() -> None:
    # A 64 px image is shown at 640: each of the 4x4 patches is a square of 160.
    field_images = [[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 2, 2], [1, 1, 1, 3]]
    sheet = correspondence_map(explain(field_images), sources=2)
    shown = large_map(sheet, 640)
    found = hues(shown)
    for row in range(4):
        for col in range(4):
            # The lower right corner of a patch is free of badges.
            part = np.s_[row * 160 + 125 : row * 160 + 155, col * 160 + 125 : col * 160 + 155]
            source = field_images[row][col]
            if source < 2:
                coloured = is_coloured(shown[part])
                assert coloured.mean() > 0.9
                assert near(found[part][coloured], hue_of(SOURCE_COLOURS[source])).mean() > 0.95
            else:
                assert not is_coloured(shown[part]).any()


def test_lines_run_between_sources_but_not_inside_them() -> None:
    shown = large_map(correspondence_map(explain([[0, 0], [0, 1]])), 640)
    dark = (shown == (31, 35, 40)).all(axis=2)
    assert dark[400:600, 318:320].all()
    assert dark[318:320, 400:600].all()
    assert not dark[100:300, 316:324].any()


def test_cards_mark_the_pixels_that_the_source_gave() -> None:
    # Both sources give one half; their cards show that half of theirs coloured.
    explanation = explain([[0, 1]], size=(64, 64))
    sheet = correspondence_map(explanation)
    right = sheet[:, 40 + 640 + 60 - 1 :]
    for rank, half in ((0, np.s_[:160]), (1, np.s_[160:320])):
        card = right[:700] if rank == 0 else right[sheet.shape[0] // 2 - 160 :]
        coloured = is_coloured(card[:, :320]) & near(
            hues(card[:, :320]), hue_of(SOURCE_COLOURS[rank])
        )
        used = coloured.sum(axis=0)
        other = np.s_[160:320] if rank == 0 else np.s_[60:160]
        assert used[half].mean() > 200
        assert used[other].max() < 5


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


@given(st.lists(st.integers(1, 500), min_size=1, max_size=30), st.integers(1, 8))
def test_percents_always_add_up_to_a_hundred(counts: list[int], shown: int) -> None:
    counts = sorted(counts, reverse=True)
    sources = [SimpleNamespace(index=i, name=str(i), pixels=n) for i, n in enumerate(counts)]
    rows = legend_rows(SimpleNamespace(sources=lambda: sources), shown)  # type: ignore[arg-type]
    assert len(rows) == min(shown, len(counts)) + (len(counts) > shown)
    assert sum(round(10 * float(row.percent.removesuffix(" %"))) for row in rows) == 1000
    assert sum(row.share for row in rows) == pytest.approx(1)
    for row in rows:
        assert float(row.percent.removesuffix(" %")) == pytest.approx(100 * row.share, abs=0.1)


def test_every_source_has_its_number_on_the_map_and_no_two_overlap() -> None:
    random = np.random.default_rng(3)
    ranks = random.integers(-1, 6, (24, 24)).astype(np.int32).repeat(20, 0).repeat(20, 1)
    placed = badge_centres(ranks, 6, 12)
    assert {rank for rank, _ in placed} == set(range(6))
    for rank, (row, col) in placed:
        assert ranks[row, col] == rank
        assert 12 <= row < 480 - 12
        assert 12 <= col < 480 - 12
    centres = np.array([centre for _, centre in placed])
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    assert distances[~np.eye(len(centres), dtype=bool)].min() > 24


def test_badges_that_would_overlap_are_left_out() -> None:
    ranks = np.arange(6, dtype=np.int32).reshape(2, 3).repeat(12, 0).repeat(12, 1)
    placed = badge_centres(ranks, 6, 10)
    assert len(placed) == 1
    assert badge_centres(ranks, 6, 40) == []


def test_further_matches_are_not_shown() -> None:
    images = [[0, 1], [1, 2]]
    one, three = explain(images), explain(images, matches=3)
    assert np.array_equal(correspondence_map(one), correspondence_map(three))
    assert np.array_equal(contact_sheet([one]), contact_sheet([three]))


def test_fewer_sources_than_asked_for() -> None:
    single = explain(np.zeros((4, 4)))
    sheet = correspondence_map(single, sources=8)
    coloured = is_coloured(sheet)
    assert coloured.any()
    assert near(hues(sheet)[coloured], hue_of(SOURCE_COLOURS[0])).mean() > 0.99
    assert [row.percent for row in legend_rows(single, 8)] == ["100.0 %"]


@pytest.mark.parametrize("sources", [0, 9, -1])
def test_number_of_sources_is_checked(sources: int) -> None:
    with pytest.raises(SearchError, match=f"1 to 8 .*not {sources}"):
        correspondence_map(explain([[0]]), sources=sources)


@pytest.mark.parametrize("size", [(8, 8), (64, 48), (250, 333), (512, 1024)])
@pytest.mark.parametrize("sources", [1, 5, 8])
def test_map_fits_any_image(size: tuple[int, int], sources: int) -> None:
    images = np.random.default_rng(1).integers(0, 9, (4, 4))
    sheet = correspondence_map(explain(images, size=size, palette=FACADES), sources=sources)
    assert sheet.shape[1] <= 2400
    for side in (sheet[:32], sheet[-32:], sheet[:, :32], sheet[:, -32:]):
        assert (side == 255).all()


def test_pictures_are_deterministic() -> None:
    def pictures() -> list[npt.NDArray[np.uint8]]:
        explanation = explain(np.arange(16).reshape(4, 4) % 5, palette=FACADES)
        return [contact_sheet([explanation], title="x"), correspondence_map(explanation)]

    for one, other in zip(pictures(), pictures(), strict=True):
        assert np.array_equal(one, other)


# --- parts


def test_classes_of_a_label_map_have_different_shades() -> None:
    labels = np.arange(12, dtype=np.uint8)[None]
    of_labels = shades(labels, FACADES)
    assert len(np.unique(of_labels)) == 12
    assert np.array_equal(shades(FACADES.colourise(labels), FACADES), of_labels)


def test_long_names_keep_both_ends_and_fit() -> None:
    style = Style(20)
    name = "/model/encoder/block_3/conv_2/Relu_output_0"
    short = shorten(name, style, 200)
    assert text_width(short, style) <= 200
    head, tail = short.split("…")
    assert head
    assert tail
    assert name.startswith(head)
    assert name.endswith(tail)
    assert shorten("encoder 3", style, 200) == "encoder 3"


def test_real_facades(shared: Path) -> None:
    data = SideBySide(shared / "data/facades/train", input="left", target_palette=FACADES)
    pairs = [data[index] for index in range(4)]
    explanation = explain(
        np.random.default_rng(0).integers(0, 4, (8, 8)), size=(256, 256), palette=FACADES
    )
    bank = explanation.bank
    bank.all_inputs = np.stack([pair.input for pair in pairs])  # type: ignore[attr-defined]
    bank.all_targets = np.stack([pair.target for pair in pairs])  # type: ignore[attr-defined]
    sheet = contact_sheet([explanation] * 15, target=pairs[0].target)
    wanted = FACADES.colourise(explanation.output)
    assert holds(sheet, wanted)
    sheet = correspondence_map(explanation, sources=3)
    found = hues(large_map(sheet, 512))
    for rank in range(3):
        share = explanation.sources()[rank].share
        of_rank = near(found, hue_of(SOURCE_COLOURS[rank])) & is_coloured(large_map(sheet, 512))
        assert of_rank.mean() == pytest.approx(share, abs=0.06)
