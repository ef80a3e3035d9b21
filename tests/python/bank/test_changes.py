"""Banks that grow, shrink, are put together and rewritten: as if they had been built at once."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compnn.bank import directions, layout, writing
from compnn.bank.bank import Bank, build, merge
from compnn.errors import ActivationError, BankError, DatasetError, ImageError
from compnn.network.onnx import OnnxNetwork
from compnn.network.preprocessing import Preprocessing
from memory_dataset import MemoryDataset, StoppedError, contents, patch_call, stop_at
from stores import check_pairs, record, search
from tiny_networks import nan_network, tiny_unet, wide_network

SIZE = (16, 16)
ALL = MemoryDataset(60, SIZE, attributes={f"img_{i}": {"odd": str(i % 2)} for i in range(0, 60, 3)})
QUERY = MemoryDataset(1, SIZE, seed=1)[0].input


def part(*indices: int) -> MemoryDataset:
    """Some pairs of `ALL`."""
    return ALL.subset(f"img_{index}" for index in indices)


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> OnnxNetwork:
    """No layer has enough channels for directions."""
    path = tiny_unet(tmp_path_factory.mktemp("network") / "tiny.onnx", size=SIZE)
    return OnnxNetwork(path, ["encoder_1", "decoder_3"], "encoder_2")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> OnnxNetwork:
    path = wide_network(tmp_path_factory.mktemp("network") / "wide.onnx")
    return OnnxNetwork(path, None, "deep", hyperpatch=(2, 2))


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "SHARD_IMAGES", 4)


def check_same(bank: Bank, expected: Bank, network: OnnxNetwork) -> None:
    """Both hold the same, bit for bit, and give the same fields."""
    assert bank.names == expected.names
    assert bank.attributes == expected.attributes
    files = [spec.file for spec in expected._opened.shards[0].specs]
    for image in range(len(expected)):
        for file in files:
            np.testing.assert_array_equal(record(bank, file, image), record(expected, file, image))
        for layer in network.layers:
            assert bank.layer_of(layer, image) == expected.layer_of(layer, image)
    some = list(range(0, len(expected), 2))
    for layer in network.layers:
        for options in (
            {"matches": 3},
            {"images": some},
            {"approximate": True, "seed": 5},
            {"approximate": True, "images": some, "schedule": "paper", "iterations": 4},
        ):
            found, right = (
                search(each, network, QUERY, layer, **options) for each in (bank, expected)
            )
            for one, other in zip(found, right, strict=True):
                np.testing.assert_array_equal(one, other)
    everything = range(len(bank))
    bank.descriptors(everything)
    bank.verify()


@pytest.mark.parametrize("kind", ["unet", "wide"])
@pytest.mark.parametrize("seed", range(6))
def test_any_changes_give_what_a_build_at_once_gives(
    tmp_path: Path,
    unet: OnnxNetwork,
    wide: OnnxNetwork,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    kind: str,
) -> None:
    """Of the layers with directions, where these are the same: found from the same images."""
    network, first = (unet, 1) if kind == "unet" else (wide, 6)
    monkeypatch.setattr(directions, "sampled_images", lambda count: list(range(min(count, 6))))
    random = np.random.default_rng(seed)
    bank = build(tmp_path / "bank", network, part(*range(first)))
    names, used = list(range(first)), first
    for step in range(9):
        choice = random.choice(["append", "drop", "compact", "merge"])
        count = int(random.integers(1, 8))
        new = list(range(used, min(used + count, len(ALL))))
        if choice == "append" and new:
            bank.append(network, part(*new))
            names, used = names + new, new[-1] + 1
        elif choice == "merge" and new and kind == "unet":
            other = build(tmp_path / f"other {step}", network, part(*new))
            bank = merge([bank, other.path], tmp_path / f"merged {step}")
            names, used = names + new, new[-1] + 1
        elif choice == "drop" and len(names) > first + 1:
            gone = random.choice(names[first:], min(count, len(names) - first - 1), replace=False)
            bank.drop(f"img_{index}" for index in gone)
            names = [index for index in names if index not in set(gone.tolist())]
        elif choice == "compact":
            bank.compact()
            shards = -(-len(names) // 4)
            assert len(os.listdir(bank.path / "shards")) >= shards
        assert bank.names == tuple(f"img_{index}" for index in names)
        assert len(bank) == len(names)
    check_pairs(Bank(bank.path), part(*names))
    expected = build(tmp_path / "at once", network, part(*names))
    if kind == "wide":
        assert bank.kept("wide") == expected.kept("wide") == (16,)
    check_same(bank, expected, network)
    bank.compact()
    check_same(bank, expected, network)
    assert len(os.listdir(bank.path / "generations")) == 1


# Append


def test_append_resumes(tmp_path: Path, wide: OnnxNetwork) -> None:
    """And nothing else is disturbed by what it has left."""
    expected = build(tmp_path / "expected", wide, part(*range(6)))
    expected.append(wide, part(*range(6, 13)))
    bank = build(tmp_path / "bank", wide, part(*range(6)))
    for done in (0, 3, 6, 7):
        with pytest.raises(StoppedError):
            bank.append(wide, part(*range(6, 13)), progress=stop_at(done))
        assert len(bank) == 6
        assert Bank(bank.path).generation == bank.generation == 1
    journal = (bank.path / "journal.jsonl").read_bytes()
    assert len(journal.splitlines()) == 2 + 7
    with pytest.raises(
        BankError, match=r"interrupted build with different attributes, images.*--restart"
    ):
        bank.append(wide, part(20))
    with pytest.raises(BankError, match="interrupted build with different attributes, command"):
        build(bank.path, wide, part(*range(6)), overwrite=True)
    before = {file: data for file, data in contents(bank.path).items() if "shards/" in file}
    bank.set_attributes({"img_1": {"wall": "red"}})
    bank.attach("codebook", {"words": np.arange(6)})
    bank.drop(["img_5"])
    assert {file: data for file, data in contents(bank.path).items() if "shards/" in file} == before
    assert (bank.path / "journal.jsonl").read_bytes() == journal
    bank.append(wide, part(*range(6, 13)))
    assert not (bank.path / "journal.jsonl").exists()
    assert bank.attributes["img_1"] == {"wall": "red"}
    expected.set_attributes(bank.attributes)
    expected.drop(["img_5"])
    check_same(bank, expected, wide)


def test_compacting_leaves_an_interrupted_append_alone(tmp_path: Path, unet: OnnxNetwork) -> None:
    bank = build(tmp_path / "bank", unet, part(*range(6)))
    with pytest.raises(StoppedError):
        bank.append(unet, part(*range(6, 15)), progress=stop_at(5))
    bank.drop(["img_0"])
    bank.compact()
    bank.verify()
    bank.append(unet, part(*range(6, 15)))
    check_same(bank, build(tmp_path / "at once", unet, part(*range(1, 15))), unet)


def test_restarted_append(tmp_path: Path, unet: OnnxNetwork) -> None:
    bank = build(tmp_path / "bank", unet, part(0, 1))
    with pytest.raises(StoppedError):
        bank.append(unet, part(*range(2, 9)), progress=stop_at(6))
    bank.append(unet, part(2, 3), restart=True)
    check_pairs(bank, part(0, 1, 2, 3))
    assert sorted(os.listdir(bank.path / "shards")) == ["0", "1"]


def test_append_that_fails_leaves_nothing(tmp_path: Path) -> None:
    network = OnnxNetwork(nan_network(tmp_path / "nan.onnx"))
    light = MemoryDataset(2, SIZE, darkest=100)
    bank = build(tmp_path / "bank", network, light)
    before = contents(bank.path)
    dark = MemoryDataset(6, SIZE, darkest=100, prefix="dark_")
    dark.pairs["dark_5"].input[:] = 0
    with pytest.raises(ActivationError, match="'dark_5' holds NaN"):
        bank.append(network, dark)
    assert contents(bank.path) == before
    bad = MemoryDataset(2, SIZE, darkest=100, bad=[0], prefix="bad_")
    with pytest.raises(ImageError, match="'bad_0'"):
        bank.append(network, bad)
    with pytest.raises(DatasetError, match="no pairs to append"):
        bank.append(network, MemoryDataset(0))
    assert contents(bank.path) == before
    bank.append(network, bad, skip_bad=True)
    assert bank.names == ("img_0", "img_1", "bad_1")
    assert [each.name for each in bank.skipped] == ["bad_0"]
    again = MemoryDataset(1, SIZE, darkest=100, prefix="bad_")
    bank.append(network, again)
    assert bank.skipped == ()


def test_appending_what_does_not_belong(
    tmp_path: Path, unet: OnnxNetwork, wide: OnnxNetwork
) -> None:
    bank = build(tmp_path / "bank", unet, part(0, 1))
    before = contents(bank.path)
    with pytest.raises(DatasetError, match=r"images of these names already: img_1"):
        bank.append(unet, part(1, 2))
    with pytest.raises(BankError, match="the bank was built with"):
        bank.append(wide, part(2))
    other = OnnxNetwork(unet.path, preprocessing=Preprocessing(range=(0, 1)))
    with pytest.raises(BankError, match="preprocessing"):
        bank.append(other, part(2))
    labels = MemoryDataset(1, SIZE, classes=3, prefix="label_")
    with pytest.raises(DatasetError, match="targets are photos, those to append label maps"):
        bank.append(unet, labels)
    assert contents(bank.path) == before


def test_a_network_with_other_layers_appends_those_of_the_bank(
    tmp_path: Path, unet: OnnxNetwork
) -> None:
    bank = build(tmp_path / "bank", unet, part(*range(3)))
    bank.append(OnnxNetwork(unet.path, ["encoder_3"]), part(*range(3, 6)))
    check_same(bank, build(tmp_path / "at once", unet, part(*range(6))), unet)


def test_images_outside_of_the_directions_are_kept_whole(tmp_path: Path, wide: OnnxNetwork) -> None:
    """Only in their shard; the next one is kept along the directions again."""
    light = MemoryDataset(6, SIZE, darkest=128)
    more = MemoryDataset(3, SIZE, darkest=128, seed=1, prefix="more_")
    bank = build(tmp_path / "bank", wide, light)
    dark = part(20, 21)
    bank.append(wide, dark)
    bank.append(wide, more)
    exact = build(tmp_path / "exact", wide, light, dtype="float32")
    exact.append(wide, dark)
    exact.append(wide, more)
    assert bank.kept("wide") == (16, 48)
    for query in (QUERY, light[2].input, dark[1].input):
        for layer in wide.layers:
            found, right = (search(each, wide, query, layer) for each in (bank, exact))
            np.testing.assert_allclose(found[3], right[3], atol=2e-3)
    bank.compact()
    assert bank.kept("wide") == (16, 48)
    check_pairs(bank, [*light, *dark, *more])
    bank.verify()


# Drop, attributes, attachments


def test_drop(tmp_path: Path, unet: OnnxNetwork) -> None:
    bank = build(tmp_path / "bank", unet, part(*range(10)))
    size = bank.nbytes
    before = contents(bank.path)
    for names, message in (
        (["img_3", "img_99"], r"no images img_99 to drop"),
        (bank.names, "no image of the bank .* would be left"),
    ):
        with pytest.raises(BankError, match=message):
            bank.drop(names)
    assert contents(bank.path) == before
    bank.drop(["img_4", "img_5", "img_6", "img_7", "img_0"])
    assert sorted(os.listdir(bank.path / "shards")) == ["0", "2"]  # of the second, all is dropped
    check_pairs(bank, part(1, 2, 3, 8, 9))
    assert set(bank.attributes) == {"img_3", "img_9"}
    found = search(bank, unet, part(4)[0].input, "encoder_1")
    assert set(np.unique(found[0])) <= set(range(5))
    bank.compact()
    assert bank.nbytes == size // 2
    with pytest.raises(BankError, match="no image 'img_4'; its images are img_1, img_2"):
        bank.index("img_4")
    bank.append(unet, part(4))
    check_pairs(bank, [*part(1, 2, 3, 8, 9), *part(4)])


def test_attributes(tmp_path: Path, unet: OnnxNetwork) -> None:
    bank = build(tmp_path / "bank", unet, part(0, 1, 3))
    assert bank.attributes == {"img_0": {"odd": "0"}, "img_3": {"odd": "1"}}
    walls = {"img_1": {"wall": "red", "note": ""}, "img_3": {"wall": "réd\udce9"}}
    bank.set_attributes(walls)
    assert bank.attributes == Bank(bank.path).attributes == walls
    with pytest.raises(DatasetError):
        bank.set_attributes({"img_9": {"wall": "red"}})
    assert Bank(bank.path).attributes == walls
    csv = tmp_path / "walls.csv"
    csv.write_text("name,wall\nimg_0,blue\n")
    bank.set_attributes(csv)
    assert bank.attributes == {"img_0": {"wall": "blue"}}
    bank.set_attributes(None)
    assert bank.attributes == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda bank, network: bank.append(network, part(7)),
        lambda bank, network: bank.drop(["img_0"]),
        lambda bank, network: bank.compact(),
    ],
)
def test_attachments_go_with_other_images(
    tmp_path: Path, unet: OnnxNetwork, change: Callable[[Bank, OnnxNetwork], None]
) -> None:
    bank = build(tmp_path / "bank", unet, part(0, 1))
    assert bank.attachment("codebook") is None
    arrays = {
        "words": np.arange(6, dtype=">i2").reshape(2, 3),
        "weights/1": np.linspace(0, 1, 5),
        "none": np.empty((0, 4), bool),
    }
    bank.attach("codebook", arrays)
    bank.attach("percentiles", {"p": np.float32([1, 2])})
    bank.attach("percentiles", {"q": np.float32([3])})
    bank.set_attributes({"img_0": {"wall": "red"}})
    for opened in (bank, Bank(bank.path)):
        found = opened.attachment("codebook")
        assert found is not None
        assert found.keys() == arrays.keys()
        for key, array in arrays.items():
            np.testing.assert_array_equal(found[key], array)
            assert not found[key].flags.writeable or not array.size
        assert list(opened.attachment("percentiles") or ()) == ["q"]
    assert len(os.listdir(bank.path / "attachments")) == 2
    bank.verify()
    opened.close()
    change(bank, unet)
    assert bank.attachment("codebook") is None
    assert not (bank.path / "attachments").exists()


def test_what_cannot_be_attached(tmp_path: Path, unet: OnnxNetwork) -> None:
    bank = build(tmp_path / "bank", unet, part(0))
    before = contents(bank.path)
    for array in (np.array(["a"]), np.array([None]), np.array(3), np.zeros(2, complex)):
        with pytest.raises(BankError, match="'x' that is to be attached"):
            bank.attach("codebook", {"x": array})
    assert contents(bank.path) == before


def test_damaged_attachment(tmp_path: Path, unet: OnnxNetwork) -> None:
    bank = build(tmp_path / "bank", unet, part(0))
    bank.attach("codebook", {"x": np.arange(9)})
    file = bank.path / "attachments/0/x.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    for read in (lambda: Bank(bank.path).attachment("codebook"), Bank(bank.path).verify):
        with pytest.raises(BankError, match=r"attachments/0/x\.npy is damaged"):
            read()


# Merge


def test_merged_banks_of_different_directions(tmp_path: Path, wide: OnnxNetwork) -> None:
    light = MemoryDataset(6, SIZE, darkest=128, prefix="light_")
    sources = [
        build(tmp_path / "light", wide, light),
        build(tmp_path / "all", wide, part(*range(6))),
        build(tmp_path / "few", wide, part(6)),  # too few for directions
    ]
    before = [contents(each.path) for each in sources]
    bank = merge(sources, tmp_path / "merged")
    exact = build(tmp_path / "exact", wide, light, dtype="float32")
    exact.append(wide, part(*range(7)))
    assert bank.names == exact.names
    assert bank.kept("wide") == (16, 48)
    for layer in wide.layers:
        found, right = (search(each, wide, QUERY, layer) for each in (bank, exact))
        np.testing.assert_allclose(found[3], right[3], atol=2e-3)
    assert [contents(each.path) for each in sources] == before
    bank.append(wide, part(7))  # along the directions of the first
    bank.compact()
    bank.verify()
    check_pairs(bank, [*light, *part(*range(8))])
    for each in sources:
        each.close()
        shutil.rmtree(each.path)
    Bank(bank.path).verify()


def test_merged_files_are_linked_where_they_can_be(
    tmp_path: Path, unet: OnnxNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = build(tmp_path / "bank", unet, part(0), copy_network=True)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    for target, links in (("linked", 2), ("copied", 1)):
        if target == "copied":
            monkeypatch.setattr(os, "link", refuse)
        merged = merge([bank.path], tmp_path / target)
        assert (merged.path / "shards/0/inputs.npy").stat().st_nlink == links
        check_same(merged, bank, unet)
        assert merged.open_network().path.is_relative_to(merged.path)
        merged.close()
        shutil.rmtree(merged.path)


def test_what_cannot_be_merged(tmp_path: Path, unet: OnnxNetwork, wide: OnnxNetwork) -> None:
    bank = build(tmp_path / "bank", unet, part(0))
    one_layer = OnnxNetwork(unet.path, ["encoder_1"])
    ranged = OnnxNetwork(
        unet.path, list(unet.layers), "encoder_2", preprocessing=Preprocessing(range=(0, 1))
    )
    for name, other, message in (
        ("wide", build(tmp_path / "1", wide, part(1)), "network, layers, descriptor"),
        ("dtype", build(tmp_path / "2", unet, part(1), dtype="int8"), "they differ in dtype"),
        ("layers", build(tmp_path / "3", one_layer, part(1)), "differ in layers, descriptor"),
        ("range", build(tmp_path / "4", ranged, part(1)), "differ in preprocessing"),
        ("same", bank, r"both have an image 'img_0'\. Drop one of them"),
    ):
        with pytest.raises(BankError, match=message):
            merge([bank, other], tmp_path / name)
        assert not (tmp_path / name).exists()
    with pytest.raises(BankError, match="no banks to merge"):
        merge([], tmp_path / "none")
    second = build(tmp_path / "second", unet, part(1))
    with pytest.raises(BankError, match=r"second exists.*--overwrite"):
        merge([bank, second], second.path)
    check_pairs(merge([bank, second], second.path, overwrite=True), part(0, 1))


def test_merge_that_is_interrupted(
    tmp_path: Path, unet: OnnxNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [build(tmp_path / str(index), unet, part(index)) for index in range(2)]
    path = tmp_path / "merged"

    def fail(original: Any, *arguments: Any) -> None:
        if len(calls) == 12:
            raise OSError(5, "Input/output error")
        original(*arguments)

    with monkeypatch.context() as patch:
        calls = patch_call(patch, os, "link", fail)
        patch.setattr(writing.shutil, "copyfile", fail)
        with pytest.raises(BankError, match="Input/output error"):
            merge(sources, path)
    assert not path.exists()
    merge(sources, path).verify()
