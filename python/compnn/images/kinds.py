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
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from compnn.errors import ImageError
from compnn.images.files import StoredImage, photo_dtype
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
from compnn.images.resize import resized

Picture: TypeAlias = npt.NDArray[Any]
"""A photo uint8 (H, W, 3) RGB, a label map uint8 (H, W), or values float32 (H, W).

Photos that are inputs may have other channels, and 16 bits: see `Photo`.
"""

_Pixel = TypeVar("_Pixel", bound=np.generic)
_MOST_CHANNELS, _MOST_WHITE = 1024, 65535

Rectangle: TypeAlias = tuple[slice, slice]
"""Rows and columns of a picture."""

Pasted: TypeAlias = tuple[Rectangle, Picture, npt.NDArray[np.bool_] | None]
"""A part of a picture: where it is, what it is, and which of its pixels count (None: all)."""


class Kind(ABC):
    """What the inputs or the targets of a network are: `Photo`, `Labels` or `Values`.

    A network sees inputs of every kind as RGB, uint8 (H, W, 3), but for photos of other channels.

    Attributes
    ----------
    name
        "photo", "labels" or "values".
    dtype, trailing
        Of targets as they are stored: an array (H, W, *trailing). Inputs are stored as `seen`.
    """

    name: ClassVar[str]

    @property
    @abstractmethod
    def dtype(self) -> str: ...

    @property
    @abstractmethod
    def trailing(self) -> tuple[int, ...]: ...

    @property
    def seen(self) -> Photo:
        """The photos that inputs of this kind are to a network."""
        return Photo()

    def input_of(self, stored: StoredImage) -> Picture:
        """The input in an image file as the network sees it: see `seen`.

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
        """The picture at `size` (height, width): colours and values smoothly, labels by nearest.

        Values of which some are not known, NaN, are brought there by nearest, too.
        """
        labels = picture.ndim == 2 and picture.dtype == np.uint8
        return resized(picture, size, nearest=labels or bool(np.isnan(picture).any()))

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
    """Photos: uint8 (H, W, 3) RGB. Put together by the mean, compared by PSNR and SSIM.

    Inputs may have other channels, and 16 bits: uint16 where `white` is above 255. Targets have
    not.

    Attributes
    ----------
    channels
        How many there are.
    white
        The largest number of a pixel, which is shown white; 0 is black.
    shown
        The channels, from 0, that are painted red, green and blue, or one that is painted grey.
        Default: the first three, or the first where there are fewer.

    Raises
    ------
    ImageError
        If these make no sense.
    """

    channels: int = 3
    white: int = 255
    shown: tuple[int, ...] = ()

    name: ClassVar[str] = "photo"

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= _MOST_CHANNELS:
            raise ImageError(
                f"photos have from 1 to {_MOST_CHANNELS} channels, not {self.channels}"
            )
        if not 1 <= self.white <= _MOST_WHITE:
            raise ImageError(f"white is a number from 1 to {_MOST_WHITE}, not {self.white}")
        shown = tuple(self.shown) or tuple(range(3 if self.channels >= 3 else 1))
        if len(shown) not in (1, 3) or not all(0 <= each < self.channels for each in shown):
            raise ImageError(
                f"one or three of the channels 0 to {self.channels - 1} are shown, not {shown}"
            )
        object.__setattr__(self, "shown", shown)

    @property
    def seen(self) -> Photo:
        """As `Kind.seen`: these."""
        return self

    @property
    def dtype(self) -> str:
        """As `Kind.dtype`: "uint8" or "uint16"."""
        return photo_dtype(self.white)

    @property
    def trailing(self) -> tuple[int, ...]:
        """As `Kind.trailing`: the channels."""
        return (self.channels,)

    def input_of(self, stored: StoredImage) -> npt.NDArray[np.unsignedinteger[Any]]:
        """As `Kind.input_of`."""
        return stored.photo(self.channels, self.white)

    def target_of(self, stored: StoredImage, ids: Mapping[int, int] | None = None) -> Picture:
        """As `Kind.target_of`."""
        return self.input_of(stored)

    def paint(self, picture: Picture) -> npt.NDArray[np.uint8]:
        """As `Kind.paint`: the channels that are shown."""
        if self.white == 255 and self.channels == 3 and self.shown == (0, 1, 2):
            return picture
        shown = picture[..., list(self.shown) * (3 // len(self.shown))]
        return np.rint(shown * (255 / self.white)).astype(np.uint8)

    def unmatched(self, picture: Picture, where: npt.NDArray[np.bool_]) -> Picture:
        """As `Kind.unmatched`."""
        return _hatched(picture.copy(), where, self.white)

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
        return Score("psnr", psnr(truth, other, self.white))

    def comparison(self) -> Comparison:
        """As `Kind.comparison`."""
        return PhotoComparison(self.white)

    def describe(self) -> str:
        """As `Kind.describe`."""
        return f"photos{self._of_what()}"

    def describe_one(self) -> str:
        """As `Kind.describe_one`."""
        return f"a photo{self._of_what()}"

    def _of_what(self) -> str:
        count = "1 channel" if self.channels == 1 else f"{self.channels} channels"
        channels = "" if self.channels == 3 else f" of {count}"
        return channels + ("" if self.white == 255 else f" whose white is {self.white}")

    def to_json(self) -> dict[str, object]:
        """As `Kind.to_json`."""
        return {
            "kind": self.name,
            "channels": self.channels,
            "white": self.white,
            "shown": list(self.shown),
        }


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
    scale
        What a file's numbers are multiplied by: 0.001 for metres from millimetres.
    invalid
        The number in files that means "not known", before `scale`; such pixels become NaN.

    Raises
    ------
    ImageError
        If the limits or the scale make no sense.
    """

    unit: str = ""
    limits: tuple[float, float] = (0.0, 1.0)
    scale: float = 1.0
    invalid: float | None = None

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
        if not (math.isfinite(self.scale) and self.scale != 0):
            raise ImageError(f"the scale of values is a number other than 0, not {self.scale}")
        object.__setattr__(self, "limits", (low, high))

    def target_of(
        self, stored: StoredImage, ids: Mapping[int, int] | None = None
    ) -> npt.NDArray[np.float32]:
        """As `Kind.target_of`: the file has one channel."""
        numbers = stored.numbers()
        values = (numbers * self.scale).astype(np.float32)
        if self.invalid is not None:
            values[numbers == self.invalid] = np.nan
        return self.check(values, str(stored.path))

    def check(self, picture: Picture, name: str) -> Picture:
        """As `Kind.check`; no value may be infinite, and some must be known."""
        picture = super().check(picture, name)
        if np.isinf(picture).any():
            raise ImageError(
                f"{name} holds infinite values; say which number means that a value is not known "
                f"(`--target-invalid`), or store NaN"
            )
        if np.isnan(picture).all():
            raise ImageError(f"{name} holds no value that is known; leave it out")
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
        return {
            "kind": self.name,
            "unit": self.unit,
            "limits": list(self.limits),
            "scale": self.scale,
            "invalid": self.invalid,
        }


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
        case {
            "kind": "photo",
            "channels": int() as channels,
            "white": int() as white,
            "shown": list() as shown,
        } if all(type(each) is int for each in shown):
            return Photo(channels, white, tuple(shown))
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
            "scale": int() | float() as scale,
            "invalid": (None | int() | float()) as invalid,
        }:
            return Values(unit, (low, high), scale, invalid)
    raise ImageError(f"a kind of picture is photo, labels or values, not {document!r}")


def grey(colours: npt.NDArray[np.unsignedinteger[Any]]) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Return the brightness (..., H, W) of RGB (..., H, W, 3), weighted as in ITU-R BT.601."""
    # In steps of 1/32768, rounded: all are whole numbers, and greys stay as they are.
    weighted = colours.astype(np.uint32) @ np.array([9798, 19235, 3735], np.uint32)
    return ((weighted + 16384) >> 15).astype(colours.dtype)


def _hatched(
    painted: npt.NDArray[_Pixel], where: npt.NDArray[np.bool_], white: int = 255
) -> npt.NDArray[_Pixel]:
    """A picture (H, W, C), grey under diagonal lines where there is nothing to show."""
    rows, cols = np.nonzero(where)
    # Close lines, so that patches of few pixels have some; no grey is CamVid's sky, 128.
    greys = np.where((rows + cols) % 4 == 0, 96, 160)[:, np.newaxis]
    painted[rows, cols] = greys if white == 255 else greys * white // 255
    return painted


def _mean(kind: Kind, size: tuple[int, int], pasted: Iterable[Pasted]) -> Picture:
    """The mean of what is pasted, at least one part, of its dtype; whole numbers are rounded."""
    parts = iter(pasted)
    first = next(parts)
    trailing, dtype = first[1].shape[2:], first[1].dtype
    whole, unknown = dtype.kind == "u", dtype.kind == "f"
    # Sums of bytes are exact in float; those of others may be too large for it.
    total = np.zeros((*size, *trailing), np.float32 if dtype == np.uint8 else np.float64)
    count = np.zeros((*size, *(1 for _ in trailing)), np.float32)
    for where, part, counts in chain([first], parts):
        if unknown and (missing := np.isnan(part)).any():
            counts = ~missing if counts is None else counts & ~missing
        if counts is None:
            total[where] += part
            count[where] += 1
        else:
            total[where][counts] += part[counts]
            count[where][counts] += 1
    total /= np.maximum(count, 1)
    mean: Picture = (np.rint(total, out=total) if whole else total).astype(dtype)
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
