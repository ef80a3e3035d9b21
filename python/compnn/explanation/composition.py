"""Putting a picture together from matched training patches (paper, section 3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from compnn.errors import SearchError
from compnn.images.kinds import Kind, Picture, Rectangle
from compnn.network.layer import Layer
from compnn.search.field import Field

Composition = Literal["copy", "overlap"]
"""How matched patches become a picture.

"copy": each pixel comes from the best match of the patch that owns it. "overlap": each hyperpatch
pastes, from each of its K matches, the whole window of pixels that its h x w cells cover, so that
up to K * h * w windows lie over a pixel; photos and values take the mean of what is pasted, label
maps the class that is pasted most often.
"""

_Ints: TypeAlias = npt.NDArray[np.integer[Any]]


class Pictures(Protocol):
    """Where the pictures of training images come from: an open bank, or a saved folder."""

    def sizes(self, images: _Ints) -> tuple[_Ints, _Ints]:
        """Heights and widths of images, in the shape of `images`."""

    def picture(self, image: int) -> Picture:
        """The picture of an image, read-only."""

    def take(self, image: _Ints, row: _Ints, col: _Ints) -> Picture:
        """Single pixels, in the shape of the indices (and of a pixel)."""

    def check(self, images: Iterable[int]) -> None:
        """Raise unless the pictures of these images can be relied on."""


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

    def copy_from(self, pictures: Pictures) -> Picture:
        """The reconstruction (height, width[, 3]) from the pictures of training images."""
        return pictures.take(self.image, self.row, self.col)


def provenance(field: Field, layer: Layer, pictures: Pictures, match: int = 0) -> Provenance:
    """The pixels that the `match`-th best matches of a field give, 0 being the best.

    Each query patch takes the pixels that lie around the centre of the matched patch as they lie
    around its own; so a patch at the edge of the query, which is larger, takes as much more.
    """
    height, width = layer.image_size
    pixels = np.arange(height), np.arange(width)
    return _pasted(field, layer, pictures, layer.owners(), pixels, match)


def _pasted(
    field: Field,
    layer: Layer,
    pictures: Pictures,
    givers: tuple[_Ints, _Ints],
    pixels: tuple[_Ints, _Ints],
    match: int,
) -> Provenance:
    """What the hyperpatches `givers` give to the pixels: grid and pixel rows (R,), columns (C,)."""
    image = field.image[match]

    def spread(values: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """From hyperpatches to the pixels that they give to: (R, C)."""
        return values.take(givers[1], axis=1).take(givers[0], axis=0)

    found = []
    matched, sizes = (field.row[match], field.col[match]), pictures.sizes(image)
    for axis, own in enumerate(np.indices(image.shape, np.int32, sparse=True)):
        place = spread(layer.stride[axis] * (matched[axis] - own))
        place += np.expand_dims(pixels[axis].astype(np.int32), 1 - axis)
        # Only where the stride does not divide an image, or sizes differ, can a patch reach beyond
        # the matched image.
        last = sizes[axis].astype(np.int32) - 1
        if place.min() < 0 or place.max() > last.min():
            np.clip(place, 0, spread(last), out=place)
        found.append(place)
    return Provenance(spread(image), found[0], found[1])


def compose(
    field: Field, layer: Layer, pictures: Pictures, how: Composition, kind: Kind
) -> Picture:
    """Put the picture together that the matches of a field give.

    Parameters
    ----------
    field, layer
        The matches, and the layer that they were found at.
    pictures
        Of the training images: inputs, or targets. Those that the field points to are read.
    how
        "copy" or "overlap", see `Composition`. A tie between classes goes to the one that "copy"
        would give, where it takes part, else to the lowest.
    kind
        What the pictures are.

    Returns
    -------
    As the pictures: uint8 (H, W, 3), uint8 (H, W), or float32 (H, W).

    Raises
    ------
    SearchError
        If there is no such composition.
    """
    check_composition(how)

    def copied() -> Picture:
        return provenance(field, layer, pictures).copy_from(pictures)

    if how == "copy":
        return copied()
    return kind.merge(
        layer.image_size,
        copied,
        (
            (where, windows.copy_from(pictures))
            for where, windows in _windows(field, layer, pictures)
        ),
    )


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


def _windows(
    field: Field, layer: Layer, pictures: Pictures
) -> Iterator[tuple[Rectangle, Provenance]]:
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
            yield (
                where,
                _pasted(
                    field, layer, pictures, (givers[0], givers[1]), (pixels[0], pixels[1]), match
                ),
            )
