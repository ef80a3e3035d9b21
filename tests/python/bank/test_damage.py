"""Opening banks that are absent, incomplete, damaged, newer or older, of another network."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compnn.bank import records
from compnn.bank.bank import Bank, build
from compnn.errors import BankError
from compnn.network.onnx import OnnxNetwork
from compnn.network.preprocessing import Preprocessing
from memory_dataset import MemoryDataset
from tiny_networks import tiny_unet

LAYERS = ["encoder_1", "encoder_3"]
FILES = [
    "activations/encoder_1.npy",
    "norms/encoder_1.npy",
    "activations/encoder_3.npy",
    "norms/encoder_3.npy",
    "descriptors.npy",
    "descriptor_norms.npy",
    "inputs.npy",
    "targets.npy",
]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> OnnxNetwork:
    path = tiny_unet(tmp_path_factory.mktemp("network") / "tiny.onnx")
    return OnnxNetwork(path, LAYERS, "encoder_3")


@pytest.fixture(scope="module")
def sound(network: OnnxNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "tiny.bank"
    build(path, network, MemoryDataset(4))
    return path


@pytest.fixture
def bank(sound: Path, tmp_path: Path) -> Path:
    """A bank that a test may damage."""
    return Path(shutil.copytree(sound, tmp_path / "tiny.bank"))


def edit(bank: Path, change: Callable[[dict[str, Any]], None], *, copy: bool = True) -> None:
    """Change the manifest of a bank, and its copy."""
    for file in [bank / "generations/1.json"] + [bank / "manifest.json"] * copy:
        document = json.loads(file.read_text())
        change(document)
        file.write_text(json.dumps(document))


def use(bank: Path, file: str) -> None:
    """Open a bank and use an array of its shard."""
    shard = Bank(bank)._opened.shards[0]
    shard.array(file)


def test_the_files_are_those_of_the_bank(sound: Path) -> None:
    assert [spec.file for spec in Bank(sound)._opened.shards[0].specs] == FILES


def test_no_bank(tmp_path: Path) -> None:
    with pytest.raises(BankError, match=r"there is no bank at .*nowhere"):
        Bank(tmp_path / "nowhere")
    with pytest.raises(BankError, match=r"is not a bank: it has no manifest\.json"):
        Bank(tmp_path)
    file = tmp_path / "file.txt"
    file.write_text("hello")
    with pytest.raises(BankError, match=r"file\.txt is not a bank"):
        Bank(file)


def test_newer_format(bank: Path) -> None:
    edit(bank, lambda document: document.update(version=8, layers="of another kind"))
    with pytest.raises(
        BankError, match=r"by a newer compnn: format 8, this one reads 7\. Upgrade compnn"
    ):
        Bank(bank)


def test_older_format(bank: Path) -> None:
    edit(bank, lambda document: document.update(version=2, layers="of another kind"))
    with pytest.raises(
        BankError, match=r"by an older compnn: format 2, this one reads 7\. Rebuild the bank"
    ):
        Bank(bank)


def test_manifests_that_do_not_agree(bank: Path) -> None:
    edit(bank, lambda document: document.update(generation=2), copy=False)
    with pytest.raises(BankError, match=r"generations/1\.json is malformed: it is of generation 2"):
        Bank(bank)
    (bank / "generations/1.json").unlink()
    with pytest.raises(BankError, match=r"generations/1\.json is missing"):
        Bank(bank)


@pytest.mark.parametrize("file", FILES)
def test_flipped_bit(bank: Path, file: str) -> None:
    size = ((bank / "shards/0" / file).stat().st_size - 128) // 4
    with open(bank / "shards/0" / file, "r+b") as stream:
        stream.seek(128 + 2 * size + size // 2)
        byte = stream.read(1)[0]
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte ^ 0x10]))
    generation = Bank(bank)._opened
    generation.check(file, [0, 1, 3])
    damaged = rf"{file} is damaged: the checksum of record 2 \('img_2'\) differs"
    for _ in range(2):
        with pytest.raises(BankError, match=damaged):
            generation.check(file, [1, 2])
    with pytest.raises(BankError, match=damaged):
        Bank(bank).verify()


@pytest.mark.parametrize(
    ("file", "read"),
    [
        ("inputs.npy", lambda bank: bank.inputs.picture(2)),
        ("targets.npy", lambda bank: bank.targets.check([0, 2])),
        ("targets.npy", lambda bank: bank.pair(2)),
        ("activations/encoder_1.npy", lambda bank: bank.cells("encoder_1", [2])),
        ("norms/encoder_1.npy", lambda bank: bank.cells("encoder_1", [2])),
        ("descriptors.npy", lambda bank: bank.descriptors([2])),
        ("descriptor_norms.npy", lambda bank: bank.descriptors([2])),
    ],
)
def test_damage_is_found_where_it_is_used(
    bank: Path, file: str, read: Callable[[Bank], object]
) -> None:
    test_flipped_bit(bank, file)
    opened = Bank(bank)
    with pytest.raises(BankError, match=rf"{file} is damaged: .* record 2 \('img_2'\)"):
        read(opened)
    # The other images are sound.
    opened.pair(1)
    opened.cells("encoder_1", [0, 1, 3])
    opened.descriptors([0, 1, 3])


TABLES = [
    "tables/0/images.npy",
    "tables/0/names.npy",
    "tables/0/names_ends.npy",
    "tables/0/attributes.npy",
    "tables/0/skipped_ends.npy",
    "shards/0/places.npy",
    "shards/0/checksums.npy",
]


@pytest.mark.parametrize("file", TABLES)
def test_damaged_tables(bank: Path, file: str) -> None:
    data = bytearray((bank / file).read_bytes())
    for damaged in (
        bytes([*data[:-1], data[-1] ^ 1]),
        bytes(data[:-1]),
        bytes(data) + b"0",
        b"",
    ):
        (bank / file).write_bytes(damaged)
        with pytest.raises(BankError, match=rf"{file} is damaged: its checksum differs"):
            Bank(bank).verify()
    (bank / file).unlink()
    with pytest.raises(BankError, match=rf"{file} is missing"):
        Bank(bank).verify()


@pytest.mark.parametrize("file", FILES)
def test_cut_short_or_too_long(bank: Path, file: str) -> None:
    size = (bank / "shards/0" / file).stat().st_size - 128
    for found in (size - 1, size + 1):
        os.truncate(bank / "shards/0" / file, 128 + found)
        message = f"{file} is damaged: .* {found} bytes of numbers, not {size}"
        with pytest.raises(BankError, match=message):
            use(bank, file)


@pytest.mark.parametrize("length", [0, 5, 64])
def test_cut_short_within_the_header(bank: Path, length: int) -> None:
    os.truncate(bank / "shards/0/inputs.npy", length)
    with pytest.raises(BankError, match=r"inputs\.npy is not a readable array"):
        use(bank, "inputs.npy")


@pytest.mark.filterwarnings("ignore:Reading .*npy.* additional header parsing:UserWarning")
def test_every_flipped_bit_of_a_header_is_found_or_harmless(bank: Path) -> None:
    file = bank / "shards/0/norms/encoder_3.npy"
    whole, norms = file.read_bytes(), np.load(file)
    for place in range(8 * 128):
        data = bytearray(whole)
        data[place // 8] ^= 1 << place % 8
        file.write_bytes(data)
        with contextlib.suppress(BankError):
            found = records.map_array(file, norms.shape, "float32")
            np.testing.assert_array_equal(found, norms)


def test_missing_file(bank: Path) -> None:
    (bank / "shards/0/norms/encoder_3.npy").unlink()
    with pytest.raises(BankError, match=r"norms/encoder_3\.npy is missing"):
        use(bank, "norms/encoder_3.npy")
    (bank / "shards/0/shard.json").unlink()
    with pytest.raises(BankError, match=r"shard\.json is missing"):
        use(bank, "inputs.npy")


@pytest.mark.parametrize(
    ("array", "described"),
    [
        (np.zeros((4096, 3), np.int8), "int8 (4096, 3)"),
        (np.zeros((4095, 3), np.uint8), "uint8 (4095, 3)"),
        (np.zeros((4, 32, 32, 3), np.uint8), "uint8 (4, 32, 32, 3)"),
        (np.zeros((3, 4096), np.uint8).T, "uint8 (4096, 3) in Fortran order"),
    ],
)
def test_another_array(bank: Path, array: np.ndarray, described: str) -> None:
    np.save(bank / "shards/0/inputs.npy", array)
    with pytest.raises(BankError) as caught:
        use(bank, "inputs.npy")
    assert f"it is {described}, not uint8 (4096, 3)." in str(caught.value)


def test_array_saved_by_numpy_is_accepted(bank: Path) -> None:
    file = bank / "shards/0/inputs.npy"
    array = np.load(file)
    file.unlink()
    np.save(file, array)
    Bank(bank).verify()


def test_another_network(sound: Path, network: OnnxNetwork, tmp_path: Path) -> None:
    bank = Bank(sound)
    bank.check_network(network)
    bank.check_network(OnnxNetwork(network.path))
    other = OnnxNetwork(tiny_unet(tmp_path / "other.onnx", seed=1))
    with pytest.raises(BankError) as caught:
        bank.check_network(other)
    for part in (network, other):
        assert str(part.path) in str(caught.value)
        assert f"({part.fingerprint.removeprefix('sha256:')[:12]})" in str(caught.value)


def test_other_preprocessing(sound: Path, network: OnnxNetwork) -> None:
    bank = Bank(sound)
    bank.check_network(OnnxNetwork(network.path, preprocessing=Preprocessing(resize=True)))
    with pytest.raises(BankError, match=r"'range': \[-1.0, 1.0\].*'range': \[0, 1\]"):
        bank.check_network(OnnxNetwork(network.path, preprocessing=Preprocessing(range=(0, 1))))


def test_arrays_are_mapped_and_checked_once(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = Bank(sound)
    shard = bank._opened.shards[0]
    for file in FILES:
        array = shard.array(file)
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable
        np.testing.assert_array_equal(array, np.load(sound / "shards/0" / file))
        assert shard.array(file) is array
    seen: list[tuple[int, int]] = []
    bank.verify(lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    # What has been verified is not read again.
    monkeypatch.setattr("zlib.crc32", lambda data: pytest.fail("verified twice"))
    bank.verify()


def test_opening_does_not_read_the_data(bank: Path) -> None:
    """A terabyte of holes opens as fast as anything else."""
    pixels = 1 << 38
    file = bank / "shards/0/shard.json"
    document = json.loads(file.read_text())
    document["input_pixels"] = pixels
    file.write_text(json.dumps(document))
    inputs = bank / "shards/0/inputs.npy"
    inputs.unlink()
    np.lib.format.open_memmap(inputs, mode="w+", dtype=np.uint8, shape=(pixels, 3))
    opened = Bank(bank)
    assert opened.nbytes > 3 * pixels
    assert opened.inputs.size(3) == (32, 32)


# Files that are none


@pytest.mark.parametrize(
    "file",
    [
        "manifest.json",
        "generations/1.json",
        "shards/0/shard.json",
        "shards/0/inputs.npy",
        "shards/0/places.npy",
        "tables/0/names.npy",
    ],
)
@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
def test_no_regular_file(bank: Path, file: str, kind: str) -> None:
    """An error, not a wait for somebody to write into a FIFO."""
    (bank / file).unlink()
    if kind == "fifo":
        os.mkfifo(bank / file)
    elif kind == "folder":
        (bank / file).mkdir()
    else:
        (bank / file).symlink_to("/dev/zero")
    with pytest.raises(BankError, match=re.escape(file)):
        Bank(bank).verify()


def test_lock_or_journal_that_is_a_fifo(bank: Path, network: OnnxNetwork) -> None:
    os.mkfifo(bank / "journal.jsonl")
    Bank(bank).verify()
    (bank / "writer.lock").unlink()
    os.mkfifo(bank / "writer.lock")
    with pytest.raises(BankError, match="not a regular file"):
        Bank(bank).drop(["img_0"])


# Hostile content


def test_documents_are_bounded(bank: Path) -> None:
    for file in ("manifest.json", "generations/1.json"):
        before = (bank / file).read_bytes()
        with open(bank / file, "r+b") as stream:
            stream.truncate(1 << 40)  # of holes
        with pytest.raises(BankError, match=rf"{file} cannot be read: it has 1099511627776 bytes"):
            Bank(bank)
        (bank / file).write_bytes(b'{"a":' * 1_000_000)
        with pytest.raises(BankError, match=rf"{file} is malformed: not JSON"):
            Bank(bank)
        (bank / file).write_bytes(before)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("input_pixels", 1 << 62),
        ("input_pixels", 1 << 63),
        ("input_pixels", 10**100),
        ("images", 1 << 62),
        ("descriptor_dim", 1 << 61),
        ("images", 0),
        ("images", True),
        ("dtype", "float64"),
        ("dtype", "float32"),
        ("crc32", {}),
        ("version", 2),
        ("format", "compnn-bank"),
        ("layers", []),
        ("layers", {}),
    ],
)
def test_hostile_shards(bank: Path, key: str, value: Any) -> None:
    """Nothing is allocated, nothing overflows: the shard is refused."""
    file = bank / "shards/0/shard.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    with pytest.raises(BankError, match=r"shard\.json|inputs\.npy|places\.npy"):
        Bank(bank).verify()


@pytest.mark.parametrize(
    "places",
    [
        lambda table: np.add(table, [0, 0, 1]),
        lambda table: np.add(table, [1, 0, 0]),
        lambda table: table * [1, -1, 1],
        lambda table: table - [1, 0, 0],
        lambda table: table * [1, 0, 1],
        lambda table: np.add(table, [0, 1 << 40, 0]),
        lambda table: np.add(table, [0, (1 << 62), 1 << 62]),
        lambda table: np.add(table, [(1 << 63) - 1 - 9 * 32 * 32, 0, 0]),
        lambda table: table[:, :-1],
        lambda table: table[:-1],
        lambda table: table.astype(np.int32),
    ],
)
def test_hostile_places(bank: Path, places: Callable[[Any], Any]) -> None:
    """A table of places with the right checksum that leads out of the arrays."""
    table = bank / "shards/0/places.npy"
    hostile = places(np.load(table))
    table.unlink()
    np.save(table, hostile)
    file = bank / "shards/0/shard.json"
    document = json.loads(file.read_text())
    document["crc32"]["places.npy"] = zlib.crc32(table.read_bytes())
    file.write_text(json.dumps(document))
    for read in (
        lambda opened: opened.pair(0),
        lambda opened: opened.cells("encoder_1", [0]),
        lambda opened: opened.inputs.take(*np.zeros((3, 1), np.int32)),
        Bank.verify,
    ):
        with pytest.raises(BankError, match=r"places\.npy"):
            read(Bank(bank))


@pytest.mark.parametrize(
    "images",
    [
        lambda table: np.add(table, [1, 0]),
        lambda table: np.add(table, [0, 1]),
        lambda table: table - [1, 0],
        lambda table: table - [0, 1],
        lambda table: table[:3],
        lambda table: table[:, :1],
        lambda table: table.astype(np.uint64),
    ],
)
def test_hostile_images(bank: Path, images: Callable[[Any], Any]) -> None:
    table = bank / "tables/0/images.npy"
    hostile = images(np.load(table))
    table.unlink()
    np.save(table, hostile)
    crc32 = zlib.crc32(table.read_bytes())
    edit(bank, lambda document: document["tables"]["crc32"].update({"images.npy": crc32}))
    with pytest.raises(BankError, match=r"images\.npy"):
        Bank(bank).pair(0)


@pytest.mark.parametrize("count", [3, 5, 10**18])
def test_another_number_of_images(bank: Path, count: int) -> None:
    edit(bank, lambda document: document.update(images=count))
    opened = Bank(bank)
    for read in (lambda: opened.names, lambda: opened.indices(None), lambda: opened.pair(0)):
        with pytest.raises(BankError, match=f"it has 4 images, not {count}"):
            read()
