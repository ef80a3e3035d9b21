"""The parts of sheets: shades, text, lines and discs, legends."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compnn.images.kinds import Labels, Photo, Values
from compnn.images.palette import Palette
from compnn.report.sheets.canvas import Canvas
from compnn.report.sheets.colours import Colour
from compnn.report.sheets.legends import legends
from compnn.report.sheets.pictures import height_at, inside, resized, shades
from compnn.report.sheets.region_badges import badge_centres
from compnn.report.sheets.shapes import Place, draw_disc, draw_line
from compnn.report.sheets.text import Style, draw_text, shorten, text_width

Pixels = npt.NDArray[np.float64]
FACADES = Palette.named("facades")
STYLE = Style(20)


def test_the_hatching_is_explained() -> None:
    width = 600
    (hatching,) = legends(Photo(), Photo(), width, 16, hatched=True)
    assert hatching.shape[1] == width
    assert (hatching == 96).all(axis=2).any()


def test_classes_of_a_label_map_have_different_shades() -> None:
    labels = np.arange(12, dtype=np.uint8)[None]
    of_labels = shades(labels, Labels(FACADES))
    assert len(np.unique(of_labels)) == 12
    assert np.array_equal(shades(FACADES.colourise(labels), Labels(FACADES)), of_labels)


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


@given(st.text(st.characters(), max_size=12))
@settings(max_examples=200)
def test_any_text_can_be_drawn(text: str) -> None:
    """Even with lone surrogates, which file names bring."""
    pixels = np.full((30, 400, 3), 255, np.uint8)
    draw_text(pixels, text, 0, 0, STYLE)
    assert text_width(shorten(text, STYLE, 60), STYLE) <= 60
    if text.strip() and text.isascii():
        assert (pixels < 128).any()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("caf\udce9", "caf\\xE9"),
        ("a\nb", "a\\x0Ab"),
        ("\x1b[31mred", "\\x1B[31mred"),
        # Not in the font.
        ("立 b", "\\u7ACB b"),
        ("\U0001f600", "\\U0001F600"),
        # As some file systems write accents.
        ("fac\u0327ade", "façade"),
    ],
)
def test_what_cannot_be_drawn_is_an_escape(name: str, meant: str) -> None:
    canvases = []
    for text in (name, meant):
        canvas = Canvas(40, 300)
        canvas.text(text, 0, 290, STYLE, width=100, align="right")
        canvas.upward_text(text, 0, 0, 40, STYLE)
        canvases.append(canvas.pixels)
    assert np.array_equal(*canvases)
    assert text_width(name, STYLE) == text_width(meant, STYLE)
    assert shorten(name, STYLE, 50) == shorten(meant, STYLE, 50)


@pytest.mark.parametrize("bold", [False, True])
def test_letters_and_signs_are_drawn_as_they_are(bold: bool) -> None:
    style = Style(20, bold)
    looks = set()
    characters = "aéßőŁЖλ…±≤µ\N{MINUS SIGN}\N{MULTIPLICATION SIGN}\N{EN DASH}"
    for character in characters:
        pixels = np.full((30, 30, 3), 255, np.uint8)
        draw_text(pixels, character, 0, 5, style)
        assert text_width(character, style) < 30, "an escape is wider"
        looks.add(pixels.tobytes())
    assert len(looks) == len(characters)
    assert text_width("nnn", Style(20, bold=True)) > text_width("nnn", Style(20))


def covered(size: tuple[int, int], start: Place, end: Place, thickness: float) -> Pixels:
    """Share of each pixel that a line with round ends covers, by its 16x16 parts."""
    rows, cols = ((np.arange(16 * side) + 0.5) / 16 - 0.5 for side in size)
    at = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1)
    first, along = np.array(start), np.subtract(end, start)
    share = np.clip((at - first) @ along / max(along @ along, 1e-9), 0, 1)
    distance = np.linalg.norm(at - first - share[..., None] * along, axis=-1)
    parts = (distance <= thickness / 2).reshape(size[0], 16, size[1], 16)
    return np.asarray(parts.mean(axis=(1, 3)))


places = st.tuples(st.floats(-10, 40), st.floats(-10, 50))


@given(places, places, st.floats(1, 9))
@settings(max_examples=60, deadline=None)
def test_lines_colour_pixels_as_far_as_they_cover_them(
    start: Place, end: Place, thickness: float
) -> None:
    pixels = np.full((30, 40, 3), 200, np.uint8)
    draw_line(pixels, start, end, [(thickness, (0, 100, 200))])
    found = covered((30, 40), start, end, thickness)
    assert (pixels[..., 2] == 200).all()
    # A pixel is taken for a disc of its width.
    np.testing.assert_allclose((200 - pixels[..., 0].astype(float)) / 200, found, atol=0.25)
    assert (pixels[found == 1, 0] <= 60).all()
    np.testing.assert_allclose(200 - pixels[..., 1], (200 - pixels[..., 0]) / 2, atol=1)


def test_strokes_lie_upon_each_other() -> None:
    at_once, one_by_one = np.full((2, 40, 40, 3), 255, np.uint8)
    strokes: list[tuple[float, Colour]] = [(9, (0, 0, 0)), (5, (255, 90, 0))]
    draw_line(at_once, (3, 2), (37, 30), strokes)
    for stroke in strokes:
        draw_line(one_by_one, (3, 2), (37, 30), [stroke])
    np.testing.assert_array_equal(at_once, one_by_one)
    draw_disc(at_once, (20.5, 20.5), [(8, (1, 2, 3))])
    assert (at_once == (1, 2, 3)).all(axis=2).sum() == pytest.approx(np.pi * 16, rel=0.4)


def test_badges_stand_in_the_innermost_places() -> None:
    ranks = np.full((80, 120), -1, np.int32)
    ranks[5:45, 10:50] = 0
    # Two squares that touch at a corner are one region; a smaller one gets a badge of its own.
    ranks[10:30, 60:80] = ranks[30:60, 80:110] = 1
    ranks[60:74, 10:24] = 1
    assert badge_centres(ranks, 3, 5) == [(0, (24, 29)), (1, (44, 94)), (1, (66, 16))]
    assert badge_centres(np.zeros((8, 9), np.int32), 1, 5) == []
    # However small the region is, its rank gets a badge, inside the picture.
    ranks = np.full((40, 40), -1, np.int32)
    ranks[0, 0] = 0
    assert badge_centres(ranks, 1, 5) == [(0, (5, 5))]


def test_there_is_one_legend_for_one_kind_and_none_for_photos() -> None:
    facades, camvid = Labels(FACADES), Labels("camvid")
    assert legends(Photo(), Photo(), 600, 16, hatched=False) == []
    assert len(legends(facades, Photo(), 600, 16, hatched=False)) == 1
    assert len(legends(facades, camvid, 600, 16, hatched=False)) == 2
    (one,) = legends(facades, facades, 600, 16, hatched=False)
    assert one.shape[1] == 600
    for colour in FACADES.colours:
        assert (one == colour).all(axis=2).sum() >= 16 * 16


@pytest.mark.parametrize("width", [600, 60, 5])
def test_the_scale_of_values_runs_from_black_to_white(width: int) -> None:
    (scale,) = legends(Photo(), Values("m", (-2, 80)), width, 16, hatched=False)
    assert scale.shape[1] == width
    if width == 600:
        row = scale[round(1.6 * 16) + 8]
        run = np.flatnonzero((row == 0).all(axis=1))[0] + np.arange(12 * 16)
        assert (np.diff(row[run, 0].astype(int)) >= 0).all()
        assert row[run[-1], 0] == 255


@pytest.mark.parametrize("size", [(10, 20), (20, 10), (7, 90), (90, 7), (200, 200), (1, 300)])
def test_pictures_fit_into_their_cells(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    height, width = inside(image, (40, 60)).shape[:2]
    assert height <= 40
    assert width <= 60
    assert width == 60 or height_at(size, width + 1) > 40, "as large as there is room for"


def test_smaller_pictures_keep_their_colours() -> None:
    image = np.zeros((60, 100, 3), np.uint8)
    image[:, 50:] = 250, 120, 7
    small = resized(image, 37)
    assert small.shape == (22, 37, 3)
    assert (small[:, :17] == 0).all()
    assert (small[:, 20:] == (250, 120, 7)).all()
