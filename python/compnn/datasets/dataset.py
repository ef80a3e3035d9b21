"""What every dataset offers: named training pairs, read one at a time."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from compnn.attributes import resolve_attributes
from compnn.datasets.listing import natural_key
from compnn.errors import DatasetError, ImageError
from compnn.images import StoredImage
from compnn.palette import Palette, resolve_palette

_Self = TypeVar("_Self", bound="Dataset")


@dataclass(frozen=True, eq=False)
class Pair:
    """One training pair.

    Attributes
    ----------
    name
        Name of the pair, unique in its dataset.
    input
        (H, W, 3) uint8 RGB, as the network sees it; a label map is painted.
    target
        (H, W, 3) uint8 RGB photo, or (H, W) uint8 label map, of the input's height and width.
    """

    name: str
    input: npt.NDArray[np.uint8]
    target: npt.NDArray[np.uint8]


class Dataset(ABC):
    """Training pairs with names in natural order (2 before 10), read only when asked for.

    `dataset[i]` reads pair i; `for pair in dataset` reads all, one at a time. An input or target
    with a palette is a label map. Subclasses give the names here and read a pair in `_read`.

    Parameters
    ----------
    names
        Unique names of the pairs, in any order.
    input_palette, target_palette
        Palette, built-in name, or path of a palette file; None for photos.
    attributes
        CSV file or mapping, see `compnn.attributes.resolve_attributes`.

    Raises
    ------
    DatasetError
        If a name is given twice, or the attributes do not fit the names.
    PaletteError
        If a palette is unknown.
    """

    def __init__(
        self,
        names: Iterable[str],
        *,
        input_palette: str | Path | Palette | None = None,
        target_palette: str | Path | Palette | None = None,
        attributes: str | Path | Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        ordered = tuple(sorted(names, key=natural_key))
        for first, second in pairwise(ordered):
            if first == second:
                raise DatasetError(f"two pairs are named {first!r}; rename one")
        self._names = ordered
        self._input_palette = None if input_palette is None else resolve_palette(input_palette)
        self._target_palette = None if target_palette is None else resolve_palette(target_palette)
        self._attributes = resolve_attributes(attributes, ordered)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the pairs, unique, in natural order."""
        return self._names

    @property
    def input_palette(self) -> Palette | None:
        """Palette of the inputs, if they are label maps."""
        return self._input_palette

    @property
    def target_palette(self) -> Palette | None:
        """Palette of the targets, if they are label maps."""
        return self._target_palette

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
        return self._read(self._names[index])

    def __iter__(self) -> Iterator[Pair]:
        return (self._read(name) for name in self._names)

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

    @abstractmethod
    def _read(self, name: str) -> Pair:
        """Read the pair called `name`; ImageError if that fails."""


def check_same_size(given: StoredImage, wanted: StoredImage) -> None:
    """Raise ImageError, naming both files, unless input and target have one height and width."""
    sizes = [image.pixels.shape[:2] for image in (given, wanted)]
    if sizes[0] != sizes[1]:
        (height, width), (other_height, other_width) = sizes
        raise ImageError(
            f"{given.path} is {height}x{width} but {wanted.path} is {other_height}x{other_width} "
            f"(height x width); bring both to one size"
        )
