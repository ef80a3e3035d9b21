"""Putting a finished folder in its place by renames, so that a complete one is always there."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def sync_folder(folder: Path) -> None:
    """Bring a folder's list of names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exchange(first: Path, second: Path) -> None:
    """Let two folders of one parent change places: at once where the system can, else by renames.

    Raises
    ------
    OSError
        If that fails; both are then where they were.
    """
    if not _exchange_at_once(first, second):
        aside = second.with_name(second.name + ".replaced")
        os.rename(second, aside)
        try:
            os.rename(first, second)
        except OSError:
            os.rename(aside, second)
            raise
        os.rename(aside, first)


def _exchange_at_once(first: Path, second: Path) -> bool:
    """Exchange with Linux's renameat2; False where there is none."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    here = ctypes.c_int(_AT_FDCWD)
    flags = ctypes.c_uint(_RENAME_EXCHANGE)
    if rename(here, os.fsencode(first), here, os.fsencode(second), flags) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL):  # the kernel or the file system cannot
        return False
    raise OSError(code, os.strerror(code), str(first))
