"""Directions that cells are kept along: how they are found, banks that have them, their damage."""

from __future__ import annotations

import contextlib
import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_line import runner
from compnn import _core
from compnn.bank.bank import Bank
from compnn.bank.directions import (
    SAMPLED_IMAGES,
    TOLERANCE,
    find_directions,
    fits,
    kept_share,
    read_directions,
    sampled_cells,
    sampled_images,
    write_directions,
)
from compnn.bank.layout import ACTIVATION_DTYPES
from compnn.bank.reader import Records, open_manifest
from compnn.errors import BankError
from compnn.images.files import write_image
from compnn.network.onnx import Model
from memory_dataset import MemoryDataset, check_that_images_find_themselves
from reference import as_kept, dequantised
from tiny_networks import WIDE_LAYERS, wide_network

Floats = npt.NDArray[np.float32]

COUNT = 6
SIZE = (16, 16)
TRAIN = MemoryDataset(COUNT, SIZE)
QUERY = MemoryDataset(1, SIZE, seed=1)[0].input
REDUCED = ("float16", "bfloat16", "int8")
# Of a cell's length: what the dtype's rounding may take from it, and what is left out.
ROUNDING = {"float16": 1e-3, "bfloat16": 8e-3, "int8": 2e-2, "float32": 1e-6}


def cells_of_rank(rank: int, channels: int, count: int, seed: int = 0) -> Floats:
    """Cells (n, D) that lie in `rank` directions, each as long as any other."""
    random = np.random.default_rng(seed)
    directions = np.linalg.qr(random.standard_normal((channels, channels)))[0][:rank]
    return (random.standard_normal((count, rank)) @ directions).astype(np.float32)


def lengths_of_moments(cells: Floats) -> npt.NDArray[np.float64]:
    """Shares of the squared length along the principal directions of unit cells, descending."""
    wide = cells.astype(np.float64)
    units = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    lengths = np.linalg.eigvalsh(units.T @ units)[::-1]
    return np.maximum(lengths, 0) / lengths.sum()


# The sample


@given(st.integers(1, 10_000))
def test_sampled_images_are_evenly_spread(count: int) -> None:
    indices = sampled_images(count)
    assert len(indices) == min(count, SAMPLED_IMAGES) == len(set(indices))
    assert indices[0] == 0
    gaps = np.diff([*indices, count])
    assert gaps.max() - gaps.min() <= 1


def test_sampled_cells() -> None:
    few = np.random.default_rng(0).standard_normal((3, 64, 64)).astype(np.float32)
    np.testing.assert_array_equal(sampled_cells(few), few.reshape(3, -1).T)
    # More than 4096: every so many, and all at the edges.
    many = np.random.default_rng(1).standard_normal((3, 100, 90)).astype(np.float32)
    found = sampled_cells(many)
    chosen = [
        many[:, row, col]
        for row in range(100)
        for col in range(90)
        if (row * 90 + col) % 3 == 0 or row in (0, 99) or col in (0, 89)
    ]
    np.testing.assert_array_equal(found, chosen)
    assert found.flags.c_contiguous


# Finding them


@pytest.mark.parametrize(("rank", "kept"), [(1, 16), (16, 16), (17, 32), (30, 32)])
def test_cells_lie_in_their_directions(rank: int, kept: int) -> None:
    cells = cells_of_rank(rank, 48, 500)
    directions = _core.main_directions(cells, missing=1e-7, step=16)
    assert directions.shape == (kept, 48)
    assert directions.dtype == np.float32
    np.testing.assert_allclose(directions @ directions.T, np.eye(kept), atol=1e-6)
    np.testing.assert_allclose(cells @ directions.T @ directions, cells, atol=1e-4)


@pytest.mark.parametrize("missing", [1e-2, 1e-4, 1e-6])
def test_as_few_directions_as_the_missing_share_allows(missing: float) -> None:
    """The principal directions by NumPy; with a step of 1 none too many."""
    random = np.random.default_rng(2)
    cells = (random.standard_normal((2000, 40)) * 0.6 ** np.arange(40)).astype(np.float32)
    directions = _core.main_directions(cells, missing=missing, step=1)
    kept, lengths = len(directions), lengths_of_moments(cells)
    assert 0 < kept < 40
    assert lengths[kept:].sum() <= missing < lengths[kept - 1 :].sum()
    wide = cells.astype(np.float64)
    units = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    along = np.square(units @ directions.T.astype(np.float64)).sum() / len(units)
    assert 1 - along == pytest.approx(lengths[kept:].sum(), abs=1e-7)
    stepped = _core.main_directions(cells, missing=missing, step=8)
    assert len(stepped) == -(-kept // 8) * 8


def test_long_cells_count_no_more_than_short_ones() -> None:
    cells = cells_of_rank(20, 40, 600)
    lengths = 10.0 ** np.random.default_rng(3).integers(-8, 9, (600, 1))
    scaled = (cells * lengths).astype(np.float32)
    scaled[::7] = 0  # cells of zeros do not count
    directions = _core.main_directions(scaled, missing=1e-6, step=1)
    assert len(directions) == 20
    np.testing.assert_allclose(cells @ directions.T @ directions, cells, atol=1e-4)


def test_none_are_left_out_of_cells_that_need_all() -> None:
    full = np.random.default_rng(4).standard_normal((500, 32)).astype(np.float32)
    nan = cells_of_rank(3, 32, 500)
    nan[7, 7] = np.nan
    zeros = np.zeros((500, 32), np.float32)
    for cells in (full, nan, zeros, cells_of_rank(17, 32, 500), full[:0]):
        assert _core.main_directions(cells, missing=1e-7, step=16).shape == (0, 32)


def test_wrong_arguments_of_main_directions() -> None:
    cells = np.ones((4, 3), np.float32)
    for wrong, missing, step in (
        (cells.astype(np.float64), 0.1, 1),
        (cells[0], 0.1, 1),
        (cells.T, 0.1, 1),
        (cells, -0.1, 1),
        (cells, 1.0, 1),
        (cells, np.nan, 1),
        (cells, 0.1, 0),
    ):
        with pytest.raises(ValueError, match="must"):
            _core.main_directions(wrong, missing=missing, step=step)


@pytest.mark.parametrize("dtype", REDUCED)
@pytest.mark.parametrize(
    ("rank", "channels", "kept"),
    [
        (3, 48, 16),
        (16, 48, 16),
        (17, 48, 32),
        (33, 48, None),  # 48 of 48
        (3, 16, None),  # 16 of 16
        (3, 18, None),  # 16 are more than 7 of 8 of 18
        (3, 19, 16),
        (112, 128, 112),  # just an eighth is saved
        (113, 128, None),
    ],
)
def test_directions_are_kept_where_they_save_an_eighth(
    dtype: str, rank: int, channels: int, kept: int | None
) -> None:
    samples = [cells_of_rank(rank, channels, 8 * channels, seed=0)] * 2
    found = find_directions(samples, dtype)
    assert (None if found is None else found.shape) == (None if kept is None else (kept, channels))


def test_too_few_cells_tell_no_directions() -> None:
    cells = cells_of_rank(3, 48, 16 * 48)
    assert find_directions([cells[:700], cells[700:-1]], "float16") is None
    assert find_directions([cells[:700], cells[700:]], "float16") is not None
    assert find_directions([cells], "float32") is None


def test_coarser_dtypes_need_fewer_directions() -> None:
    random = np.random.default_rng(5)
    cells = (random.standard_normal((4000, 128)) * 0.93 ** np.arange(128)).astype(np.float32)
    lengths = lengths_of_moments(cells)
    counts = []
    for dtype in REDUCED:
        found = find_directions([cells], dtype)
        assert found is not None
        assert lengths[len(found) :].sum() <= TOLERANCE[dtype]
        assert lengths[len(found) - 16 :].sum() > TOLERANCE[dtype]
        counts.append(len(found))
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) > 1


# What is outside of them


@pytest.mark.parametrize("dtype", REDUCED)
def test_cells_fit_that_lose_little(dtype: str) -> None:
    """One cell may lose a thousand times what all together may."""
    norms = np.full((5, 6), 3, np.float32)
    lost = np.zeros((5, 6), np.float32)
    assert fits(lost, norms, dtype)
    for times, expected in ((990, True), (1010, False)):
        share = times * TOLERANCE[dtype]
        lost[2, 3] = 9 * share / (1 - share)
        assert fits(lost, norms, dtype) == expected


def test_cells_that_are_rounding_of_the_network_fit() -> None:
    norms = np.ones((5, 6), np.float32)
    lost = np.zeros((5, 6), np.float32)
    norms[1, 1], lost[1, 1] = 1e-6, 1e-11  # most of a cell that is nothing beside the others
    assert fits(lost, norms, "float16")
    norms[1, 1], lost[1, 1] = 1e-2, 1e-4  # half of a cell that is something
    assert not fits(lost, norms, "float16")
    nothing = np.zeros((5, 6), np.float32)
    assert fits(nothing, nothing, "float16")


@pytest.mark.parametrize("hyperpatch", [(1, 1), (2, 3), (5, 6)])
def test_kept_share_is_that_of_the_norm(hyperpatch: tuple[int, int]) -> None:
    random = np.random.default_rng(6)
    kept, lost = random.uniform(0, 4, (2, 5, 6)).astype(np.float32)
    kept[0, 0] = lost[0, 0] = 0
    share = kept_share(lost, np.sqrt(kept), hyperpatch, "float16")
    assert share.dtype == np.float32
    assert share.shape == (6 - hyperpatch[0], 7 - hyperpatch[1])
    h, w = hyperpatch
    for row, col in np.ndindex(*share.shape):
        window = np.s_[row : row + h, col : col + w]
        inside, outside = kept[window].sum(), lost[window].sum()
        whole = inside + outside
        expected = 1 if whole == 0 else np.sqrt(inside / whole)
        assert share[row, col] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("dtype", REDUCED)
def test_share_is_all_where_a_cell_of_the_bank_may_lose_as_much(dtype: str) -> None:
    norms = np.ones((3, 3), np.float32)
    little, much = (np.full((3, 3), times * TOLERANCE[dtype], np.float32) for times in (990, 1100))
    assert (kept_share(little, norms, (2, 2), dtype) == 1).all()
    assert (kept_share(much, norms, (2, 2), dtype) < 1).all()


# Banks


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = wide_network(tmp_path_factory.mktemp("network") / "wide.onnx")
    return Model(path, None, "deep", hyperpatch=(2, 2))  # single pixels are too much alike


@pytest.fixture(scope="module")
def banks(model: Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bank]:
    """A bank in each dtype."""
    folder = tmp_path_factory.mktemp("banks")
    return {
        dtype: Bank.build(folder / dtype, model, TRAIN, dtype=dtype) for dtype in ACTIVATION_DTYPES
    }


@pytest.fixture(params=ACTIVATION_DTYPES)
def bank(banks: dict[str, Bank], request: pytest.FixtureRequest) -> Bank:
    return banks[request.param]


def raw_cells(model: Model, layer: str) -> npt.NDArray[np.float64]:
    """Activations (N, H, W, D) of the training images."""
    found = [model.activations(pair.input, [layer])[layer] for pair in TRAIN]
    return np.stack(found).astype(np.float64)


def kept_cells(bank: Bank, layer: str) -> npt.NDArray[np.float64]:
    """Cells (N, H, W, D) of a bank, read with NumPy alone."""
    entries = json.loads((bank.path / "manifest.json").read_text())["layers"]
    entry = next(each for each in entries if each["name"] == layer)
    numbers = np.load(bank.path / entry["activations"])
    cells = dequantised(numbers, np.load(bank.path / entry["norms"])).astype(np.float64)
    if entry["directions"] is None:
        return cells
    return cells @ np.load(bank.path / entry["directions"]["file"]).astype(np.float64)


def test_layers_with_directions(bank: Bank) -> None:
    reduced = bank.manifest.dtype in REDUCED
    assert {name: each.count for name, each in bank.manifest.directions.items()} == (
        {"wide": 16} if reduced else {}
    )
    numbers = np.load(bank.path / "activations" / "wide.npy", mmap_mode="r")
    assert numbers.shape == (COUNT, 16, 16, 16 if reduced else 48)
    full = np.load(bank.path / "activations" / "full.npy", mmap_mode="r")
    assert full.shape == (COUNT, 16, 16, 24)
    # A layer keeps its channels, whatever is kept of them.
    assert bank.layers["wide"].shape == (16, 16, 48)
    assert (bank.path / "directions").exists() == reduced


@pytest.mark.parametrize("dtype", REDUCED)
def test_directions_file(banks: dict[str, Bank], dtype: str) -> None:
    bank = banks[dtype]
    (entry,) = (
        each["directions"]
        for each in bank.manifest.to_json()["layers"]
        if each["directions"] is not None
    )
    assert entry["file"] == "directions/wide.npy"
    directions = np.load(bank.path / entry["file"])
    assert directions.dtype == np.float32
    assert directions.shape == (entry["count"], 48)
    assert zlib.crc32(directions.tobytes()) == entry["crc32"]
    wide = directions.astype(np.float64)
    np.testing.assert_allclose(wide @ wide.T, np.eye(len(wide)), atol=1e-6)
    found = Records(bank.path, bank.manifest).directions("wide")
    assert found is not None
    np.testing.assert_array_equal(found, directions)
    assert Records(bank.path, bank.manifest).directions("full") is None


@pytest.mark.parametrize("layer", WIDE_LAYERS)
def test_activations_come_back_from_coordinates(bank: Bank, model: Model, layer: str) -> None:
    raw = raw_cells(model, layer)
    error = np.linalg.norm(kept_cells(bank, layer) - raw, axis=-1)
    assert (error <= ROUNDING[bank.manifest.dtype] * np.linalg.norm(raw, axis=-1)).all()


def test_norms_are_those_of_the_activations(bank: Bank, model: Model) -> None:
    expected = np.linalg.norm(raw_cells(model, "wide"), axis=-1)
    norms = np.load(bank.path / "norms" / "wide.npy")
    np.testing.assert_allclose(norms, expected, rtol=ROUNDING[bank.manifest.dtype])


@pytest.mark.parametrize("layer", WIDE_LAYERS)
def test_an_image_of_the_bank_finds_itself(bank: Bank, layer: str) -> None:
    check_that_images_find_themselves(bank, TRAIN, layer)


@pytest.mark.parametrize("layer", WIDE_LAYERS)
@pytest.mark.parametrize("dtype", REDUCED)
def test_similarities_are_about_those_of_float32(
    banks: dict[str, Bank], dtype: str, layer: str
) -> None:
    exact = banks["float32"].explain(QUERY, layer, method="exhaustive").field
    found = banks[dtype].explain(QUERY, layer, method="exhaustive").field
    # Rounding the query and the bank turns each by an angle; the cosine changes by no more.
    np.testing.assert_allclose(found.similarity, exact.similarity, atol=2 * ROUNDING[dtype])
    same = (found.image == exact.image) & (found.row == exact.row) & (found.col == exact.col)
    assert same.mean() > 0.8
    near = [bank.nearest(QUERY, COUNT) for bank in (banks[dtype], banks["float32"])]
    assert near[0] == near[1]  # by descriptors, which are the same


@pytest.mark.parametrize("layer", WIDE_LAYERS)
def test_nearest_by_a_layer_is_that_of_numpy(bank: Bank, model: Model, layer: str) -> None:
    dtype = bank.manifest.dtype
    directions = Records(bank.path, bank.manifest).directions(layer)
    query = model.activations(QUERY, [layer])[layer].astype(np.float64)
    if directions is not None:
        query = query @ directions.T.astype(np.float64)
    query = as_kept(query.astype(np.float32), dtype).astype(np.float64)
    if directions is not None:
        query = query @ directions.astype(np.float64)
    training = kept_cells(bank, layer).reshape(COUNT, -1)
    cosines = training @ query.ravel() / np.linalg.norm(training, axis=1) / np.linalg.norm(query)
    found = bank.nearest(QUERY, COUNT, layer=layer)
    assert [each.index for each in found] == np.argsort(-cosines).tolist()
    # Of int8, a coordinate between two integers may go to either.
    tolerance = 1e-4 if dtype == "int8" and directions is not None else 1e-5
    np.testing.assert_allclose(
        np.array([each.similarity for each in found], float), np.sort(cosines)[::-1], atol=tolerance
    )


@pytest.mark.parametrize("dtype", REDUCED)
def test_queries_outside_of_the_directions_are_less_similar(
    model: Model, tmp_path: Path, dtype: str
) -> None:
    """A bank of light images has no directions for dark pixels; they are like nothing in it."""
    light = MemoryDataset(COUNT, SIZE, darkest=128)
    found, exact = (
        Bank.build(tmp_path / kind, model, light, dtype=kind) for kind in (dtype, "float32")
    )
    assert list(found.manifest.directions) == ["wide"]
    fields = [bank.explain(QUERY, "wide", method="exhaustive").field for bank in (found, exact)]
    similarities = [field.similarity for field in fields]
    np.testing.assert_allclose(similarities[0], similarities[1], atol=2 * ROUNDING[dtype])
    nearest = [bank.nearest(QUERY, COUNT, layer="wide") for bank in (found, exact)]
    np.testing.assert_allclose(
        *(np.array([each.similarity for each in one], float) for one in nearest),
        atol=2 * ROUNDING[dtype],
    )
    # The part in the directions alone is more similar than that.
    directions = Records(found.path, found.manifest).directions("wide")
    assert directions is not None
    raw = model.activations(QUERY, ["wide"])["wide"]
    share = np.linalg.norm(raw @ directions.T) / np.linalg.norm(raw)
    assert share < 1 - 4 * ROUNDING[dtype]
    for index, pair in enumerate(light):
        itself = found.explain(pair.input, "wide", method="exhaustive").field
        assert (itself.image == index).all()
        np.testing.assert_allclose(itself.similarity, 1, atol=1e-6)


def test_every_number_is_checked(bank: Bank) -> None:
    seen: list[tuple[int, int]] = []
    Bank(bank.path).verify(lambda done, total: seen.append((done, total)))
    assert seen == [(index, COUNT) for index in range(1, COUNT + 1)]
    for file, array in bank.manifest.arrays.items():
        stored = np.load(bank.path / file)
        assert tuple(zlib.crc32(record.tobytes()) for record in stored) == array.crc32
        assert (stored.shape, stored.dtype) == (array.shape, np.dtype(array.spec.dtype))


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
def test_damaged_directions_are_found(
    copied: Path, model: Model, damage: Callable[[Path], None]
) -> None:
    file = copied / "directions" / "wide.npy"
    damage(file)

    def use(call: Callable[[Bank], Any]) -> None:
        """Opening looks at no more than it needs to; what uses the directions says so."""
        with pytest.raises(BankError) as caught:
            call(Bank(copied, model))
        assert str(file) in str(caught.value)
        assert "Rebuild the bank" in str(caught.value)

    use(lambda bank: bank.explain(QUERY, "wide", iterations=1))
    use(lambda bank: bank.nearest(QUERY, layer="wide"))
    use(lambda bank: bank.verify())


def test_other_layers_can_do_without_damaged_directions(copied: Path, model: Model) -> None:
    altered(copied / "directions" / "wide.npy")
    bank = Bank(copied, model)
    assert bank.explain(QUERY, "full", iterations=1).field.image.size
    assert len(bank.nearest(QUERY, 2)) == 2


@pytest.mark.filterwarnings("ignore:Reading .*npy.* additional header parsing:UserWarning")
def test_every_flipped_bit_of_the_header_is_found_or_harmless(copied: Path) -> None:
    manifest = open_manifest(copied)
    file = copied / "directions" / "wide.npy"
    whole = file.read_bytes()
    directions = np.load(file)
    for place in range(8 * 128):
        data = bytearray(whole)
        data[place // 8] ^= 1 << place % 8
        file.write_bytes(data)
        with contextlib.suppress(BankError):
            found = Records(copied, manifest).directions("wide")
            np.testing.assert_array_equal(found, directions)


def test_missing_directions(copied: Path) -> None:
    file = copied / "directions" / "wide.npy"
    file.unlink()
    with pytest.raises(BankError, match=r"directions/wide\.npy is missing\. Rebuild the bank"):
        open_manifest(copied)
    file.mkdir()
    with pytest.raises(BankError, match=r"directions/wide\.npy"):
        open_manifest(copied)


def test_directions_that_vanish_after_opening(copied: Path, model: Model) -> None:
    bank = Bank(copied, model)
    (copied / "directions" / "wide.npy").unlink()
    with pytest.raises(BankError, match=r"directions/wide\.npy is missing.*Rebuild the bank"):
        bank.explain(QUERY, "wide", iterations=1)


def test_manifest_with_other_directions(copied: Path) -> None:
    """The arrays must have as many numbers as there are directions."""
    document = json.loads((copied / "manifest.json").read_text())
    document["layers"][0]["directions"] = None
    (copied / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(BankError, match=r"field 'arrays\.activations/wide\.npy' should be .* 48\]"):
        open_manifest(copied)


def test_checksum_of_the_manifest_is_that_of_the_file(copied: Path, model: Model) -> None:
    document = json.loads((copied / "manifest.json").read_text())
    document["layers"][0]["directions"]["crc32"] ^= 1
    (copied / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(BankError, match=r"directions/wide\.npy is damaged: its checksum differs"):
        Bank(copied, model).verify()


@pytest.mark.parametrize("damage", [cut_short, altered, transposed, Path.unlink])
def test_command_line_names_damaged_directions(
    copied: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "query.png", QUERY)
    file = copied / "directions" / "wide.npy"
    damage(file)
    for command, arguments in (
        ("info", ("--verify",)),
        ("reconstruct", (tmp_path / "query.png", "--layer", "wide")),
    ):
        run = runner(monkeypatch, capsys, command, columns=400)
        code, _, error = run(copied, *arguments)
        assert code == 2
        assert str(file) in error
        assert "Traceback" not in error


def test_written_directions_are_read_again(tmp_path: Path) -> None:
    directions = cells_of_rank(5, 20, 16)
    write_directions(tmp_path, "a/b", directions)
    assert (tmp_path / "directions" / "a%2Fb.npy").is_file()
    crc32 = zlib.crc32(directions.tobytes())
    np.testing.assert_array_equal(read_directions(tmp_path, "a/b", (16, 20), crc32), directions)


def test_directions_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "directions").write_text("in the way")
    with pytest.raises(BankError, match=r"cannot write .*directions/wide\.npy"):
        write_directions(tmp_path, "wide", cells_of_rank(5, 20, 16))
