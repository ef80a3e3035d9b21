"""A build while it goes on: its journal, and its shards with their arrays."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from compnn.bank import layout
from compnn.bank.layout import ArraySpec, rows_of_image
from compnn.bank.writing import ArrayFile, disk_errors
from compnn.errors import BankError
from compnn.journal import Journal, differing, read_entries, read_header

Record: TypeAlias = npt.NDArray[Any]

# What the journal of a build is the journal of.
WORK = "build"


@dataclass(frozen=True)
class Plan:
    """The numbers of the folders that a build writes: its shards, and its directions."""

    shards: range
    directions: int

    def has(self, kind: str, number: int) -> bool:
        """Whether the build writes the folder of a kind (`layout.SHARDS`, ...) and number."""
        if kind == layout.SHARDS:
            return number in self.shards
        return kind == layout.DIRECTIONS and number == self.directions

    def after(self, kind: str) -> int:
        """A number above those of all folders of a kind that the build writes."""
        return {layout.SHARDS: self.shards.stop, layout.DIRECTIONS: self.directions + 1}.get(
            kind, 0
        )

    def to_json(self) -> dict[str, object]:
        """Return the journal's first entry."""
        return {"plan": [self.shards.start, self.shards.stop, self.directions]}

    @classmethod
    def from_json(cls, entry: object) -> Plan | None:
        """Return the plan in the journal's first entry; None if it is none."""
        match entry:
            case {"plan": [int(start), int(stop), int(directions)]} if 0 <= start < stop:
                return cls(range(start, stop), directions)
        return None


def read_plan(path: Path) -> Plan | None:
    """Return the plan of the interrupted build in a bank's folder, if there is one."""
    file = path / layout.JOURNAL_FILE
    with contextlib.suppress(OSError, BankError):
        if read_header(file, WORK, BankError) is not None:
            return Plan.from_json(next(read_entries(file), None))
    return None


@dataclass(frozen=True)
class Entry:
    """What became of one image of the dataset.

    Attributes
    ----------
    crc32
        CRC-32 of its record in each array, in the order of the arrays; empty if it was skipped.
    sizes
        Rows and columns in each group of arrays; empty if it was skipped.
    skipped
        The reason why it was skipped, or None.
    """

    crc32: tuple[int, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    skipped: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return the journal's entry."""
        if self.skipped is not None:
            return {"skipped": self.skipped}
        return {"crc32": self.crc32, "sizes": self.sizes}

    @classmethod
    def from_json(cls, entry: object) -> Entry | None:
        """Return what an entry of the journal says; None if it is malformed."""
        match entry:
            case {"skipped": str(reason)}:
                return cls(skipped=reason)
            case {"crc32": [*crc32], "sizes": [*sizes]} if _are_ints(crc32):
                pairs = tuple((each[0], each[1]) for each in sizes if _is_size(each))
                return cls(tuple(crc32), pairs) if len(pairs) == len(sizes) else None
        return None


def _are_ints(values: list[Any]) -> bool:
    return all(type(value) is int for value in values)


def _is_size(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and _are_ints(value) and min(value) > 0


class PartialShard:
    """A shard that is being built.

    Parameters
    ----------
    folder
        The shard; what is there is kept.
    specs
        Its arrays.

    Attributes
    ----------
    folder, specs
        As given.
    images
        Number of images so far.
    """

    def __init__(self, folder: Path, specs: Sequence[ArraySpec]) -> None:
        self.folder = folder
        self.specs = specs
        self.images = 0
        self._files: list[ArrayFile] = []
        groups = 1 + max(spec.group for spec in specs if spec.group is not None)
        self._rows = [0] * groups
        self._places = array("q")
        self._checksums = array("I")
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            for spec in specs:
                self._files.append(ArrayFile(folder, spec))
        except BaseException:
            self.close()
            raise

    @property
    def rows(self) -> tuple[int, ...]:
        """Number of rows of each group of arrays."""
        return tuple(self._rows)

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """First row, rows and columns of each image in each group, int64 (images, groups, 3)."""
        return np.array(self._places, np.int64).reshape(-1, len(self._rows), 3)

    @property
    def checksums(self) -> npt.NDArray[np.uint32]:
        """CRC-32 of each image's record in each array, uint32 (images, arrays)."""
        return np.array(self._checksums, np.uint32).reshape(-1, len(self.specs))

    def reserve(self, sizes: Sequence[tuple[int, int]], images: int) -> None:
        """Reserve the disk space of so many images, whose rows and columns are known by group.

        Raises
        ------
        DiskFullError
            If there is not enough.
        """
        for file in self._files:
            file.reserve(images * rows_of_image(file.spec, sizes))

    def write(self, records: Iterable[Record]) -> Entry:
        """Write the records of the next image, (rows, columns, ...) each, in the arrays' order.

        A record is used up before the next one is asked for. The image is one of the shard only
        once it is accepted.

        Raises
        ------
        BankError
            If they cannot be written.
        """
        crc32, sizes = [], [(0, 0)] * len(self._rows)
        for file, record in zip(self._files, records, strict=True):
            group = file.spec.group
            if group is None:
                crc32.append(file.write(self.images, record))
            else:
                crc32.append(file.write(self._rows[group], record))
                sizes[group] = record.shape[0], record.shape[1]
        return Entry(tuple(crc32), tuple(sizes))

    def holds(self, entry: Entry) -> bool:
        """Return whether the records of the next image are on the disk, undamaged."""
        if len(entry.sizes) != len(self._rows):
            return False
        found = (
            file.read_checksum(self._first(file.spec), rows_of_image(file.spec, entry.sizes))
            for file in self._files
        )
        return entry.crc32 == tuple(found)

    def accept(self, entry: Entry) -> None:
        """Take an image in, whose records have been written."""
        for group, (height, width) in enumerate(entry.sizes):
            self._places.extend((self._rows[group], height, width))
            self._rows[group] += height * width
        self._checksums.extend(entry.crc32)
        self.images += 1

    def finish(self) -> None:
        """Cut the arrays to what has been accepted."""
        for file in self._files:
            file.finish(self._first(file.spec))

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()
        self._files.clear()

    def _first(self, spec: ArraySpec) -> int:
        """Index of the next image's first row."""
        return self.images if spec.group is None else self._rows[spec.group]


class BuildJournal:
    """The journal of a build: what was asked for, its plan, and what has become of each image.

    Each shard's entries follow those of the shard before; a shard that keeps layers whole, though
    the sample told directions, has this as its first entry.

    Parameters
    ----------
    path
        Folder of the bank.

    Attributes
    ----------
    header
        Digests of what an interrupted build had asked for, or None.
    plan
        Its plan, or None.

    Raises
    ------
    BankError
        If there is a file that is no journal of a build, or another build has it open.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = self._start = 1
        with disk_errors(path / layout.JOURNAL_FILE):
            self._journal = Journal(path / layout.JOURNAL_FILE, WORK, BankError)
        try:
            self.header = self._journal.header()
            self.plan = None
            self._old: Iterator[Any] = iter(())
            self._peeked: list[Any] = []
            if self.header is not None:
                self._old = self._journal.entries()
                self.plan = Plan.from_json(next(self._old, None))
                if self.plan is None:
                    self.header = None
        except BaseException:
            self.close()
            raise

    def forget(self) -> None:
        """Forget the interrupted build."""
        self.header = self.plan = None
        self._forget_old()
        with disk_errors(self._journal.path):
            self._journal.clear()

    def check(self, digests: Mapping[str, str]) -> None:
        """Refuse to go on with a build that asked for something else; more may be in the header.

        Raises
        ------
        BankError
            Naming what differs.
        """
        if self.header is None:
            return
        known = {key: value for key, value in self.header.items() if key in digests}
        if other := differing(known, digests):
            raise BankError(
                f"{self._path} holds an interrupted build with different {', '.join(other)}. "
                f"Run the same command as then to resume it, or discard it with `--restart` "
                f"(restart=True)."
            )

    def start(self, digests: Mapping[str, str], plan: Plan | None = None) -> None:
        """Begin a new build; without a plan it can only be begun again."""
        self.header, self.plan = dict(digests), plan
        with disk_errors(self._journal.path):
            self._journal.start(digests)
            if plan is not None:
                self._journal.append(plan.to_json())

    def begin_shard(self) -> frozenset[str]:
        """Come to the entries of the next shard; return the layers that it keeps whole."""
        self._start = self._lines
        match self._peek():
            case {"whole": [*layers]} if all(isinstance(layer, str) for layer in layers):
                self._take()
                return frozenset(layers)
        return frozenset()

    def take_over(self, images: int, accept: Callable[[Entry], bool]) -> None:
        """Take over the entries of at most so many images, as long as they are accepted.

        With the first that is not, it and all that follow are forgotten.
        """
        for _ in range(images):
            entry = Entry.from_json(self._peek())
            if entry is None or not accept(entry):
                self._forget_old()
                with disk_errors(self._journal.path):
                    self._journal.cut(self._lines)
                return
            self._take()

    def append(self, entry: Entry) -> None:
        """Add an image, whose records have been written."""
        self._append(entry.to_json())

    def start_shard_over(self, whole: Iterable[str]) -> None:
        """Forget what is done of the shard, and keep layers whole in it."""
        self._lines = self._start
        with disk_errors(self._journal.path):
            self._journal.cut(self._lines)
        self._append({"whole": sorted(whole)})

    def remove(self) -> None:
        """Remove the file: the build is published, or given up."""
        with disk_errors(self._journal.path):
            self._journal.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Release the lock."""
        self._journal.close()

    def _append(self, document: dict[str, Any]) -> None:
        with disk_errors(self._journal.path):
            self._journal.append(document)
        self._lines += 1

    def _peek(self) -> Any:
        if not self._peeked:
            self._peeked.append(next(self._old, None))
        return self._peeked[0]

    def _take(self) -> None:
        self._peeked.clear()
        self._lines += 1

    def _forget_old(self) -> None:
        self._old = iter(())
        self._peeked.clear()
