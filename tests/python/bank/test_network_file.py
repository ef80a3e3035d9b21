"""The network of a bank: found where it was, beside the bank, or in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from compnn.bank.bank import Bank, build, merge
from compnn.errors import BankError, NetworkError
from compnn.network.onnx import OnnxNetwork
from compnn.network.preprocessing import Preprocessing
from memory_dataset import MemoryDataset
from numpy_network import NumpyNetwork
from tiny_networks import tiny_unet

LAYERS = ["encoder_1", "decoder_3"]
DATASET = MemoryDataset(2)
IMAGE = DATASET[0].input


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "networks").mkdir()
    return tiny_unet(tmp_path / "networks" / "tiny.onnx")


@pytest.fixture
def bank(file: Path, tmp_path: Path) -> Bank:
    return build(tmp_path / "tiny.bank", OnnxNetwork(file, LAYERS, "encoder_3"), DATASET)


def test_where_it_was(bank: Bank, file: Path) -> None:
    network = bank.open_network(num_threads=1)
    assert network.path == file
    assert list(network.layers) == LAYERS
    assert network.descriptor == bank.descriptor == "encoder_3"
    assert network.preprocessing == bank.preprocessing
    assert network.num_threads == 1
    assert network.identity() == bank.network
    assert bank.open_network(resize=True).preprocessing.resize


def test_beside_the_bank(bank: Bank, file: Path) -> None:
    file.unlink()
    with pytest.raises(NetworkError, match=r"no longer at .*tiny\.onnx.*--network"):
        bank.open_network()
    beside = tiny_unet(bank.path.parent / "tiny.onnx")
    assert bank.open_network().path == beside


def test_another_network_where_it_was_does_not_hide_it(bank: Bank, file: Path) -> None:
    shutil.copyfile(file, bank.path.parent / "tiny.onnx")
    tiny_unet(file, seed=1)
    assert bank.open_network().path == bank.path.parent / "tiny.onnx"
    (bank.path.parent / "tiny.onnx").unlink()
    with pytest.raises(BankError, match=r"the bank was built with .*networks/tiny\.onnx.*not with"):
        bank.open_network()


def test_given(bank: Bank, file: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.onnx"
    file.rename(moved)
    assert bank.open_network(moved).path == moved
    other = tiny_unet(tmp_path / "other.onnx", size=(64, 64), seed=1)
    with pytest.raises(BankError, match=r"not with .*other\.onnx"):
        bank.open_network(other)
    with pytest.raises(NetworkError, match="no such network"):
        bank.open_network(tmp_path / "nothing.onnx")


def copied(path: Path, file: Path) -> Bank:
    return build(path, OnnxNetwork(file, LAYERS), DATASET, copy_network=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda bank, network: None,
        lambda bank, network: bank.append(network, MemoryDataset(2, seed=1, prefix="more_")),
        lambda bank, network: bank.drop(["img_0"]),
        lambda bank, network: bank.compact(),
    ],
)
def test_in_the_bank(
    file: Path, tmp_path: Path, change: Callable[[Bank, OnnxNetwork], None]
) -> None:
    bank = copied(tmp_path / "tiny.bank", file)
    change(bank, OnnxNetwork(file, LAYERS))
    expected = OnnxNetwork(file, LAYERS).activations(IMAGE)
    file.unlink()
    bank = merge([bank], tmp_path / "merged.bank")
    shutil.rmtree(tmp_path / "tiny.bank")
    moved = shutil.move(bank.path, tmp_path / "moved.bank")
    network = Bank(moved).open_network()
    assert network.path.is_relative_to(moved)
    for layer, cells in network.activations(IMAGE).items():
        np.testing.assert_array_equal(cells, expected[layer])


def test_weights_in_another_file_are_copied_too(file: Path, tmp_path: Path) -> None:
    model = onnx.load(file)
    split = tmp_path / "networks" / "split.onnx"
    onnx.save(model, split, save_as_external_data=True, location="weights.bin", size_threshold=0)
    bank = copied(tmp_path / "tiny.bank", split)
    fingerprint = bank.network.fingerprint
    split.unlink()
    (split.parent / "weights.bin").unlink()
    assert bank.open_network().fingerprint == fingerprint


def test_copies_of_other_networks_are_removed_with_their_readers(
    file: Path, tmp_path: Path
) -> None:
    """Both have one name, and a reader of the old bank still finds the old one."""
    path = tmp_path / "tiny.bank"
    copied(path, file).close()
    reader = Bank(path)
    old = reader.network
    tiny_unet(file, seed=1)
    new = OnnxNetwork(file, LAYERS)
    build(path, new, DATASET, overwrite=True, copy_network=True).close()
    file.unlink()
    assert reader.open_network().identity().fingerprint == old.fingerprint
    assert Bank(path).open_network().fingerprint == new.fingerprint
    reader.close()
    Bank(path).set_attributes(None)
    assert len(list((path / "network").iterdir())) == 1
    assert Bank(path).open_network().fingerprint == new.fingerprint


def test_network_without_a_file(tmp_path: Path) -> None:
    network = NumpyNetwork()
    dataset = MemoryDataset(3, (16, 16))
    with pytest.raises(BankError, match="NumPy has no file that could be copied"):
        build(tmp_path / "bank", network, dataset, copy_network=True)
    bank = build(tmp_path / "bank", network, dataset)
    assert bank.network.path is None
    bank.check_network(network)
    with pytest.raises(NetworkError, match="give the network"):
        bank.open_network()


def test_other_preprocessing_is_named(bank: Bank, file: Path) -> None:
    other = OnnxNetwork(file, LAYERS, preprocessing=Preprocessing(mean=(0.5,) * 3, std=(0.2,) * 3))
    with pytest.raises(BankError, match=r"preprocessing .*'range': \[-1.0, 1.0\].*'mean': \[0\.5"):
        bank.check_network(other)
