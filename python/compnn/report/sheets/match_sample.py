"""Which patches of a matching are shown: a regular sample, consistent ones where there are any."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from compnn.report.facts import CONSISTENT
from compnn.studies.matching import Matching

# How far a row of the lattice falls from left to right, in heights of a block.
_SLOPE = 0.9


def sample_patches(matching: Matching, count: int) -> list[tuple[int, int]]:
    """Choose about `count` grid positions of A, one in each block of a regular division.

    Blocks are about square in pixels. In its block a position is the mutually consistent one
    nearest to a point of a lattice, or, where there is none, simply the nearest. Rows of the
    lattice slope, because matches often lie at equal heights, where their lines would coincide.
    """
    grid_height, grid_width = matching.layer.grid
    height, width = matching.layer.image_size
    across = max(1, round((count * width / height) ** 0.5))
    cols = min(across, grid_width)
    rows = min(max(1, round(count / across)), grid_height)
    row_ends = np.linspace(0, grid_height, rows + 1).round().astype(int)
    col_ends = np.linspace(0, grid_width, cols + 1).round().astype(int)
    chosen = []
    for top, bottom in pairwise(row_ends):
        for number, (left, right) in enumerate(pairwise(col_ends)):
            y, x = np.indices((bottom - top, right - left))
            down = 0.5 + _SLOPE * ((number + 0.5) / cols - 0.5)
            off = np.hypot(y + 0.5 - down * (bottom - top), x + 0.5 - (right - left) / 2)
            astray = matching.cycle[top:bottom, left:right] > CONSISTENT
            best = np.lexsort((off.ravel(), astray.ravel()))[0]
            row, col = np.unravel_index(best, astray.shape)
            chosen.append((int(top + row), int(left + col)))
    return chosen
