"""Paints what a wall opens in or carries: windows, shutters, doors, balconies, shops, awnings."""

from __future__ import annotations

import numpy as np

from compnn.demo.facade import textures
from compnn.demo.facade.canvas import Canvas
from compnn.demo.facade.chance import pick
from compnn.demo.facade.layout import Box, Element, arched
from compnn.demo.facade.scene import SCALE, Scene


def mirror(scene: Scene, box: Box, dark: float = 1.0) -> Canvas:
    """Panes that mirror the sky: bluish above, dark below, with the clouds of the whole street."""
    ramp = (np.arange(box.height, dtype=np.float32) / np.float32(max(box.height, 1)))[:, None]
    left, top = max(box.left, 0), max(box.top, 0)
    cloud = np.zeros((box.height, box.width), np.float32)
    part = scene.clouds[top : box.bottom, left : box.right]
    cloud[: part.shape[0], : part.shape[1]] = part
    bright = np.clip(0.95 - 0.95 * ramp + 0.28 * cloud, 0.0, 1.2)[..., None]
    low, high = np.array((30, 38, 48), np.float32), np.array((126, 156, 184), np.float32)
    return Canvas((low + (high - low) * bright) * np.float32(dark))


def window(scene: Scene, box: Box, element: Element) -> None:
    rng, w, h = scene.rng, box.width, box.height
    tile, look, frame = mirror(scene, box), element.look, scene.frame
    room = float(rng.random())
    if look in ("casement", "sash", "cross") and room < 0.55:
        # Curtains hang at both sides, or a blind covers the upper part.
        cloth = (224, 216, 200)
        if room < 0.35:
            side = max(4, w // 5)
            for start in (0, w - side):
                tile.part(start, 0, start + side, h)[:] *= np.float32(0.35)
                tile.part(start, 0, start + side, h)[:] += np.float32(0.55) * np.array(
                    cloth, np.float32
                )
                tile.light(start + side // 2, 0, start + side // 2 + 2, h, 0.85)
        else:
            tile.rect(0, 0, w, h * 2 // 5, cloth)
            tile.fade(0, 0, w, h * 2 // 5, 0.95, 0.8)
    elif look == "plain" and room < 0.4:
        for y in range(0, h * int(3 + room * 8) // 8, 4):
            tile.part(0, y, w, y + 2)[:] *= np.float32(0.5)
            tile.part(0, y, w, y + 2)[:] += 95
    bar = 3
    if look in ("casement", "cross"):
        tile.rect(w // 2 - 2, 0, w // 2 + 2, h, frame)
        rows = (h * 3 // 10,) if look == "cross" else (h // 4, h * 2 // 4, h * 3 // 4)
        for y in rows:
            tile.rect(0, y - 1, w, y + (2 if look == "cross" else 1), frame)
    elif look == "sash":
        tile.rect(w // 2 - 1, 0, w // 2 + 1, h, frame)
        tile.rect(0, h // 2 - 2, w, h // 2 + 2, frame)
        tile.light(bar, h // 2 + 2, w, h // 2 + 4, 0.6)
    elif look == "grid":
        bar = 2
        for k in range(1, 6):
            tile.rect(w * k // 6 - 1, 0, w * k // 6 + (2 if k == 3 else 1), h, frame)
        panes = max(3, h // 14)
        for k in range(1, panes):
            tile.rect(0, h * k // panes - 1, w, h * k // panes + 1, frame)
    else:
        tile.rect(w * 2 // 3 - 1, 0, w * 2 // 3 + 2, h, frame)
    rise = element.arch * SCALE
    mask = arched(h, w, rise)
    inner = np.zeros_like(mask)
    inner[bar:-bar, bar:-bar] = arched(h - 2 * bar, w - 2 * bar, rise)
    tile.pixels[mask & ~inner] = np.array(frame, np.float32)
    # The wall stands out before the frame: its shadow falls on the top and the left.
    tile.fade(0, 0, w, 4 + rise // 2, 0.42, 0.62)
    tile.fade(0, 4 + rise // 2, w, 9 + rise // 2, 0.62, 1.0)
    tile.light(0, 0, 3, h, 0.62)
    scene.canvas.paste(tile.pixels, box.left, box.top, mask)


def shutter(scene: Scene, box: Box, element: Element) -> None:
    canvas = scene.canvas
    left, top, right, bottom = box.left, box.top, box.right, box.bottom
    canvas.shadow(left + 4, top + 4, right + 3, bottom + 3, 0.4, 3)
    canvas.rect(left, top, right, bottom, scene.shutter)
    for y in range(top // 4 * 4 + 4, bottom - 3, 4):
        canvas.light(left + 3, y, right - 3, y + 2, 0.68)
    canvas.light(left, top, left + 2, bottom, 1.18)
    canvas.light(right - 2, top, right, bottom, 0.75)
    middle = (top + bottom) // 2
    canvas.rect(left, middle - 2, right, middle + 2, scene.shutter)


def door(scene: Scene, box: Box, element: Element) -> None:
    look, w, h = element.look, box.width, box.height
    tile = Canvas(textures.flat(scene.door, 1).repeat(h, 0).repeat(w, 1))
    if look == "glazed":
        tile = mirror(scene, box, 1.1)
        tile.rect(0, 0, w, 4, scene.door)
        for x in (0, w // 2 - 2, w - 4):
            tile.rect(x, 0, x + 4, h, scene.door)
        tile.rect(w // 2 - 6, h // 2, w // 2 - 4, h // 2 + 14, (210, 210, 206))
        tile.rect(w // 2 + 4, h // 2, w // 2 + 6, h // 2 + 14, (210, 210, 206))
    elif look == "gate":
        for x in range(0, w, 8):
            tile.light(x, 0, x + 2, h, 0.7)
            tile.light(x + 2, 0, x + 4, h, 1.15)
        glass = mirror(scene, Box(box.left, box.top, box.right, box.top + h // 4))
        tile.pixels[: h // 4] = glass.pixels
        for x in range(0, w, 16):
            tile.rect(x, 0, x + 3, h // 4, scene.door)
        tile.rect(0, h // 4 - 3, w, h // 4 + 1, scene.door)
        tile.rect(w // 2 - 2, h // 4, w // 2 + 1, h, (30, 30, 30))
    else:
        light = h // 5
        pane = mirror(scene, Box(box.left + 4, box.top, box.right - 4, box.top + light))
        tile.pixels[4:light, 4 : w - 4] = pane.pixels[4:light]
        tile.light(0, light, w, light + 2, 1.3)
        leaves = 2 if look == "double" else 1
        for k in range(leaves):
            a, b = w * k // leaves + 5, w * (k + 1) // leaves - 4
            middle = light + (h - light) * 3 // 5
            for y, y_end in ((light + 7, middle - 3), (middle + 3, h - 8)):
                tile.light(a, y, b, y_end, 0.8)
                tile.light(a, y, b, y + 2, 0.7)
                tile.light(a, y_end - 2, b, y_end, 1.6)
                tile.light(b - 2, y, b, y_end, 1.35)
        if leaves == 2:
            tile.light(w // 2 - 1, light, w // 2 + 1, h, 0.45)
        knob = w // 2 + 4 if leaves == 2 else w - 9
        y = light + (h - light) * 11 // 20
        tile.rect(knob, y, knob + 3, y + 4, (222, 184, 96))
    tile.fade(0, 0, w, 8, 0.45, 1.0)
    tile.light(0, 0, 3, h, 0.6)
    scene.canvas.paste(tile.pixels, box.left, box.top, arched(h, w, element.arch * SCALE))


def balcony(scene: Scene, box: Box, element: Element) -> None:
    canvas = scene.canvas
    left, top, right, bottom = box.left, box.top, box.right, box.bottom
    slab = 5
    canvas.shadow(left + 6, bottom, right + 8, bottom + 7, 0.52, 6)
    if element.look == "panel":
        # Frosted glass before a shaded loggia.
        part = canvas.part(left, top, right, bottom - slab)
        part *= np.float32(0.38)
        part += np.array((118, 140, 150), np.float32)
        canvas.fade(left, top, right, bottom - slab, 1.08, 0.86)
        canvas.rect(left, top, right, top + 2, (226, 230, 230))
        for x in range(left, right, 32):
            canvas.light(x, top, x + 2, bottom - slab, 0.7)
    else:
        iron = (38, 40, 44)
        canvas.light(left, top, right, bottom - slab, 0.78)
        canvas.rect(left, top, right, top + 3, iron)
        canvas.rect(left, bottom - slab - 4, right, bottom - slab - 2, iron)
        canvas.rect(left, top + 7, right, top + 8, iron)
        for x in range(left // 8 * 8, right, 8):
            if x >= left:
                canvas.rect(x, top, x + 2, bottom - slab, iron)
        if right - left < 120 and scene.rng.random() < 0.5:
            # A box of flowers on the railing.
            spots = scene.rng.random((26, 3))
            for u, v, kind in spots:
                x, y = left + 2 + int(u * (right - left - 6)), top - 3 + int(v * 9)
                colour = (206, 58, 66) if kind < 0.35 else (62, 112, 48)
                canvas.rect(x, y, x + 3, y + 3, colour)
    canvas.rect(left - 1, bottom - slab, right + 1, bottom, scene.stone)
    canvas.light(left, bottom - slab, right, bottom - slab + 2, 1.1)
    canvas.light(left, bottom - 2, right, bottom, 0.7)


def shop(scene: Scene, box: Box, element: Element) -> None:
    canvas, w, rng = scene.canvas, box.width, scene.rng
    left, top, right, bottom = box.left, box.top, box.right, box.bottom
    board, stall = 15, 12
    canvas.rect(left, top, right, bottom, scene.shop)
    canvas.fade(left, top, right, top + board, 1.25, 1.0)
    canvas.light(left, top + board - 2, right, top + board, 0.6)
    # Lettering on the board.
    letters = max(2, (w - 24) // 8)
    start = left + (w - letters * 8) // 2
    for k in range(letters):
        if rng.random() < 0.86:
            x = start + k * 8
            canvas.rect(x, top + 4, x + 5, top + 11, (226, 206, 150))
            canvas.rect(x + 2, top + 6, x + 3, top + 9, scene.shop)
    glass = Box(left + 5, top + board + 2, right - 5, bottom - stall)
    if glass.width > 4 and glass.height > 4:
        pane = mirror(scene, glass, 0.8)
        warm = np.clip(pane.pixels * np.float32(0.55) + np.array((96, 74, 44), np.float32), 0, 255)
        pane.pixels[:] = warm
        # Goods in the window.
        for k in range(max(2, glass.width // 14)):
            x = 4 + k * 14
            tall = 6 + int(rng.random() * 14)
            colour = pick(rng, ((198, 160, 110), (172, 84, 66), (112, 134, 120), (226, 220, 204)))
            pane.rect(x, glass.height - tall, x + 8, glass.height, colour)
        pane.fade(0, 0, glass.width, 8, 0.5, 1.0)
        canvas.part(glass.left, glass.top, glass.right, glass.bottom)[:] = pane.pixels
        middle = (glass.left + glass.right) // 2
        canvas.rect(middle - 1, glass.top, middle + 1, glass.bottom, scene.shop)
    canvas.light(left + 6, bottom - stall + 3, right - 6, bottom - 4, 0.8)
    canvas.light(left + 6, bottom - 4, right - 6, bottom - 3, 1.5)
    canvas.light(left, top, left + 2, bottom, 1.3)


def awning(scene: Scene, box: Box, element: Element) -> None:
    canvas = scene.canvas
    left, top, right, bottom = box.left, box.top, box.right, box.bottom
    canvas.shadow(left + 8, bottom, right + 4, bottom + 14, 0.5, 6)
    w, h = box.width, box.height
    stripe = (np.arange(left, right) // 8 % 2 == 0)[None, :, None]
    cloth = np.where(
        stripe, np.array(scene.cloth, np.float32), np.array((238, 232, 218), np.float32)
    )
    tile = Canvas(np.repeat(cloth, h, 0).astype(np.float32))
    tile.fade(0, 0, w, h - 6, 1.06, 0.9)
    tile.light(0, h - 7, w, h - 6, 0.62)
    tile.light(0, h - 6, w, h, 0.84)
    mask = np.ones((h, w), bool)
    # The valance ends in scallops, one a stripe.
    place = np.arange(left, right) % 8
    mask[-2:, (place < 1) | (place > 6)] = False
    mask[-1:, (place < 2) | (place > 5)] = False
    canvas.paste(tile.pixels, left, top, mask)
