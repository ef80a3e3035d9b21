"""Putting a picture together from matched training patches (paper, section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from compnn.errors import SearchError
from compnn.images.palette import Palette
from compnn.network.layer import Layer
from compnn.search.field import Field

Composition = Literal["copy", "overlap"]
"""How matched patches become a picture.

"copy": each pixel comes from the best match of the patch that owns it. "overlap": each hyperpatch
pastes, from each of its K matches, the whole window of pixels that its h x w cells cover, so that
up to K * h * w windows lie over a pixel; photos take the mean of what is pasted, label maps the
class that is pasted most often.
"""

_Ints: TypeAlias = npt.NDArray[np.integer[Any]]
_Rectangle: TypeAlias = tuple[slice, slice]


@dataclass(frozen=True)
class Provenance:
    """Where each pixel of a reconstruction comes from.

    Attributes
    ----------
    image, row, col
        int32 (height, width): image of the bank, and the pixel in it.
    """

    image: npt.NDArray[np.int32]
    row: npt.NDArray[np.int32]
    col: npt.NDArray[np.int32]

    def copy_from(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The reconstruction: uint8 (height, width[, 3]) from `images` uint8 (N, h, w[, 3])."""
        count, height, width, *channels = images.shape
        # A flat take is several times as fast as images[image, row, col].
        place = (self.image.astype(np.int64) * height + self.row) * width + self.col
        pixels = np.asarray(images).reshape(count * height * width, *channels)
        copied: npt.NDArray[np.uint8] = pixels.take(place, axis=0)
        return copied


def provenance(field: Field, layer: Layer, match: int = 0) -> Provenance:
    """The pixels that the `match`-th best matches of a field give, 0 being the best.

    Each query patch takes the pixels that lie around the centre of the matched patch as they lie
    around its own; so a patch at the edge of the query, which is larger, takes as much more.
    """
    height, width = layer.image_size
    return _pasted(field, layer, layer.owners(), (np.arange(height), np.arange(width)), match)


def _pasted(
    field: Field, layer: Layer, givers: tuple[_Ints, _Ints], pixels: tuple[_Ints, _Ints], match: int
) -> Provenance:
    """What the hyperpatches `givers` give to the pixels: grid and pixel rows (R,), columns (C,)."""
    rows, cols = givers[0][:, np.newaxis], givers[1][np.newaxis, :]
    height, width = layer.image_size
    sy, sx = layer.stride
    giver = (match, rows, cols)
    row = pixels[0][:, np.newaxis] + sy * (field.row[giver] - rows)
    col = pixels[1][np.newaxis, :] + sx * (field.col[giver] - cols)
    # Only where the stride does not divide the image can a patch reach beyond the matched image.
    return Provenance(
        field.image[giver],
        np.clip(row, 0, height - 1).astype(np.int32),
        np.clip(col, 0, width - 1).astype(np.int32),
    )


def compose(
    field: Field,
    layer: Layer,
    images: npt.NDArray[np.uint8],
    how: Composition,
    *,
    palette: Palette | None = None,
) -> npt.NDArray[np.uint8]:
    """Put the picture together that the matches of a field give.

    Parameters
    ----------
    field, layer
        The matches, and the layer that they were found at.
    images
        All images of the bank: uint8 (N, H, W, 3) photos or painted label maps, or (N, H, W) label
        maps. Those that the field points to are read.
    how
        "copy" or "overlap", see `Composition`. A tie between classes goes to the one that "copy"
        would give, where it takes part, else to the lowest.
    palette
        For painted label maps: the palette that they are painted with. "overlap" quantises what is
        pasted, and paints the classes that win.

    Returns
    -------
    uint8 (H, W, 3) or (H, W).

    Raises
    ------
    SearchError
        If there is no such composition.
    """
    check_composition(how)
    if how == "copy":
        return provenance(field, layer).copy_from(images)
    if images.ndim == 3:
        return _most_frequent(field, layer, images)
    if palette is None:
        return _mean(field, layer, images)
    return palette.colourise(_most_frequent(field, layer, images, palette))


def check_composition(how: str) -> None:
    """Refuse what is no `Composition`.

    Raises
    ------
    SearchError
        Listing the choices.
    """
    if how not in get_args(Composition):
        choices = " or ".join(map(repr, get_args(Composition)))
        raise SearchError(f"there is no composition {how!r}; choose {choices}")


def _mean(field: Field, layer: Layer, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    total = np.zeros((*layer.image_size, 3), np.float32)
    count = np.zeros((*layer.image_size, 1), np.float32)
    for where, windows in _windows(field, layer):
        total[where] += windows.copy_from(images)
        count[where] += 1
    total /= count
    return np.rint(total, out=total).astype(np.uint8)


def _most_frequent(
    field: Field, layer: Layer, images: npt.NDArray[np.uint8], palette: Palette | None = None
) -> npt.NDArray[np.uint8]:
    def labels(places: Provenance) -> npt.NDArray[np.uint8]:
        copied = places.copy_from(images)
        return copied if palette is None else palette.quantise(copied)

    pasted = [(where, labels(windows)) for where, windows in _windows(field, layer)]
    winner = labels(provenance(field, layer))
    votes = _votes(winner, pasted)
    # To win, a class must have more votes than the owner's, and than the classes before it.
    for label in np.unique([label for _, some in pasted for label in np.unique(some)]):
        other = np.full_like(winner, label)
        better = (other_votes := _votes(other, pasted)) > votes
        winner[better], votes[better] = label, other_votes[better]
    return winner


def _votes(
    labels: npt.NDArray[np.uint8], pasted: list[tuple[_Rectangle, npt.NDArray[np.uint8]]]
) -> npt.NDArray[np.unsignedinteger[Any]]:
    """How many windows paste the label that `labels` (H, W) gives a pixel: (H, W)."""
    votes = np.zeros(labels.shape, np.min_scalar_type(len(pasted)))
    for where, some in pasted:
        votes[where] += some == labels[where]
    return votes


def _windows(field: Field, layer: Layer) -> Iterator[tuple[_Rectangle, Provenance]]:
    """What the K matches paste, in K * h * w pictures in which no two windows overlap.

    Pictures (a, b) hold what the pixels get as cell (a, b) of a hyperpatch. They come with the
    rectangle of the image that they fill: at the border not every cell is the (a, b) of one.
    """
    # Where the stride does not divide the image, the last cell reaches to its edge.
    cells = [
        np.minimum(np.arange(pixels) // stride, count - 1)
        for pixels, stride, count in zip(
            layer.image_size, layer.stride, layer.shape[:2], strict=True
        )
    ]
    for offset in np.ndindex(layer.hyperpatch):
        givers, pixels = [], []
        for axis in (0, 1):
            giver = cells[axis] - offset[axis]
            filled = np.flatnonzero((giver >= 0) & (giver < layer.grid[axis]))
            givers.append(giver[filled])
            pixels.append(filled)
        if not (len(pixels[0]) and len(pixels[1])):
            continue
        where = slice(pixels[0][0], pixels[0][-1] + 1), slice(pixels[1][0], pixels[1][-1] + 1)
        for match in range(field.matches):
            windows = _pasted(field, layer, (givers[0], givers[1]), (pixels[0], pixels[1]), match)
            yield where, windows
