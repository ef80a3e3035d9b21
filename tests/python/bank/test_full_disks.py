"""Builds on disks that are full, or that cannot reserve space."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compnn.bank.bank import build
from compnn.errors import BankError
from compnn.network.onnx import OnnxNetwork
from memory_dataset import MemoryDataset, contents, patch_call
from stores import python

LAYERS = ["encoder_1", "decoder_3"]
COUNT = 5


def fail_with(code: int) -> Callable[..., None]:
    def fail(original: Any, *args: Any) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_too_little_space(
    path: Path, network: OnnxNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(path.parent)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(BankError, match=r"needs .* bytes\).*where .*\(1000 bytes\) are available"):
        build(path, network, MemoryDataset(COUNT))
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_space_that_cannot_be_reserved(
    path: Path, network: OnnxNetwork, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def reserve(original: Any, descriptor: int, offset: int, size: int) -> None:
        if len(reserved) > 3:
            raise OSError(code, os.strerror(code))
        original(descriptor, offset, size)

    reserved = patch_call(monkeypatch, os, "posix_fallocate", reserve)
    with pytest.raises(BankError, match=r"the bank needs \d.*available") as caught:
        build(path, network, MemoryDataset(COUNT))
    assert os.strerror(code) in str(caught.value)
    assert os.listdir(path.parent) == []


def test_file_size_limit(path: Path, network: OnnxNetwork) -> None:
    program = f"""
        import resource, sys
        from memory_dataset import MemoryDataset
        from compnn.bank.bank import build
        from compnn.errors import BankError
        from compnn.network.onnx import OnnxNetwork

        network = OnnxNetwork({str(network.path)!r}, {LAYERS!r}, "encoder_3")
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        try:
            build({str(path)!r}, network, MemoryDataset({COUNT}))
        except BankError as error:
            print(error)
    """
    with python(program, stdout=subprocess.PIPE) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"the bank needs" in output
    assert b"File too large" in output
    assert os.listdir(path.parent) == []


def test_disk_that_fills_up_later(
    path: Path, network: OnnxNetwork, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(original: Any, descriptor: int, data: Any, offset: int) -> int:
        if len(writes) > 30:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(original(descriptor, data, offset))

    with monkeypatch.context() as patch:
        writes = patch_call(patch, os, "pwrite", write)
        with pytest.raises(BankError, match=r"No space left.*kept in .*again to resume"):
            build(path, network, MemoryDataset(COUNT))
    assert (path / "journal.jsonl").exists()
    build(path, network, MemoryDataset(COUNT))
    assert contents(path) == reference


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EINVAL])
def test_file_systems_that_cannot_reserve(
    path: Path,
    network: OnnxNetwork,
    reference: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    code: int,
) -> None:
    patch_call(monkeypatch, os, "posix_fallocate", fail_with(code))
    build(path, network, MemoryDataset(COUNT))
    assert contents(path) == reference


def test_short_writes_are_continued(
    path: Path, network: OnnxNetwork, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(original: Any, descriptor: int, data: Any, offset: int) -> int:
        return int(original(descriptor, data[: max(1, len(data) // 2 + 1)], offset))

    patch_call(monkeypatch, os, "pwrite", write)
    build(path, network, MemoryDataset(COUNT))
    assert contents(path) == reference
