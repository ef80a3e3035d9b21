"""Opening a bank, and reading its arrays memory-mapped with their checksums."""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn.bank import layout
from compnn.bank.directions import Directions, read_directions
from compnn.bank.manifest import Manifest, read_manifest
from compnn.bank.npy_header import check_npy
from compnn.errors import BankError


def open_manifest(path: str | Path) -> Manifest:
    """Return the manifest of the bank at `path`, once all its files have been found complete.

    Takes milliseconds whatever the bank's size: it looks at headers and sizes, not at the data.

    Raises
    ------
    BankError
        If there is no bank, it is incomplete, of a newer format, malformed, or a file is missing,
        cut short, or not the array that the manifest describes.
    """
    folder = Path(path)
    manifest_file = folder / layout.MANIFEST_FILE
    if not manifest_file.is_file():
        raise BankError(_why_no_bank(folder))
    manifest = read_manifest(manifest_file)
    for array in manifest.arrays.values():
        check_npy(folder / array.spec.file, array.shape, array.spec.dtype)
    for layer in manifest.directions:
        shape = manifest.kept(layer), manifest.layers[layer].shape[2]
        check_npy(folder / layout.directions_file(layer), shape, "float32")
    return manifest


def _why_no_bank(folder: Path) -> str:
    resume = "Run the same build again to resume it."
    if not folder.exists():
        partial = layout.partial_path(Path(os.path.abspath(folder)))
        if partial.exists():
            return f"the bank {folder} is incomplete: its build was interrupted. {resume}"
        return f"there is no bank at {folder}. Check the path, or build one."
    if (folder / layout.JOURNAL_FILE).is_file():
        return f"{folder} is an incomplete bank: its build was interrupted. {resume}"
    return f"{folder} is not a bank: it has no {layout.MANIFEST_FILE}. Give the folder of a bank."


class Records:
    """The arrays of a bank, memory-mapped when they are first asked for.

    Parameters
    ----------
    path
        Folder of the bank.
    manifest
        Its manifest (`open_manifest`).
    """

    def __init__(self, path: str | Path, manifest: Manifest) -> None:
        self._folder = Path(path)
        self._manifest = manifest
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        self._directions: dict[str, Directions] = {}
        self._verified: dict[str, npt.NDArray[np.bool_]] = {}
        self._lock = threading.Lock()

    def array(self, file: str) -> npt.NDArray[Any]:
        """Return an array, read-only: (N, ...), record i is that of image i of the manifest.

        Parameters
        ----------
        file
            A key of the manifest's `arrays`.

        Raises
        ------
        BankError
            If the file cannot be read any more.
        """
        with self._lock:
            if file not in self._arrays:
                try:
                    self._arrays[file] = np.load(self._folder / file, mmap_mode="r")
                except (OSError, ValueError) as error:
                    raise BankError(
                        f"{self._folder / file} cannot be read ({error}). Rebuild the bank."
                    ) from error
            return self._arrays[file]

    def directions(self, layer: str) -> Directions | None:
        """Return the directions (K, D) float32 that a layer's cells are kept along, if any.

        Raises
        ------
        BankError
            If their file is damaged.
        """
        found = self._manifest.directions.get(layer)
        if found is None:
            return None
        with self._lock:
            if layer not in self._directions:
                shape = found.count, self._manifest.layers[layer].shape[2]
                self._directions[layer] = read_directions(self._folder, layer, shape, found.crc32)
            return self._directions[layer]

    def verify(self, file: str, indices: Iterable[int]) -> None:
        """Check the checksums of records that have not been checked yet.

        Parameters
        ----------
        file
            A key of the manifest's `arrays`.
        indices
            Records, in 0..N-1.

        Raises
        ------
        BankError
            If a record is damaged; the message names file, record and image.
        """
        array, checksums = self.array(file), self._manifest.arrays[file].crc32
        with self._lock:
            verified = self._verified.setdefault(file, np.zeros(len(checksums), np.bool_))
        for index in indices:
            if verified[index]:
                continue
            record = array[index : index + 1]
            if zlib.crc32(record.reshape(-1).view(np.uint8).data) != checksums[index]:
                raise BankError(
                    f"{self._folder / file} is damaged: the checksum of record {index} "
                    f"({self._manifest.names[index]!r}) differs. Rebuild the bank."
                )
            verified[index] = True

    def verify_all(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Check the checksums of directions and all records; `progress(done, total)` counts images.

        Raises
        ------
        BankError
            If a record is damaged.
        """
        for layer in self._manifest.directions:
            self.directions(layer)
        count = len(self._manifest)
        for index in range(count):
            for file in self._manifest.arrays:
                self.verify(file, (index,))
            if progress is not None:
                progress(index + 1, count)
