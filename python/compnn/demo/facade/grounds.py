"""Ground floors: shops, a cafe, an arcade, a stoop, a gate, a lobby, a porch."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from compnn.demo.facade.chance import between, pick
from compnn.demo.facade.layout import PAVEMENT, Layout
from compnn.demo.facade.storeys import add_window


def _shops(
    layout: Layout, edges: list[int], top: int, bottom: int, rng: np.random.Generator
) -> None:
    """Shop fronts in all bays but one, which has the door; some under awnings."""
    layout.add("cornice", layout.left, top - 1, layout.right, top + 4, "moulded")
    door = pick(rng, (0, len(edges) // 2, len(edges) - 2))
    awnings = rng.random() < 0.6
    for bay, (left, right) in enumerate(pairwise(edges)):
        if bay == door:
            centre = (left + right) // 2
            layout.add("trim", centre - 12, top + 8, centre + 12, bottom)
            layout.add("door", centre - 9, top + 11, centre + 9, PAVEMENT, "double")
        else:
            layout.add("shop", left + 3, top + 7, right - 3, PAVEMENT - 1)
            if awnings:
                layout.add("awning", left + 1, top + 16, right - 1, top + 29)


def _cafe(
    layout: Layout, edges: list[int], top: int, bottom: int, rng: np.random.Generator
) -> None:
    """Wide openings under one long awning, a door in the middle bay."""
    door = len(edges) // 2 - (0 if rng.random() < 0.5 else 1)
    door = min(door, len(edges) - 2)
    for bay, (left, right) in enumerate(pairwise(edges)):
        centre = (left + right) // 2
        if bay == door:
            layout.add("door", centre - 9, top + 12, centre + 9, PAVEMENT, "single")
        else:
            layout.add("shop", left + 6, top + 10, right - 6, PAVEMENT - 2)
    layout.add("awning", edges[0] + 2, top + 9, edges[-1] - 2, top + 23)


def _arcade(
    layout: Layout, edges: list[int], top: int, bottom: int, rng: np.random.Generator
) -> None:
    """Tall arched windows, and an arched door."""
    layout.add("cornice", layout.left, top - 1, layout.right, top + 3, "string")
    door = between(rng, (0, len(edges) - 2))
    for bay, (left, right) in enumerate(pairwise(edges)):
        centre, half = (left + right) // 2, (right - left) * 3 // 10
        base = PAVEMENT if bay == door else bottom - 6
        layout.add("trim", centre - half - 3, top + 6, centre + half + 3, base, "", half)
        kind, look = ("door", "double") if bay == door else ("window", "casement")
        layout.add(kind, centre - half, top + 9, centre + half, base, look, half)


def _stoop(
    layout: Layout, edges: list[int], top: int, bottom: int, rng: np.random.Generator
) -> None:
    """A door up some steps at one side, windows beside it."""
    door = pick(rng, (0, len(edges) - 2))
    for bay, (left, right) in enumerate(pairwise(edges)):
        centre, half = (left + right) // 2, round((right - left) * 0.2)
        if bay == door:
            layout.add("trim", centre - 14, top + 3, centre + 14, bottom)
            layout.add("trim", centre - 17, top + 1, centre + 17, top + 6, "lintel")
            layout.add("door", centre - 10, top + 8, centre + 10, bottom, "double")
            layout.add("pavement", centre - 17, bottom, centre + 17, PAVEMENT, "steps")
        else:
            add_window(layout, centre - half, top + 9, centre + half, bottom - 7, 0, False)


def _gate(
    layout: Layout, edges: list[int], top: int, bottom: int, rng: np.random.Generator
) -> None:
    """One wide gate, large windows beside it."""
    gate = between(rng, (0, len(edges) - 2))
    for bay, (left, right) in enumerate(pairwise(edges)):
        centre, half = (left + right) // 2, round((right - left) * 0.36)
        if bay == gate:
            layout.add("trim", centre - half - 2, top + 5, centre + half + 2, bottom, "hood", 10)
            layout.add("door", centre - half, top + 8, centre + half, PAVEMENT, "gate", 8)
        else:
            add_window(layout, centre - half, top + 8, centre + half, bottom - 5, 6, False)


def _lobby(
    layout: Layout, edges: list[int], top: int, bottom: int, rng: np.random.Generator
) -> None:
    """A glazed front with a flat canopy over the door."""
    door = between(rng, (0, len(edges) - 2))
    for bay, (left, right) in enumerate(pairwise(edges)):
        if bay == door:
            centre = (left + right) // 2
            layout.add("door", centre - 13, top + 7, centre + 13, PAVEMENT, "glazed")
            layout.add("cornice", centre - 22, top + 3, centre + 22, top + 7, "coping")
        else:
            layout.add("window", left + 5, top + 7, right - 5, bottom - 3, "plain")


def _porch(
    layout: Layout, edges: list[int], top: int, bottom: int, rng: np.random.Generator
) -> None:
    """A door under a small roof, windows beside it."""
    door = between(rng, (0, len(edges) - 2))
    for bay, (left, right) in enumerate(pairwise(edges)):
        centre, half = (left + right) // 2, round((right - left) * 0.2)
        if bay == door:
            layout.add("trim", centre - 13, top + 6, centre + 13, bottom)
            layout.add("door", centre - 10, top + 9, centre + 10, bottom, "single")
            layout.add("cornice", centre - 18, top + 3, centre + 18, top + 8, "eave")
            layout.add("pavement", centre - 15, bottom, centre + 15, PAVEMENT, "steps")
        else:
            add_window(layout, centre - half, top + 7, centre + half, bottom - 5, 0, False)


GROUNDS = {
    "shops": _shops,
    "cafe": _cafe,
    "arcade": _arcade,
    "stoop": _stoop,
    "gate": _gate,
    "lobby": _lobby,
    "porch": _porch,
}
"""For each kind of ground floor the function that adds it to a layout."""
