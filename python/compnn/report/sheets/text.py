"""Measuring, shortening and drawing lines of text in Roboto, which a package of fonts brings.

Names of strangers may be among them. What `names.shown` writes as an escape is an escape here too,
and so are characters that the font lacks. It has the letters of European languages and of
Vietnamese, punctuation, and signs of mathematics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from io import BytesIO
from unicodedata import normalize

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from compnn.names import escaped, shown
from compnn.report.sheets.colours import INK, MUTED, Colour
from compnn.report.sheets.shapes import draw_stencil

# Height of a line of text, in multiples of the font size.
LEADING = 1.3
# Where the baseline lies in that line, counted from its top.
_BASELINE = 0.98


@dataclass(frozen=True)
class Style:
    """How a line of text looks: font size in pixels, weight, and RGB colour."""

    size: int
    bold: bool = False
    colour: Colour = INK

    @property
    def line_height(self) -> int:
        """Pixels from the top of one line to the top of the next."""
        return round(self.size * LEADING)


@dataclass(frozen=True)
class Lettering:
    """The text of a sheet, all from the size `em` of its names in pixels."""

    em: int

    @property
    def name(self) -> Style:
        return Style(self.em, bold=True)

    @property
    def detail(self) -> Style:
        return Style(round(0.85 * self.em), colour=MUTED)


def text_width(text: str, style: Style) -> int:
    """Return the pixels that a line of text takes in its direction of writing."""
    return _width(_drawable(text, style.bold), style.size, style.bold)


def shorten(text: str, style: Style, width: int) -> str:
    """Return `text`, with an ellipsis for its middle if it is wider than `width` pixels.

    Both ends stay, because names of tensors and files often differ only in one of them.
    """
    text = _drawable(text, style.bold)
    if text_width(text, style) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        head = (kept + 1) // 2
        shorter = f"{text[:head]}…{text[len(text) - (kept - head) :]}"
        if text_width(shorter, style) <= width:
            return shorter
    return "…"


def draw_text(pixels: npt.NDArray[np.uint8], text: str, top: int, left: int, style: Style) -> None:
    """Draw a line of text into (H, W, 3) uint8 RGB `pixels`, in place; parts outside are cut."""
    stencil, above, before = _stencil(_drawable(text, style.bold), style.size, style.bold)
    baseline = top + round(style.size * _BASELINE)
    draw_stencil(pixels, stencil, baseline - above, left - before, style.colour)


# Sheets repeat their texts, and one sheet is like the next.
@lru_cache(maxsize=1000)
def _width(text: str, size: int, bold: bool) -> int:
    return math.ceil(_font(size, bold).getlength(text))


@lru_cache(maxsize=300)
def _stencil(text: str, size: int, bold: bool) -> tuple[npt.NDArray[np.uint8], int, int]:
    """The ink of a text, and how far it reaches up and left from its beginning on the baseline."""
    picture = Image.new("L", (_width(text, size, bold) + 2 * size, 3 * size))
    above, before = 2 * size, size
    ImageDraw.Draw(picture).text((before, above), text, 255, _font(size, bold), anchor="ls")
    left, top, right, bottom = picture.getbbox() or (0, 0, 0, 0)
    return np.asarray(picture)[top:bottom, left:right], above - top, before - left


@cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    # With the layout that every Pillow has: pictures are the same on all machines.
    file = BytesIO(_font_file(bold))
    return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)


@cache
def _font_file(bold: bool) -> bytes:
    name = "Roboto-Bold.ttf" if bold else "Roboto-Regular.ttf"
    return (resources.files("font_roboto") / "files" / name).read_bytes()


def _drawable(text: str, bold: bool) -> str:
    """The text with an escape for all that cannot be drawn; letters and their accents are one."""
    if text.isascii() and text.isprintable():
        return text
    characters = normalize("NFC", shown(text))
    return "".join(each if _has(each, bold) else escaped(each) for each in characters)


@cache
def _has(character: str, bold: bool) -> bool:
    """Whether the font has a character: all that it lacks look as one that is none."""
    font = _font(32, bold)
    looks = [font.getmask(each) for each in (character, "\uffff")]
    return len({(look.size, bytes(look)) for look in looks}) == 2
