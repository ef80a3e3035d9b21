"""Paints walls, roofs, chimneys, cornices and trim, and the trees and pavement around them."""

from __future__ import annotations

import numpy as np

from compnn.demo.facade import textures
from compnn.demo.facade.canvas import Canvas, Image
from compnn.demo.facade.layout import PAVEMENT, Box, Element, arched, outline_mask
from compnn.demo.facade.scene import CANVAS, SCALE, Scene, jitter


def tree(scene: Scene, box: Box, rise: int, leaves: Image) -> None:
    mask = arched(box.height, box.width, rise)
    tile = Canvas(np.empty((box.height, box.width, 3), np.float32))
    left, top = max(box.left, 0), max(box.top, 0)
    tile.pixels[:] = leaves[: box.height, : box.width]
    right, bottom = min(box.right, CANVAS), min(box.bottom, CANVAS)
    if right > left and bottom > top:
        tile.pixels[top - box.top : bottom - box.top, left - box.left : right - box.left] = leaves[
            top:bottom, left:right
        ]
    tile.fade(0, 0, box.width, box.height, 1.25, 0.55)
    tile.light(0, 0, box.width // 3, box.height, 1.12)
    scene.canvas.paste(tile.pixels, box.left, box.top, mask)


def chimney(scene: Scene, box: Box) -> None:
    canvas, warm = scene.canvas, (150, 92, 70)
    canvas.rect(box.left, box.top, box.right, box.bottom, warm)
    for y in range(box.top, box.bottom, 8):
        canvas.light(box.left, y, box.right, y + 1, 0.8)
    canvas.light(box.left + box.width * 2 // 3, box.top, box.right, box.bottom, 0.78)
    canvas.rect(box.left - 2, box.top, box.right + 2, box.top + 5, (120, 104, 92))
    canvas.light(box.left - 2, box.top + 5, box.right, box.top + 8, 0.7)


def roof(scene: Scene) -> None:
    layout, rng = scene.layout, scene.rng
    if not layout.roof_outline:
        return
    mask = outline_mask(layout.roof_outline, SCALE)
    if layout.roof == "tiles":
        image = textures.tiles(rng, jitter(rng, (178, 98, 66), 10), CANVAS)
    elif layout.roof == "mansard":
        image = textures.slates(rng, jitter(rng, (92, 100, 114), 6), CANVAS)
    elif layout.roof == "flat":
        image = textures.boards(rng, (120, 126, 132), CANVAS)
    else:
        image = textures.slates(rng, (84, 74, 74), CANVAS)
    scene.canvas.paste(image, 0, 0, mask)
    if layout.roof in ("mansard", "tiles"):
        top = layout.roof_outline[0][1] * SCALE
        left, right = layout.roof_outline[0][0] * SCALE, layout.roof_outline[1][0] * SCALE
        scene.canvas.light(left, top, right, top + 3, 1.35)


def wall(scene: Scene) -> None:
    layout, rng = scene.layout, scene.rng
    image = Canvas(
        textures.wall(rng, layout.material, layout.style.bond, scene.wall_colour, CANVAS)
    )
    # Weather: darker streaks under the roof and near the ground; the sun's side is lighter.
    top = min(y for _, y in layout.wall_outline) * SCALE
    image.fade(0, top, CANVAS, PAVEMENT * SCALE, 1.03, 0.95)
    across = 1.035 - 0.07 * np.arange(CANVAS, dtype=np.float32) / CANVAS
    image.pixels *= across[None, :, None]
    scene.canvas.paste(image.pixels, 0, 0, outline_mask(layout.wall_outline, SCALE))
    if layout.left > 0:
        # Corners of a free-standing house: a light edge at the left, a dark one at the right.
        left, right = layout.left * SCALE, layout.right * SCALE
        eave = max(y for _, y in layout.wall_outline[:-2]) * SCALE
        scene.canvas.light(left, eave, left + 2, PAVEMENT * SCALE, 1.08)
        scene.canvas.light(right - 3, eave, right, PAVEMENT * SCALE, 0.85)


def cornice(scene: Scene, box: Box, element: Element) -> None:
    canvas, look = scene.canvas, element.look
    left, top, right, bottom = box.left, box.top, box.right, box.bottom
    stone = scene.stone
    if look == "eave":
        stone = (118, 84, 58) if scene.layout.style.name == "mediterranean" else (96, 84, 80)
    if look == "bracketed":
        stone = tuple(c * 3 // 4 for c in (104, 84, 66))  # type: ignore[assignment]
    reach = {"string": 5, "coping": 6, "eave": 12, "moulded": 12, "bracketed": 20}[look]
    canvas.shadow(left + 4, bottom, right + 6, bottom + reach // 2, 0.5, reach // 2)
    canvas.rect(left, top, right, bottom, stone)
    canvas.light(left, top, right, top + 2, 1.14)
    canvas.light(left, bottom - 2, right, bottom, 0.72)
    if look == "moulded":
        middle = (top + bottom) // 2
        canvas.light(left, middle, right, middle + 2, 0.76)
        canvas.light(left, middle + 2, right, middle + 4, 1.08)
        for x in range(left // 16 * 16, right, 16):
            canvas.light(x + 8, middle + 4, min(x + 16, right), bottom - 2, 0.82)
    if look == "bracketed":
        canvas.light(left, top + 6, right, bottom - 4, 0.72)
        canvas.light(left, top + 6, right, top + 8, 0.7)
        for x in range(left // 32 * 32, right, 32):
            canvas.rect(x + 10, top + 8, x + 22, bottom, stone)
            canvas.light(x + 10, top + 8, x + 13, bottom, 1.22)
            canvas.light(x + 22, top + 8, x + 26, bottom - 2, 0.72)
            canvas.light(x + 10, bottom - 3, x + 22, bottom, 0.6)


def trim(scene: Scene, box: Box, element: Element) -> None:
    left, top, right, bottom = box.left, box.top, box.right, box.bottom
    canvas, reach = scene.canvas, 5 if element.look in ("sill", "lintel") else 3
    if not element.arch:
        canvas.shadow(left + 3, top + 3, right + 3, bottom + reach, 0.34, 3)
    tile = Canvas(textures.flat(scene.stone, 1).repeat(box.height, 0).repeat(box.width, 1))
    tile.light(0, 0, box.width, 2, 1.08)
    tile.light(box.width - 2, 0, box.width, box.height, 0.84)
    tile.light(0, box.height - 2, box.width, box.height, 0.80)
    if element.look == "hood" or (element.arch and not element.look):
        for x in range(left // 8 * 8, right, 8):
            tile.light(max(x - left, 0), 0, max(x - left + 1, 0), min(12, box.height), 0.75)
    if element.look == "dormer":
        tile.light(0, 0, box.width, 4, 1.1)
    canvas.paste(tile.pixels, left, top, arched(box.height, box.width, element.arch * SCALE))


def plinth(scene: Scene, box: Box, element: Element) -> None:
    canvas = scene.canvas
    left, top, right, bottom = box.left, box.top, box.right, box.bottom
    stone = textures.blocks(scene.rng, (126, 120, 112), CANVAS, 16, 32, 0.22)
    part = canvas.part(left, top, right, bottom)
    part[:] = stone[max(top, 0) : bottom, max(left, 0) : right]
    canvas.light(left, top, right, top + 2, 1.2)
    canvas.fade(left, top, right, bottom, 1.0, 0.75)


def pavement(scene: Scene, box: Box, element: Element) -> None:
    canvas = scene.canvas
    left, top, right, bottom = box.left, box.top, box.right, box.bottom
    if element.look == "steps":
        canvas.rect(left, top, right, bottom, (164, 154, 140))
        for y in range(top, bottom, 8):
            canvas.light(left, y, right, y + 2, 1.18)
            canvas.fade(left, y + 2, right, y + 8, 0.85, 0.6)
        return
    slabs = textures.foot_path(scene.rng, CANVAS)
    canvas.part(left, top, right, bottom)[:] = slabs[top:bottom, left:right]
    canvas.fade(left, top, right, top + 8, 0.62, 1.0)
