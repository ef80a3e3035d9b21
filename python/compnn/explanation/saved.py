"""Explanations in folders: pictures without loss, and what is read again, which is checked."""

from __future__ import annotations

import io
import math
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

from compnn.errors import ImageError, SearchError
from compnn.files import make_folder, output_errors, read_file, sync_folder, write_file
from compnn.images.files import StoredImage, write_image
from compnn.images.kinds import Kind, Picture
from compnn.network.geometry import Geometry, Size
from compnn.network.layer import Layer

_Ints: TypeAlias = npt.NDArray[np.integer[Any]]

# More than the header of a .npy file can have.
_LONGEST_HEADER = 1 << 16


@dataclass(frozen=True)
class SavedPicture:
    """What a saved explanation says of the input or the target of a training image.

    Attributes
    ----------
    size
        (height, width).
    crc32
        Of its pixels; None where it was not saved.
    """

    size: tuple[int, int]
    crc32: int | None

    def to_json(self) -> dict[str, object]:
        """The fields as JSON values."""
        return {"size": list(self.size), "crc32": self.crc32}

    @classmethod
    def from_json(cls, document: object) -> SavedPicture:
        """The inverse of `to_json`.

        Raises
        ------
        SearchError
            If a field is missing or of another type.
        """
        match document:
            case {"size": [height, width], "crc32": crc32} if (
                is_whole(height, 1)
                and is_whole(width, 1)
                and (crc32 is None or is_whole(crc32, bits=32))
            ):
                return cls((height, width), crc32)
        raise SearchError(f"a picture has a size and a checksum, not {document!r}")


@dataclass(frozen=True)
class SavedImage:
    """A training image that a saved explanation points to.

    `cells` (H, W) are those of the explained layer's activation, and `geometry` is where they lie.
    """

    index: int
    name: str
    attributes: Mapping[str, str]
    input: SavedPicture
    target: SavedPicture
    cells: Size
    geometry: Geometry

    def to_json(self) -> dict[str, object]:
        """The fields as JSON values."""
        return {
            "index": self.index,
            "name": self.name,
            "attributes": dict(self.attributes),
            "input": self.input.to_json(),
            "target": self.target.to_json(),
            "cells": list(self.cells),
            "geometry": self.geometry.to_json(),
        }

    @classmethod
    def from_json(cls, document: object) -> SavedImage:
        """The inverse of `to_json`.

        Raises
        ------
        SearchError
            If a field is missing or of another type.
        """
        match document:
            case {
                "index": index,
                "name": str(name),
                "attributes": dict(attributes),
                "input": given,
                "target": target,
                "cells": [rows, cols],
                "geometry": dict(geometry),
            } if (
                is_whole(index)
                and is_whole(rows, 1)
                and is_whole(cols, 1)
                and all(isinstance(each, str) for each in attributes.values())
            ):
                pictures = SavedPicture.from_json(given), SavedPicture.from_json(target)
                placed = Geometry.from_json(geometry)
                if (placed.image_size, placed.output_size) == tuple(each.size for each in pictures):
                    return cls(index, name, attributes, *pictures, (rows, cols), placed)
        raise SearchError(f"a training image has other fields than these: {document!r}")


class SavedImages:
    """The training images of an explanation that was saved, in its folder.

    Parameters
    ----------
    folder
        The folder.
    bank
        Path of the bank that was searched.
    images
        Those that are known.
    target_kind
        What their targets are.
    layer
        The layer that is explained, over the query.

    Attributes
    ----------
    path
        The folder.
    bank
        Path of the bank that was searched.
    names
        {index: name} of the images that are known.
    attributes
        {name: {key: value}} of those that have any.
    inputs, targets
        Their pictures.
    """

    def __init__(
        self,
        folder: Path,
        bank: str,
        images: Iterable[SavedImage],
        kinds: tuple[Kind, Kind],
        layer: Layer,
    ) -> None:
        known = {each.index: each for each in images}
        self.path = folder
        self.bank = bank
        self.names = {index: each.name for index, each in known.items()}
        self.attributes = {each.name: each.attributes for each in known.values() if each.attributes}
        self.inputs = SavedPictures(
            folder, "input", kinds[0].seen, {index: each.input for index, each in known.items()}
        )
        self.targets = SavedPictures(
            folder, "target", kinds[1], {index: each.target for index, each in known.items()}
        )
        self._layer = layer
        self._known = known

    def layer_of(self, name: str, image: int) -> Layer:
        """As `TrainingImages.layer_of`.

        Raises
        ------
        SearchError
            If the explanation is of another layer, or does not know the image.
        """
        if name != self._layer.name or image not in self._known:
            raise SearchError(
                f"the explanation saved in {self.path} is of layer {self._layer.name!r} and "
                f"{len(self._known)} training images; it says nothing of {name!r} over image "
                f"{image}"
            )
        known = self._known[image]
        shape = (*known.cells, self._layer.shape[2])
        hyperpatch = self._layer.hyperpatch
        return Layer(name, shape, hyperpatch, known.geometry)


class SavedPictures:
    """The inputs or the targets of a saved explanation, read when they are first needed.

    `Pictures` of `compnn.explanation.composition`.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        kind: Kind,
        known: Mapping[int, SavedPicture],
    ) -> None:
        self._folder = folder
        self._name = name
        self._kind = kind
        self._known = known
        self._indices = np.array(sorted(known), np.int64)
        self._sizes = np.array([known[index].size for index in self._indices.tolist()], np.int32)
        self._pictures: dict[int, Picture] = {}

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_pictures": {}}

    def sizes(self, images: _Ints) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """As `Pictures.sizes`."""
        sizes = self._sizes[np.searchsorted(self._indices, images)]
        return sizes[..., 0], sizes[..., 1]

    def picture(self, image: int) -> Picture:
        """As `Pictures.picture`.

        Raises
        ------
        SearchError
            If it was not saved, or is damaged.
        """
        if image in self._pictures:
            return self._pictures[image]
        known = self._known.get(image)
        if known is None or known.crc32 is None:
            remedy = (
                "no match points to it"
                if known is None
                else 'save the explanation with sources="used"'
            )
            raise SearchError(
                f"the {self._name} of training image {image} was not saved in {self._folder}: "
                f"{remedy}"
            )
        file = source_file(self._folder, image, self._name, self._kind.dtype)
        picture = read_picture(file, known.size, self._kind, known.crc32)
        picture.flags.writeable = False
        self._pictures[image] = picture
        return picture

    def take(self, image: _Ints, row: _Ints, col: _Ints) -> Picture:
        """As `Pictures.take`."""
        taken = np.empty((*image.shape, *self._kind.trailing), self._kind.dtype)
        for index in np.unique(image).tolist():
            here = image == index
            taken[here] = self.picture(index)[row[here], col[here]]
        return taken

    def blank(self, size: Size) -> Picture:
        """As `Pictures.blank`."""
        return np.zeros((*size, *self._kind.trailing), self._kind.dtype)

    def check(self, images: Iterable[int]) -> None:
        """As `Pictures.check`: they are checked when they are read."""


def source_file(folder: Path, image: int, name: str, dtype: str) -> Path:
    """File of a training image's input or target in the folder of an explanation."""
    return folder / "sources" / f"{image}-{name}{'.png' if dtype == 'uint8' else '.npy'}"


def is_whole(value: object, least: int = 0, bits: int = 31) -> TypeGuard[int]:
    """Whether a JSON value is a number of so many bits; True is none."""
    return type(value) is int and least <= value < 1 << bits


def crc32_of(*arrays: npt.NDArray[Any]) -> int:
    """CRC-32 of the values of arrays."""
    checksum = 0
    for array in arrays:
        checksum = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, checksum)
    return checksum


def write_picture(path: Path, picture: Picture) -> None:
    """Write a picture without loss: as PNG if it has 8 bits, else as .npy.

    Raises
    ------
    OutputError
        If that fails.
    """
    if path.suffix == ".png":
        write_image(path, picture)
        return
    data = io.BytesIO()
    np.save(data, np.ascontiguousarray(picture), allow_pickle=False)
    write_file(path, data.getvalue())


def read_picture(path: Path, size: tuple[int, int], kind: Kind, crc32: object) -> Picture:
    """Read a picture that `write_picture` wrote.

    Parameters
    ----------
    path
        Its file.
    size
        (height, width) that it should have.
    kind
        What it should be.
    crc32
        Of its pixels.

    Raises
    ------
    SearchError
        If it cannot be read, or is another.
    """
    shape = *size, *kind.trailing
    try:
        if path.suffix == ".png":
            picture: Picture = StoredImage.read(path).pixels
        else:
            most = math.prod(shape) * np.dtype(kind.dtype).itemsize + _LONGEST_HEADER
            picture = np.load(io.BytesIO(read_file(path, most)), allow_pickle=False)
    except ImageError as error:
        raise SearchError(f"a saved explanation lacks a picture: {error}") from error
    except Exception as error:
        # NumPy has as many kinds of errors as there are kinds of damage.
        raise SearchError(f"a saved explanation lacks a picture: {path}: {error}") from error
    if (
        not isinstance(picture, np.ndarray)
        or (picture.shape, picture.dtype) != (shape, np.dtype(kind.dtype))
        or crc32_of(picture) != crc32
    ):
        raise SearchError(
            f"{path} is no longer the picture that was saved: it is damaged, or another "
            f"explanation was saved in the folder; load that, or save this one again"
        )
    try:
        return kind.check(picture, str(path))
    except ImageError as error:
        raise SearchError(str(error)) from error


@contextmanager
def replacing_folder(folder: Path, document: str, old: Iterable[str]) -> Iterator[Path]:
    """Replace the files of a folder by others at once: what is written into the yielded folder.

    Until all of these are on the disk, nothing is changed; then a folder without its document is
    incomplete.

    Parameters
    ----------
    folder
        Made if need be. Files of other names stay in it.
    document
        Name of the file that comes last.
    old
        Patterns of files that are removed.

    Raises
    ------
    OutputError
        If that fails.
    """
    make_folder(folder)
    with output_errors(folder):
        temporary = Path(tempfile.mkdtemp(prefix=".saving-", dir=folder))
    try:
        yield temporary
        new = {path.relative_to(temporary) for path in temporary.rglob("*") if path.is_file()}
        stale = {path.relative_to(folder) for pattern in old for path in folder.glob(pattern)}
        last = Path(document)
        _remove(folder, [last])
        _remove(folder, stale - new)
        _move(temporary, folder, new - {last})
        _move(temporary, folder, {last})
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove(folder: Path, files: Iterable[Path]) -> None:
    for file in files:
        with output_errors(folder / file):
            (folder / file).unlink(missing_ok=True)
            sync_folder((folder / file).parent)


def _move(source: Path, folder: Path, files: Set[Path]) -> None:
    for file in sorted(files):
        make_folder((folder / file).parent)
        with output_errors(folder / file):
            os.replace(source / file, folder / file)
    for changed in {(folder / file).parent for file in files}:
        with output_errors(changed):
            sync_folder(changed)
