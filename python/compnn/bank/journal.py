"""The journal of a build, from which it resumes: what was asked for, which images are done."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compnn.bank.disk import disk_errors, write_at
from compnn.errors import BankError

_FORMAT = "compnn-bank-journal"


def digest_content(content: Mapping[str, Any]) -> dict[str, str]:
    """Return a short digest of each part (JSON values) of what decides a bank's content."""
    return {
        key: hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:16]
        for key, part in content.items()
    }


@dataclass(frozen=True)
class Entry:
    """What became of one image of the dataset.

    Attributes
    ----------
    crc32
        CRC-32 of its record in each array, in the order of the arrays; empty if it was skipped.
    skipped
        The reason why it was skipped, or None.
    """

    crc32: tuple[int, ...] = ()
    skipped: str | None = None


class Journal:
    """JSON lines: a header with the digests of the content, then one entry per finished image.

    An open journal holds a lock, so that only one build at a time writes into a folder.

    Raises
    ------
    BankError
        If another build holds the lock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with disk_errors(path):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its folder may have become the finished bank between opening and locking.
            ours = os.path.samestat(os.fstat(self._file), os.stat(path))
        except (BlockingIOError, FileNotFoundError):
            ours = False
        if not ours:
            os.close(self._file)
            raise BankError(
                f"another build is writing into {path.parent}. Wait until it has ended."
            )

    def header(self) -> dict[str, str] | None:
        """Return the digests of the content, None where there is no complete header."""
        with open(self._path, "rb") as file:
            document = _parse(file.readline())
        if not isinstance(document, dict) or document.get("format") != _FORMAT:
            return None
        digests = document.get("digests")
        return digests if isinstance(digests, dict) else None

    def entries(self) -> Iterator[Entry]:
        """Yield the entries, up to the first line that is incomplete or damaged."""
        with open(self._path, "rb") as file:
            file.readline()
            for line in file:
                entry = _parse_entry(line)
                if entry is None:
                    return
                yield entry

    def cut(self, entries: int) -> None:
        """Forget all but the first `entries` entries."""
        with open(self._path, "rb") as file:
            size = sum(len(file.readline()) for _ in range(1 + entries))
        with disk_errors(self._path):
            os.ftruncate(self._file, size)

    def clear(self) -> None:
        """Forget everything."""
        with disk_errors(self._path):
            os.ftruncate(self._file, 0)

    def start(self, digests: Mapping[str, str]) -> None:
        """Forget everything and write the header."""
        self.clear()
        self._append({"format": _FORMAT, "digests": dict(digests)})

    def append(self, entry: Entry) -> None:
        """Add a finished image, whose records have been written."""
        if entry.skipped is None:
            self._append({"crc32": entry.crc32})
        else:
            self._append({"skipped": entry.skipped})

    def close(self) -> None:
        """Release the lock."""
        os.close(self._file)

    def _append(self, document: Mapping[str, Any]) -> None:
        line = json.dumps(document, separators=(",", ":")).encode() + b"\n"
        with disk_errors(self._path):
            write_at(self._file, line, os.fstat(self._file).st_size)


def _parse(line: bytes) -> Any:
    if not line.endswith(b"\n"):
        return None
    try:
        return json.loads(line)
    except ValueError:
        return None


def _parse_entry(line: bytes) -> Entry | None:
    match _parse(line):
        case {"crc32": [*checksums]} if all(type(value) is int for value in checksums):
            return Entry(crc32=tuple(checksums))
        case {"skipped": str(reason)}:
            return Entry(skipped=reason)
    return None


def differing(digests: Mapping[str, str], others: Mapping[str, str]) -> list[str]:
    """Return the parts of the content whose digests differ."""
    keys = sorted(digests.keys() | others.keys())
    return [key for key in keys if digests.get(key) != others.get(key)]
