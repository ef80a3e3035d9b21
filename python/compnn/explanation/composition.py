"""Putting a picture together from matched training patches (paper, section 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from compnn.errors import SearchError
from compnn.images.kinds import Kind, Picture, Rectangle
from compnn.network.geometry import Placement, Size
from compnn.search.field import Field

Composition = Literal["copy", "overlap"]
"""How matched patches become a picture.

"copy": each pixel comes from the best match of the patch that owns it. "overlap": each hyperpatch
pastes, from each of its K matches, the whole window of pixels that its h x w cells cover, so that
up to K * h * w windows lie over a pixel; photos and values take the mean of what is pasted, label
maps the class that is pasted most often.
"""

_Ints: TypeAlias = npt.NDArray[np.integer[Any]]

# Further than the edge of any picture, and small enough for a pixel to be added to it.
_FAR = 1 << 29


class Pictures(Protocol):
    """Where the pictures of training images come from: an open bank, or a saved folder."""

    def sizes(self, images: _Ints) -> tuple[_Ints, _Ints]:
        """Heights and widths of images, in the shape of `images`."""

    def picture(self, image: int) -> Picture:
        """The picture of an image, read-only."""

    def take(self, image: _Ints, row: _Ints, col: _Ints) -> Picture:
        """Single pixels, in the shape of the indices (and of a pixel)."""

    def blank(self, size: Size) -> Picture:
        """A picture of zeros of `size` (height, width), as these pictures are."""

    def check(self, images: Iterable[int]) -> None:
        """Raise unless the pictures of these images can be relied on."""


Placements: TypeAlias = Callable[[int], Placement]
"""How a layer lies over the picture of a training image."""


@dataclass(frozen=True)
class Provenance:
    """Where each pixel of a reconstruction comes from.

    Attributes
    ----------
    image, row, col
        int32 (height, width): image of the bank, and the pixel in it; all -1 where a pixel's
        hyperpatch has no match.
    """

    image: npt.NDArray[np.int32]
    row: npt.NDArray[np.int32]
    col: npt.NDArray[np.int32]

    @cached_property
    def matched(self) -> npt.NDArray[np.bool_] | None:
        """bool (height, width): where pixels come from somewhere; None for everywhere."""
        matched = self.image >= 0
        return None if matched.all() else matched

    def copy_from(self, pictures: Pictures, kind: Kind) -> Picture:
        """The reconstruction (height, width[, 3]) from the pictures of training images of a kind.

        Pixels that come from nowhere are what `Kind.unmatched` makes of them.
        """
        matched = self.matched
        if matched is None:
            return pictures.take(self.image, self.row, self.col)
        picture = pictures.blank((self.image.shape[0], self.image.shape[1]))
        if matched.any():
            picture[matched] = pictures.take(
                self.image[matched], self.row[matched], self.col[matched]
            )
        return kind.unmatched(picture, ~matched)


def provenance(
    field: Field, own: Placement, sources: Placements, pictures: Pictures, match: int = 0
) -> Provenance:
    """The pixels that the `match`-th best matches of a field give, 0 being the best.

    Each query patch takes the pixels that lie around the centre of the matched patch as they lie
    around its own; so a patch at the edge of the query, which is larger, takes as much more.

    Parameters
    ----------
    field
        The matches.
    own, sources
        How the layer lies over the picture that is put together, and over those of the training
        images.
    pictures
        Of the training images.
    match
        Which of the matches.
    """
    height, width = own.size
    pixels = np.arange(height), np.arange(width)
    return _Given(field, own, sources, pictures, match).to(own.owners(), pixels)


class _Given:
    """What the `match`-th best matches give to the pixels around their hyperpatches."""

    def __init__(
        self, field: Field, own: Placement, sources: Placements, pictures: Pictures, match: int
    ) -> None:
        self._image = field.image[match]
        matched = self._image >= 0
        self._all = bool(matched.all())
        used, group = np.unique(self._image, return_inverse=True)
        group = group.reshape(self._image.shape)
        # Most often all training images are of one size, and a layer lies over all in one way.
        placements: dict[Placement, int] = {}
        numbers = [
            -1 if index < 0 else placements.setdefault(sources(index), len(placements))
            for index in used.tolist()
        ]
        group = np.array(numbers, np.int32)[group]
        sizes = pictures.sizes(used[used >= 0])
        self._shifts, self._last = [], []
        for axis, places in enumerate((field.row[match], field.col[match])):
            here = np.broadcast_to(np.expand_dims(np.arange(own.grid[axis]), 1 - axis), own.grid)
            shift = np.zeros(own.grid, np.int32)
            for placement, number in placements.items():
                at = group == number
                found = own.shift(placement, axis, here[at], places[at])
                shift[at] = np.clip(found, -_FAR, _FAR)
            last = np.full(len(used), _FAR, np.int32)
            last[used >= 0] = sizes[axis] - 1
            self._shifts.append(shift)
            self._last.append(last[np.searchsorted(used, self._image)])

    def to(self, givers: tuple[_Ints, _Ints], pixels: tuple[_Ints, _Ints]) -> Provenance:
        """What hyperpatches give: at grid and pixel rows (R,), and columns (C,)."""

        def spread(values: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
            """From hyperpatches to the pixels that they give to: (R, C)."""
            return values.take(givers[1], axis=1).take(givers[0], axis=0)

        image = spread(self._image)
        found = []
        for axis, (shift, last) in enumerate(zip(self._shifts, self._last, strict=True)):
            place = spread(shift)
            place += np.expand_dims(pixels[axis].astype(np.int32), 1 - axis)
            # Only at the border, or where sizes differ, can a patch reach beyond the matched image.
            if place.min() < 0 or place.max() > last.min():
                np.clip(place, 0, spread(last), out=place)
            if not self._all:
                place[image < 0] = -1
            found.append(place)
        return Provenance(image, found[0], found[1])


def compose(
    field: Field,
    own: Placement,
    sources: Placements,
    pictures: Pictures,
    how: Composition,
    kind: Kind,
) -> Picture:
    """Put the picture together that the matches of a field give.

    Parameters
    ----------
    field
        The matches.
    own, sources
        How the layer that they were found at lies over the picture that is put together, and over
        those of the training images.
    pictures
        Of the training images: inputs, or targets. Those that the field points to are read.
    how
        "copy" or "overlap", see `Composition`. A tie between classes goes to the one that "copy"
        would give, where it takes part, else to the lowest. Matches that there are not are not
        counted.
    kind
        What the pictures are.

    Returns
    -------
    As the pictures: uint8 (H, W, 3), uint8 (H, W), or float32 (H, W). Pixels that nothing is known
    of are what `Kind.unmatched` makes of them.

    Raises
    ------
    SearchError
        If there is no such composition.
    """
    check_composition(how)

    def copied() -> Picture:
        return provenance(field, own, sources, pictures).copy_from(pictures, kind)

    if how == "copy":
        return copied()
    return kind.merge(
        own.size,
        copied,
        (
            (where, windows.copy_from(pictures, kind), windows.matched)
            for where, windows in _windows(field, own, sources, pictures)
        ),
    )


def no_evidence(field: Field, own: Placement, how: Composition) -> npt.NDArray[np.bool_]:
    """bool (height, width): the pixels of the picture to which no match gives anything.

    Parameters
    ----------
    field, own, how
        As in `compose`.
    """
    if how == "copy":
        rows, cols = own.owners()
        alone: npt.NDArray[np.bool_] = (~field.matched[0]).take(rows, axis=0).take(cols, axis=1)
        return alone
    nothing = ~field.matched.any(axis=0)
    found = np.ones(own.size, np.bool_)
    for where, givers, _ in _covered(own):
        found[where] &= nothing.take(givers[0], axis=0).take(givers[1], axis=1)
    return found


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
    field: Field, own: Placement, sources: Placements, pictures: Pictures
) -> Iterator[tuple[Rectangle, Provenance]]:
    """What the K matches paste, in K * h * w pictures in which no two windows overlap.

    Pictures (a, b) hold what the pixels get as cell (a, b) of a hyperpatch. They come with the
    rectangle of the image that they fill: at the border not every cell is the (a, b) of one.
    """
    given = [_Given(field, own, sources, pictures, match) for match in range(field.matches)]
    for where, givers, pixels in _covered(own):
        for each in given:
            yield where, each.to(givers, pixels)


def _covered(
    own: Placement,
) -> Iterator[tuple[Rectangle, tuple[_Ints, _Ints], tuple[_Ints, _Ints]]]:
    """For each cell (a, b) of a hyperpatch the pixels that it covers: as a rectangle, the rows and
    the columns of the hyperpatches whose cell it is, and those of the pixels.
    """
    cells = own.cells_of_pixels()
    for offset in np.ndindex(own.hyperpatch):
        givers, pixels = [], []
        for axis in (0, 1):
            giver = cells[axis] - offset[axis]
            filled = np.flatnonzero((giver >= 0) & (giver < own.grid[axis]))
            givers.append(giver[filled])
            pixels.append(filled)
        if not (len(pixels[0]) and len(pixels[1])):
            continue
        where = slice(pixels[0][0], pixels[0][-1] + 1), slice(pixels[1][0], pixels[1][-1] + 1)
        yield where, (givers[0], givers[1]), (pixels[0], pixels[1])
