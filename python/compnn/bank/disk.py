"""Writing to disks that may be full."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compnn.errors import BankError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskFullError(BankError):
    """The disk, the quota or the limit on file sizes has no room for what was to be written."""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of writing `path` into BankError, DiskFullError where there is no room."""
    try:
        yield
    except OSError as error:
        kind = DiskFullError if error.errno in _NO_SPACE else BankError
        raise kind(f"cannot write {path}: {error.strerror or error}") from error


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset` of an open file; OSError if that fails."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest = rest[written:]
        offset += written
