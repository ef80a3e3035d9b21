"""A layout on its canvas, with the colours chosen for this one photo."""

from __future__ import annotations

import numpy as np

from compnn.demo.facade import textures
from compnn.demo.facade.canvas import Canvas
from compnn.demo.facade.chance import mostly
from compnn.demo.facade.layout import SIZE, Layout
from compnn.demo.facade.styles import (
    CLOTHS,
    SHOPS,
    SHUTTERS,
    USUAL_COLOUR_SHARE,
    WALL_COLOURS,
    Colour,
)

SCALE = 2
"""Pictures are painted this many times larger, then averaged down."""
CANVAS = SIZE * SCALE


class Scene:
    """Canvas, random stream, and the colours of frames, doors, stone, shutters, cloth and shops.

    The canvas starts as a sky; `clouds` are those that the window panes mirror.
    """

    def __init__(self, layout: Layout, rng: np.random.Generator) -> None:
        self.layout, self.rng, style = layout, rng, layout.style
        self.canvas = Canvas(textures.sky(rng, CANVAS))
        self.wall_colour = jitter(rng, WALL_COLOURS[layout.wall], 9)
        self.frame = mostly(rng, USUAL_COLOUR_SHARE, style.frames[0], style.frames)
        self.door = mostly(rng, USUAL_COLOUR_SHARE, style.doors[0], style.doors)
        self.stone = jitter(rng, style.stone, 6)
        self.shutter = mostly(
            rng, USUAL_COLOUR_SHARE, SHUTTERS[layout.wall], tuple(SHUTTERS.values())
        )
        self.cloth = mostly(rng, USUAL_COLOUR_SHARE, style.cloth, CLOTHS)
        self.shop = mostly(rng, USUAL_COLOUR_SHARE, style.shop, SHOPS)
        self.clouds = textures.noise(rng, CANVAS, 48) + 0.5 * textures.noise(rng, CANVAS, 20)


def jitter(rng: np.random.Generator, colour: Colour, amount: int) -> Colour:
    """A colour near `colour`: up to `amount` lighter or darker, a third of it in hue."""
    shift = int(rng.integers(-amount, amount + 1))
    r, g, b = (c + shift + int(rng.integers(-amount // 3, amount // 3 + 1)) for c in colour)
    return r, g, b
