"""The journal of an evaluation, from which it resumes: what was asked for, what is measured."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compnn.bank.disk import write_at
from compnn.bank.journal import differing
from compnn.errors import EvaluationError, OutputError
from compnn.studies.evaluation.record import Record

FILE = "journal.jsonl"
_FORMAT = "compnn-evaluation-journal"
_HEADER = f'{{"format":"{_FORMAT}","digests":'.encode()


class Journal:
    """JSON lines in a folder: a header with digests of what was asked for, then the records.

    An open journal holds a lock, so that only one evaluation at a time writes into a folder.

    Attributes
    ----------
    records
        What has been measured, by image.

    Raises
    ------
    EvaluationError
        If another evaluation holds the lock, or the journal is that of another one.
    OutputError
        If the file cannot be written.
    """

    def __init__(self, folder: Path, digests: Mapping[str, str], *, restart: bool) -> None:
        self.path = folder / FILE
        self.records: dict[str, Record] = {}
        with _output_errors(self.path):
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._lock()
            end = 0 if restart else self._read(digests)
            with _output_errors(self.path):
                os.ftruncate(self._file, end)
            if end == 0:
                self._append({"format": _FORMAT, "digests": dict(digests)})
        except BaseException:
            self.close()
            raise

    def append(self, record: Record) -> None:
        """Add the measurements of an image; when this returns they are on the disk."""
        self._append(record.to_json())
        self.records[record.image] = record

    def close(self) -> None:
        """Release the lock."""
        os.close(self._file)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EvaluationError(
                f"another evaluation is writing into {self.path.parent}; wait until it has ended, "
                f"or use another folder"
            ) from None

    def _read(self, digests: Mapping[str, str]) -> int:
        """Read the records up to the first damaged line, and return where that begins."""
        with open(self.path, "rb") as file:
            line = file.readline()
            header = _parse(line)
            if header is None and _HEADER.startswith(line[: len(_HEADER)]) and not file.read(1):
                return 0  # empty, or a header that was cut short
            if not isinstance(header, dict) or header.get("format") != _FORMAT:
                raise EvaluationError(
                    f"{self.path} is not the journal of an evaluation; use another folder, or "
                    f"--restart (restart=True) to replace it"
                )
            self._check(header.get("digests") or {}, digests)
            end = len(line)
            for line in file:
                record = Record.from_json(_parse(line))
                if record is None:
                    break
                self.records[record.image] = record
                end += len(line)
        return end

    def _check(self, found: Mapping[str, str], digests: Mapping[str, str]) -> None:
        other = differing(found, digests)
        if other:
            raise EvaluationError(
                f"{self.path.parent} holds an evaluation that differs in: {', '.join(other)}; use "
                f"another folder, or --restart (restart=True) to replace it"
            )

    def _append(self, document: Mapping[str, Any]) -> None:
        line = json.dumps(document, separators=(",", ":")).encode() + b"\n"
        with _output_errors(self.path):
            write_at(self._file, line, os.fstat(self._file).st_size)
            os.fsync(self._file)


def _parse(line: bytes) -> Any:
    if not line.endswith(b"\n"):
        return None
    try:
        return json.loads(line)
    except ValueError:
        return None


@contextmanager
def _output_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror}; check its permissions and the space left"
        ) from error
