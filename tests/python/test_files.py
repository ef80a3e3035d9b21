"""Files that are written whole or not at all, and opened only where they are files."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from compnn import files
from compnn.errors import OutputError
from compnn.files import (
    check_folder,
    lock,
    make_folder,
    open_file,
    read_file,
    replace_file,
    sync_folder,
    write_at,
    write_file,
)

# Opening


def test_regular_files_are_read(tmp_path: Path) -> None:
    file = tmp_path / "a\udce9.txt"
    file.write_bytes(b"hello")
    assert read_file(file) == read_file(str(file), 5) == b"hello"
    with pytest.raises(OSError, match="it has 5 bytes, more than 4"):
        read_file(file, 4)
    (tmp_path / "link").symlink_to(file)
    with open_file(tmp_path / "link") as stream:
        assert stream.read(2) == b"he"
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "nothing")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_what_is_no_regular_file_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    before = set(os.listdir("/proc/self/fd"))
    for place in (tmp_path / "fifo", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(OSError, match="it is not a regular file"):
            open_file(place)
    with pytest.raises(IsADirectoryError):
        open_file(tmp_path)
    with pytest.raises(OSError, match="No such device or address"):
        open_file(tmp_path / "socket")
    assert set(os.listdir("/proc/self/fd")) == before


# Writing


def test_a_file_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "result.csv"
    for data in (b"one", b"", b"three"):
        write_file(file, data)
        assert file.read_bytes() == data
        assert os.listdir(tmp_path) == ["result.csv"]


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    file = tmp_path / "result.csv"
    write_file(file, b"old")

    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if step == "write":
        monkeypatch.setattr("builtins.open", fail)
    else:
        monkeypatch.setattr(os, step, fail)
    with pytest.raises(OutputError, match=r"cannot write .*result\.csv: No space left"):
        write_file(file, b"new")
    monkeypatch.undo()
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["result.csv"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    originals = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        place = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        events.append("folder" if place == tmp_path else f"{place.stat().st_size} bytes")
        originals[0](descriptor)

    def replace(source: Path, target: Path) -> None:
        events.append("rename")
        originals[1](source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    replace_file(tmp_path / "a.png", b"12345")
    assert events == ["5 bytes", "rename", "folder"]


def test_folders_that_cannot_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = [errno.EINVAL, errno.ENOTSUP, errno.EIO]

    def fail(_: int) -> None:
        raise OSError(codes[0], os.strerror(codes[0]))

    monkeypatch.setattr(files.os, "fsync", fail)
    for _ in range(2):
        sync_folder(tmp_path)
        codes.pop(0)
    with pytest.raises(OSError, match="Input/output error"):
        sync_folder(tmp_path)


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"--------")
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: pwrite(fd, data[:2], offset))
    descriptor = os.open(file, os.O_RDWR)
    write_at(descriptor, b"12345", 1)
    os.close(descriptor)
    assert file.read_bytes() == b"-12345--"


def test_folders_for_results(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert make_folder(str(tmp_path / "a")).is_dir()
    (tmp_path / "file").write_text("in the way")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match=r"cannot write .*file"):
            make_folder(place)
        with pytest.raises(OutputError, match="it is not a folder; choose another folder"):
            check_folder(place)
    check_folder(tmp_path / "not" / "yet" / "there")
    assert not (tmp_path / "not").exists()


# Locks


def test_locks(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    file.touch()
    first, second, third = (os.open(file, os.O_RDWR) for _ in range(3))
    assert lock(first, shared=True)
    assert lock(second, shared=True)
    with pytest.raises(BlockingIOError):
        lock(third)
    os.close(first)
    with pytest.raises(BlockingIOError):
        lock(third)
    os.close(second)
    assert lock(third)
    fourth = os.open(file, os.O_RDWR)
    for shared in (False, True):
        with pytest.raises(BlockingIOError):
            lock(fourth, shared=shared)
    os.close(third)
    os.close(fourth)


def test_file_systems_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EIO]

    def fail(*_: int) -> None:
        raise OSError(codes[0], os.strerror(codes[0]))

    monkeypatch.setattr(fcntl, "flock", fail)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(3):
        assert not lock(descriptor)
        codes.pop(0)
    with pytest.raises(OSError, match="Input/output error"):
        lock(descriptor)
    os.close(descriptor)
