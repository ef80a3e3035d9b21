"""Names, attributes and skipped images, as arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compnn.bank.bank import Bank, build
from compnn.bank.records import load_array, load_strings, save_strings
from compnn.bank.tables import SkippedImage
from compnn.bank.writing import save_array
from compnn.errors import BankError, SearchError
from compnn.network.onnx import OnnxNetwork
from memory_dataset import MemoryDataset
from tiny_networks import tiny_unet

# Any string, those with the surrogates of file names that are no UTF-8 among them.
STRINGS = st.text(st.characters(codec=None), max_size=12)


@settings(deadline=None, max_examples=100)
@given(st.lists(STRINGS, max_size=8))
def test_strings_come_back(tmp_path_factory: pytest.TempPathFactory, strings: list[str]) -> None:
    folder = tmp_path_factory.mktemp("strings")
    crc32 = save_strings(folder, "names", strings)
    assert load_strings(folder, "names", crc32) == tuple(strings)


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        (b"abc", [1, 2]),
        (b"abc", [1, 4]),
        (b"abc", [2, 1, 3]),
        (b"abc", [-1, 3]),
        (b"\xff\xfe", [1, 2]),
        (b"\xc3\xa9", [1, 2]),
    ],
)
def test_malformed_strings(tmp_path: Path, text: bytes, ends: list[int]) -> None:
    crc32 = {
        "names.npy": save_array(tmp_path / "names.npy", np.frombuffer(text, np.uint8)),
        "names_ends.npy": save_array(tmp_path / "names_ends.npy", np.array(ends, np.int64)),
    }
    with pytest.raises(BankError, match=r"names.*\.npy is malformed"):
        load_strings(tmp_path, "names", crc32)
    assert load_array(tmp_path / "names.npy", crc32["names.npy"], "uint8").tobytes() == text


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """A bank with names, attributes and reasons that no text file could hold."""
    folder = tmp_path_factory.mktemp("bank")
    network = OnnxNetwork(tiny_unet(folder / "tiny.onnx"), ["encoder_1"])
    dataset = MemoryDataset(5, bad=[1])
    names = ["a\udce9.png", "bad\x1b[31m", "c\r.png", "d=1+1", "é"]
    dataset._names = tuple(names)
    dataset.bad = {names[1]}
    dataset.pairs = dict(zip(names, dataset.pairs.values(), strict=True))
    dataset._attributes = {names[0]: {"wall\udcff": "réd\n", "": ""}, names[1]: {"x": "y"}}
    return build(folder / "odd.bank", network, dataset, skip_bad=True)


def test_odd_names_come_back(bank: Bank) -> None:
    for opened in (bank, Bank(bank.path)):
        assert opened.names == ("a\udce9.png", "c\r.png", "d=1+1", "é")
        assert opened.attributes == {"a\udce9.png": {"wall\udcff": "réd\n", "": ""}}
        assert opened.skipped == (SkippedImage("bad\x1b[31m", "bad\x1b[31m.png is cut short"),)
        assert opened.index("a\udce9.png") == 0
    bank.drop(["d=1+1"])
    assert bank.names == ("a\udce9.png", "c\r.png", "é")
    assert bank.attributes == {"a\udce9.png": {"wall\udcff": "réd\n", "": ""}}


def test_lookups(bank: Bank) -> None:
    assert bank.indices(None) == list(range(len(bank)))
    assert bank.indices([2, "a\udce9.png", 0, np.int32(1)]) == [0, 1, 2]
    with pytest.raises(BankError, match=r"no image 'b'; its images are"):
        bank.indices([0, "b"])
    with pytest.raises(SearchError, match="no training image 9; the bank has images 0 to"):
        bank.indices([9])
    with pytest.raises(SearchError, match="no training image -1"):
        bank.indices([-1])
    with pytest.raises(SearchError, match="must be a list"):
        bank.indices("img_0")
    with pytest.raises(SearchError, match="no candidates"):
        bank.indices([])


def test_two_images_of_one_name_are_refused(bank: Bank, tmp_path: Path) -> None:
    folder = bank._opened.tables.folder
    tables = type(bank._opened.tables)(folder, bank._opened.manifest)
    tables.__dict__["names"] = ("a", "b", "a")
    with pytest.raises(BankError, match=r"names\.npy is malformed: two images have one name"):
        _ = tables.indices
