"""Banks whose layers are kept along directions: what is stored, searched, and damaged."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from compnn import _core
from compnn.bank.bank import Bank, build
from compnn.bank.directions import read_directions
from compnn.bank.layout import ACTIVATION_DTYPES
from compnn.errors import BankError
from compnn.network.onnx import OnnxNetwork
from memory_dataset import MemoryDataset
from reference import as_kept, dequantised
from stores import check_that_images_find_themselves, load, search
from tiny_networks import WIDE_LAYERS, wide_network

COUNT = 6
SIZE = (16, 16)
TRAIN = MemoryDataset(COUNT, SIZE)
QUERY = MemoryDataset(1, SIZE, seed=1)[0].input
REDUCED = ("float16", "bfloat16", "int8")
# Of a cell's length: what the dtype's rounding may take from it, and what is left out.
ROUNDING = {"float16": 1e-3, "bfloat16": 8e-3, "int8": 2e-2, "float32": 1e-6}
DIRECTIONS = Path("shards/0/directions/wide.npy")

# Banks


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> OnnxNetwork:
    path = wide_network(tmp_path_factory.mktemp("network") / "wide.onnx")
    return OnnxNetwork(path, None, "deep", hyperpatch=(2, 2))  # single pixels are too much alike


@pytest.fixture(scope="module")
def banks(network: OnnxNetwork, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bank]:
    """A bank in each dtype."""
    folder = tmp_path_factory.mktemp("banks")
    return {
        dtype: build(folder / dtype, network, TRAIN, dtype=dtype) for dtype in ACTIVATION_DTYPES
    }


@pytest.fixture(params=ACTIVATION_DTYPES)
def bank(banks: dict[str, Bank], request: pytest.FixtureRequest) -> Bank:
    return banks[request.param]


def raw_cells(network: OnnxNetwork, layer: str) -> npt.NDArray[np.float64]:
    """Activations (N, H, W, D) of the training images."""
    found = [network.activations(pair.input, [layer])[layer] for pair in TRAIN]
    return np.stack(found).astype(np.float64)


def entry_of(bank: Bank, layer: str) -> dict[str, Any]:
    """What the only shard says of a layer."""
    entries = json.loads((bank.path / "shards/0/shard.json").read_text())["layers"]
    return next(each for each in entries if each["name"] == layer)


def kept_cells(bank: Bank, layer: str) -> npt.NDArray[np.float64]:
    """Cells (N, H, W, D) of a bank, read with NumPy alone."""
    numbers = load(bank.path, f"activations/{layer}.npy", SIZE)
    norms = load(bank.path, f"norms/{layer}.npy", SIZE)
    cells = dequantised(numbers, norms).astype(np.float64)
    if entry_of(bank, layer)["directions"] is None:
        return cells
    return cells @ load(bank.path, f"directions/{layer}.npy").astype(np.float64)


def test_layers_with_directions(bank: Bank) -> None:
    reduced = bank.dtype in REDUCED
    assert bank.kept("wide") == ((16,) if reduced else (48,))
    assert bank.kept("full") == (24,)
    kept = 16 if reduced else 48
    cells = COUNT * 16 * 16
    assert load(bank.path, "activations/wide.npy").shape == (cells, kept)
    assert load(bank.path, "activations/full.npy").shape == (cells, 24)
    itemsize = {"float32": 4, "int8": 1}.get(bank.dtype, 2)
    assert bank.layer_bytes("wide") == cells * (kept * itemsize + 4)
    # A layer keeps its channels, whatever is kept of them.
    assert bank.layers["wide"].shape == (16, 16, 48)
    assert (bank.path / DIRECTIONS).exists() == reduced
    assert (bank.path / "directions").exists() == reduced


@pytest.mark.parametrize("dtype", REDUCED)
def test_directions_file(banks: dict[str, Bank], dtype: str) -> None:
    bank = banks[dtype]
    entry = entry_of(bank, "wide")
    directions = np.load(bank.path / DIRECTIONS)
    assert directions.dtype == np.float32
    assert directions.shape == (entry["kept"], entry["channels"]) == (16, 48)
    assert hashlib.sha256(directions.tobytes()).hexdigest()[:32] == entry["directions"]
    wide = directions.astype(np.float64)
    np.testing.assert_allclose(wide @ wide.T, np.eye(len(wide)), atol=1e-6)
    assert entry_of(bank, "full")["directions"] is None
    # Those of the build are kept for appends.
    known = json.loads((bank.path / "manifest.json").read_text())["directions"]
    assert known == {
        "id": 0,
        "layers": {"wide": {"count": 16, "digest": entry["directions"]}},
    }
    np.testing.assert_array_equal(np.load(bank.path / "directions/0/wide.npy"), directions)


@pytest.mark.parametrize("layer", WIDE_LAYERS)
def test_activations_come_back_from_coordinates(
    bank: Bank, network: OnnxNetwork, layer: str
) -> None:
    raw = raw_cells(network, layer)
    error = np.linalg.norm(kept_cells(bank, layer) - raw, axis=-1)
    assert (error <= ROUNDING[bank.dtype] * np.linalg.norm(raw, axis=-1)).all()


def test_norms_are_those_of_the_activations(bank: Bank, network: OnnxNetwork) -> None:
    expected = np.linalg.norm(raw_cells(network, "wide"), axis=-1)
    norms = load(bank.path, "norms/wide.npy", SIZE)
    np.testing.assert_allclose(norms, expected, rtol=ROUNDING[bank.dtype])


@pytest.mark.parametrize("layer", WIDE_LAYERS)
def test_an_image_of_the_bank_finds_itself(bank: Bank, network: OnnxNetwork, layer: str) -> None:
    check_that_images_find_themselves(bank, network, TRAIN, layer)


def nearest(bank: Bank, network: OnnxNetwork, layer: str | None) -> tuple[list[int], Any]:
    """All images by the whole activation of a layer, or by descriptors, nearest first."""
    images = range(COUNT)
    tap = layer or str(bank.descriptor)
    raw = network.read(QUERY, [tap]).taps[tap]
    if layer is None:
        descriptors = bank.descriptors(images)
        core, queries, size = descriptors.core, descriptors.pack(raw, "q"), (1, 1)
    else:
        size = bank.layers[layer].shape[:2]
        cells = bank.cells(layer, images)
        core, queries = cells.core, cells.pack(raw, "q", size)
    candidates = np.arange(COUNT, dtype=np.int32)
    found = _core.exhaustive_search(core, queries, candidates, size, matches=COUNT)
    return found[0].ravel().tolist(), found[3].ravel()


@pytest.mark.parametrize("layer", WIDE_LAYERS)
@pytest.mark.parametrize("dtype", REDUCED)
def test_similarities_are_about_those_of_float32(
    banks: dict[str, Bank], network: OnnxNetwork, dtype: str, layer: str
) -> None:
    exact, found = (search(banks[kind], network, QUERY, layer) for kind in ("float32", dtype))
    # Rounding the query and the bank turns each by an angle; the cosine changes by no more.
    np.testing.assert_allclose(found[3], exact[3], atol=2 * ROUNDING[dtype])
    same = np.all([a == b for a, b in zip(found[:3], exact[:3], strict=True)], axis=0)
    assert same.mean() > 0.8
    near = [nearest(banks[kind], network, None) for kind in (dtype, "float32")]
    assert near[0][0] == near[1][0]  # by descriptors, which are the same
    np.testing.assert_array_equal(near[0][1], near[1][1])


@pytest.mark.parametrize("layer", WIDE_LAYERS)
def test_nearest_by_a_layer_is_that_of_numpy(bank: Bank, network: OnnxNetwork, layer: str) -> None:
    dtype = bank.dtype
    file = bank.path / "shards/0/directions" / f"{layer}.npy"
    directions = np.load(file) if file.exists() else None
    query = network.activations(QUERY, [layer])[layer].astype(np.float64)
    if directions is not None:
        query = query @ directions.T.astype(np.float64)
    query = as_kept(query.astype(np.float32), dtype).astype(np.float64)
    if directions is not None:
        query = query @ directions.astype(np.float64)
    training = kept_cells(bank, layer).reshape(COUNT, -1)
    cosines = training @ query.ravel() / np.linalg.norm(training, axis=1) / np.linalg.norm(query)
    found, similarities = nearest(bank, network, layer)
    assert found == np.argsort(-cosines).tolist()
    # Of int8, a coordinate between two integers may go to either.
    tolerance = 1e-4 if dtype == "int8" and directions is not None else 1e-5
    np.testing.assert_allclose(similarities, np.sort(cosines)[::-1], atol=tolerance)


@pytest.mark.parametrize("dtype", REDUCED)
def test_queries_outside_of_the_directions_are_less_similar(
    network: OnnxNetwork, tmp_path: Path, dtype: str
) -> None:
    """A bank of light images has no directions for dark pixels; they are like nothing in it."""
    light = MemoryDataset(COUNT, SIZE, darkest=128)
    found, exact = (
        build(tmp_path / kind, network, light, dtype=kind) for kind in (dtype, "float32")
    )
    assert found.kept("wide") == (16,)
    similarities = [search(bank, network, QUERY, "wide")[3] for bank in (found, exact)]
    np.testing.assert_allclose(similarities[0], similarities[1], atol=2 * ROUNDING[dtype])
    near = [nearest(bank, network, "wide")[1] for bank in (found, exact)]
    np.testing.assert_allclose(near[0], near[1], atol=2 * ROUNDING[dtype])
    # The part in the directions alone is more similar than that.
    directions = np.load(found.path / DIRECTIONS)
    raw = network.activations(QUERY, ["wide"])["wide"]
    share = np.linalg.norm(raw @ directions.T) / np.linalg.norm(raw)
    assert share < 1 - 4 * ROUNDING[dtype]
    for index, pair in enumerate(light):
        itself = search(found, network, pair.input, "wide")
        assert (itself[0] == index).all()
        np.testing.assert_allclose(itself[3], 1, atol=1e-6)


def test_every_number_is_checked(bank: Bank) -> None:
    seen: list[tuple[int, int]] = []
    Bank(bank.path).verify(lambda done, total: seen.append((done, total)))
    assert seen == [(index, COUNT) for index in range(1, COUNT + 1)]
    arrays = [f"{kind}/{layer}.npy" for layer in WIDE_LAYERS for kind in ("activations", "norms")]
    arrays += ["descriptors.npy", "descriptor_norms.npy", "inputs.npy", "targets.npy"]
    checksums = load(bank.path, "checksums.npy")
    for number, file in enumerate(arrays):
        records = np.split(load(bank.path, file), COUNT)
        assert [zlib.crc32(record.tobytes()) for record in records] == checksums[:, number].tolist()


# Damage


@pytest.fixture
def copied(banks: dict[str, Bank], tmp_path: Path) -> Path:
    """A bank that a test may damage."""
    return Path(shutil.copytree(banks["int8"].path, tmp_path / "bank"))


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def too_long(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"more")


def cut_in_the_header(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:70])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def altered(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-40] ^= 0x10
    file.write_bytes(data)


def transposed(file: Path) -> None:
    np.save(file, np.ascontiguousarray(np.load(file).T))


def in_fortran_order(file: Path) -> None:
    np.save(file, np.asfortranarray(np.load(file)))


def of_doubles(file: Path) -> None:
    np.save(file, np.load(file).astype(np.float64))


def of_objects(file: Path) -> None:
    np.save(file, np.array([None] * 3, object), allow_pickle=True)


def an_archive(file: Path) -> None:
    directions = np.load(file)
    with open(file, "wb") as stream:
        np.savez(stream, directions=directions)


DAMAGE = [
    cut_short,
    too_long,
    cut_in_the_header,
    emptied,
    altered,
    transposed,
    in_fortran_order,
    of_doubles,
    of_objects,
    an_archive,
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_directions_are_found(copied: Path, damage: Callable[[Path], None]) -> None:
    file = copied / DIRECTIONS
    damage(file)

    def use(call: Callable[[Bank], Any]) -> None:
        """Opening looks at no more than it needs to; what uses the directions says so."""
        with pytest.raises(BankError) as caught:
            call(Bank(copied))
        assert str(file) in str(caught.value)
        assert "Rebuild the bank" in str(caught.value)

    use(lambda bank: bank.cells("wide", [0]))
    use(lambda bank: bank.verify())


def test_damaged_directions_of_the_build_stop_an_append(
    banks: dict[str, Bank], copied: Path, network: OnnxNetwork
) -> None:
    bank = Bank(copied)
    file = copied / "directions/0/wide.npy"
    data = file.read_bytes()
    file.unlink()  # it may be linked to that of a shard
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    more = MemoryDataset(2, SIZE, seed=1, prefix="more_")
    with pytest.raises(BankError, match=r"directions/0/wide\.npy is damaged"):
        bank.append(network, more)
    file.write_bytes(data)
    bank.append(network, more)
    assert len(bank) == COUNT + 2
    bank.verify()


def test_other_layers_can_do_without_damaged_directions(copied: Path) -> None:
    altered(copied / DIRECTIONS)
    bank = Bank(copied)
    bank.cells("full", range(COUNT))
    bank.descriptors(range(COUNT))


@pytest.mark.filterwarnings("ignore:Reading .*npy.* additional header parsing:UserWarning")
def test_every_flipped_bit_of_the_header_is_found_or_harmless(copied: Path) -> None:
    file = copied / DIRECTIONS
    whole = file.read_bytes()
    directions = np.load(file)
    digest = entry_of(Bank(copied), "wide")["directions"]
    for place in range(8 * 128):
        data = bytearray(whole)
        data[place // 8] ^= 1 << place % 8
        file.write_bytes(data)
        with contextlib.suppress(BankError):
            np.testing.assert_array_equal(read_directions(file, (16, 48), digest), directions)


def test_missing_directions(copied: Path) -> None:
    file = copied / DIRECTIONS
    file.unlink()
    with pytest.raises(BankError, match=r"directions/wide\.npy is missing\. Rebuild the bank"):
        Bank(copied).cells("wide", [0])
    file.mkdir()
    with pytest.raises(BankError, match=r"directions/wide\.npy"):
        Bank(copied).cells("wide", [0])


def test_shard_with_other_directions(copied: Path) -> None:
    """A cell has as many numbers as there are directions."""
    for change, message in (
        ({"directions": None}, r"field 'layers\[0\]\.kept' should be"),
        ({"directions": "0" * 32}, r"directions/wide\.npy is damaged: its checksum differs"),
        ({"kept": 15}, r"wide\.npy is not the array of the bank"),
        ({"kept": 49}, r"field 'layers\[0\]\.kept' should be"),
        ({"channels": 47}, r"shard\.json is not of this bank"),
    ):
        file = copied / "shards/0/shard.json"
        before = file.read_text()
        document = json.loads(before)
        document["layers"][0].update(change)
        file.write_text(json.dumps(document))
        with pytest.raises(BankError, match=message):
            Bank(copied).cells("wide", [0])
        file.write_text(before)
