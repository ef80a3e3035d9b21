"""An open bank stays what it was, whatever a writer does; one writer at a time."""

from __future__ import annotations

import builtins
import errno
import fcntl
import gc
import json
import os
import pickle
import shutil
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compnn.bank import generations, layout, tables
from compnn.bank.bank import Bank, build, merge
from compnn.bank.generations import Writer
from compnn.errors import BankError
from compnn.network.onnx import OnnxNetwork
from memory_dataset import MemoryDataset, StoppedError, contents, patch_call, stop_at
from stores import check_pairs, python
from tiny_networks import tiny_unet

SIZE = (16, 16)
ALL = MemoryDataset(20, SIZE)


def part(*indices: int) -> MemoryDataset:
    return ALL.subset(f"img_{index}" for index in indices)


def other(count: int, seed: int = 3) -> MemoryDataset:
    """Images of the same names as those of `ALL`."""
    return MemoryDataset(count, SIZE, seed=seed)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> OnnxNetwork:
    path = tiny_unet(tmp_path_factory.mktemp("network") / "tiny.onnx", size=SIZE)
    return OnnxNetwork(path, ["encoder_1"], "encoder_2")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tiny.bank"


def numbers(path: Path) -> list[int]:
    """The generations of a bank."""
    return sorted(int(file.stem) for file in (path / "generations").iterdir())


CHANGES: list[Callable[[Path, OnnxNetwork], object]] = [
    lambda path, network: build(path, network, other(6), overwrite=True),
    lambda path, network: Bank(path).append(network, part(10, 11)),
    lambda path, network: Bank(path).drop(["img_0", "img_3"]),
    lambda path, network: (Bank(path).drop(["img_0"]), Bank(path).compact()),
    lambda path, network: Bank(path).set_attributes({"img_2": {"wall": "red"}}),
    lambda path, network: Bank(path).attach("codebook", {"x": np.arange(3)}),
    lambda path, network: merge([path], path, overwrite=True),
]


@pytest.mark.parametrize("change", CHANGES)
def test_open_bank_stays_what_it_was(
    path: Path, network: OnnxNetwork, change: Callable[[Path, OnnxNetwork], object]
) -> None:
    """Nothing of it has been read before."""
    build(path, network, part(*range(4)))
    before = Bank(path)
    change(path, network)
    change_again = Bank(path)
    assert change_again.generation > before.generation == 1
    check_pairs(before, part(*range(4)))
    assert before.attributes == {}
    assert before.attachment("codebook") is None
    before.cells("encoder_1", range(4))
    before.descriptors(range(4))
    before.verify()
    assert 1 in numbers(path)
    before.close()
    change_again.close()
    Writer(path).close()
    assert numbers(path) == [Bank(path).generation]
    Bank(path).verify()


def test_what_nobody_reads_is_removed(path: Path, network: OnnxNetwork) -> None:
    build(path, network, part(*range(4))).close()
    reader = Bank(path)
    for seed in range(3, 7):
        build(path, network, other(2, seed), overwrite=True)
    assert numbers(path) == [1, 5]
    for kind in ("shards", "tables"):
        assert len(os.listdir(path / kind)) == 2
    del reader
    gc.collect()
    build(path, network, other(3, 8), overwrite=True)
    fresh = build(path.with_name("fresh"), network, other(3, 8))
    found, expected = contents(path), contents(fresh.path)
    assert len(found) == len(expected)
    assert sorted(map(len, found.values())) == sorted(map(len, expected.values()))


def test_pictures_in_use_keep_their_generation(path: Path, network: OnnxNetwork) -> None:
    bank = build(path, network, part(*range(4)))
    inputs = bank.inputs
    bank.drop(["img_0"])
    bank.compact()
    np.testing.assert_array_equal(inputs.picture(0), ALL[0].input)
    np.testing.assert_array_equal(bank.inputs.picture(0), ALL[1].input)
    assert numbers(path) == [1, 3]
    del inputs
    bank.set_attributes(None)
    assert numbers(path) == [4]


def test_closed_bank(path: Path, network: OnnxNetwork) -> None:
    with build(path, network, part(0, 1)) as bank:
        pass
    for use in (
        lambda: bank.names,
        lambda: bank.pair(0),
        lambda: bank.cells("encoder_1", [0]),
        lambda: bank.verify(),
        lambda: bank.drop(["img_0"]),
    ):
        with pytest.raises(BankError, match=r"has been closed\. Open it again"):
            use()
    assert len(bank) == 2
    assert repr(bank).startswith("Bank(")
    bank.close()


def test_changes_go_on_from_the_newest_generation(path: Path, network: OnnxNetwork) -> None:
    one = build(path, network, part(*range(4)))
    two = Bank(path)
    one.drop(["img_0"])
    two.drop(["img_1"])
    assert two.names == ("img_2", "img_3")
    assert one.names == ("img_1", "img_2", "img_3")
    with pytest.raises(BankError, match="no images img_1 to drop"):
        one.drop(["img_1"])


# Writers


@pytest.mark.parametrize("change", CHANGES)
def test_second_writer_gets_a_message(
    path: Path, network: OnnxNetwork, change: Callable[[Path, OnnxNetwork], object]
) -> None:
    build(path, network, part(*range(4))).close()
    seen = []

    def progress(done: int, total: int) -> None:
        with pytest.raises(BankError, match=r"another process is writing into the bank .* Wait"):
            change(path, network)
        check_pairs(Bank(path), part(*range(4)))
        seen.append(done)

    Bank(path).append(network, part(5, 6), progress=progress)
    assert {0, 1, 2} <= set(seen)
    change(path, network)


def test_second_writer_of_another_process(path: Path, network: OnnxNetwork) -> None:
    build(path, network, part(0, 1)).close()
    program = f"""
        from compnn.bank.bank import Bank
        from compnn.errors import BankError
        try:
            Bank({str(path)!r}).drop(["img_0"])
        except BankError as error:
            print(error)
    """
    with Writer(path), python(program, stdout=subprocess.PIPE) as process:
        output, _ = process.communicate(timeout=60)
    assert b"another process is writing into the bank" in output
    check_pairs(Bank(path), part(0, 1))


def test_lock_file_that_goes_away_with_an_abandoned_build(
    path: Path, network: OnnxNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening and locking: then the lock is that of a file that nobody else can see."""

    def lock(original: Any, descriptor: int, **options: Any) -> bool:
        if len(calls) == 1:
            shutil.rmtree(path)
        return bool(original(descriptor, **options))

    calls = patch_call(monkeypatch, generations, "lock", lock)
    build(path, network, part(0))
    check_pairs(Bank(path), part(0))


def refuse_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_without_locks_only_compact_removes(
    path: Path, network: OnnxNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_locks(monkeypatch)
    bank = build(path, network, part(*range(4)))
    before = Bank(path)
    bank.append(network, part(4))
    build(path, network, other(2), overwrite=True)
    check_pairs(before, part(*range(4)))
    assert numbers(path) == [1, 2, 3]
    assert len(os.listdir(path / "shards")) == 3
    Bank(path).compact()
    assert numbers(path) == [4]
    assert len(os.listdir(path / "shards")) == 1
    check_pairs(Bank(path), other(2))


def test_removed_under_a_reader_is_looked_up_again(
    path: Path, network: OnnxNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer publishes and removes between a reader's look at the manifest and its lock."""
    build(path, network, part(*range(4))).close()

    def opened(original: Any, file: Path) -> int:
        if len(calls) < 4:
            build(path, network, other(2, len(calls)), overwrite=True).close()
        return int(original(file))

    calls = patch_call(monkeypatch, generations, "_open_locked", opened)
    bank = Bank(path)
    assert bank.generation > 3
    assert numbers(path) == [bank.generation]
    bank.verify()


# Overwriting


def test_existing_bank_is_kept(path: Path, network: OnnxNetwork) -> None:
    build(path, network, part(0))
    before = contents(path)
    with pytest.raises(BankError, match=r"tiny\.bank exists.*--overwrite"):
        build(path, network, part(0, 1))
    assert contents(path) == before


def test_overwrite(path: Path, network: OnnxNetwork) -> None:
    build(path, network, part(0))
    seen = []
    bank = build(
        path,
        network,
        other(3),
        overwrite=True,
        progress=lambda done, total: seen.append(Bank(path).names),
    )
    assert len(seen) >= 4
    assert set(seen) == {("img_0",)}
    check_pairs(bank, other(3))
    assert os.listdir(path.parent) == [path.name]
    assert not (path / "journal.jsonl").exists()


def test_interrupted_overwrite_keeps_the_old_bank_and_resumes(
    path: Path, network: OnnxNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(path, network, part(0))
    for done in (0, 1, 3):
        with pytest.raises(StoppedError):
            build(path, network, other(3), overwrite=True, progress=stop_at(done))
        check_pairs(Bank(path), part(0))
    with monkeypatch.context() as patch:

        def refuse(original: Any, source: Path, target: Path) -> None:
            if Path(target) == path / "manifest.json":
                raise OSError(errno.EIO, "Input/output error")
            original(source, target)

        patch_call(patch, os, "replace", refuse)
        with pytest.raises(BankError, match="Input/output error"):
            build(path, network, other(3), overwrite=True)
    check_pairs(Bank(path), part(0))
    with pytest.raises(BankError, match="interrupted build with different images"):
        build(path, network, other(2), overwrite=True)
    build(path, network, other(3), overwrite=True)
    check_pairs(Bank(path), other(3))
    assert numbers(path) == [2]


def test_failing_overwrite_leaves_nothing(path: Path, network: OnnxNetwork) -> None:
    build(path, network, part(0))
    before = contents(path)
    with pytest.raises(BankError, match="dtype must be"):
        build(path, network, other(2), overwrite=True, dtype="x")
    bad = MemoryDataset(2, SIZE, bad=[0, 1])
    for skip_bad in (False, True):
        with pytest.raises(Exception, match="img_0"):
            build(path, network, bad, overwrite=True, skip_bad=skip_bad)
        assert contents(path) == before


def test_only_banks_are_overwritten(path: Path, network: OnnxNetwork) -> None:
    path.mkdir()
    (path / "manifest.json").write_text('{"format": "web app"}')
    with pytest.raises(BankError, match="is not a bank, so it is not overwritten"):
        build(path, network, part(0), overwrite=True)
    assert set(contents(path)) == {"manifest.json"}


def test_unknown_fields_stay(path: Path, network: OnnxNetwork) -> None:
    """Of a later version, at whatever place; an overwriting build begins anew."""
    bank = build(path, network, part(0, 1))
    assert bank.unknown_fields == ()
    for file in (path / "manifest.json", path / "generations/1.json"):
        document = json.loads(file.read_text())
        document["evidence"] = {"votes": 3}
        document["layers"][0]["paints"] = [1, 2]
        file.write_text(json.dumps(document))
    bank = Bank(path)
    assert sorted(bank.unknown_fields) == ["evidence", "layers[0].paints"]
    bank.append(network, part(2))
    bank.drop(["img_0"])
    bank.set_attributes(None)
    bank.attach("x", {"x": np.arange(2)})
    bank.compact()
    merged = merge([bank], path.with_name("merged"))
    for opened in (bank, Bank(path), merged):
        assert sorted(opened.unknown_fields) == ["evidence", "layers[0].paints"]
        document = json.loads((opened.path / "manifest.json").read_text())
        assert document["evidence"] == {"votes": 3}
        assert document["layers"][0]["paints"] == [1, 2]
    assert build(path, network, part(0), overwrite=True).unknown_fields == ()


# The disk


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_everything_is_on_the_disk_before_it_is_published(
    path: Path, network: OnnxNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files, then the folders that name them, then the generation, then the manifest."""
    events: list[tuple[str, str]] = []
    replace = os.replace

    def fsync(descriptor: int) -> None:
        events.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))

    def renamed(source: Any, target: Any) -> None:
        assert ("sync", str(source)) in events
        events.append(("rename", str(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", renamed)
    bank = build(path, network, part(0, 1), copy_network=True)
    for change in (
        lambda: None,
        lambda: bank.append(network, part(2)),
        lambda: bank.attach("x", {"x": np.arange(2)}),
        lambda: bank.compact(),
        lambda: merge([bank], path.with_name("merged"), overwrite=False),
    ):
        before = set(contents(path.parent))
        change()
        root = path.parent / "merged" if (path.parent / "merged").exists() else path
        generation = root / f"generations/{Bank(root).generation}.json"
        published = events.index(("rename", str(generation)))
        synced = {place for kind, place in events[:published] if kind == "sync"}
        for file in set(contents(path.parent)) - before:
            whole = path.parent / file
            if whole.parts[: len(root.parts)] != root.parts or whole.parent in (
                root,
                root / "generations",
            ):
                continue
            linked = whole.stat().st_nlink > 1  # a file that has been synced under another name
            renames = any(str(whole) == place for kind, place in events if kind == "rename")
            assert linked or renames or str(whole) in synced, whole
            folder = whole.parent
            while folder != root:
                assert str(folder) in synced, folder
                folder = folder.parent
        assert events[published + 1 :][:3] == [
            ("sync", str(generation.parent)),
            ("sync", str(root / f".manifest.json.{os.getpid()}.tmp")),
            ("rename", str(root / "manifest.json")),
        ]
        assert ("sync", str(root)) in events[published + 4 :]
        events.clear()


# Pickles


def names_and_pixels(bank: Bank) -> tuple[int, tuple[str, ...], bytes]:
    return (
        bank.generation,
        bank.names,
        b"".join(bank.pair(i)[0].tobytes() for i in range(len(bank))),
    )


def test_pickled_bank_is_the_same_generation_in_another_process(
    path: Path, network: OnnxNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    build(path, network, part(*range(3)))
    bank = Bank(path.name)
    expected = names_and_pixels(bank)
    Bank(path).drop(["img_0"])
    monkeypatch.chdir("/")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(names_and_pixels, bank).result(60) == expected
    data = pickle.dumps(bank)
    assert names_and_pixels(pickle.loads(data)) == expected
    bank.close()
    Bank(path).set_attributes(None)
    with pytest.raises(BankError, match=r"generation 1 of the bank .* is no longer there"):
        pickle.loads(data)
    assert len(data) < 1000


def test_threads_share_a_bank(path: Path, network: OnnxNetwork) -> None:
    bank = build(path, network, ALL)
    problems = []

    def use(seed: int) -> None:
        try:
            for image in np.random.default_rng(seed).permutation(len(ALL)).tolist():
                np.testing.assert_array_equal(bank.pair(image)[1], ALL[image].target)
                bank.cells("encoder_1", [image]).places([image], (2, 2))
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


# Large banks


def test_opening_a_million_images_reads_no_file_that_grows_with_them(
    path: Path, network: OnnxNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(path, network, part(0)).close()
    count = 1_000_000
    shards = -(-count // layout.SHARD_IMAGES)
    numbers = np.arange(count)
    images = np.stack(np.divmod(numbers, layout.SHARD_IMAGES), axis=1)
    names = [f"{number}.png" for number in range(count)]
    crc32 = tables.write_tables(path / "tables/1", names, images, {}, [])
    file = path / "generations/1.json"
    document = json.loads(file.read_text())
    document["images"] = count
    document["tables"] = {"id": 1, "crc32": crc32}
    last = count - (shards - 1) * layout.SHARD_IMAGES
    sizes = [layout.SHARD_IMAGES] * (shards - 1) + [last]
    document["shards"] = list(map(list, enumerate(sizes)))
    for each in (file, path / "manifest.json"):
        each.write_text(json.dumps(document))
    assert file.stat().st_size < 10_000
    opened: list[str] = []
    original = os.open

    def remember(file: Any, *arguments: Any, **options: Any) -> int:
        opened.append(str(file))
        return original(file, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", remember)
        patch.setattr(builtins, "open", lambda file, *_, **__: os.fdopen(file, "rb"))
        bank = Bank(path)
        assert len(bank) == count
        assert list(bank.layers) == ["encoder_1"]
        assert str(count) in repr(bank)
    assert {Path(file).relative_to(path).as_posix() for file in opened} == {
        "manifest.json",
        "generations/1.json",
    }
    assert bank.index("999999.png") == count - 1
    assert bank.indices(["3.png", 2]) == [2, 3]
