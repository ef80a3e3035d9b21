"""The journal of an evaluation: what has been measured of each image, from which it resumes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from compnn.errors import EvaluationError
from compnn.files import output_errors
from compnn.journal import Journal, differing
from compnn.studies.evaluation.record import Record

FILE = "journal.jsonl"


class EvaluationJournal:
    """The records of the images that have been measured, in the journal of a folder.

    Only one evaluation at a time writes into a folder.

    Parameters
    ----------
    folder
        The folder, which is there.
    digests
        Of what decides the numbers.
    restart
        Forget what is there.

    Attributes
    ----------
    records
        What has been measured, by image.

    Raises
    ------
    EvaluationError
        If another evaluation is writing, or the journal is that of another one.
    OutputError
        If the file cannot be written.
    """

    def __init__(self, folder: Path, digests: Mapping[str, str], *, restart: bool) -> None:
        self.records: dict[str, Record] = {}
        with output_errors(folder / FILE):
            self._journal = Journal(folder / FILE, "evaluation", EvaluationError)
            try:
                if restart or not self._resume(digests):
                    self._journal.start(digests)
            except BaseException:
                self.close()
                raise

    def append(self, record: Record) -> None:
        """Add the measurements of an image; when this returns they are on the disk.

        Raises
        ------
        OutputError
            If that fails.
        """
        with output_errors(self._journal.path):
            self._journal.append(record.to_json(), sync=True)
        self.records[record.image] = record

    def close(self) -> None:
        """Let others write."""
        self._journal.close()

    def _resume(self, digests: Mapping[str, str]) -> bool:
        """Read the records up to the first damaged one; False where nothing was begun."""
        header = self._journal.header()
        if header is None:
            return False
        if other := differing(header, digests):
            raise EvaluationError(
                f"{self._journal.path.parent} holds an evaluation that differs in: "
                f"{', '.join(other)}; use another folder, or --restart (restart=True) to replace it"
            )
        for entry in self._journal.entries():
            record = Record.from_json(entry)
            if record is None:
                break
            self.records[record.image] = record
        self._journal.cut(len(self.records))
        return True
