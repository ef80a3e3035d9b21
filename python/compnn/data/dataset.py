"""What every dataset offers: named training pairs, read one at a time."""

from __future__ import annotations

import copy
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from compnn.data.attributes import resolve_attributes
from compnn.errors import DatasetError, ImageError
from compnn.images.kinds import Kind, Photo, Picture

# EXIF orientations above it exchange rows and columns.
_UNTURNED = 4

_Self = TypeVar("_Self", bound="Dataset")


@dataclass(frozen=True, eq=False)
class Pair:
    """One training pair.

    Attributes
    ----------
    name
        Name of the pair, unique in its dataset.
    input
        (H, W, 3) uint8 RGB, as the network sees it; a label map is painted. Of other channels or
        bits where the kind of inputs says so (`Photo`).
    target
        Of the input's height and width: photo (H, W, 3) uint8 RGB, label map (H, W) uint8, or
        values (H, W) float32.
    """

    name: str
    input: Picture
    target: Picture


class Dataset(ABC):
    """Training pairs with names in natural order (2 before 10), read only when asked for.

    `dataset[i]` reads pair i; `for pair in dataset` reads all, one at a time. A dataset of one's
    own gives the names here, and reads the pair of a name in `read`; where that has state that
    cannot be pickled, so has the dataset.

    Parameters
    ----------
    names
        Unique names of the pairs, in any order.
    input_kind, target_kind
        What inputs and targets are: `Photo`, `Labels` or `Values`. Default: photos.
    attributes
        CSV file or mapping, see `compnn.data.attributes.resolve_attributes`.

    Raises
    ------
    DatasetError
        If a name is no text or given twice, the attributes do not fit the names, or a kind is none.

    Examples
    --------
    >>> class Slices(Dataset):
    ...     def __init__(self, scans):
    ...         self.scans = scans
    ...         super().__init__(scans, target_kind=Labels("organs.csv"))
    ...
    ...     def read(self, name):
    ...         return Pair(name, self.scans[name].picture, self.scans[name].organs)
    """

    def __init__(
        self,
        names: Iterable[str],
        *,
        input_kind: Kind | None = None,
        target_kind: Kind | None = None,
        attributes: str | Path | Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        given = tuple(names)
        strange = [name for name in given if not isinstance(name, str)]
        if strange:
            raise DatasetError(f"names of pairs are texts, not {strange[0]!r}")
        ordered = tuple(sorted(given, key=natural_key))
        for first, second in pairwise(ordered):
            if first == second:
                raise DatasetError(f"two pairs are named {first!r}; rename one")
        self._names = ordered
        self._input_kind, self._target_kind = _kind(input_kind), _target_kind(target_kind)
        self._attributes = resolve_attributes(attributes, ordered)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the pairs, unique, in natural order."""
        return self._names

    @property
    def input_kind(self) -> Kind:
        """What the inputs are."""
        return self._input_kind

    @property
    def target_kind(self) -> Kind:
        """What the targets are."""
        return self._target_kind

    @property
    def attributes(self) -> dict[str, dict[str, str]]:
        """Attributes {name: {key: value}} of the pairs that have any."""
        return {name: dict(values) for name, values in self._attributes.items()}

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Pair:
        """Read one pair; negative indices count from the end.

        Raises
        ------
        ImageError
            If a file cannot be read, or input and target differ in size.
        IndexError
            If there is no such pair.
        """
        return self.read(self._names[index])

    def __iter__(self) -> Iterator[Pair]:
        return (self.read(name) for name in self._names)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} pairs)"

    def subset(self: _Self, names: Iterable[str]) -> _Self:
        """Return the same dataset with only the pairs `names`, in natural order.

        Raises
        ------
        DatasetError
            If the dataset does not have one of the names, or a name is given twice.
        """
        chosen = tuple(sorted(names, key=natural_key))
        known = frozenset(self._names)
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise DatasetError(f"the dataset does not have {', '.join(unknown[:5])}; see its names")
        if len(set(chosen)) != len(chosen):
            raise DatasetError("a subset names a pair twice; name each once")
        smaller = copy.copy(self)
        smaller._names = chosen
        smaller._attributes = {
            name: self._attributes[name] for name in chosen if name in self._attributes
        }
        return smaller

    def swapped(self: _Self) -> _Self | None:
        """The same files with inputs and targets exchanged; None where that makes no sense."""
        return None

    def of_kinds(
        self: _Self, *, input_kind: Kind | None = None, target_kind: Kind | None = None
    ) -> _Self:
        """The same files, taken for other kinds of pictures; default: as they are."""
        other = copy.copy(self)
        other._input_kind = self._input_kind if input_kind is None else _kind(input_kind)
        other._target_kind = self._target_kind if target_kind is None else _target_kind(target_kind)
        return other

    def with_attributes(
        self: _Self, attributes: str | Path | Mapping[str, Mapping[str, str]]
    ) -> _Self:
        """The same pairs with these attributes in place of their own, as in `Dataset`.

        Raises
        ------
        DatasetError
            If they do not fit the names.
        """
        other = copy.copy(self)
        other._attributes = resolve_attributes(attributes, self._names)
        return other

    @abstractmethod
    def read(self, name: str) -> Pair:
        """Read the pair of a name, as `dataset[i]` does.

        Raises
        ------
        ImageError
            If that fails.
        """


def check_same_size(
    given: Path, shape: tuple[int, ...], wanted: Path, other: tuple[int, ...]
) -> None:
    """Raise ImageError, naming both files, unless their pictures have one height and width."""
    if shape[:2] != other[:2]:
        check_not_turned(given, shape, wanted, other)
        raise ImageError(
            f"{given} is {shape[0]}x{shape[1]} but {wanted} is {other[0]}x{other[1]} "
            f"(height x width); bring both to one size"
        )


def check_not_turned(
    given: Path, shape: tuple[int, ...], wanted: Path, other: tuple[int, ...]
) -> None:
    """Raise ImageError where input and target fit but for the turn that EXIF tells of one.

    Others may differ in size: a network may paint more pixels than it is shown.
    """
    if shape[0] == shape[1] or shape[:2] != other[:2][::-1]:
        return
    for file in (given, wanted):
        orientation = _orientation(file)
        if orientation is not None and orientation > _UNTURNED:
            raise ImageError(
                f"{given} is {shape[0]}x{shape[1]} as it is shown but {wanted} "
                f"{other[0]}x{other[1]} (height x width): the EXIF orientation of {file.name} is "
                f"{orientation}, a quarter turn, and its pixels as they are stored fit. Turn the "
                f"other file, too, or take the orientation out (`exiftool -Orientation= FILE`)"
            )


def _orientation(file: Path) -> int | None:
    """The orientation in a file's EXIF data, 1 to 8; None where it has none."""
    from PIL import ExifTags, Image  # only for messages, and it takes a while to load

    try:
        with Image.open(file) as image:
            found = image.getexif().get(ExifTags.Base.Orientation)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None  # who reads it has said so, or will
    return found if isinstance(found, int) else None


def natural_key(name: str) -> tuple[tuple[tuple[int, str], ...], str]:
    """Return a sort key in which numbers count by value (`2` before `10`), then by spelling."""
    # re.split alternates text and digits, so that position decides which kind is compared.
    parts = re.split(r"([0-9]+)", name)
    # Of two numbers without leading zeros the longer one is the larger.
    parts[1::2] = [digits.lstrip("0") for digits in parts[1::2]]
    return tuple((len(part) * (place % 2), part) for place, part in enumerate(parts)), name


def _kind(kind: Kind | None) -> Kind:
    if kind is None:
        return Photo()
    if not isinstance(kind, Kind):
        raise DatasetError(
            f"{kind!r} is no kind of picture; give compnn.Photo(), compnn.Labels(palette) or "
            f"compnn.Values(unit)"
        )
    return kind


def _target_kind(kind: Kind | None) -> Kind:
    kind = _kind(kind)
    if isinstance(kind, Photo) and kind != Photo():
        raise DatasetError(
            f"targets that are photos have 3 channels of 8 bits, not {kind.describe()}; of inputs "
            f"they may be"
        )
    return kind
