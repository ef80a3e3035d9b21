"""Generations of a bank: how one is opened and stays what it was, and how the next one replaces it.

Shards, tables and `generations/<n>.json` are written once and never changed; `manifest.json` is a
copy of the newest generation, put there by a rename. A reader holds a shared lock on the file of
its generation until it is closed. The one writer removes a generation only once it has that lock to
itself, and then what no remaining generation lists.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn.bank import layout
from compnn.bank.attachments import read_attached
from compnn.bank.json_fields import write_document
from compnn.bank.manifest import AttachmentEntry, Manifest, read_manifest, read_number
from compnn.bank.partial import Plan, read_plan
from compnn.bank.shard import Shard
from compnn.bank.tables import Tables
from compnn.bank.writing import disk_errors, sync_all
from compnn.errors import BankError
from compnn.files import check_regular, lock, sync_folder
from compnn.network.network import Identity

# Each time that a generation goes away under a reader, a newer one has been published.
_MOST_TRIES = 1000


class Generation:
    """A bank as it was when it was opened; what a writer does since does not touch it.

    Parameters
    ----------
    path
        Folder of the bank.
    number
        Which generation. Default: the newest.

    Attributes
    ----------
    path, manifest
        The bank's folder, and what the generation holds.
    shards
        In the order of the manifest.
    tables
        Names, attributes, places.
    agreeing
        Networks that are other forms of the bank's, as its probe has shown.
    cells, lock
        What the bank has opened for the engine: the cells of layers, and under None the
        descriptors; to be looked at with the lock.

    Raises
    ------
    BankError
        If there is no bank, or not this generation any more; if its manifest is of another format
        or malformed.
    """

    def __init__(self, path: Path, number: int | None = None) -> None:
        self.path = path
        number, descriptor = _lock_generation(path, number)
        self._closer = weakref.finalize(self, os.close, descriptor)
        file = generation_file(path, number)
        self.manifest = read_manifest(file)
        if self.manifest.generation != number:
            raise BankError(
                f"{file} is malformed: it is of generation {self.manifest.generation}. "
                f"Rebuild the bank."
            )
        self.shards = tuple(
            Shard(path / layout.SHARDS / str(entry.id), self.manifest, entry)
            for entry in self.manifest.shards
        )
        self.tables = Tables(path / layout.TABLES / str(self.manifest.tables.id), self.manifest)
        self._rows: dict[int, npt.NDArray[np.int64]] = {}
        self.cells: dict[str | None, Any] = {}
        self.agreeing: set[Identity] = set()
        self.lock = threading.Lock()

    def close(self) -> None:
        """Let writers remove it, once it is no longer the newest."""
        self._closer()

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return not self._closer.alive

    def rows(self, group: int) -> npt.NDArray[np.int64]:
        """Where the rows of each image are in a group of arrays, int64 (N, 4).

        They are the number of its shard, its first row there, and how many rows and columns.
        """
        if group not in self._rows:
            images = self.tables.images
            found = np.empty((len(images), 4), np.int64)
            found[:, 0] = images[:, 0]
            for number, chosen in self._by_shard(images):
                found[chosen, 1:] = self.shards[number].places[images[chosen, 1], group]
            self._rows[group] = found
        return self._rows[group]

    def checksums(self) -> npt.NDArray[np.uint32]:
        """CRC-32 of the records of each image, uint32 (N, arrays), as they were written."""
        images = self.tables.images
        found = np.empty((len(images), len(self.shards[0].specs)), np.uint32)
        for number, chosen in self._by_shard(images):
            found[chosen] = self.shards[number].checksums[images[chosen, 1]]
        return found

    def check(self, file: str, images: Iterable[int]) -> None:
        """Check the records of images in an array, those that have not been checked yet.

        Raises
        ------
        BankError
            If one is damaged, naming file and image.
        """
        chosen = np.fromiter(images, np.int64)
        places = self.tables.images[chosen]
        for number, part in self._by_shard(places):
            shard, slots = self.shards[number], places[part, 1]
            slot = shard.damaged(file, slots)
            if slot is not None:
                name = self.tables.names[int(chosen[part][slots == slot][0])]
                raise BankError(
                    f"{shard.folder / file} is damaged: the checksum of record {slot} ({name!r}) "
                    f"differs. Rebuild the bank, or copy it again."
                )

    def verify(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Read everything and check all checksums; `progress(done, total)` counts images.

        Raises
        ------
        BankError
            If anything is damaged.
        """
        self.tables.check()
        for shard in self.shards:
            for layer in self.manifest.layers:
                shard.directions(layer)
        _ = self.probe
        for name in self.manifest.attachments:
            self.attachment(name)
        count = self.manifest.images
        for index, (number, _) in enumerate(self.tables.images.tolist()):
            for spec in self.shards[number].specs:
                self.check(spec.file, (index,))
            if progress is not None:
                progress(index + 1, count)

    def attachment(self, name: str) -> dict[str, npt.NDArray[Any]] | None:
        """The arrays that were attached under a name, read-only; None where there are none.

        Raises
        ------
        BankError
            If one is damaged.
        """
        if name not in self.manifest.attachments:
            return None
        if name not in self._attached:
            self._attached[name] = self._arrays(layout.ATTACHMENTS, self.manifest.attachments[name])
        return dict(self._attached[name])

    @cached_property
    def probe(self) -> dict[str, npt.NDArray[Any]]:
        """What the network made of an image, as `compnn.bank.probe.probe` gave it.

        Raises
        ------
        BankError
            If it is damaged.
        """
        return self._arrays(layout.PROBES, self.manifest.probe)

    def _arrays(self, kind: str, entry: AttachmentEntry) -> dict[str, npt.NDArray[Any]]:
        folder = self.path / kind / str(entry.id)
        return {key: read_attached(folder / each.file, each) for key, each in entry.arrays.items()}

    @cached_property
    def _attached(self) -> dict[str, dict[str, npt.NDArray[Any]]]:
        return {}

    def _by_shard(
        self, images: npt.NDArray[np.int64]
    ) -> Iterator[tuple[int, npt.NDArray[np.int64] | slice]]:
        """Yield which of the images (n, 2) are in which shard."""
        numbers = images[:, 0]
        if len(numbers) == 0 or numbers[0] == numbers[-1] == numbers.max() == numbers.min():
            yield from ((number, slice(None)) for number in numbers[:1].tolist())
            return
        order = np.argsort(numbers, kind="stable")
        starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
        for part in np.split(order, starts[1:]):
            yield int(numbers[part[0]]), part


def generation_file(path: Path, number: int) -> Path:
    """The file of a generation of the bank in a folder."""
    return path / layout.GENERATIONS / f"{number}.json"


def network_folder(path: Path, manifest: Manifest) -> Path:
    """The folder that the network of a bank is kept in, where it is kept with the bank."""
    return path / layout.NETWORK / layout.encode_name(manifest.network.short)


def newest_number(path: Path) -> int:
    """Return which generation of the bank in a folder is the newest.

    Raises
    ------
    BankError
        If there is no bank, its build is unfinished, or its manifest is of another format.
    """
    file = path / layout.MANIFEST_FILE
    try:
        return read_number(file)
    except FileNotFoundError:
        raise BankError(_why_no_bank(path)) from None


def _why_no_bank(folder: Path) -> str:
    if not folder.exists():
        return f"there is no bank at {folder}. Check the path, or build one."
    if (folder / layout.JOURNAL_FILE).is_file():
        return (
            f"{folder} is an incomplete bank: its build was interrupted. Run the same build again "
            f"to resume it."
        )
    return f"{folder} is not a bank: it has no {layout.MANIFEST_FILE}. Give the folder of a bank."


def _lock_generation(path: Path, wanted: int | None) -> tuple[int, int]:
    """Open and lock the file of a generation; return its number and the descriptor."""
    if path.is_file():
        raise BankError(f"{path} is not a bank: it is a file. Give the folder of a bank.")
    for _ in range(_MOST_TRIES):
        number = newest_number(path) if wanted is None else wanted
        file = generation_file(path, number)
        try:
            return number, _open_locked(file)
        except (FileNotFoundError, BlockingIOError):
            # It is being removed, or has been: then there is a newer one.
            newest = newest_number(path)
            if wanted is None and newest != number:
                continue
            if newest == number:
                raise BankError(f"{file} is missing. Rebuild the bank, or copy it again.") from None
            raise BankError(
                f"generation {wanted} of the bank {path} is no longer there: the bank has been "
                f"changed since. Open the bank again."
            ) from None
        except OSError as error:
            raise BankError(f"{file} cannot be read: {error.strerror or error}") from error
    raise BankError(f"the bank {path} changes all the time. Open it again later.")


def _open_locked(file: Path) -> int:
    """Open a file with a shared lock; FileNotFoundError if it was removed before that."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        check_regular(descriptor, file)
        lock(descriptor, shared=True)
        if not os.path.samestat(os.fstat(descriptor), os.stat(file)):
            raise FileNotFoundError
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class Writer:
    """The one writer of a bank's folder, from when it takes the lock to when it is closed.

    Parameters
    ----------
    path
        The folder.
    create
        Whether to make it where there is none.

    Attributes
    ----------
    path
        As given.
    newest
        The newest generation; None where no build has been finished.

    Raises
    ------
    BankError
        If another one is writing, the folder cannot be written, or its manifest is of another
        format.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        with disk_errors(path):
            self._descriptor = -1
            while self._descriptor < 0:
                if create:
                    path.mkdir(parents=True, exist_ok=True)
                self._take_lock()
        try:
            self.newest: Manifest | None = None
            with contextlib.suppress(FileNotFoundError):
                self.newest = read_manifest(path / layout.MANIFEST_FILE)
            self._settle()
            self.clean()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the next writer in."""
        os.close(self._descriptor)

    def generation(self) -> Generation:
        """Open the newest generation; nobody else can publish another one meanwhile."""
        return Generation(self.path)

    def new_id(self, kind: str) -> int:
        """Return a number that no folder of a kind (`layout.SHARDS`, ...) has, or is to have."""
        number = max(_numbers(self.path / kind), default=-1) + 1
        plan = self.plan()
        return number if plan is None else max(number, plan.after(kind))

    def publish(self, manifest: Manifest) -> None:
        """Make a generation, all of whose parts are on the disk, the newest one.

        Raises
        ------
        BankError
            If it cannot be written; then the newest is the one that it was.
        """
        with disk_errors(self.path):
            (self.path / layout.GENERATIONS).mkdir(exist_ok=True)
        folders = [self.path / kind for kind in (*layout.KINDS, layout.NETWORK)]
        sync_all([folder for folder in folders if folder.exists()])
        document = manifest.to_json()
        write_document(generation_file(self.path, manifest.generation), document)
        write_document(self.path / layout.MANIFEST_FILE, document)
        with disk_errors(self.path):
            sync_folder(self.path.parent)
        self.newest = manifest

    def clean(self, *, without_locks: bool = False) -> None:
        """Remove the generations that nobody reads, and all that no remaining one lists.

        What an interrupted build has done stays. Where the file system has no locks, so that
        readers cannot be seen, nothing is removed unless `without_locks`.
        """
        if not (self._has_locks or without_locks):
            return
        remaining = [] if self.newest is None else [self.newest]
        for number in sorted(_numbers(self.path / layout.GENERATIONS, ".json")):
            if self.newest is not None and number == self.newest.generation:
                continue
            if not self._remove_unread(number):
                try:
                    remaining.append(read_manifest(generation_file(self.path, number)))
                except (BankError, FileNotFoundError):
                    return  # nobody can say what it lists
        listed, plan = _listed(remaining), self.plan()
        for kind in layout.KINDS:
            for number in _numbers(self.path / kind) - listed[kind]:
                if plan is None or not plan.has(kind, number):
                    shutil.rmtree(self.path / kind / str(number), ignore_errors=True)
            with contextlib.suppress(OSError):  # it is there, and not empty
                (self.path / kind).rmdir()
        networks = {network_folder(self.path, each) for each in remaining if each.network_file}
        for folder in _files(self.path / layout.NETWORK):
            if folder not in networks:
                shutil.rmtree(folder, ignore_errors=True)
        for folder in (self.path, self.path / layout.GENERATIONS):
            for file in folder.glob(".*.tmp"):
                file.unlink(missing_ok=True)

    def plan(self) -> Plan | None:
        """Return which folders an interrupted build writes."""
        return read_plan(self.path)

    def abandon(self) -> None:
        """Remove what a build that is given up has written; without a bank, the folder, too."""
        plan = self.plan()
        for kind in layout.KINDS:
            for number in _numbers(self.path / kind):
                if plan is not None and plan.has(kind, number):
                    shutil.rmtree(self.path / kind / str(number), ignore_errors=True)
        with disk_errors(self.path):
            (self.path / layout.JOURNAL_FILE).unlink(missing_ok=True)
        self.clean()
        if self.newest is None:
            for kind in (*layout.KINDS, layout.GENERATIONS, layout.NETWORK):
                shutil.rmtree(self.path / kind, ignore_errors=True)
            (self.path / layout.LOCK_FILE).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # somebody else has put something in
                self.path.rmdir()

    def _take_lock(self) -> None:
        """Take the lock, unless its file goes away at this moment with an abandoned build."""
        file = self.path / layout.LOCK_FILE
        flags = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(file, flags, 0o666)
        try:
            check_regular(descriptor, file)
            self._has_locks = lock(descriptor)
            if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                self._descriptor = descriptor
        except BlockingIOError:
            raise BankError(
                f"another process is writing into the bank {self.path}. Wait until it has ended."
            ) from None
        except FileNotFoundError:
            pass
        finally:
            if self._descriptor < 0:
                os.close(descriptor)

    def _settle(self) -> None:
        """Remove the journal of a build that was published, but interrupted just after that.

        Without a plan there is nothing that could be resumed.
        """
        if self.newest is None:
            return
        plan = self.plan()
        if plan is None or any(entry.id in plan.shards for entry in self.newest.shards):
            with disk_errors(self.path):
                (self.path / layout.JOURNAL_FILE).unlink(missing_ok=True)

    def _remove_unread(self, number: int) -> bool:
        """Remove a generation unless somebody reads it; whether it is gone."""
        file = generation_file(self.path, number)
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        try:
            lock(descriptor)
            file.unlink(missing_ok=True)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True


def _listed(manifests: Iterable[Manifest]) -> dict[str, set[int]]:
    """The numbers of the folders of each kind that are needed."""
    listed: dict[str, set[int]] = {kind: set() for kind in layout.KINDS}
    for each in manifests:
        listed[layout.SHARDS].update(entry.id for entry in each.shards)
        listed[layout.TABLES].add(each.tables.id)
        listed[layout.PROBES].add(each.probe.id)
        listed[layout.ATTACHMENTS].update(entry.id for entry in each.attachments.values())
        if each.directions is not None:
            listed[layout.DIRECTIONS].add(each.directions.id)
    return listed


def _numbers(folder: Path, suffix: str = "") -> set[int]:
    """The numbers that name what is in a folder."""
    names = (file.name for file in _files(folder))
    stems = (name.removesuffix(suffix) for name in names if name.endswith(suffix))
    return {int(stem) for stem in stems if stem.isascii() and stem.isdigit()}


def _files(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
