"""One array of a bank while it is being built: space, records, header."""

from __future__ import annotations

import errno
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn.bank.direct_writer import DirectWriter
from compnn.bank.disk import disk_errors, write_at
from compnn.bank.layout import ArraySpec

_LARGE_RECORD = 1 << 18


class ArrayFile:
    """A .npy file of one record per image, written record by record with plain file I/O.

    Large records go to the disk past the page cache where the system allows it: copying them there
    takes more time than all else that a build does besides running the network.

    Parameters
    ----------
    folder
        The bank being built.
    spec
        File, record shape and dtype.
    """

    def __init__(self, folder: Path, spec: ArraySpec) -> None:
        self.spec = spec
        self.path = folder / spec.file
        with disk_errors(self.path):
            self.path.parent.mkdir(exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                large = spec.record_bytes >= _LARGE_RECORD
                self._direct = DirectWriter.open(self.path) if large else None
            except OSError:
                os.close(self._descriptor)
                raise

    def reserve(self, count: int) -> None:
        """Reserve the disk space of `count` records and write the header."""
        size = self.spec.file_bytes(count)
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
            write_at(self._descriptor, self.spec.header(count), 0)

    def allocated(self) -> int:
        """Return the bytes that the file takes on the disk."""
        return os.fstat(self._descriptor).st_blocks * 512

    def write(self, index: int, record: npt.NDArray[Any]) -> int:
        """Write the record of one image and return its CRC-32.

        `record` is C-contiguous, of the shape and dtype of the spec.
        """
        data = record.reshape(-1).view(np.uint8).data
        offset = self.spec.file_bytes(index)
        with disk_errors(self.path):
            if self._direct is None:
                write_at(self._descriptor, data, offset)
            else:
                # What does not fill whole blocks of the file is left.
                written = self._direct.write(data, offset)
                write_at(self._descriptor, data[: written.start], offset)
                write_at(self._descriptor, data[written.stop :], offset + written.stop)
        return zlib.crc32(data)

    def read_checksum(self, index: int) -> int:
        """Return the CRC-32 of the record that is on disk; of what there is, if it is cut short."""
        return zlib.crc32(
            os.pread(self._descriptor, self.spec.record_bytes, self.spec.file_bytes(index))
        )

    def finish(self, count: int) -> None:
        """Keep the first `count` records, and bring everything to the disk."""
        with disk_errors(self.path):
            os.ftruncate(self._descriptor, self.spec.file_bytes(count))
            write_at(self._descriptor, self.spec.header(count), 0)
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
        if self._direct is not None:
            self._direct.close()
