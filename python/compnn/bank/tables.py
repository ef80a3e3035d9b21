"""The tables of a generation: what the images are called, where they stand, what is known of them.

They are array files, read when they are first needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from compnn.bank.manifest import Manifest
from compnn.bank.records import load_array, load_strings, save_strings
from compnn.bank.writing import fresh_folder, save_array, sync_tree
from compnn.errors import BankError

Attributes: TypeAlias = Mapping[str, Mapping[str, str]]

_IMAGES = "images.npy"
_ATTRIBUTES = "attributes.npy"


@dataclass(frozen=True)
class SkippedImage:
    """An image of a dataset that was left out of the bank because it could not be read."""

    name: str
    reason: str


def write_tables(
    folder: Path,
    names: Sequence[str],
    images: npt.NDArray[np.int64],
    attributes: Attributes,
    skipped: Sequence[SkippedImage],
) -> dict[str, int]:
    """Write the tables of a generation into a new folder; return the CRC-32 of each file.

    Parameters
    ----------
    folder
        Where they will be.
    names
        Of the images, distinct.
    images
        Shard, as an index into the manifest's shards, and slot of each image: (N, 2).
    attributes
        {name: {key: value}} of the images that have any; others are left out.
    skipped
        Images that are not in the bank.

    Raises
    ------
    BankError
        If that fails.
    """
    fresh_folder(folder)
    known = [
        (index, key, value)
        for index, name in enumerate(names)
        for key, value in attributes.get(name, {}).items()
    ]
    words = list(dict.fromkeys(word for _, *pair in known for word in pair))
    numbers = {word: number for number, word in enumerate(words)}
    rows = [(index, numbers[key], numbers[value]) for index, key, value in known]
    crc32 = {
        _IMAGES: save_array(folder / _IMAGES, images),
        _ATTRIBUTES: save_array(
            folder / _ATTRIBUTES, np.array(rows, np.int64).reshape(len(rows), 3)
        ),
        **save_strings(folder, "names", names),
        **save_strings(folder, "words", words),
        **save_strings(folder, "skipped", [each.name for each in skipped]),
        **save_strings(folder, "reasons", [each.reason for each in skipped]),
    }
    sync_tree(folder)
    return crc32


class Tables:
    """The tables of a generation.

    Parameters
    ----------
    folder
        Where they are.
    manifest
        Of the generation.

    Raises
    ------
    BankError
        Where one is first needed, if it is missing, damaged or does not fit the manifest.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self._manifest = manifest
        self._crc32 = _Checksums(folder, manifest.tables.crc32)

    @cached_property
    def images(self) -> npt.NDArray[np.int64]:
        """Shard (index into the manifest's shards) and slot of each image, int64 (N, 2)."""
        images = load_array(self.folder / _IMAGES, self._crc32[_IMAGES], "int64", (2,))
        self._check_count(_IMAGES, len(images))
        sizes = np.array([each.images for each in self._manifest.shards], np.int64)
        shards, slots = images.T
        if (
            shards.min() < 0
            or shards.max() >= len(sizes)
            or slots.min() < 0
            or (slots >= sizes[shards]).any()
        ):
            raise self._malformed(_IMAGES, "it names images that no shard has")
        return images

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the images."""
        names = load_strings(self.folder, "names", self._crc32)
        self._check_count("names.npy", len(names))
        return names

    @cached_property
    def indices(self) -> Mapping[str, int]:
        """Index of each name."""
        indices = {name: index for index, name in enumerate(self.names)}
        if len(indices) != len(self.names):
            raise self._malformed("names.npy", "two images have one name")
        return indices

    @cached_property
    def attributes(self) -> Attributes:
        """Attributes {name: {key: value}} of the images that have any."""
        rows = load_array(self.folder / _ATTRIBUTES, self._crc32[_ATTRIBUTES], "int64", (3,))
        words = load_strings(self.folder, "words", self._crc32)
        limits = len(self.names), len(words), len(words)
        if rows.size and (rows.min() < 0 or (rows.max(axis=0) >= limits).any()):
            raise self._malformed(_ATTRIBUTES, "it names images or words that there are not")
        attributes: dict[str, dict[str, str]] = {}
        for image, key, value in rows.tolist():
            attributes.setdefault(self.names[image], {})[words[key]] = words[value]
        return attributes

    @cached_property
    def skipped(self) -> tuple[SkippedImage, ...]:
        """Images that were left out."""
        names = load_strings(self.folder, "skipped", self._crc32)
        reasons = load_strings(self.folder, "reasons", self._crc32)
        if len(names) != len(reasons):
            raise self._malformed("reasons.npy", "it has not a reason for each skipped image")
        return tuple(map(SkippedImage, names, reasons))

    def check(self) -> None:
        """Read all of them; raises as they do."""
        _ = self.images, self.indices, self.attributes, self.skipped

    def _check_count(self, file: str, count: int) -> None:
        if count != self._manifest.images:
            raise self._malformed(file, f"it has {count} images, not {self._manifest.images}")

    def _malformed(self, file: str, why: str) -> BankError:
        return BankError(f"{self.folder / file} is malformed: {why}. Rebuild the bank.")


class _Checksums(dict[str, int]):
    """CRC-32 of files; BankError for one that a manifest does not name."""

    def __init__(self, folder: Path, crc32: Mapping[str, int]) -> None:
        super().__init__(crc32)
        self._folder = folder

    def __missing__(self, file: str) -> int:
        raise BankError(f"{self._folder / file} has no checksum in the manifest. Rebuild the bank.")
