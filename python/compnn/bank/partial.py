"""A bank while it is being built: its folder, lock, journal and arrays."""

from __future__ import annotations

import os
import shutil
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from compnn.bank import layout
from compnn.bank.array_file import ArrayFile
from compnn.bank.disk import DiskFullError, disk_errors
from compnn.bank.journal import Entry, Journal, differing
from compnn.bank.layout import ArraySpec
from compnn.bank.manifest import Manifest, write_manifest
from compnn.bank.publish import exchange, sync_folder
from compnn.errors import BankError

Record = npt.NDArray[Any]

# Journal and manifest take about this much for each record.
_NOTES_BYTES = 32


class PartialBank:
    """The folder `<path>.partial` in which a bank is built, locked against other builds.

    Parameters
    ----------
    path
        Where the finished bank will be.
    restart
        Whether to discard what an earlier build left there.

    Attributes
    ----------
    folder
        The folder.
    kept
        Index in the dataset of each image that has a record.
    skipped
        {index in the dataset: reason} of the images that were skipped.
    crc32
        For each array the CRC-32 of each record.

    Raises
    ------
    BankError
        If another build is writing there, or the folder is not of an interrupted build.
    """

    def __init__(self, path: Path, *, restart: bool) -> None:
        self.folder = layout.partial_path(path)
        self.kept: list[int] = []
        self.skipped: dict[int, str] = {}
        self.crc32: list[array[int]] = []
        self._path = path
        self._files: list[ArrayFile] = []
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            found = os.listdir(self.folder)
        if found and layout.JOURNAL_FILE not in found and not restart:
            raise BankError(
                f"{self.folder} is in the way and holds no interrupted build. "
                f"Remove it, or discard it with `--restart` (restart=True)."
            )
        self._journal = Journal(self.folder / layout.JOURNAL_FILE)
        if restart:
            self._empty()

    def prepare(self, specs: Sequence[ArraySpec], count: int, digests: Mapping[str, str]) -> None:
        """Reserve space for `count` records of each array, in a new build or an interrupted one.

        Parameters
        ----------
        specs
            The bank's arrays.
        count
            The most records there can be.
        digests
            Digest of each part of what decides the content (`journal.digest_content`).

        Raises
        ------
        BankError
            If an interrupted build had other content, or the disk has no room; then nothing of a
            new build is left.
        """
        header = self._journal.header()
        if header is not None and header != digests:
            raise BankError(
                f"{self.folder} holds an interrupted build with different "
                f"{', '.join(differing(header, digests))}. Build with the same as then to resume "
                f"it, or discard it with `--restart` (restart=True)."
            )
        try:
            if header is None:
                self._journal.start(digests)
            self._reserve(specs, count)
        except BaseException:
            if header is None:
                self.discard()
            raise
        self.crc32 = [array("I") for _ in specs]

    def header(self) -> Mapping[str, str]:
        """Return the digests of what an interrupted build had asked for; none for a new build."""
        return self._journal.header() or {}

    def start_over(self) -> None:
        """Forget all that has been done, to prepare again with other arrays."""
        for file in self._files:
            file.close()
        self._files.clear()
        self.kept.clear()
        self.skipped.clear()
        self._empty()

    def resume(self, is_current: Callable[[int, Entry], bool]) -> None:
        """Take over the images that an earlier build has done.

        Those from the first one on whose record is damaged, or that is not current, are forgotten.

        Parameters
        ----------
        is_current
            Whether an image of the dataset (by index) is still the one of which the entry was made.
        """
        for entry in self._journal.entries():
            if not (self._holds(entry) and is_current(self.done, entry)):
                break
            self._accept(entry)
        self._journal.cut(self.done)

    @property
    def done(self) -> int:
        """Number of images of the dataset that are done, the skipped ones too."""
        return len(self.kept) + len(self.skipped)

    def append(self, records: Iterable[Record]) -> None:
        """Write the records of the next image, one for each array in their order.

        A record is used up before the next one is asked for.

        Raises
        ------
        BankError
            If they cannot be written.
        """
        slot = len(self.kept)
        pairs = zip(self._files, records, strict=True)
        self._finish(Entry(crc32=tuple(file.write(slot, record) for file, record in pairs)))

    def skip(self, reason: str) -> None:
        """Leave out the next image.

        Raises
        ------
        BankError
            If that cannot be written down.
        """
        self._finish(Entry(skipped=reason))

    def publish(self, manifest: Manifest, *, overwrite: bool) -> None:
        """Complete the bank and put it in its place.

        Raises
        ------
        BankError
            If there is something already, unless it is overwritten; if it cannot be written.
        """
        for file in self._files:
            file.finish(len(self.kept))
        write_manifest(manifest, self.folder / layout.MANIFEST_FILE)
        with disk_errors(self._path):
            for folder in (*filter(Path.is_dir, self.folder.iterdir()), self.folder):
                sync_folder(folder)
            if overwrite and self._path.exists():
                exchange(self.folder, self._path)
                shutil.rmtree(self.folder, ignore_errors=True)  # the old bank
            else:
                os.rename(self.folder, self._path)
            sync_folder(self._path.parent)
            (self._path / layout.JOURNAL_FILE).unlink()

    def discard(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Close the files and release the lock."""
        for file in self._files:
            file.close()
        self._journal.close()

    def _empty(self) -> None:
        """Remove everything but the journal, which holds the lock, and empty that."""
        with disk_errors(self.folder):
            for path in self.folder.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.name != layout.JOURNAL_FILE:
                    path.unlink()
        self._journal.clear()

    def _reserve(self, specs: Sequence[ArraySpec], count: int) -> None:
        with disk_errors(self.folder):
            # Left by a build that stopped just before the end; it would be of other records.
            (self.folder / layout.MANIFEST_FILE).unlink(missing_ok=True)
        for spec in specs:
            self._files.append(ArrayFile(self.folder, spec))
        missing = sum(
            max(0, file.spec.file_bytes(count) - file.allocated()) for file in self._files
        )
        needed = missing + _NOTES_BYTES * count * len(specs)
        available = shutil.disk_usage(self.folder).free
        full = (
            f"the bank needs {_size(needed)} more in {self._path.parent}, where {_size(available)} "
            f"are available. Free some, build it elsewhere, or keep fewer layers"
        )
        if needed > available:
            raise BankError(f"{full}.")
        try:
            for file in self._files:
                file.reserve(count)
        except DiskFullError as error:
            raise BankError(f"{full} ({error}).") from error

    def _holds(self, entry: Entry) -> bool:
        """Return whether the records of the next image are on the disk, undamaged."""
        if entry.skipped is not None:
            return True
        slot = len(self.kept)
        return entry.crc32 == tuple(file.read_checksum(slot) for file in self._files)

    def _finish(self, entry: Entry) -> None:
        self._journal.append(entry)
        self._accept(entry)

    def _accept(self, entry: Entry) -> None:
        if entry.skipped is not None:
            self.skipped[self.done] = entry.skipped
            return
        self.kept.append(self.done)
        for checksums, checksum in zip(self.crc32, entry.crc32, strict=True):
            checksums.append(checksum)


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB ({count} bytes)"
