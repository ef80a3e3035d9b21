"""Opening banks that are absent, incomplete, damaged, newer or older, of another network."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compnn.bank.builder import build_bank
from compnn.bank.reader import Records, open_manifest
from compnn.errors import BankError
from compnn.network.onnx import Model
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
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tiny_unet(tmp_path_factory.mktemp("network") / "tiny.onnx")
    return Model(path, LAYERS, "encoder_3")


@pytest.fixture(scope="module")
def sound(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "tiny.bank"
    build_bank(path, model, MemoryDataset(4))
    return path


@pytest.fixture
def bank(sound: Path, tmp_path: Path) -> Path:
    """A bank that a test may damage."""
    return Path(shutil.copytree(sound, tmp_path / "tiny.bank"))


def edit(bank: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest of a bank."""
    file = bank / "manifest.json"
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def test_the_files_are_those_of_the_bank(sound: Path) -> None:
    assert list(open_manifest(sound).arrays) == FILES


def test_no_bank(tmp_path: Path) -> None:
    with pytest.raises(BankError, match=r"there is no bank at .*nowhere"):
        open_manifest(tmp_path / "nowhere")
    with pytest.raises(BankError, match=r"is not a bank: it has no manifest\.json"):
        open_manifest(tmp_path)
    file = tmp_path / "file.txt"
    file.write_text("hello")
    with pytest.raises(BankError, match=r"file\.txt is not a bank"):
        open_manifest(file)


def test_newer_format(bank: Path) -> None:
    edit(bank, lambda document: document.update(version=3, layers="of another kind"))
    with pytest.raises(
        BankError, match=r"by a newer compnn: format 3, this one reads 2\. Upgrade compnn"
    ):
        open_manifest(bank)


def test_older_format(bank: Path) -> None:
    edit(bank, lambda document: document.update(version=1, layers="of another kind"))
    with pytest.raises(
        BankError, match=r"by an older compnn: format 1, this one reads 2\. Rebuild the bank"
    ):
        open_manifest(bank)


@pytest.mark.parametrize("file", FILES)
def test_flipped_bit(bank: Path, file: str) -> None:
    manifest = open_manifest(bank)
    record = manifest.arrays[file].spec.record_bytes
    with open(bank / file, "r+b") as stream:
        stream.seek(128 + 2 * record + record // 2)
        byte = stream.read(1)[0]
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte ^ 0x10]))
    records = Records(bank, open_manifest(bank))
    records.verify(file, [0, 1, 3])
    damaged = rf"{file} is damaged: the checksum of record 2 \('img_2'\) differs"
    for _ in range(2):
        with pytest.raises(BankError, match=damaged):
            records.verify(file, [1, 2])
    with pytest.raises(BankError, match=damaged):
        Records(bank, manifest).verify_all()


@pytest.mark.parametrize("file", FILES)
def test_cut_short_or_too_long(bank: Path, file: str) -> None:
    size = (bank / file).stat().st_size
    for found in (size - 1, size + 1):
        os.truncate(bank / file, found)
        with pytest.raises(BankError, match=f"{file} is damaged: .* {found} bytes, not {size}"):
            open_manifest(bank)


@pytest.mark.parametrize("length", [0, 5, 64])
def test_cut_short_within_the_header(bank: Path, length: int) -> None:
    os.truncate(bank / "inputs.npy", length)
    with pytest.raises(BankError, match=r"inputs\.npy is not a readable array"):
        open_manifest(bank)


@pytest.mark.filterwarnings("ignore:Reading .*npy.* additional header parsing:UserWarning")
def test_every_flipped_bit_of_a_header_is_found_or_harmless(bank: Path) -> None:
    file = bank / "norms/encoder_3.npy"
    whole, norms = file.read_bytes(), np.load(file)
    for place in range(8 * 128):
        data = bytearray(whole)
        data[place // 8] ^= 1 << place % 8
        file.write_bytes(data)
        with contextlib.suppress(BankError):
            found = Records(bank, open_manifest(bank)).array("norms/encoder_3.npy")
            np.testing.assert_array_equal(found, norms)


def test_missing_file(bank: Path) -> None:
    (bank / "norms/encoder_3.npy").unlink()
    with pytest.raises(BankError, match=r"norms/encoder_3\.npy is missing"):
        open_manifest(bank)


@pytest.mark.parametrize(
    ("array", "described"),
    [
        (np.zeros((4, 32, 32, 3), np.int8), "int8 (4, 32, 32, 3)"),
        (np.zeros((3, 32, 32, 3), np.uint8), "uint8 (3, 32, 32, 3)"),
        (np.zeros((3, 32, 32, 4), np.uint8).T, "uint8 (4, 32, 32, 3) in Fortran order"),
    ],
)
def test_another_array(bank: Path, array: np.ndarray, described: str) -> None:
    np.save(bank / "inputs.npy", array)
    with pytest.raises(BankError) as caught:
        open_manifest(bank)
    assert f"it is {described}, not uint8 (4, 32, 32, 3)." in str(caught.value)


def test_array_saved_by_numpy_is_accepted(bank: Path) -> None:
    np.save(bank / "inputs.npy", np.load(bank / "inputs.npy"))
    Records(bank, open_manifest(bank)).verify_all()


def test_another_network(sound: Path, model: Model, tmp_path: Path) -> None:
    manifest = open_manifest(sound)
    manifest.check_model(model)
    manifest.check_model(Model(model.path))
    other = Model(tiny_unet(tmp_path / "other.onnx", seed=1))
    with pytest.raises(BankError) as caught:
        manifest.check_model(other)
    for part in (model.path, other.path):
        assert str(part) in str(caught.value)
    for fingerprint in (model.fingerprint, other.fingerprint):
        assert f"({fingerprint.removeprefix('sha256:')[:12]})" in str(caught.value)


def test_other_preprocessing(sound: Path, model: Model) -> None:
    manifest = open_manifest(sound)
    manifest.check_model(Model(model.path, preprocessing=Preprocessing(resize=True)))
    with pytest.raises(BankError, match=r"'range': \[-1.0, 1.0\].*'range': \[0, 1\]"):
        manifest.check_model(Model(model.path, preprocessing=Preprocessing(range=(0, 1))))


def test_records(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = open_manifest(sound)
    records = Records(sound, manifest)
    for file in FILES:
        array = records.array(file)
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable
        np.testing.assert_array_equal(array, np.load(sound / file))
        assert records.array(file) is array
    seen: list[tuple[int, int]] = []
    records.verify_all(lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    # What has been verified is not read again.
    monkeypatch.setattr("zlib.crc32", lambda data: pytest.fail("verified twice"))
    records.verify_all()


def test_opening_does_not_read_the_data(bank: Path) -> None:
    """A terabyte of holes opens as fast as anything else."""
    count = 4
    edge = 1 << 16

    def enlarge(document: dict[str, Any]) -> None:
        document["model"]["input_size"] = [edge, edge]
        for file in ("inputs.npy", "targets.npy"):
            document["arrays"][file]["shape"] = [count, edge, edge, 3]

    edit(bank, enlarge)
    for file in ("inputs.npy", "targets.npy"):
        np.lib.format.open_memmap(
            bank / file, mode="w+", dtype=np.uint8, shape=(count, edge, edge, 3)
        )
    assert open_manifest(bank).model.input_size == (edge, edge)
