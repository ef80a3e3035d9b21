"""Writing past the page cache."""

from __future__ import annotations

import errno
import math
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn.bank.disk import write_at

# Offsets, sizes and addresses are multiples of this: no common disk has larger blocks.
_BLOCK = max(4096, mmap.PAGESIZE)
_BUFFER = 1 << 22


def empty_for(offset: int, shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
    """An array whose memory lies to blocks as `offset` of a file does: it is written as it is."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + _BLOCK, np.uint8)
    start = (offset - memory.ctypes.data) % _BLOCK
    return memory[start : start + size].view(dtype).reshape(shape)


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
