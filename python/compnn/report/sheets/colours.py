"""The colours of reports, and tinting of pictures with the colour of the source of each pixel."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Colour: TypeAlias = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
INK: Colour = (31, 35, 40)
MUTED: Colour = (101, 109, 118)
HAIRLINE: Colour = (208, 215, 222)
OTHERS: Colour = (200, 200, 200)

# The eight colours of M. Okabe and K. Ito, "Color Universal Design" (2008), which readers with any
# kind of colour vision can tell apart; the strongest come first, for the highest ranks.
SOURCE_COLOURS: tuple[Colour, ...] = (
    (213, 94, 0),  # vermillion
    (0, 114, 178),  # blue
    (0, 158, 115),  # bluish green
    (230, 159, 0),  # orange
    (204, 121, 167),  # reddish purple
    (86, 180, 233),  # sky blue
    (240, 228, 66),  # yellow
    (0, 0, 0),  # black
)

# A tint runs from this much of the colour, for black pixels, ...
_DARKEST = 0.5
# ... over the colour itself, for pixels of this shade, ...
_PURE = 0.45
# ... to the colour mixed with this much white, for white pixels.
_LIGHTEST = 0.6
# Contrast that is left to pixels of no shown source: they are pale, lighter than any tint of black.
_FADED = 0.3


def ink_on(colour: Colour) -> Colour:
    """Return black or white, whichever reads better on `colour`."""
    red, green, blue = colour
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 130 else WHITE


def highlight(shades: npt.NDArray[np.uint8], ranks: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    """Tint each pixel with the colour of its source, and fade those of no shown source to grey.

    Parameters
    ----------
    shades
        (H, W) uint8 brightness of the picture, which stays readable in the tints.
    ranks
        (H, W) int32: 0 for the first of `SOURCE_COLOURS`, 1 for the second ..., -1 for none.

    Returns
    -------
    (H, W, 3) uint8 RGB; pixels of rank -1 have three equal channels.
    """
    tinted: npt.NDArray[np.uint8] = _ramps()[ranks, shades]
    return tinted


def _ramps() -> npt.NDArray[np.uint8]:
    """Return (sources + 1, 256, 3) uint8: the colour of each rank and shade, the faded one last."""
    shade = np.linspace(0, 1, 256)[None, :, None]
    colours = np.array(SOURCE_COLOURS, dtype=np.float64)[:, None, :]
    darkness = np.interp(shade, [0, _PURE], [_DARKEST, 1])
    white = np.interp(shade, [_PURE, 1], [0, _LIGHTEST])
    # Black has no darker tints, so that all of its ramp goes into lighter ones.
    white = np.where(colours.max(axis=2, keepdims=True) == 0, _LIGHTEST * shade, white)
    tints = (1 - white) * darkness * colours + white * 255
    faded = np.broadcast_to(255 * (1 - _FADED * (1 - shade)), (1, 256, 3))
    ramps: npt.NDArray[np.uint8] = np.concatenate([tints, faded]).round().astype(np.uint8)
    return ramps
