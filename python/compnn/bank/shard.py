"""A shard: the arrays of at most some thousand images, written once and never changed."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn.bank import layout
from compnn.bank.directions import Directions, read_directions
from compnn.bank.json_fields import Field, read_document, write_document
from compnn.bank.layout import ArraySpec
from compnn.bank.manifest import Manifest, ShardEntry, geometry_of
from compnn.bank.records import load_array, map_array
from compnn.bank.writing import save_array, sync_tree
from compnn.errors import BankError
from compnn.network.geometry import Geometry, Size

_FORMAT = "compnn-shard"


@dataclass(frozen=True)
class ShardLayer:
    """A layer as a shard keeps it.

    Attributes
    ----------
    cells
        Of all images together.
    channels
        D, of the network's activation.
    kept
        K, numbers of a stored cell.
    directions
        Digest of the directions that the numbers are coordinates along; None where K = D channels
        are kept as they are.
    geometries
        Where the cells of an activation lie, by the size of the input and (H, W) of the activation.
    """

    cells: int
    channels: int
    kept: int
    directions: str | None
    geometries: Mapping[tuple[Size, Size], Geometry]


@dataclass(frozen=True)
class ShardContents:
    """What a shard holds: the file `shard.json`.

    It does not grow with the number of images, but with that of their sizes.

    Attributes
    ----------
    images
        Number of images.
    dtype
        Of the activations.
    layers
        By name, in the order of the bank's.
    descriptor_dim
        None without descriptors.
    input_pixels, target_pixels
        Of all images together.
    crc32
        Of the files of the tables of places and checksums.
    """

    images: int
    dtype: str
    layers: Mapping[str, ShardLayer]
    descriptor_dim: int | None
    input_pixels: int
    target_pixels: int
    crc32: Mapping[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> tuple[int, ...]:
        """Number of rows of each group of arrays: cells of the layers, pixels of the pictures."""
        cells = (each.cells for each in self.layers.values())
        return (*cells, self.input_pixels, self.target_pixels)

    def to_json(self) -> dict[str, object]:
        """Return the document that `from_json` reads."""
        return {
            "format": _FORMAT,
            "version": layout.FORMAT_VERSION,
            "images": self.images,
            "dtype": self.dtype,
            "layers": [
                {
                    "name": name,
                    "cells": each.cells,
                    "channels": each.channels,
                    "kept": each.kept,
                    "directions": each.directions,
                    "geometries": [
                        {"cells": list(cells), **geometry.to_json()}
                        for (_, cells), geometry in sorted(
                            each.geometries.items(), key=lambda item: item[0]
                        )
                    ],
                }
                for name, each in self.layers.items()
            ],
            "descriptor_dim": self.descriptor_dim,
            "input_pixels": self.input_pixels,
            "target_pixels": self.target_pixels,
            "crc32": dict(self.crc32),
        }

    @classmethod
    def from_json(cls, root: Field) -> ShardContents:
        """Return the contents that `to_json` wrote; BankError if a field is malformed."""
        for key, value in (("format", _FORMAT), ("version", layout.FORMAT_VERSION)):
            if root.child(key).value != value:
                raise root.child(key).malformed(repr(value))
        crc32 = root.child("crc32")
        return cls(
            images=root.child("images").as_int(1),
            dtype=root.child("dtype").as_choice(layout.ACTIVATION_DTYPES),
            layers=dict(map(_layer, root.child("layers").elements())),
            descriptor_dim=root.optional("descriptor_dim", lambda part: part.as_int(1)),
            input_pixels=root.child("input_pixels").as_int(1),
            target_pixels=root.child("target_pixels").as_int(1),
            crc32={
                file: crc32.child(file).as_crc32()
                for file in (layout.PLACES_FILE, layout.CHECKSUMS_FILE)
            },
        )


def write_contents(
    folder: Path,
    contents: ShardContents,
    places: npt.NDArray[np.int64],
    checksums: npt.NDArray[np.uint32],
) -> None:
    """Complete a shard, whose arrays have been written, and bring it to the disk.

    Parameters
    ----------
    folder
        The shard.
    contents
        What it holds, without the checksums of its tables.
    places
        First row, rows and columns of each image in each group of arrays, int64 (images, groups,
        3).
    checksums
        CRC-32 of each image's record in each array, uint32 (images, arrays).

    Raises
    ------
    BankError
        If that fails.
    """
    crc32 = {
        layout.PLACES_FILE: save_array(folder / layout.PLACES_FILE, places),
        layout.CHECKSUMS_FILE: save_array(folder / layout.CHECKSUMS_FILE, checksums),
    }
    write_document(folder / layout.SHARD_FILE, {**contents.to_json(), "crc32": crc32})
    sync_tree(folder)


class Shard:
    """A shard, opened: its arrays are mapped, and its tables read, when they are first needed.

    Parameters
    ----------
    folder
        The shard.
    manifest
        Of the bank.
    entry
        What the manifest says of it.

    Raises
    ------
    BankError
        Where something is first needed, if it is missing, damaged or does not fit the manifest.
    """

    def __init__(self, folder: Path, manifest: Manifest, entry: ShardEntry) -> None:
        self.folder = folder
        self.images = entry.images
        self._manifest = manifest
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        self._directions: dict[str, Directions] = {}
        self._lock = threading.Lock()

    @cached_property
    def contents(self) -> ShardContents:
        """What it holds."""
        file = self.folder / layout.SHARD_FILE
        try:
            contents = ShardContents.from_json(read_document(file))
        except FileNotFoundError:
            raise BankError(f"{file} is missing. Rebuild the bank, or copy it again.") from None
        manifest = self._manifest
        dim = None if manifest.descriptor is None else manifest.descriptor.dim
        channels = {name: layer.shape[2] for name, layer in manifest.layers.items()}
        if (
            contents.images != self.images
            or contents.dtype != manifest.dtype
            or contents.descriptor_dim != dim
            or list(contents.layers) != list(channels)
            or any(each.channels != channels[name] for name, each in contents.layers.items())
        ):
            raise BankError(f"{file} is not of this bank. Rebuild the bank, or copy it again.")
        return contents

    @cached_property
    def specs(self) -> tuple[ArraySpec, ...]:
        """Its arrays."""
        contents = self.contents
        kept = {name: each.kept for name, each in contents.layers.items()}
        kinds = self._manifest.input_kind, self._manifest.target_kind
        return layout.array_specs(kept, contents.dtype, contents.descriptor_dim, kinds)

    @cached_property
    def places(self) -> npt.NDArray[np.int64]:
        """First row, rows and columns of each image in each group, int64 (images, groups, 3)."""
        rows = np.array(self.contents.rows, np.int64)
        places = self._table(layout.PLACES_FILE, "int64", (len(rows), 3))
        first, size = places[..., 0], places[..., 1:]
        # Below 2**31 rows and columns, their product cannot overflow.
        if (
            first.min() < 0
            or size.min() < 1
            or size.max() >= 1 << 31
            or (size.prod(axis=-1) > rows - first).any()
        ):
            raise BankError(
                f"{self.folder / layout.PLACES_FILE} is malformed: it names cells or pixels that "
                f"there are not. Rebuild the bank."
            )
        return places

    @cached_property
    def checksums(self) -> npt.NDArray[np.uint32]:
        """CRC-32 of each image's record in each array, uint32 (images, arrays)."""
        return self._table(layout.CHECKSUMS_FILE, "uint32", (len(self.specs),))

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """Which of its arrays a file is."""
        return {spec.file: number for number, spec in enumerate(self.specs)}

    def geometry(self, layer: str, image_size: Size, cells: Size) -> Geometry:
        """Where the cells of a layer lie, for an image of a size whose activation has (H, W) cells.

        Raises
        ------
        BankError
            If the shard does not say so.
        """
        try:
            return self.contents.layers[layer].geometries[image_size, cells]
        except KeyError:
            raise BankError(
                f"{self.folder / layout.SHARD_FILE} is malformed: it does not say where the "
                f"{cells[0]}x{cells[1]} cells of {layer!r} lie over an image of "
                f"{image_size[0]}x{image_size[1]}. Rebuild the bank."
            ) from None

    def array(self, file: str) -> npt.NDArray[Any]:
        """An array, read-only: the rows of all images."""
        with self._lock:
            if file not in self._arrays:
                spec = self.specs[self.numbers[file]]
                rows = self.images if spec.group is None else self.contents.rows[spec.group]
                shape = rows, *spec.trailing
                self._arrays[file] = map_array(self.folder / file, shape, spec.dtype)
            return self._arrays[file]

    def directions(self, layer: str) -> Directions | None:
        """The directions (K, D) that a layer's cells are kept along, if any."""
        kept = self.contents.layers[layer]
        if kept.directions is None:
            return None
        with self._lock:
            if layer not in self._directions:
                self._directions[layer] = read_directions(
                    self.folder / layout.directions_file(layer),
                    (kept.kept, kept.channels),
                    kept.directions,
                )
            return self._directions[layer]

    def record(self, file: str, slot: int) -> npt.NDArray[Any]:
        """The rows of one image, read-only: (n, ...)."""
        spec = self.specs[self.numbers[file]]
        if spec.group is None:
            return self.array(file)[slot : slot + 1]
        first, rows, cols = self.places[slot, spec.group].tolist()
        return self.array(file)[first : first + rows * cols]

    def damaged(self, file: str, slots: Sequence[int] | npt.NDArray[np.int64]) -> int | None:
        """The first of some images whose record is damaged; those that are not are noted."""
        number = self.numbers[file]
        verified, checksums = self._verified[:, number], self.checksums[:, number]
        chosen = np.asarray(slots, np.int64)
        chosen = chosen[~verified[chosen]]
        if not len(chosen):
            return None
        spec = self.specs[number]
        first, count = chosen, np.ones_like(chosen)
        if spec.group is not None:
            first, rows, cols = self.places[chosen, spec.group].T
            count = rows * cols
        # By image there is as little as can be: large banks have many, and small ones at that.
        data = self.array(file).reshape(-1).view(np.uint8).data
        starts, stops = first * spec.row_bytes, (first + count) * spec.row_bytes
        for slot, start, stop, crc32 in zip(
            chosen.tolist(),
            starts.tolist(),
            stops.tolist(),
            checksums[chosen].tolist(),
            strict=True,
        ):
            if zlib.crc32(data[start:stop]) != crc32:
                return int(slot)
            verified[slot] = True
        return None

    @cached_property
    def _verified(self) -> npt.NDArray[np.bool_]:
        return np.zeros((self.images, len(self.specs)), np.bool_)

    def _table(self, file: str, dtype: str, trailing: tuple[int, ...]) -> npt.NDArray[Any]:
        table = load_array(self.folder / file, self.contents.crc32[file], dtype, trailing)
        if len(table) != self.images:
            raise BankError(
                f"{self.folder / file} is malformed: it has {len(table)} images, not "
                f"{self.images}. Rebuild the bank."
            )
        return table


def _layer(part: Field) -> tuple[str, ShardLayer]:
    channels, kept = part.child("channels").as_int(1), part.child("kept")
    directions = part.optional("directions", Field.as_str)
    if kept.as_int(1) > channels or (directions is None and kept.value != channels):
        raise kept.malformed(f"the number of directions of {channels} channels, or of channels")
    placed = {}
    for each in part.child("geometries").elements():
        rows, cols = each.child("cells").as_sizes(2)
        geometry = geometry_of(each)
        placed[geometry.image_size, (rows, cols)] = geometry
    return part.child("name").as_str(), ShardLayer(
        part.child("cells").as_int(1), channels, kept.as_int(1), directions, placed
    )
