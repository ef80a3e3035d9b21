"""The parts of sheets: shades, text, legends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compnn.images.kinds import Labels, Photo, Values
from compnn.images.palette import Palette
from compnn.report.sheets.canvas import Canvas
from compnn.report.sheets.legends import legends
from compnn.report.sheets.pictures import height_at, inside, shades
from compnn.report.sheets.text import Style, draw_text, shorten, text_width

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
    """Lone surrogates, which file names bring, would crash OpenCV."""
    pixels = np.full((30, 400, 3), 255, np.uint8)
    draw_text(pixels, text, 0, 0, STYLE)
    assert text_width(shorten(text, STYLE, 60), STYLE) <= 60
    if text.strip() and text.isascii():
        assert (pixels < 128).any()


@pytest.mark.parametrize(
    ("name", "meant"),
    [("caf\udce9", "caf\\xE9"), ("a\nb", "a\\x0Ab"), ("\x1b[31mred", "\\x1B[31mred")],
)
def test_what_cannot_be_shown_is_drawn_as_an_escape(name: str, meant: str) -> None:
    canvases = []
    for text in (name, meant):
        canvas = Canvas(40, 300)
        canvas.text(text, 0, 290, STYLE, width=100, align="right")
        canvas.upward_text(text, 0, 0, 40, STYLE)
        canvases.append(canvas.pixels)
    assert np.array_equal(*canvases)
    assert text_width(name, STYLE) == text_width(meant, STYLE)
    assert shorten(name, STYLE, 50) == shorten(meant, STYLE, 50)


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
