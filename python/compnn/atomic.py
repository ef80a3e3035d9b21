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


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises
    ------
    OutputError
        If that fails, for example where a file is in the way.
    """
    with _output_errors(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def _output_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror}; check the path, its permissions, and the "
            f"space that is left"
        ) from error
