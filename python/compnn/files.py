"""Writing results: files that appear whole or not at all, and errors that name them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compnn.errors import OutputError


def write_file(path: Path, data: bytes) -> None:
    """Write a file, replacing an older one only once the new one is complete.

    Raises
    ------
    OutputError
        If that fails; an older file is then still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _output_errors(path):
        try:
            temporary.write_bytes(data)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def make_folder(path: str | Path) -> Path:
    """Make a folder, and those above it, unless it is there; return its path.

    Raises
    ------
    OutputError
        If that fails, for example where a file is in the way.
    """
    path = Path(path)
    with _output_errors(path):
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
def _output_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror}; check the path, its permissions, and the "
            f"space that is left"
        ) from error
