"""Builds that are interrupted, and resume with the same result."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from compnn.bank import build as build_of
from compnn.bank import directions, layout
from compnn.bank.bank import Bank, build
from compnn.errors import BankError, ImageError
from compnn.network.onnx import OnnxNetwork
from memory_dataset import MemoryDataset, StoppedError, contents, patch_call, stop_at
from stores import check_pairs, python

LAYERS = ["encoder_1", "decoder_3"]
COUNT = 5
PROBED = 1  # the first image, once more


@pytest.fixture
def unsampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network does not run over a first pair, nor over a sample, before the build.

    So a test can count the runs for what is built.
    """
    monkeypatch.setattr(build_of, "rehearse", lambda *_: None)
    monkeypatch.setattr(directions, "sampled_images", lambda count: [])


@pytest.mark.usefixtures("unsampled")
@pytest.mark.parametrize("error", [StoppedError, KeyboardInterrupt])
@pytest.mark.parametrize("done", [0, 1, 3, COUNT])
def test_interrupted_build_resumes(
    path: Path,
    network: OnnxNetwork,
    reference: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    done: int,
    error: type[BaseException],
) -> None:
    with pytest.raises(error):
        build(path, network, MemoryDataset(COUNT), progress=stop_at(done, error))
    with pytest.raises(BankError, match=r"incomplete.*Run the same build again"):
        Bank(path)
    runs = patch_call(monkeypatch, OnnxNetwork, "read", lambda read, *a, **k: read(*a, **k))
    build(path, network, MemoryDataset(COUNT))
    assert contents(path) == reference
    assert len(runs) <= COUNT - done + PROBED


def test_killed_build_resumes(
    path: Path, network: OnnxNetwork, reference: dict[str, bytes]
) -> None:
    program = f"""
        import sys, time
        from memory_dataset import MemoryDataset
        from compnn.bank.bank import build
        from compnn.network.onnx import OnnxNetwork

        def progress(done, total):
            if done == 2:
                print("two", flush=True)
                time.sleep(60)

        network = OnnxNetwork({str(network.path)!r}, {LAYERS!r}, "encoder_3")
        build({str(path)!r}, network, MemoryDataset({COUNT}), progress=progress)
    """
    with python(program, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"two\n"
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert process.returncode == -signal.SIGKILL
    assert not (path / "manifest.json").exists()
    build(path, network, MemoryDataset(COUNT))
    assert contents(path) == reference


def interrupt(path: Path, network: OnnxNetwork, done: int = 4) -> Path:
    """Leave a build of COUNT pairs of which `done` or one more are finished."""
    with pytest.raises(StoppedError):
        build(path, network, MemoryDataset(COUNT), progress=stop_at(done))
    return path


@pytest.mark.parametrize("tail", [b"", b'{"crc3', b'{"crc32":[1,2]}\n', b"\0" * 40, b"[]\n{}\n"])
def test_broken_end_of_journal_is_tolerated(
    path: Path, network: OnnxNetwork, reference: dict[str, bytes], tail: bytes
) -> None:
    journal = interrupt(path, network) / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:3]) + tail)
    build(path, network, MemoryDataset(COUNT))
    assert contents(path) == reference


def test_broken_header_of_journal_starts_anew(
    path: Path, network: OnnxNetwork, reference: dict[str, bytes]
) -> None:
    (interrupt(path, network) / "journal.jsonl").write_bytes(b'{"format":"compnn-ba')
    build(path, network, MemoryDataset(COUNT))
    assert contents(path) == reference


@pytest.mark.usefixtures("unsampled")
@pytest.mark.parametrize(
    "damage",
    [
        lambda partial: flip(
            partial / "shards/0/activations/encoder_1.npy", 128 + 16 * 16 * 4 * 2 + 5
        ),
        lambda partial: flip(partial / "shards/0/descriptor_norms.npy", 128 + 4),
        lambda partial: os.truncate(partial / "shards/0/inputs.npy", 128 + 32 * 32 * 3 + 7),
        lambda partial: (partial / "shards/0/norms/decoder_3.npy").unlink(),
    ],
)
def test_damaged_records_are_built_again(
    path: Path,
    network: OnnxNetwork,
    reference: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
) -> None:
    damage(interrupt(path, network))
    runs = patch_call(monkeypatch, OnnxNetwork, "read", lambda read, *a, **k: read(*a, **k))
    build(path, network, MemoryDataset(COUNT))
    assert contents(path) == reference
    assert len(runs) >= COUNT - 1


def flip(file: Path, offset: int) -> None:
    """Flip one bit of a file."""
    with open(file, "r+b") as stream:
        stream.seek(offset)
        byte = stream.read(1)[0]
        stream.seek(offset)
        stream.write(bytes([byte ^ 1]))


def test_images_that_changed_since_are_built_again(path: Path, network: OnnxNetwork) -> None:
    interrupt(path, network)
    changed = MemoryDataset(COUNT)
    changed.pairs["img_1"].target[3, 4, 0] ^= 1
    build(path, network, changed)
    check_pairs(Bank(path), changed)


def test_other_content_is_not_resumed(path: Path, network: OnnxNetwork) -> None:
    partial = interrupt(path, network)
    before = contents(partial)
    other = OnnxNetwork(network.path, LAYERS, "encoder_3", hyperpatch=(3, 3))
    named = MemoryDataset(COUNT, attributes={"img_0": {"wall": "red"}})
    for asked, dataset, dtype, part in (
        (other, MemoryDataset(COUNT), "float16", "different layers"),
        (
            OnnxNetwork(network.path, LAYERS),
            MemoryDataset(COUNT),
            "float16",
            "different descriptor",
        ),
        (network, MemoryDataset(COUNT), "float32", "different dtype"),
        (network, MemoryDataset(COUNT + 1), "float16", "different images"),
        (network, named, "float16", "different attributes"),
    ):
        with pytest.raises(BankError, match=f"{part}.*--restart") as caught:
            build(path, asked, dataset, dtype=dtype)
        assert str(partial) in str(caught.value)
    assert contents(partial) == before


def test_restart_discards_the_interrupted_build(path: Path, network: OnnxNetwork) -> None:
    interrupt(path, network)
    build(path, network, MemoryDataset(2), dtype="float32", restart=True)
    assert len(Bank(path)) == 2
    assert os.listdir(path.parent) == [path.name]


def test_folder_that_is_no_interrupted_build(path: Path, network: OnnxNetwork) -> None:
    path.mkdir()
    precious = path / "thesis.tex"
    precious.write_text("...")
    with pytest.raises(BankError, match="in the way"):
        build(path, network, MemoryDataset(1))
    for strange in ("journal.jsonl", "manifest.json.tmp"):
        precious.rename(path / strange)
        precious = path / strange
        with pytest.raises(BankError, match="in the way"):
            build(path, network, MemoryDataset(1), restart=True)
    assert contents(path) == {"manifest.json.tmp": b"..."}


def test_empty_folder_is_built_into(
    path: Path, network: OnnxNetwork, reference: dict[str, bytes]
) -> None:
    path.mkdir()
    build(path, network, MemoryDataset(COUNT))
    assert contents(path) == reference


@pytest.mark.parametrize("done", range(COUNT + 1))
def test_build_of_several_shards_resumes(
    path: Path, network: OnnxNetwork, monkeypatch: pytest.MonkeyPatch, done: int, tmp_path: Path
) -> None:
    monkeypatch.setattr(layout, "SHARD_IMAGES", 2)
    dataset = MemoryDataset(COUNT, bad=[1])
    build(tmp_path / "at once", network, dataset, skip_bad=True)
    with pytest.raises(StoppedError):
        build(path, network, dataset, skip_bad=True, progress=stop_at(done))
    build(path, network, dataset, skip_bad=True)
    assert contents(path) == contents(tmp_path / "at once")


@pytest.mark.parametrize("shard", [0, 1])
def test_damage_in_a_finished_shard_is_mended(
    path: Path, network: OnnxNetwork, monkeypatch: pytest.MonkeyPatch, shard: int, tmp_path: Path
) -> None:
    monkeypatch.setattr(layout, "SHARD_IMAGES", 2)
    build(tmp_path / "at once", network, MemoryDataset(COUNT))
    interrupt(path, network, 5)
    flip(path / f"shards/{shard}/targets.npy", 128 + 32 * 32 * 3 + 9)
    build(path, network, MemoryDataset(COUNT))
    assert contents(path) == contents(tmp_path / "at once")


def test_two_builds_at_once(path: Path, network: OnnxNetwork, reference: dict[str, bytes]) -> None:
    def progress(done: int, total: int) -> None:
        for restart in (False, True):
            with pytest.raises(BankError, match="another process is writing"):
                build(path, network, MemoryDataset(COUNT), restart=restart)

    build(path, network, MemoryDataset(COUNT), progress=progress)
    assert contents(path) == reference


@pytest.mark.usefixtures("unsampled")
def test_image_that_became_bad_keeps_what_is_done(
    path: Path, network: OnnxNetwork, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(path, network)
    with pytest.raises(ImageError, match="'img_0'"):
        build(path, network, MemoryDataset(COUNT, bad=[0]))
    runs = patch_call(monkeypatch, OnnxNetwork, "read", lambda read, *a, **k: read(*a, **k))
    build(path, network, MemoryDataset(COUNT))
    assert contents(path) == reference
    assert len(runs) <= 1 + PROBED
