"""Records on the disk, byte for byte, written past the page cache or not."""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compnn.bank import writing
from compnn.bank.bank import build
from compnn.bank.layout import HEADER_BYTES, ArraySpec
from compnn.bank.writing import ArrayFile, DirectWriter, DiskFullError
from compnn.errors import BankError
from compnn.network.onnx import OnnxNetwork
from memory_dataset import MemoryDataset, contents
from tiny_networks import wide_network

BLOCK = max(4096, mmap.PAGESIZE)
DIRECT = getattr(os, "O_DIRECT", 0)

# At, just beside and far from the ends of blocks, also when a header comes before.
SIZES = st.one_of(
    st.integers(1, 5 * BLOCK),
    st.builds(
        lambda blocks, more: blocks * BLOCK + more,
        st.integers(1, 5),
        st.sampled_from([-HEADER_BYTES - 1, -HEADER_BYTES, -1, 0, 1, BLOCK - HEADER_BYTES]),
    ),
)


def random_bytes(size: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


@contextmanager
def small_blocks_of_work(patch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder; records of any size are written directly, through a buffer of two blocks."""
    patch.setattr(writing, "_LARGE_RECORD", 0)
    patch.setattr(writing, "_BUFFER", 2 * BLOCK)
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def plain_open(patch: pytest.MonkeyPatch) -> set[int]:
    """Open files without O_DIRECT, whatever the file system; the growing set of those asked for."""
    descriptors: set[int] = set()
    original = os.open

    def opened(path: Any, flags: int, *more: Any, **options: Any) -> int:
        descriptor = original(path, flags & ~DIRECT, *more, **options)
        (descriptors.add if flags & DIRECT else descriptors.discard)(descriptor)
        return descriptor

    patch.setattr(os, "open", opened)
    return descriptors


def fail_direct_writes(
    patch: pytest.MonkeyPatch, code: int, after: int = 0
) -> list[tuple[int, int]]:
    """Let direct writes fail after so many; the growing list of the (offset, size) of all."""
    descriptors, seen = plain_open(patch), []
    original = os.pwrite

    def write(descriptor: int, data: Any, offset: int) -> int:
        if descriptor in descriptors:
            seen.append((offset, len(data)))
            if len(seen) > after:
                raise OSError(code, os.strerror(code))
        return original(descriptor, data, offset)

    patch.setattr(os, "pwrite", write)
    return seen


def write_all(folder: Path, records: npt.NDArray[np.uint8], order: list[int]) -> bytes:
    """Write the records (N, size) of an array in some order; return the file's bytes."""
    file = ArrayFile(folder, ArraySpec("sub/x.npy", records.shape[1:], "uint8", None))
    try:
        file.reserve(len(records))
        for index in order:
            assert file.write(index, records[index : index + 1]) == zlib.crc32(
                records[index].tobytes()
            )
        for index in order:
            assert file.read_checksum(index, 1) == zlib.crc32(records[index].tobytes())
        file.finish(len(records))
    finally:
        file.close()
    np.testing.assert_array_equal(np.load(folder / "sub" / "x.npy"), records)
    return (folder / "sub" / "x.npy").read_bytes()


# Arrays


@settings(deadline=None, max_examples=60)
@given(SIZES, st.integers(1, 4), st.data())
def test_records_land_byte_for_byte(size: int, count: int, data: st.DataObject) -> None:
    """With what the file system of the temporary folder has."""
    order = data.draw(st.permutations(range(count)))
    records = random_bytes(count * size).reshape(count, size)
    with pytest.MonkeyPatch.context() as patch, small_blocks_of_work(patch) as folder:
        written = write_all(folder, records, order)
    assert written[HEADER_BYTES:] == records.tobytes()


@settings(deadline=None, max_examples=60)
@given(SIZES, st.integers(1, 4), st.integers(0, 6), st.data())
@pytest.mark.skipif(not DIRECT, reason="this system has no O_DIRECT")
def test_a_file_system_that_refuses_direct_writes(
    size: int, count: int, after: int, data: st.DataObject
) -> None:
    """At the first one or at a later one: the file is right, and it is not asked again."""
    order = data.draw(st.permutations(range(count)))
    records = random_bytes(count * size).reshape(count, size)
    with pytest.MonkeyPatch.context() as patch, small_blocks_of_work(patch) as folder:
        tried = fail_direct_writes(patch, errno.EINVAL, after)
        written = write_all(folder, records, order)
    assert written[HEADER_BYTES:] == records.tobytes()
    assert len(tried) <= after + 1
    assert all(offset % BLOCK == 0 and length % BLOCK == 0 for offset, length in tried)
    if size >= 2 * BLOCK:  # some block is whole, wherever the record begins
        assert tried


@pytest.mark.skipif(not DIRECT, reason="this system has no O_DIRECT")
def test_a_file_system_that_refuses_to_open_for_direct_writes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    original = os.open

    def refuse(path: Any, flags: int, *more: Any) -> int:
        if flags & DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return original(path, flags, *more)

    monkeypatch.setattr(writing, "_LARGE_RECORD", 0)
    monkeypatch.setattr(os, "open", refuse)
    records = random_bytes(3 * 20_000).reshape(3, -1)
    assert write_all(tmp_path, records, [0, 1, 2])[HEADER_BYTES:] == records.tobytes()
    assert DirectWriter.open(tmp_path / "sub" / "x.npy") is None


def test_a_system_without_direct_writes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(writing, "_LARGE_RECORD", 0)
    monkeypatch.delattr(os, "O_DIRECT", raising=False)
    records = random_bytes(3 * 20_000).reshape(3, -1)
    assert write_all(tmp_path, records, [0, 1, 2])[HEADER_BYTES:] == records.tobytes()
    assert DirectWriter.open(tmp_path / "sub" / "x.npy") is None


@pytest.mark.skipif(not DIRECT, reason="this system has no O_DIRECT")
def test_only_large_records_are_written_directly(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tried = fail_direct_writes(monkeypatch, errno.EIO)
    write_all(tmp_path, random_bytes(2 * 262_143).reshape(2, -1), [0, 1])
    assert tried == []
    with pytest.raises(BankError, match="Input/output error"):
        write_all(tmp_path, random_bytes(2 * 262_144).reshape(2, -1), [0, 1])
    assert tried == [(BLOCK, 262_144 // BLOCK * BLOCK - BLOCK)]


@pytest.mark.skipif(not DIRECT, reason="this system has no O_DIRECT")
@pytest.mark.parametrize(("code", "kind"), [(errno.EIO, BankError), (errno.ENOSPC, DiskFullError)])
def test_direct_writes_that_fail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, kind: type[BankError]
) -> None:
    monkeypatch.setattr(writing, "_LARGE_RECORD", 0)
    fail_direct_writes(monkeypatch, code)
    with pytest.raises(BankError, match=rf"cannot write .*x\.npy: {os.strerror(code)}") as caught:
        write_all(tmp_path, random_bytes(20_000)[None], [0])
    assert type(caught.value) is kind


@pytest.mark.skipif(not DIRECT, reason="this system has no O_DIRECT")
@pytest.mark.parametrize("code", [errno.EMFILE, errno.EACCES])
def test_files_that_cannot_be_opened_for_direct_writes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int
) -> None:
    original = os.open

    def refuse(path: Any, flags: int, *more: Any) -> int:
        if flags & DIRECT:
            raise OSError(code, os.strerror(code))
        return original(path, flags, *more)

    monkeypatch.setattr(writing, "_LARGE_RECORD", 0)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(BankError, match=rf"cannot write .*x\.npy: {os.strerror(code)}"):
        write_all(tmp_path, random_bytes(20_000)[None], [0])


def test_closed_files_are_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(writing, "_LARGE_RECORD", 0)
    opened: list[int] = []
    original = os.open

    def remember(*arguments: Any) -> int:
        opened.append(original(*arguments))
        return opened[-1]

    monkeypatch.setattr(os, "open", remember)
    write_all(tmp_path, random_bytes(20_000)[None], [0])
    assert opened
    for descriptor in opened:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


# The writer


@settings(deadline=None, max_examples=100)
@given(SIZES, st.integers(0, 3 * BLOCK))
def test_all_whole_blocks_are_written_and_nothing_else(size: int, offset: int) -> None:
    data = random_bytes(size, seed=1)
    before = random_bytes(size + offset + 2 * BLOCK, seed=2).tobytes()
    calls: list[tuple[int, int]] = []
    original = os.pwrite

    def write(descriptor: int, part: Any, place: int) -> int:
        calls.append((place, len(part)))
        address = np.frombuffer(part, np.uint8).__array_interface__["data"][0]
        assert address % BLOCK == 0
        return original(descriptor, part, place)

    with pytest.MonkeyPatch.context() as patch, small_blocks_of_work(patch) as folder:
        file = folder / "x"
        file.write_bytes(before)
        writer = DirectWriter(os.open(file, os.O_WRONLY))
        patch.setattr(os, "pwrite", write)
        part = writer.write(data.data, offset)
        writer.close()
        after = file.read_bytes()
    blocks = range(-(-offset // BLOCK) * BLOCK, (offset + size) // BLOCK * BLOCK, BLOCK)
    assert len(data[part]) == BLOCK * len(blocks)
    if len(blocks) > 0:
        assert offset + part.start == blocks[0]
    assert after == (
        before[: offset + part.start] + data[part].tobytes() + before[offset + part.stop :]
    )
    for place, length in calls:
        assert place % BLOCK == 0
        assert 0 < length <= 2 * BLOCK
        assert length % BLOCK == 0


# Builds


def test_a_build_gives_the_same_bank_with_and_without_direct_writes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    network = OnnxNetwork(wide_network(tmp_path / "wide.onnx"), None, "deep")
    dataset = MemoryDataset(4, (16, 16))
    found = []
    for name, large in (("plain", 1 << 60), ("direct", 0)):
        monkeypatch.setattr(writing, "_LARGE_RECORD", large)
        build(tmp_path / name, network, dataset)
        found.append(contents(tmp_path / name))
    assert found[0] == found[1]
