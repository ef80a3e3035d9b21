"""Windows, balconies and string courses of the storeys above the ground floor, and the dormers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from compnn.demo.facade.chance import between, pick
from compnn.demo.facade.layout import Layout


def add_window(
    layout: Layout, left: int, top: int, right: int, bottom: int, arch: int, shutters: bool
) -> None:
    """A window with the surround, sill and shutters of the style."""
    trim, look = layout.style.trim, layout.style.window
    if trim == "surround":
        layout.add("trim", left - 2, top - 2, right + 2, bottom)
        layout.add("trim", left - 3, bottom, right + 3, bottom + 2, "sill")
    elif trim == "lintel":
        layout.add("trim", left - 3, top - 5, right + 3, top, "lintel")
        layout.add("trim", left - 3, bottom, right + 3, bottom + 3, "sill")
    elif trim == "hood":
        layout.add("trim", left - 2, top - 2, right + 2, top + arch, "hood", arch + 2)
        layout.add("trim", left - 2, bottom, right + 2, bottom + 3, "sill")
    elif trim == "sill":
        layout.add("trim", left - 2, bottom, right + 2, bottom + 2, "sill")
    layout.add("window", left, top, right, bottom, look, arch)
    if shutters:
        leaf = max(5, (right - left) // 2)
        layout.add("shutter", left - leaf, top, left, bottom)
        layout.add("shutter", right, top, right + leaf, bottom)


def add_storeys(
    layout: Layout, edges: list[int], floors: list[int], rng: np.random.Generator
) -> None:
    """Windows, balconies and string courses of all storeys above the ground floor, top first."""
    style = layout.style
    bays = len(edges) - 1
    low, high = style.window_width
    share = low + (high - low) * float(rng.random())
    low, high = style.window_height
    tall = low + (high - low) * float(rng.random())
    arch = between(rng, style.arch)
    shutters = float(rng.random()) < style.shutters
    balconies = pick(rng, style.balconies)
    column = between(rng, (0, bays - 1))
    if layout.roof == "mansard":
        _dormers(layout, edges, share)
    for k in range(layout.storeys - 1, 0, -1):
        top, bottom = floors[k], floors[k - 1]
        storey = bottom - top
        french = balconies == "rows" and k in (1, layout.storeys - 1)
        base = bottom - 3 if french else bottom - round(storey * (0.94 - tall) * 0.55) - 2
        head = max(top + 4, base - round(storey * (tall + 0.16 * french)))
        for bay in range(bays):
            centre = (edges[bay] + edges[bay + 1]) // 2
            half = round((edges[bay + 1] - edges[bay]) * share / 2)
            here = (
                balconies == "each"
                or (balconies == "centre" and bay == bays // 2)
                or (balconies == "column" and bay == column)
                or (balconies == "stagger" and (bay + k) % 2 == 0)
            )
            foot = bottom - 3 if here else base
            add_window(layout, centre - half, head, centre + half, foot, arch, shutters)
            if here:
                out = 6 if style.name == "modern" else 4
                look = "panel" if style.name == "modern" else "iron"
                rail = min(13, storey * 2 // 5)
                layout.add(
                    "balcony", centre - half - out, bottom - rail, centre + half + out, bottom, look
                )
        if french:
            rail = min(12, storey * 2 // 5)
            layout.add("balcony", edges[0] - 2, bottom - rail, edges[-1] + 2, bottom, "iron")
        elif style.name in ("classical", "industrial") or (style.name == "brownstone" and k == 1):
            layout.add("cornice", layout.left, bottom - 2, layout.right, bottom + 1, "string")


def _dormers(layout: Layout, edges: list[int], share: float) -> None:
    top = layout.roof_outline[0][1]
    eave = layout.roof_outline[2][1]
    for start, end in pairwise(edges):
        centre, half = (start + end) // 2, max(6, round((end - start) * share * 0.42))
        layout.add("trim", centre - half - 3, top + 7, centre + half + 3, eave - 3, "dormer", 5)
        layout.add("window", centre - half, top + 12, centre + half, eave - 3, "casement", 3)
