"""Files: written whole or not at all, and opened only where they are files.

What is written here is on the disk before it takes its name. What somebody else has put in place
of a file (a FIFO, a device) is an error, never a wait.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from compnn.errors import OutputError

# What file systems without locks, or without syncing of folders, answer.
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


def open_file(path: str | Path) -> BinaryIO:
    """Open a regular file for reading.

    Raises
    ------
    OSError
        If that fails, or it is a folder, a FIFO, a device or a socket.
    """
    # Without O_NONBLOCK a FIFO would wait for somebody to write into it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        check_regular(descriptor, path)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def check_regular(descriptor: int, path: str | Path) -> None:
    """Raise OSError unless an open file is a regular one; `path` is for the message."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def read_file(path: str | Path, most: int | None = None) -> bytes:
    """Return the content of a regular file.

    Raises
    ------
    OSError
        If that fails, or it has more than `most` bytes.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            raise OSError(errno.EFBIG, f"it has {size} bytes, more than {most}", str(path))
        return file.read(size)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file, replacing an older one only once the new one is on the disk.

    Raises
    ------
    OSError
        If that fails; an older file is then still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: str | Path) -> None:
    """Bring a folder's list of names to the disk, where the file system can.

    Raises
    ------
    OSError
        If that fails.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset` of an open file; OSError if that fails."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest = rest[written:]
        offset += written


def lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file until it is closed; False where the file system knows no locks.

    Raises
    ------
    BlockingIOError
        If somebody else holds the lock (with `shared`: not a shared one).
    OSError
        If that fails.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return False
        raise
    return True


def write_file(path: Path, data: bytes) -> None:
    """Write a result, replacing an older one only once the new one is on the disk.

    Raises
    ------
    OutputError
        If that fails; an older file is then still there.
    """
    with output_errors(path):
        replace_file(path, data)


def make_folder(path: str | Path) -> Path:
    """Make a folder, and those above it, unless it is there; return its path.

    Raises
    ------
    OutputError
        If that fails, for example where a file is in the way.
    """
    path = Path(path)
    with output_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def check_folder(path: Path) -> None:
    """Refuse a folder for results that could not be made or written, before the work is done.

    Raises
    ------
    OutputError
        If a file is in the way, or permission is missing.
    """
    absolute = path.absolute()
    nearest = next(each for each in (absolute, *absolute.parents) if each.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        reason = "Permission denied" if nearest.is_dir() else "it is not a folder"
        raise OutputError(f"cannot write {nearest}: {reason}; choose another folder for results")


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of writing a result into OutputError, which names it."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; check the path, its permissions, and "
            f"the space that is left"
        ) from error
