"""The journal of a long piece of work, from which it resumes: what was asked for, what is done."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from compnn.errors import CompnnError
from compnn.files import check_regular, lock, open_file, write_at

_START = b'{"format":"compnn-'


def digest_content(content: Mapping[str, object]) -> dict[str, str]:
    """Return a short digest of each part (JSON values) of what decides a result."""
    return {
        key: hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:16]
        for key, part in content.items()
    }


def differing(digests: Mapping[str, str], others: Mapping[str, str]) -> list[str]:
    """Return the parts whose digests differ."""
    keys = sorted(digests.keys() | others.keys())
    return [key for key in keys if digests.get(key) != others.get(key)]


def read_header(path: Path, work: str, error: type[CompnnError]) -> dict[str, str] | None:
    """Return the digests of a journal; None where the file is empty or its header was cut short.

    Raises
    ------
    error
        If the file is something else.
    OSError
        If it cannot be read.
    """
    with open_file(path) as file:
        line = file.readline()
        document = _parse(line)
        if document is None and _START.startswith(line[: len(_START)]) and not file.read(1):
            return None
    match document:
        case {"format": found, "digests": dict(digests)} if found == _format(work):
            if all(isinstance(value, str) for value in digests.values()):
                return digests
    raise error(
        f"{path} is not the journal of any {work}. Use another folder, or replace it with "
        f"`--restart` (restart=True)."
    )


def read_entries(path: Path) -> Iterator[object]:
    """Yield the entries (JSON values) of a journal, up to the first line that is damaged.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with open_file(path) as file:
        file.readline()
        for line in file:
            entry = _parse(line)
            if entry is None:
                return
            yield entry


class Journal:
    """JSON lines: a header with digests of what was asked for, then one entry for each thing done.

    An open journal holds a lock, so that only one process at a time writes. A last line that was
    cut short counts as not written; so does all that follows a damaged one.

    Parameters
    ----------
    path
        The file, made where there is none.
    work
        What it is the journal of, for its header and for messages: "build", "evaluation".
    error
        The exception that is raised.

    Raises
    ------
    error
        If another process holds the lock.
    OSError
        If the file cannot be opened or is not a regular one; the methods raise it too.
    """

    def __init__(self, path: Path, work: str, error: type[CompnnError]) -> None:
        self.path = path
        self._work = work
        self._error = error
        flags = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o666)
        try:
            check_regular(self._file, path)
            lock(self._file)
        except BlockingIOError:
            self.close()
            raise error(
                f"another {work} is writing into {path.parent}. Wait until it has ended."
            ) from None
        except BaseException:
            self.close()
            raise

    def header(self) -> dict[str, str] | None:
        """Return the digests, as `read_header`."""
        return read_header(self.path, self._work, self._error)

    def entries(self) -> Iterator[object]:
        """Yield the entries, as `read_entries`."""
        return read_entries(self.path)

    def start(self, digests: Mapping[str, str]) -> None:
        """Forget everything and write the header."""
        self.clear()
        self.append({"format": _format(self._work), "digests": dict(digests)})

    def append(self, entry: Mapping[str, object], *, sync: bool = False) -> None:
        """Add an entry; with `sync` it is on the disk when this returns."""
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        write_at(self._file, line, os.fstat(self._file).st_size)
        if sync:
            os.fsync(self._file)

    def cut(self, entries: int) -> None:
        """Forget all but the first `entries` entries."""
        with open_file(self.path) as file:
            size = sum(len(file.readline()) for _ in range(1 + entries))
        os.ftruncate(self._file, size)

    def clear(self) -> None:
        """Forget everything."""
        os.ftruncate(self._file, 0)

    def close(self) -> None:
        """Release the lock."""
        os.close(self._file)


def _format(work: str) -> str:
    return f"compnn-{work}-journal"


def _parse(line: bytes) -> object:
    if not line.endswith(b"\n"):
        return None
    try:
        return json.loads(line)
    except ValueError:
        return None
