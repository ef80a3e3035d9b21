"""Lays out a building of a style, from the pavement to the roof."""

from __future__ import annotations

import numpy as np

from compnn.demo.facade.chance import between, pick
from compnn.demo.facade.grounds import GROUNDS
from compnn.demo.facade.layout import PAVEMENT, SIZE, Box, Element, Layout
from compnn.demo.facade.roofs import add_roof
from compnn.demo.facade.storeys import add_storeys
from compnn.demo.facade.styles import MATERIALS, STYLES, USUAL_SHARE, WALL_COLOURS, Style


def make_layout(rng: np.random.Generator, style: Style) -> Layout:
    """A building of `style`; all that is left open is drawn from `rng`."""
    roof, ground = pick(rng, style.roofs), pick(rng, style.grounds)
    wall, material = _choose_wall(rng, style, (roof, ground))
    margin = between(rng, (style.margin // 2, style.margin))
    shift = between(rng, (-margin // 3, margin // 3)) if margin else 0
    layout = Layout(
        style=style, wall=wall, material=material, roof=roof,
        storeys=between(rng, style.storeys), left=margin + shift, right=SIZE - margin + shift,
    )  # fmt: skip
    _trees(layout, rng)
    eave = add_roof(layout, rng)
    bays = between(rng, style.bays)
    if layout.roof in ("gable", "stepped", "bell"):
        bays = min(bays, 3)
    plinth = {"stoop": 15, "porch": 9, "gate": 8, "lobby": 4}.get(ground, 5)
    bottom = PAVEMENT - plinth
    factor = {"shops": 1.45, "arcade": 1.4, "cafe": 1.25, "gate": 1.1}.get(ground, 1.05)
    storey = (bottom - eave) / (layout.storeys - 1 + factor)
    floors = [round(bottom - storey * (factor + k)) for k in range(layout.storeys)]
    edges = _bays(layout, bays, rng)
    layout.add("plinth", layout.left, bottom, layout.right, PAVEMENT)
    add_storeys(layout, edges, floors, rng)
    GROUNDS[ground](layout, edges, floors[0], bottom, rng)
    layout.add("pavement", 0, PAVEMENT, SIZE, SIZE)
    return layout


def choose_style(seed: int) -> Style:
    """Styles take turns, so that any run of seeds holds about as many of each."""
    return STYLES[seed % len(STYLES)]


def _choose_wall(
    rng: np.random.Generator, style: Style, features: tuple[str, str]
) -> tuple[str, str]:
    """Wall colour and material: mostly what goes with roof and ground floor."""
    wall, material = next((w, m) for feature, w, m in style.usual if feature in ("", *features))
    if rng.random() < USUAL_SHARE:
        return wall, material
    wall = pick(rng, [other for other in WALL_COLOURS if other != wall])
    return wall, pick(rng, MATERIALS[wall])


def _bays(layout: Layout, bays: int, rng: np.random.Generator) -> list[int]:
    """Left edges of the bays, and the last one's right edge."""
    border = between(rng, (4, 10))
    left, right = layout.left + border, layout.right - border
    return [left + (right - left) * k // bays for k in range(bays + 1)]


def _trees(layout: Layout, rng: np.random.Generator) -> None:
    for low, high in ((0, layout.left), (layout.right, SIZE)):
        if high - low < 4:
            continue
        hedge = Box(low, PAVEMENT - between(rng, (24, 40)), high, PAVEMENT)
        layout.behind.append(Element("tree", hedge))
        for _ in range(3):
            width = between(rng, (24, 46))
            centre = between(rng, (low, high))
            top = between(rng, (140, 205))
            box = Box(centre - width // 2, top, centre + width - width // 2, PAVEMENT)
            layout.behind.append(Element("tree", box, "", min(width // 2, PAVEMENT - top)))
