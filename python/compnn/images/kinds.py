"""What a picture is: a photo, a label map, or values such as depth.

The kind of the inputs and of the targets decides how files are read and checked, how pictures are
stored, painted and put together, and how two of them are compared.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from compnn.errors import ImageError
from compnn.images.files import StoredImage
from compnn.images.measures import (
    Comparison,
    LabelComparison,
    PhotoComparison,
    Score,
    ValueComparison,
    pixel_accuracy,
    psnr,
    rmse,
)
from compnn.images.palette import Palette, resolve_palette

Picture: TypeAlias = npt.NDArray[Any]
"""A photo uint8 (H, W, 3) RGB, a label map uint8 (H, W), or values float32 (H, W)."""

Rectangle: TypeAlias = tuple[slice, slice]
"""Rows and columns of a picture."""

Pasted: TypeAlias = tuple[Rectangle, Picture, npt.NDArray[np.bool_] | None]
"""A part of a picture: where it is, what it is, and which of its pixels count (None: all)."""


class Kind(ABC):
    """What the inputs or the targets of a network are: `Photo`, `Labels` or `Values`.

    A network sees inputs of every kind as RGB, uint8 (H, W, 3).

    Attributes
    ----------
    name
        "photo", "labels" or "values".
    dtype, trailing
        Of targets as they are stored: an array (H, W, *trailing).
    """

    name: ClassVar[str]
    dtype: ClassVar[str]
    trailing: ClassVar[tuple[int, ...]]

    def input_of(self, stored: StoredImage) -> npt.NDArray[np.uint8]:
        """The input in an image file as the network sees it: uint8 (H, W, 3) RGB.

        Raises
        ------
        ImageError
            If the file does not hold this kind.
        """
        return stored.rgb()

    @abstractmethod
    def target_of(self, stored: StoredImage, ids: Mapping[int, int] | None = None) -> Picture:
        """The target in an image file, (H, W, *trailing).

        Parameters
        ----------
        stored
            The file.
        ids
            Of label maps whose file counts otherwise: see `StoredImage.labels`.

        Raises
        ------
        ImageError
            If the file does not hold this kind.
        """

    def check(self, picture: Picture, name: str) -> Picture:
        """Return a target C-contiguous, once it is known to be of this kind.

        Raises
        ------
        ImageError
            If dtype or shape are others; `name` is what the message calls it.
        """
        is_array = isinstance(picture, np.ndarray)
        if (
            is_array
            and picture.dtype == self.dtype
            and picture.ndim == 2 + len(self.trailing)
            and picture.shape[2:] == self.trailing
            and picture.size
        ):
            return np.ascontiguousarray(picture)
        found = f"{picture.dtype} {picture.shape}" if is_array else f"a {type(picture).__name__}"
        wanted = ", ".join(["height", "width", *map(str, self.trailing)])
        raise ImageError(
            f"{name} is {found}, but it should be {self.describe_one()}, {self.dtype} ({wanted})"
        )

    def fit(self, picture: Picture, size: tuple[int, int]) -> Picture:
        """The picture at `size` (height, width): colours and values smoothly, labels by nearest."""
        if picture.shape[:2] == size:
            return picture
        height, width = size
        if picture.ndim == 2 and picture.dtype == np.uint8:
            method = cv2.INTER_NEAREST
        elif height * width < picture.shape[0] * picture.shape[1]:
            method = cv2.INTER_AREA
        else:
            method = cv2.INTER_LINEAR
        resized = cv2.resize(picture, (width, height), interpolation=method)
        return np.asarray(resized, picture.dtype)

    @abstractmethod
    def paint(self, picture: Picture) -> npt.NDArray[np.uint8]:
        """The picture as it is shown: uint8 (H, W, 3) RGB. What is RGB already stays so."""

    @abstractmethod
    def merge(
        self,
        size: tuple[int, int],
        owned: Callable[[], Picture],
        pasted: Iterable[Pasted],
    ) -> Picture:
        """One picture of several that lie over each other (composition "overlap").

        Parameters
        ----------
        size
            (height, width) of the picture.
        owned
            Gives the whole picture that plain copying makes; it decides ties between classes.
        pasted
            Parts. Pixels that no part counts for are shown as `unmatched`.
        """

    def unmatched(self, picture: Picture, where: npt.NDArray[np.bool_]) -> Picture:
        """The picture with nothing shown where (H, W) `where` says so.

        RGB, also of label maps and values, is grey under diagonal lines there; values are NaN,
        label maps void, or 255 where the palette has none.
        """
        shown: Picture = picture.copy()
        if shown.ndim == 3:
            return _hatched(shown, where)
        shown[where] = self._nothing
        return shown

    @property
    def _nothing(self) -> float:
        """What stands for nothing in a picture (H, W)."""
        return math.nan

    @abstractmethod
    def compare(
        self, truth: Picture, other: Picture, nothing: npt.NDArray[np.bool_] | None = None
    ) -> Score:
        """How near a picture is to the truth.

        Where (H, W) `nothing` says so the picture is `unmatched`, which painted label maps do not
        tell: there labels are wrong.

        Raises
        ------
        ImageError
            If their sizes differ.
        """

    @abstractmethod
    def comparison(self) -> Comparison:
        """How pictures are compared over a whole set of images."""

    @abstractmethod
    def describe(self) -> str:
        """The kind in words, in the plural: "photos", "label maps of palette ..."."""

    @abstractmethod
    def describe_one(self) -> str:
        """The kind in words, in the singular: "a photo"."""

    def is_like(self, other: Kind) -> bool:
        """Whether pictures of both can be compared: names of palettes may differ."""
        return self == other

    @abstractmethod
    def to_json(self) -> dict[str, object]:
        """A dictionary that JSON can hold and `kind_from_json` reads."""


@dataclass(frozen=True)
class Photo(Kind):
    """Photos: uint8 (H, W, 3) RGB. Put together by the mean, compared by PSNR and SSIM."""

    name: ClassVar[str] = "photo"
    dtype: ClassVar[str] = "uint8"
    trailing: ClassVar[tuple[int, ...]] = (3,)

    def target_of(
        self, stored: StoredImage, ids: Mapping[int, int] | None = None
    ) -> npt.NDArray[np.uint8]:
        """As `Kind.target_of`."""
        return stored.rgb()

    def paint(self, picture: Picture) -> npt.NDArray[np.uint8]:
        """As `Kind.paint`."""
        return picture

    def merge(
        self,
        size: tuple[int, int],
        owned: Callable[[], Picture],
        pasted: Iterable[Pasted],
    ) -> Picture:
        """The mean, rounded."""
        return _mean(self, size, pasted)

    def compare(
        self, truth: Picture, other: Picture, nothing: npt.NDArray[np.bool_] | None = None
    ) -> Score:
        """As `Kind.compare`, by PSNR of the whole picture."""
        return Score("psnr", psnr(truth, other))

    def comparison(self) -> Comparison:
        """As `Kind.comparison`."""
        return PhotoComparison()

    def describe(self) -> str:
        """As `Kind.describe`."""
        return "photos"

    def describe_one(self) -> str:
        """As `Kind.describe_one`."""
        return "a photo"

    def to_json(self) -> dict[str, object]:
        """As `Kind.to_json`."""
        return {"kind": self.name}


class Labels(Kind):
    """Label maps: uint8 (H, W), a class of a palette for each pixel. Put together by votes.

    Inputs that are label maps are painted in the palette's colours, uint8 (H, W, 3), as the network
    sees them. All methods take label maps painted or not.

    Parameters
    ----------
    palette
        `Palette`, name of a built-in one, or path of a palette file.
    nearest_colour
        Whether colours of lossless files that the palette does not have are taken for its nearest;
        otherwise they are refused. Those of JPEG files always are: it changes colours.
    indices
        Whether files with a colour table of their own hold indices, whatever its colours are;
        otherwise they do where the table has the palette's.

    Raises
    ------
    PaletteError
        If there is no such palette.

    Examples
    --------
    >>> Labels("camvid")
    Labels('camvid')
    """

    name: ClassVar[str] = "labels"
    dtype: ClassVar[str] = "uint8"
    trailing: ClassVar[tuple[int, ...]] = ()

    def __init__(
        self, palette: str | Path | Palette, *, nearest_colour: bool = False, indices: bool = False
    ) -> None:
        self._palette = resolve_palette(palette)
        self.nearest_colour = nearest_colour
        self.indices = indices

    @property
    def palette(self) -> Palette:
        """The classes and their colours."""
        return self._palette

    def __eq__(self, other: object) -> bool:
        return self.palette == other.palette if isinstance(other, Labels) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.palette)

    def __repr__(self) -> str:
        return f"Labels({self.palette.name!r})"

    def input_of(self, stored: StoredImage) -> npt.NDArray[np.uint8]:
        """As `Kind.input_of`: index images are painted, colours are left as they are."""
        return stored.painted(self.palette)

    def target_of(
        self, stored: StoredImage, ids: Mapping[int, int] | None = None
    ) -> npt.NDArray[np.uint8]:
        """As `Kind.target_of`."""
        return stored.labels(
            self.palette, ids, nearest_colour=self.nearest_colour, indices=self.indices
        )

    def check(self, picture: Picture, name: str) -> Picture:
        """As `Kind.check`; every label must be one of the palette's."""
        picture = super().check(picture, name)
        known = self.palette.is_label()
        if not known[picture].all():
            stray = int(picture[~known[picture]].min())
            raise ImageError(
                f"{name} holds the label {stray}, which is not in {self.palette.describe_labels()}"
            )
        return picture

    @property
    def _nothing(self) -> float:
        return 255 if self.palette.void is None else self.palette.void

    def labels(self, picture: Picture) -> npt.NDArray[np.uint8]:
        """The label map (H, W) of a label map that may be painted."""
        return self.palette.quantise(picture) if picture.ndim == 3 else picture

    def paint(self, picture: Picture) -> npt.NDArray[np.uint8]:
        """As `Kind.paint`, in the palette's colours; void that the palette lacks is hatched."""
        if picture.ndim == 3:
            return picture
        nothing = picture == 255
        if self.palette.is_label()[255] or not nothing.any():
            return self.palette.colourise(picture)
        return _hatched(self.palette.colourise(np.where(nothing, np.uint8(0), picture)), nothing)

    def merge(
        self,
        size: tuple[int, int],
        owned: Callable[[], Picture],
        pasted: Iterable[Pasted],
    ) -> Picture:
        """The class that is pasted most often.

        A tie goes to the owner's class, where that takes part, else to the lowest.
        """
        parts = [(where, self.labels(part), counts) for where, part, counts in pasted]
        copied = owned()
        winner = self.labels(copied).copy()
        votes = _votes(winner, parts)
        # To win, a class must have more votes than the owner's, and than the classes before it.
        known = [part if counts is None else part[counts] for _, part, counts in parts]
        for label in np.unique([label for part in known for label in np.unique(part)]):
            other = np.full_like(winner, label)
            better = (other_votes := _votes(other, parts)) > votes
            winner[better], votes[better] = label, other_votes[better]
        nothing = votes == 0
        if not nothing.any():
            return winner if copied.ndim == 2 else self.paint(winner)
        winner[nothing] = 0
        return self.unmatched(winner if copied.ndim == 2 else self.paint(winner), nothing)

    def compare(
        self, truth: Picture, other: Picture, nothing: npt.NDArray[np.bool_] | None = None
    ) -> Score:
        """As `Kind.compare`, by pixel accuracy; pixels that are truly void are not counted."""
        labels = self.labels(truth), self.labels(other)
        if nothing is not None and labels[0].shape == labels[1].shape:
            labels = labels[0], self.unmatched(labels[1], nothing)
        return Score("accuracy", pixel_accuracy(*labels, self.palette.void))

    def comparison(self) -> Comparison:
        """As `Kind.comparison`."""
        return LabelComparison(self.palette)

    def describe(self) -> str:
        """As `Kind.describe`."""
        return f"label maps of {self.palette.describe_labels()}"

    def describe_one(self) -> str:
        """As `Kind.describe_one`."""
        return f"a label map of {self.palette.describe_labels()}"

    def is_like(self, other: Kind) -> bool:
        """As `Kind.is_like`: classes, colours and void must be the same."""
        if not isinstance(other, Labels):
            return False
        ours, theirs = ({**each.palette.to_json(), "name": ""} for each in (self, other))
        return ours == theirs

    def to_json(self) -> dict[str, object]:
        """As `Kind.to_json`."""
        return {
            "kind": self.name,
            "palette": self.palette.to_json(),
            "nearest_colour": self.nearest_colour,
            "indices": self.indices,
        }


@dataclass(frozen=True)
class Values(Kind):
    """Values such as depth: float32 (H, W). Put together by the mean, compared by their error.

    Attributes
    ----------
    unit
        What they are in, "m" for example; it stands behind numbers.
    limits
        (low, high): the values that are painted black and white; those beyond are clipped.
    """

    unit: str = ""
    limits: tuple[float, float] = (0.0, 1.0)

    name: ClassVar[str] = "values"
    dtype: ClassVar[str] = "float32"
    trailing: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        try:
            low, high = map(float, self.limits)
        except (TypeError, ValueError, OverflowError):
            low = high = 0.0
        if not (low < high and math.isfinite(high - low)):
            raise ImageError(f"limits must be (low, high) with low < high, not {self.limits!r}")
        object.__setattr__(self, "limits", (low, high))

    def target_of(
        self, stored: StoredImage, ids: Mapping[int, int] | None = None
    ) -> npt.NDArray[np.float32]:
        """As `Kind.target_of`: the file has one channel."""
        if stored.pixels.ndim != 2:
            raise ImageError(
                f"{stored.path} has colours, but values have one channel; give a grey image"
            )
        return np.asarray(stored.pixels // np.uint8(stored.step), np.float32)

    def check(self, picture: Picture, name: str) -> Picture:
        """As `Kind.check`; every value must be finite."""
        picture = super().check(picture, name)
        if not np.isfinite(picture).all():
            raise ImageError(f"{name} holds NaN or infinite values; leave it out, or fill them in")
        return picture

    def paint(self, picture: Picture) -> npt.NDArray[np.uint8]:
        """As `Kind.paint`: greys from `limits[0]`, black, to `limits[1]`, white; NaN is hatched."""
        if picture.ndim == 3:
            return picture
        low, high = self.limits
        nothing = np.isnan(picture)
        share = (np.where(nothing, low, picture).astype(np.float64) - low) / (high - low)
        grey = np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
        return _hatched(np.repeat(grey[..., np.newaxis], 3, axis=2), nothing)

    def merge(
        self,
        size: tuple[int, int],
        owned: Callable[[], Picture],
        pasted: Iterable[Pasted],
    ) -> Picture:
        """The mean; inputs, which are RGB, stay so."""
        return _mean(self, size, pasted)

    def compare(
        self, truth: Picture, other: Picture, nothing: npt.NDArray[np.bool_] | None = None
    ) -> Score:
        """As `Kind.compare`, by the root of the mean squared error; inputs, RGB, by PSNR.

        What is not known, NaN, is left out of the error.
        """
        if truth.ndim == 3:
            return Score("psnr", psnr(truth, other))
        return Score("rmse", rmse(truth, other), self.unit)

    def comparison(self) -> Comparison:
        """As `Kind.comparison`."""
        return ValueComparison()

    def describe(self) -> str:
        """As `Kind.describe`."""
        return f"values in {self.unit}" if self.unit else "values"

    def describe_one(self) -> str:
        """As `Kind.describe_one`."""
        return self.describe()

    def is_like(self, other: Kind) -> bool:
        """As `Kind.is_like`: the unit must be the same."""
        return isinstance(other, Values) and self.unit == other.unit

    def to_json(self) -> dict[str, object]:
        """As `Kind.to_json`."""
        return {"kind": self.name, "unit": self.unit, "limits": list(self.limits)}


def kind_from_json(document: Mapping[str, object]) -> Kind:
    """The kind that `Kind.to_json` wrote.

    Raises
    ------
    ImageError
        If it is none.
    PaletteError
        If its palette is malformed.
    """
    match document:
        case {"kind": "photo"}:
            return Photo()
        case {
            "kind": "labels",
            "palette": Mapping() as palette,
            "nearest_colour": bool() as nearest,
            "indices": bool() as indices,
        }:
            return Labels(Palette.from_json(palette), nearest_colour=nearest, indices=indices)
        case {
            "kind": "values",
            "unit": str(unit),
            "limits": [int() | float() as low, int() | float() as high],
        }:
            return Values(unit, (low, high))
    raise ImageError(f"a kind of picture is photo, labels or values, not {document!r}")


def _hatched(painted: npt.NDArray[np.uint8], where: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """A painted picture (H, W, 3), grey under diagonal lines where there is nothing to show."""
    rows, cols = np.nonzero(where)
    # Close lines, so that patches of few pixels have some; no grey is CamVid's sky, 128.
    painted[rows, cols] = np.where((rows + cols) % 4 == 0, 96, 160)[:, np.newaxis]
    return painted


def _mean(kind: Kind, size: tuple[int, int], pasted: Iterable[Pasted]) -> Picture:
    """The mean of what is pasted, at least one part, of its dtype; whole numbers are rounded."""
    parts = iter(pasted)
    first = next(parts)
    trailing, dtype = first[1].shape[2:], first[1].dtype
    colours = dtype == np.uint8
    # Sums of bytes are exact in float; those of values may be too large for it.
    total = np.zeros((*size, *trailing), np.float32 if colours else np.float64)
    count = np.zeros((*size, *(1 for _ in trailing)), np.float32)
    for where, part, counts in chain([first], parts):
        if counts is None:
            total[where] += part
            count[where] += 1
        else:
            total[where][counts] += part[counts]
            count[where][counts] += 1
    total /= np.maximum(count, 1)
    mean: Picture = (np.rint(total, out=total) if colours else total).astype(dtype)
    nothing = count.reshape(size) == 0
    return kind.unmatched(mean, nothing) if nothing.any() else mean


def _votes(
    labels: npt.NDArray[np.uint8], pasted: list[Pasted]
) -> npt.NDArray[np.unsignedinteger[Any]]:
    """How many parts paste the label that `labels` (H, W) gives a pixel: (H, W)."""
    votes = np.zeros(labels.shape, np.min_scalar_type(len(pasted)))
    for where, part, counts in pasted:
        same = part == labels[where]
        votes[where] += same if counts is None else same & counts
    return votes
