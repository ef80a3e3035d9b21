"""Writing the arrays of a shard: space, records past the page cache, headers, full disks."""

from __future__ import annotations

import errno
import math
import mmap
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn.bank.layout import HEADER_BYTES, ArraySpec
from compnn.errors import BankError
from compnn.files import sync_folder, write_at

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LARGE_RECORD = 1 << 18
_MOST_SYNCS = 16
# Offsets, sizes and addresses of direct writes are multiples of this: no common disk has larger
# blocks.
_BLOCK = max(4096, mmap.PAGESIZE)
_BUFFER = 1 << 22


class DiskFullError(BankError):
    """The disk, the quota or the limit on file sizes has no room for what was to be written."""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of writing `path` into BankError, DiskFullError where there is no room."""
    try:
        yield
    except OSError as error:
        raise _disk_error(path, error) from error


def _disk_error(path: Path, error: OSError) -> BankError:
    kind = DiskFullError if error.errno in _NO_SPACE else BankError
    return kind(f"cannot write {path}: {error.strerror or error}")


def fresh_folder(folder: Path) -> Path:
    """Make a folder, empty: what an interrupted writer may have left there is removed."""
    with disk_errors(folder):
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
    return folder


def sync_tree(folder: Path) -> None:
    """Bring a folder, and all files and folders in it, to the disk."""
    sync_all([folder, *folder.rglob("*")])


def sync_all(places: Sequence[Path]) -> None:
    """Bring files and folders to the disk, many at a time: one after the other takes long."""
    if places:
        with disk_errors(places[0]), ThreadPoolExecutor(min(len(places), _MOST_SYNCS)) as threads:
            list(threads.map(_sync, places))


def _sync(place: Path) -> None:
    if place.is_dir():
        sync_folder(place)
    else:
        with open(place, "rb") as file:
            os.fsync(file.fileno())


def save_array(path: Path, array: npt.NDArray[Any]) -> int:
    """Write a small array to a new file, not synced yet; return the CRC-32 of the file.

    Raises
    ------
    BankError
        If that fails.
    """
    spec = ArraySpec(path.name, array.shape[1:], array.dtype.name, None)
    data = spec.header(len(array)) + np.ascontiguousarray(array).tobytes()
    with disk_errors(path):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    return zlib.crc32(data)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file another name; where that cannot be, as on another disk, copy it. Not synced.

    Raises
    ------
    BankError
        If both fail.
    """
    with disk_errors(target):
        target.parent.mkdir(exist_ok=True)
        try:
            target.unlink(missing_ok=True)
            os.link(source, target)
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise
            shutil.copyfile(source, target)


def empty_for(offset: int, shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
    """An array whose memory lies to blocks as `offset` of a file does: it is written as it is."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + _BLOCK, np.uint8)
    start = (offset - memory.ctypes.data) % _BLOCK
    return memory[start : start + size].view(dtype).reshape(shape)


class ArrayFile:
    """A .npy file of rows, written record by record (the rows of an image) with plain file I/O.

    Large records go to the disk past the page cache where the system allows it: copying them there
    takes more time than all else that a build does besides running the network.

    Parameters
    ----------
    folder
        The shard.
    spec
        File, row and dtype.
    """

    def __init__(self, folder: Path, spec: ArraySpec) -> None:
        self.spec = spec
        self.path = folder / spec.file
        self._row_bytes = spec.row_bytes
        self._direct: DirectWriter | None = None
        self._plain = False
        with disk_errors(self.path):
            self.path.parent.mkdir(exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def reserve(self, rows: int) -> None:
        """Reserve the disk space of so many rows and write the header."""
        size = self.spec.file_bytes(rows)
        with disk_errors(self.path):
            try:
                os.posix_fallocate(self._descriptor, 0, size)
            except AttributeError:  # macOS
                os.ftruncate(self._descriptor, size)
            except OSError as error:
                # Some file systems cannot reserve; there a full disk shows later.
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                    raise
                os.ftruncate(self._descriptor, size)
            write_at(self._descriptor, self.spec.header(rows), 0)

    def write(self, row: int, record: npt.NDArray[Any]) -> int:
        """Write the rows of one image, the first at index `row`, and return their CRC-32.

        `record` is C-contiguous, of the dtype of the spec.
        """
        data = record.reshape(-1).view(np.uint8).data
        offset = HEADER_BYTES + row * self._row_bytes
        try:
            direct = self._direct_writer() if len(data) >= _LARGE_RECORD else None
            if direct is None:
                write_at(self._descriptor, data, offset)
            else:
                # What does not fill whole blocks of the file is left.
                written = direct.write(data, offset)
                write_at(self._descriptor, data[: written.start], offset)
                write_at(self._descriptor, data[written.stop :], offset + written.stop)
        except OSError as error:
            raise _disk_error(self.path, error) from error
        return zlib.crc32(data)

    def read_checksum(self, row: int, rows: int) -> int:
        """Return the CRC-32 of rows on the disk; of what there is, if they are cut short."""
        size, offset = rows * self.spec.row_bytes, self.spec.file_bytes(row)
        return zlib.crc32(os.pread(self._descriptor, size, offset))

    def finish(self, rows: int) -> None:
        """Keep the first `rows` rows."""
        with disk_errors(self.path):
            os.ftruncate(self._descriptor, self.spec.file_bytes(rows))
            write_at(self._descriptor, self.spec.header(rows), 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
        if self._direct is not None:
            self._direct.close()

    def _direct_writer(self) -> DirectWriter | None:
        if self._direct is None and not self._plain:
            self._direct = DirectWriter.open(self.path)
            self._plain = self._direct is None
        return self._direct


class DirectWriter:
    """Writes whole blocks of an open file with O_DIRECT.

    Data that does not lie to blocks of memory as to those of the file goes through a buffer.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = memoryview(mmap.mmap(-1, _BUFFER))
        self._refused = False

    @classmethod
    def open(cls, path: Path) -> DirectWriter | None:
        """Open an existing file; None where the system or the file system has no O_DIRECT."""
        if not hasattr(os, "O_DIRECT"):  # macOS
            return None
        try:
            return cls(os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return None

    def write(self, data: memoryview, offset: int) -> slice:
        """Write the whole blocks of `data`, at `offset` of the file; return which part that was.

        The part is empty where the file system refuses.

        Raises
        ------
        OSError
            If writing fails.
        """
        start = -offset % _BLOCK
        stop = max(start, (offset + len(data)) // _BLOCK * _BLOCK - offset)
        if self._refused or start >= len(data):
            return slice(0, 0)
        aligned = (np.frombuffer(data, np.uint8).ctypes.data + start) % _BLOCK == 0
        for first in range(start, stop, _BUFFER):
            part = data[first : min(first + _BUFFER, stop)]
            if not aligned:
                self._buffer[: len(part)] = part
                part = self._buffer[: len(part)]
            try:
                write_at(self._descriptor, part, offset + first)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._refused = True
                return slice(start, first)
        return slice(start, stop)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
