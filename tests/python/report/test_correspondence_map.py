"""The correspondence map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from compnn.data.folders import SideBySide
from compnn.errors import SearchError
from compnn.images.kinds import Kind, Labels, Photo, Values
from compnn.images.palette import Palette
from compnn.report import contact_sheet, correspondence_map
from compnn.report.facts import legend_rows
from compnn.report.sheets.colours import SOURCE_COLOURS, highlight
from compnn.report.sheets.region_badges import badge_centres
from explanation_cases import explain
from pixels import holds

FACADES = Palette.named("facades")


def is_coloured(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Neither grey nor the nearly grey of text and hairlines."""
    return np.ptp(picture.astype(int), axis=2) > 24


def hues(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.int_]:
    """Hue of each pixel in degrees, whole ones."""
    red, green, blue = np.moveaxis(picture.astype(float), -1, 0)
    angles = np.arctan2(3**0.5 * (green - blue), 2 * red - green - blue)
    return np.rint(np.degrees(angles)).astype(int) % 360


def hue_of(colour: tuple[int, int, int]) -> int:
    return int(hues(np.array([[colour]], dtype=np.uint8))[0, 0])


def near(found: npt.NDArray[np.int_], hue: int) -> npt.NDArray[np.bool_]:
    distance = np.abs(found - hue)
    return np.minimum(distance, 360 - distance) <= 6


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
    sheet = correspondence_map(explain(images, size=size, kind=Labels(FACADES)), sources=sources)
    assert sheet.shape[1] <= 2400
    for side in (sheet[:32], sheet[-32:], sheet[:, :32], sheet[:, -32:]):
        assert (side == 255).all()


def test_further_matches_are_not_shown() -> None:
    images = [[0, 1], [1, 2]]
    one, three = explain(images), explain(images, matches=3)
    assert np.array_equal(correspondence_map(one), correspondence_map(three))


def test_the_map_is_deterministic() -> None:
    one, other = (
        correspondence_map(explain(np.arange(16).reshape(4, 4) % 5, kind=Labels(FACADES)))
        for _ in range(2)
    )
    assert np.array_equal(one, other)


@pytest.mark.parametrize("kind", [Photo(), Labels(FACADES), Values("m")])
def test_sources_of_other_sizes_are_whole_on_their_cards(kind: Kind) -> None:
    images = [[0, 1], [1, 2]]
    sizes = [(40, 90), (64, 64), (128, 48)]
    explanation = explain(images, kind=kind, sizes=sizes)
    sheet = correspondence_map(explanation)
    cards = sheet[:, 40 + 640 + 60 - 1 :]
    found = hues(cards)
    for rank, source in enumerate(explanation.sources()):
        used = is_coloured(cards) & near(found, hue_of(SOURCE_COLOURS[rank]))
        assert used.sum() > 500, source.name


def test_names_that_are_no_unicode_are_drawn_as_escapes() -> None:
    sheets = []
    for name in ("fa\udce7ade\x1b[31m\r", "fa\\xE7ade\\x1B[31m\\x0D"):
        explanation = explain([[0, 1]], name=name)
        explanation.images.names = (name, name)  # type: ignore[misc]
        sheets.append(correspondence_map(explanation))
    assert np.array_equal(*sheets)


def test_real_facades(shared: Path) -> None:
    data = SideBySide(shared / "data/facades/train", input="left", target_kind=Labels(FACADES))
    pairs = [data[index] for index in range(4)]
    explanation = explain(
        np.random.default_rng(0).integers(0, 4, (8, 8)), size=(256, 256), kind=Labels(FACADES)
    )
    bank = explanation.images
    bank.inputs.pictures = [pair.input for pair in pairs]  # type: ignore[attr-defined]
    bank.targets.pictures = [pair.target for pair in pairs]  # type: ignore[attr-defined]
    sheet = contact_sheet([explanation] * 15, target=pairs[0].target)
    wanted = FACADES.colourise(explanation.output)
    assert holds(sheet, wanted)
    sheet = correspondence_map(explanation, sources=3)
    found = hues(large_map(sheet, 512))
    for rank in range(3):
        share = explanation.sources()[rank].share
        of_rank = near(found, hue_of(SOURCE_COLOURS[rank])) & is_coloured(large_map(sheet, 512))
        assert of_rank.mean() == pytest.approx(share, abs=0.06)


@pytest.mark.parametrize("images", [[[0, -1], [1, 1]], [[-1, -1], [-1, -1]]])
def test_patches_without_a_match_have_no_source(images: list[list[int]]) -> None:
    explanation = explain([[0, 0], [1, 1]])
    missing = np.array(images) < 0
    for array in (explanation.field.image, explanation.field.row, explanation.field.col):
        array[0, missing] = -1
    explanation.field.similarity[0, missing] = 0
    rows = legend_rows(explanation, 8)
    assert (rows[-1].name, rows[-1].share) == ("no match", missing.mean())
    assert len(rows) == len(explanation.sources()) + 1
    assert correspondence_map(explanation).ndim == 3
    assert explanation.sheet().ndim == 3
