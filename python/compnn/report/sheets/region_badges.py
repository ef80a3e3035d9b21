"""Where on a picture the rank numbers of its regions go."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# More would hide the picture; regions are numbered from the largest down.
_MOST_BADGES = 4


def badge_centres(
    ranks: npt.NDArray[np.int32], shown: int, radius: int
) -> list[tuple[int, tuple[int, int]]]:
    """Choose places for badges of `radius` pixels, so that none hides another.

    Every rank gets one in the largest of its regions where there is room, even if the region is
    smaller than the badge; further regions get one if the badge fits into them.

    Parameters
    ----------
    ranks
        (H, W) int32: 0 for the first source ..., -1 for none.
    shown
        Number of ranks.
    radius
        Of a badge, in pixels.

    Returns
    -------
    List of (rank, (row, column)).
    """
    height, width = ranks.shape
    free = np.zeros((height, width), dtype=np.bool_)
    free[radius : height - radius, radius : width - radius] = True
    rows, cols = np.ogrid[:height, :width]
    placed: list[tuple[int, tuple[int, int]]] = []
    numbered: set[int] = set()
    places = {rank: _innermost(ranks == rank) for rank in range(shown)}
    for round_number in range(_MOST_BADGES):
        for rank in range(shown):
            if round_number >= len(places[rank]):
                continue
            depth, (row, col) = places[rank][round_number]
            if rank in numbered and depth <= radius:
                continue
            # The middle of a small region may lie at the edge of the picture.
            row = min(max(row, radius), height - 1 - radius)
            col = min(max(col, radius), width - 1 - radius)
            if row < 0 or col < 0 or not free[row, col]:
                continue
            placed.append((rank, (row, col)))
            numbered.add(rank)
            free &= (rows - row) ** 2 + (cols - col) ** 2 > (2 * radius + 2) ** 2
    return placed


def _innermost(mask: npt.NDArray[np.bool_]) -> list[tuple[float, tuple[int, int]]]:
    """Return (distance to the border, place) of the innermost pixel of the largest regions."""
    # Imported here: it takes longer than the rest of compnn, and few commands need it.
    from scipy import ndimage

    regions, count = ndimage.label(mask, np.ones((3, 3)))
    areas = np.bincount(regions.ravel(), minlength=count + 1)[1:]
    boxes = ndimage.find_objects(regions)
    places = []
    for region in np.argsort(-areas, kind="stable")[:_MOST_BADGES]:
        box = boxes[region]
        # The edge of the picture is a border too.
        alone = np.pad(regions[box] == region + 1, 1)
        depths = ndimage.distance_transform_edt(alone)[1:-1, 1:-1]
        row, col = np.unravel_index(int(depths.argmax()), depths.shape)
        at = int(row) + box[0].start, int(col) + box[1].start
        places.append((float(depths[row, col]), at))
    return places
