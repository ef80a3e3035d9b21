"""Paints a layout as if photographed, the sun standing at the upper left."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from compnn.demo.facade import masonry, openings, textures
from compnn.demo.facade.canvas import Image
from compnn.demo.facade.layout import SIZE, Box, Element, Layout
from compnn.demo.facade.scene import CANVAS, SCALE, Scene

_PAINTERS: dict[str, Callable[[Scene, Box, Element], None]] = {
    "cornice": masonry.cornice,
    "trim": masonry.trim,
    "plinth": masonry.plinth,
    "pavement": masonry.pavement,
    "window": openings.window,
    "shutter": openings.shutter,
    "door": openings.door,
    "balcony": openings.balcony,
    "shop": openings.shop,
    "awning": openings.awning,
}


def render(layout: Layout, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """The photo of a layout, uint8 (SIZE, SIZE, 3) RGB."""
    scene = Scene(layout, rng)
    leaves = textures.leaves(rng, CANVAS)
    for element in layout.behind:
        box = element.box.scaled(SCALE)
        if element.kind == "tree":
            masonry.tree(scene, box, element.arch * SCALE, leaves)
        else:
            masonry.chimney(scene, box)
    masonry.roof(scene)
    masonry.wall(scene)
    for element in layout.elements:
        _PAINTERS[element.kind](scene, element.box.scaled(SCALE), element)
    return _develop(scene.canvas.pixels, rng)


def _develop(pixels: Image, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Averages the canvas down to the photo, with the lens's vignette and the film's grain."""
    rows = pixels.reshape(SIZE, SCALE, SIZE, SCALE, 3)
    small = (rows[:, 0, :, 0] + rows[:, 0, :, 1] + rows[:, 1, :, 0] + rows[:, 1, :, 1]) / 4
    offset = (np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2) / (SIZE / 2)
    square = offset * offset
    radius = square[:, None] + square[None, :]
    small = small * (1 - np.float32(0.055) * radius * radius)[..., None]
    # A little contrast: the straight line through mid-grey is made steeper.
    small = (small - 118) * np.float32(1.06) + 120
    small = small + 2.2 * textures.grain(rng, SIZE)[..., None]
    photo: npt.NDArray[np.uint8] = np.clip(small, 0, 255).astype(np.uint8)
    return photo
