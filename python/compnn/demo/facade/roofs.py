"""Roofs, gables, parapets and chimneys: what a building ends in at the top."""

from __future__ import annotations

import numpy as np

from compnn.demo.facade.chance import between, pick
from compnn.demo.facade.layout import PAVEMENT, Box, Element, Layout


def _chimney(layout: Layout, centre: int, top: int, bottom: int, width: int) -> None:
    box = Box(centre - width // 2, top, centre + width - width // 2, bottom)
    layout.behind.append(Element("chimney", box))


def add_roof(layout: Layout, rng: np.random.Generator) -> int:
    """Outlines of roof and wall; returns the row where the storeys begin."""
    left, right, sky = layout.left, layout.right, between(rng, (16, 34))
    width = right - left
    if layout.roof == "mansard":
        eave = sky + between(rng, (34, 44))
        layout.roof_outline = [(left + 5, sky), (right - 5, sky), (right, eave), (left, eave)]
        for centre in (left + width // 5, right - width // 6):
            _chimney(layout, centre, sky - between(rng, (8, 13)), sky + 2, between(rng, (18, 28)))
        layout.wall_outline = _rectangle(left, eave, right)
        layout.add("cornice", left, eave - 3, right, eave + 5, "moulded")
        return eave + 5
    if layout.roof == "tiles":
        eave = sky + between(rng, (20, 28))
        layout.roof_outline = [
            (left + 8, sky),
            (right - 8, sky),
            (right + 5, eave),
            (left - 5, eave),
        ]
        _chimney(layout, left + width * between(rng, (2, 8)) // 10, sky - 10, sky + 6, 14)
        layout.wall_outline = _rectangle(left, eave, right)
        layout.add("cornice", left - 4, eave - 2, right + 4, eave + 3, "eave")
        return eave + 5
    if layout.roof in ("gable", "stepped", "bell"):
        return _gable(layout, rng, sky)
    if layout.roof == "parapet":
        top = sky + 10
        inset = width // 3
        layout.wall_outline = [
            (left, top), (left + inset, top), (left + inset, sky), (right - inset, sky),
            (right - inset, top), (right, top), (right, PAVEMENT), (left, PAVEMENT),
        ]  # fmt: skip
        _chimney(layout, left + width * pick(rng, (2, 8)) // 10, 2, top + 4, 16)
        layout.add("cornice", left, top, left + inset, top + 4, "coping")
        layout.add("cornice", left + inset - 2, sky, right - inset + 2, sky + 4, "coping")
        layout.add("cornice", right - inset, top, right, top + 4, "coping")
        return top + 14
    if layout.roof == "bracketed":
        layout.wall_outline = _rectangle(left, sky, right)
        for centre in (left + width // 6, right - width // 5):
            _chimney(layout, centre, sky - between(rng, (8, 12)), sky + 2, 18)
        deep = between(rng, (13, 16))
        layout.add("cornice", left, sky, right, sky + deep, "bracketed")
        return sky + deep + 4
    # flat
    layout.wall_outline = _rectangle(left, sky + 4, right)
    if rng.random() < 0.6:
        start = left + width * between(rng, (1, 4)) // 10
        layout.roof_outline = [
            (start, sky - 12), (start + width // 2, sky - 12),
            (start + width // 2, sky + 4), (start, sky + 4),
        ]  # fmt: skip
    layout.add("cornice", left - 2, sky + 2, right + 2, sky + 6, "coping")
    return sky + 10


def _rectangle(left: int, top: int, right: int) -> list[tuple[int, int]]:
    return [(left, top), (right, top), (right, PAVEMENT), (left, PAVEMENT)]


def _gable(layout: Layout, rng: np.random.Generator, sky: int) -> int:
    left, right = layout.left, layout.right
    middle, width = (left + right) // 2, right - left
    top = sky - 4
    eave = top + width * between(rng, (38, 46)) // 100
    _chimney(layout, middle + pick(rng, (-1, 1)) * width // 4, top + 2, eave, 14)
    if layout.roof == "gable":
        slope = [(left, eave), (middle, top), (right, eave)]
        # The roof's edge shows as a band around the gable.
        layout.roof_outline = [(left - 7, eave + 4), (middle, top - 8), (right + 7, eave + 4)]
    else:
        slope = []
        if layout.roof == "stepped":
            xs = [left + width * share // 100 for share in (0, 12, 24, 36)]
            ys = [eave - (eave - top) * k // 4 for k in range(5)]
            for k, x in enumerate(xs):
                slope += [(x, ys[k]), (x, ys[k + 1])]
                end = xs[k + 1] if k < 3 else left + right - x
                for start, stop in ((x, end), (left + right - end, left + right - x)):
                    layout.add("cornice", start - 1, ys[k + 1], stop + 1, ys[k + 1] + 3, "coping")
            slope += [(left + right - x, y) for x, y in reversed(slope)]
        else:
            shares = ((0, 0), (12, 6), (20, 16), (24, 34), (26, 60), (31, 76), (40, 84), (40, 100))
            slope = [(left + width * x // 100, eave - (eave - top) * y // 100) for x, y in shares]
            slope += [(left + right - x, y) for x, y in reversed(slope)]
            layout.add(
                "cornice",
                left + width * 2 // 5 - 2,
                top - 2,
                right - width * 2 // 5 + 2,
                top + 2,
                "coping",
            )
    layout.wall_outline = [*slope, (right, PAVEMENT), (left, PAVEMENT)]
    layout.add("cornice", left - 2, eave, right + 2, eave + 4, "string")
    attic = max(22, width // 7)
    height = 26
    base = eave - 8
    layout.add(
        "trim", middle - attic // 2 - 2, base - height - 2, middle + attic // 2 + 2, base + 2
    )
    layout.add("window", middle - attic // 2, base - height, middle + attic // 2, base, "cross")
    return eave + 6
