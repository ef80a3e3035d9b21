"""What the network computes, packed into the records of a bank, against plain NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compnn import _core
from compnn.bank.cells import BankCells, BankDescriptors, Packer, pack_descriptor
from compnn.bank.layout import ACTIVATION_DTYPES, stored_dtype
from compnn.errors import ActivationError, ImageError
from reference import bfloat16_bits, cell_norms, dequantised, stored, stored_norms

Floats = npt.NDArray[np.float32]

# The largest relative error of one number; of int8, that of a cell's largest number.
ROUNDING = {"float32": 2**-24, "float16": 2**-11, "bfloat16": 2**-8, "int8": 0.5 / 127}
SHAPES = st.tuples(st.integers(1, 70), st.integers(1, 9), st.integers(1, 9))


def pack(
    activations: Floats,
    dtype: str,
    directions: Floats | None = None,
    lost: Floats | None = None,
) -> tuple[npt.NDArray[Any], Floats]:
    """Cells and norms of an activation (D, H, W)."""
    depth, height, width = activations.shape
    kept = depth if directions is None else len(directions)
    # Filled, so that a number that is not written shows.
    cells = np.full((height, width, kept), 77).astype(stored_dtype(dtype))
    norms = np.full((height, width), 77, np.float32)
    _core.pack_activations(activations, cells, norms, directions, lost)
    return cells, norms


def normal(shape: tuple[int, ...], seed: int) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def orthonormal(kept: int, depth: int, seed: int) -> Floats:
    """Directions (K, D)."""
    square = np.linalg.qr(np.random.default_rng(seed).standard_normal((depth, depth)))[0]
    return np.ascontiguousarray(square[:kept], np.float32)


# Without directions


@settings(deadline=None, max_examples=100)
@given(SHAPES, st.integers(0, 2**32), st.integers(-6, 3), st.sampled_from(ACTIVATION_DTYPES))
def test_packing_equals_numpy(
    shape: tuple[int, int, int], seed: int, exponent: int, dtype: str
) -> None:
    activations = normal(shape, seed) * np.float32(10.0**exponent)
    cells, norms = pack(activations, dtype)
    expected = activations.transpose(1, 2, 0)
    np.testing.assert_array_equal(cells, stored(expected, dtype))
    np.testing.assert_allclose(norms, stored_norms(expected, dtype), rtol=1e-5)


def test_bfloat16_rounds_to_nearest_and_ties_to_even() -> None:
    """Bits of a float, and those of the bfloat16 that it becomes."""
    cases = {
        0x3F800000: 0x3F80,  # 1
        0x3F807FFF: 0x3F80,  # just below halfway
        0x3F808000: 0x3F80,  # halfway, down to even
        0x3F808001: 0x3F81,  # just above halfway
        0x3F818000: 0x3F82,  # halfway, up to even
        0xBF818000: 0xBF82,  # the same below zero
        0x3FFFFFFF: 0x4000,  # up to the next power of two
        0x80000000: 0x8000,  # -0
        0x00000001: 0x0000,  # the smallest subnormal
        0x00018000: 0x0002,  # a subnormal halfway, up to even
        0x477FE000: 0x4780,  # 65504, the largest float16
        0x5A0E1BC9: 0x5A0E,  # about 1e16
    }
    numbers = np.array(list(cases), np.uint32).view(np.float32)
    packed, _ = pack(numbers[:, None, None], "bfloat16")
    assert packed.ravel().tolist() == list(cases.values())
    assert bfloat16_bits(numbers).tolist() == list(cases.values())


def test_int8_spreads_a_cell_over_all_integers() -> None:
    cells = np.array([[3, -1.5, 0.75, 0], [1e-5, -4e-5, 0, 0], [0, 0, 0, 0]], np.float32)
    codes, norms = pack(np.ascontiguousarray(cells.T[:, None]), "int8")
    # 63.5 and 31.75 of 127: the tie goes to the even integer.
    assert codes[0].tolist() == [[127, -64, 32, 0], [32, -127, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(norms[0], np.linalg.norm(cells.astype(np.float64), axis=1), 1e-6)


@settings(deadline=None, max_examples=50)
@given(SHAPES, st.integers(0, 2**32), st.integers(-12, 12))
def test_int8_keeps_lengths_and_nearly_directions(
    shape: tuple[int, int, int], seed: int, exponent: int
) -> None:
    activations = normal(shape, seed) * np.float32(10.0**exponent)
    exact = activations.transpose(1, 2, 0).astype(np.float64)
    codes, norms = pack(activations, "int8")
    assert (np.abs(codes.astype(int)).max(axis=-1) == 127).all()
    assert (codes >= -127).all()
    meant = dequantised(codes, norms)
    lengths = np.linalg.norm(exact, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(meant, axis=-1), lengths, rtol=1e-5)
    units, exact_units = meant / lengths[..., None], exact / lengths[..., None]
    # Each number is off by half a step at most; scaling to the right length at most doubles that.
    steps = np.abs(exact_units).max(axis=-1) / 127
    error = np.linalg.norm(units - exact_units, axis=-1)
    assert (error <= steps * np.sqrt(shape[0]) + 1e-6).all()


def test_cells_too_short_to_have_a_direction_are_zero_in_int8() -> None:
    codes, norms = pack(np.full((5, 1, 1), 1e-20, np.float32), "int8")
    assert not codes.any()
    assert not norms.any()


# Along directions


@settings(deadline=None, max_examples=60)
@given(
    SHAPES,
    st.integers(0, 2**32),
    st.integers(-3, 3),
    st.sampled_from(ACTIVATION_DTYPES),
    st.data(),
)
def test_packing_along_directions_equals_numpy(
    shape: tuple[int, int, int], seed: int, exponent: int, dtype: str, data: st.DataObject
) -> None:
    activations = normal(shape, seed) * np.float32(10.0**exponent)
    directions = orthonormal(data.draw(st.integers(1, shape[0])), shape[0], seed)
    cells, norms = pack(activations, dtype, directions)
    raw = activations.transpose(1, 2, 0).astype(np.float64)
    exact = raw @ directions.astype(np.float64).T
    summing = 1e-6 * np.linalg.norm(raw, axis=-1, keepdims=True)  # in float
    size = np.abs(exact)
    if dtype == "int8":
        # All numbers of a cell have the error of its largest; the length is right, the codes' is
        # not quite.
        lengths = np.linalg.norm(exact, axis=-1)
        np.testing.assert_allclose(norms, lengths, atol=2 * summing.max())
        size = size.max(axis=-1, keepdims=True) * 2 * np.sqrt(len(directions))
    smallest = 2**-25 if dtype == "float16" else 0  # half the step of its subnormal numbers
    error = np.abs(dequantised(cells, norms) - exact)
    assert (error <= 1.01 * ROUNDING[dtype] * size + 2 * summing + smallest).all()
    if dtype != "int8":
        np.testing.assert_allclose(norms, cell_norms(dequantised(cells, norms)), rtol=1e-5)


@pytest.mark.parametrize("cells", [1, 255, 256, 257, 600])
def test_blocks_of_cells_join_without_gaps(cells: int) -> None:
    """Each cell has its own place, whatever the number of cells that are projected at a time."""
    activations = normal((20, 1, cells), 3)
    directions = orthonormal(16, 20, 4)
    packed, norms = pack(activations, "float32", directions)
    expected = (activations[:, 0].T.astype(np.float64) @ directions.T.astype(np.float64))[None]
    np.testing.assert_allclose(packed, expected, atol=1e-5)
    np.testing.assert_allclose(norms, cell_norms(expected), rtol=1e-5)


@pytest.mark.parametrize("dtype", ACTIVATION_DTYPES)
@pytest.mark.parametrize("kept", [1, 7, 20])
def test_what_is_lost_is_what_no_direction_has(dtype: str, kept: int) -> None:
    activations = normal((20, 17, 18), 10)
    directions = orthonormal(kept, 20, 11)
    lost = np.full((17, 18), 77, np.float32)
    plain = pack(activations, dtype, directions)
    for found, expected in zip(pack(activations, dtype, directions, lost), plain, strict=True):
        np.testing.assert_array_equal(found, expected)
    raw = activations.transpose(1, 2, 0).astype(np.float64)
    along = raw @ directions.T.astype(np.float64)
    squares = np.square(raw).sum(axis=-1)
    np.testing.assert_allclose(lost, squares - np.square(along).sum(axis=-1), atol=1e-4)
    assert (lost >= 0).all()
    pack(activations, dtype, None, lost)
    assert not lost.any()


@pytest.mark.parametrize("dtype", ACTIVATION_DTYPES)
def test_all_directions_change_no_angle(dtype: str) -> None:
    activations = normal((24, 6, 7), 5)
    plain = dequantised(*pack(activations, dtype)).astype(np.float64).reshape(-1, 24)
    turned = dequantised(*pack(activations, dtype, orthonormal(24, 24, 6)))
    turned = turned.astype(np.float64).reshape(-1, 24)
    largest = np.square(plain).sum(axis=1).max()
    np.testing.assert_allclose(
        turned @ turned.T, plain @ plain.T, atol=4 * ROUNDING[dtype] * largest
    )


# What is refused


@pytest.mark.parametrize("dtype", ACTIVATION_DTYPES)
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("projected", [False, True])
def test_nan_and_infinity_are_refused(dtype: str, number: float, projected: bool) -> None:
    activations = np.ones((3, 4, 5), np.float32)
    activations[1, 2, 3] = number
    # The number has no part in these directions.
    directions = np.array([[1, 0, 0], [0, 0, 1]], np.float32) if projected else None
    with pytest.raises(_core.NotFinite, match="NaN or infinity"):
        pack(activations, dtype, directions)


def test_numbers_beyond_float16_are_refused() -> None:
    activations = np.ones((3, 4, 5), np.float32)
    activations[1, 2, 3] = 65520
    with pytest.raises(_core.OutOfRange, match="65520"):
        pack(activations, "float16")
    for dtype in ("float32", "bfloat16", "int8"):
        meant = dequantised(*pack(activations, dtype))
        assert meant.max() == pytest.approx(65520, rel=2 * ROUNDING[dtype])
    activations[1, 2, 3] = -65519.99
    assert pack(activations, "float16")[0].min() == -65504


def test_it_is_the_coordinate_that_float16_must_hold() -> None:
    diagonal = np.full((1, 4), 0.5, np.float32)
    activations = np.full((4, 1, 1), 40_000, np.float32)
    assert pack(activations, "float16")[0].max() == 40_000
    with pytest.raises(_core.OutOfRange, match="80000"):
        pack(activations, "float16", diagonal)
    assert pack(activations, "float32", diagonal)[0] == 80_000
    # And one channel may be larger, if the coordinate is not.
    alone = np.zeros((4, 1, 1), np.float32)
    alone[2] = 100_000
    assert pack(alone, "float16", diagonal)[0] == 50_000


@pytest.mark.parametrize("dtype", ACTIVATION_DTYPES)
@pytest.mark.parametrize("projected", [False, True])
def test_numbers_whose_squares_overflow_are_refused(dtype: str, projected: bool) -> None:
    activations = np.ones((3, 4, 5), np.float32)
    activations[1, 2, 3] = 1e18
    directions = orthonormal(2, 3, 1) if projected else None
    with pytest.raises(_core.OutOfRange, match="the limit is"):
        pack(activations, dtype, directions)


def test_wrong_arrays_are_refused() -> None:
    activations = np.ones((3, 4, 5), np.float32)
    cells, norms = np.empty((4, 5, 3), np.float16), np.empty((4, 5), np.float32)
    two = np.eye(2, 3, dtype=np.float32)
    for wrong in (
        (activations.astype(np.float64), cells, norms),
        (activations[0], cells, norms),
        (activations[:, :, ::-1], cells, norms),
        (activations.astype(">f4"), cells, norms),
        (activations, np.empty((3, 4, 5), np.float16), norms),
        (activations, np.empty((4, 5, 3), np.int16), norms),
        (activations, np.empty((4, 5, 3), np.uint8), norms),
        (activations, cells, np.empty((5, 4), np.float32)),
        (activations, cells, np.empty((4, 5), np.float64)),
        (activations, cells, norms, two),
        (activations, cells[:, :, :2].copy(), norms),
        (activations, cells[:, :, :2].copy(), norms, two.astype(np.float64)),
        (activations, cells[:, :, :2].copy(), norms, two.T.copy()),
        (activations, cells[:, :, :2].copy(), norms, np.asfortranarray(two)),
        (activations, cells[:, :, :2].copy(), norms, two[0]),
        (activations, cells, norms, None, np.empty((5, 4), np.float32)),
        (activations, cells, norms, None, np.empty((4, 5), np.float64)),
        (activations, cells, norms, None, np.empty((4, 5, 3), np.float32)),
    ):
        with pytest.raises(ValueError, match="must"):
            _core.pack_activations(*wrong)
    cells.flags.writeable = False
    with pytest.raises(ValueError, match="writeable"):
        _core.pack_activations(activations, cells, norms)


# The packer of a build


def packed(
    raw: Mapping[str, Floats], dtype: str, directions: Mapping[str, Floats]
) -> list[npt.NDArray[Any]]:
    """The records of one image with the layers `wide` and `narrow`, and the descriptor `deep`."""
    packer = Packer(("wide", "narrow"), "deep", dtype, directions)
    return [np.array(record) for record in packer.records(raw, "img_0")]


RAW = {"wide": normal((20, 3, 4), 7), "narrow": normal((5, 2, 2), 8), "deep": normal((6, 2, 3), 9)}


@pytest.mark.parametrize("dtype", ACTIVATION_DTYPES)
def test_records_of_an_image(dtype: str) -> None:
    directions = orthonormal(16, 20, 2)
    wide, wide_norms, narrow, narrow_norms, descriptor, norm = packed(
        RAW, dtype, {"wide": directions}
    )
    for found, expected in zip(
        (wide, wide_norms), pack(RAW["wide"], dtype, directions), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    for found, expected in zip((narrow, narrow_norms), pack(RAW["narrow"], dtype), strict=True):
        np.testing.assert_array_equal(found, expected)
    # Whatever the dtype of the layers.
    assert descriptor.dtype == norm.dtype == np.float32
    np.testing.assert_array_equal(descriptor, RAW["deep"].transpose(1, 2, 0).ravel())
    assert norm.shape == ()
    assert norm == pytest.approx(np.linalg.norm(RAW["deep"].astype(np.float64)), rel=1e-6)


def test_buffers_hold_nothing_of_the_image_before() -> None:
    packer = Packer(("wide", "narrow"), "deep", "int8", {})
    for _ in packer.records(RAW, "img_0"):
        pass
    zeros = {tap: np.zeros_like(values) for tap, values in RAW.items()}
    for record in packer.records(zeros, "img_1"):
        assert not record.any()


@pytest.mark.parametrize("tap", ["wide", "narrow", "deep"])
def test_nan_is_refused_naming_layer_and_image(tap: str) -> None:
    raw = {**RAW, tap: np.where(RAW[tap] > 0, RAW[tap], np.float32(np.nan))}
    with pytest.raises(ActivationError, match=rf"layer '{tap}' for image 'img_0' holds NaN"):
        packed(raw, "float16", {})


def test_too_large_for_float16_proposes_bfloat16() -> None:
    large = {**RAW, "narrow": RAW["narrow"] * np.float32(1e6)}
    message = (
        r"layer 'narrow' for image 'img_0' holds values too large for float16\. "
        r"Build the bank with dtype bfloat16 .*--dtype bfloat16"
    )
    with pytest.raises(ActivationError, match=message):
        packed(large, "float16", {})
    for dtype in ("bfloat16", "float32", "int8"):
        packed(large, dtype, {})


def test_too_large_for_float16_along_a_direction() -> None:
    raw = {**RAW, "wide": np.full((20, 3, 4), 20_000, np.float32)}
    along = np.full((1, 20), 1 / np.sqrt(20), np.float32)
    packed(raw, "float16", {})
    with pytest.raises(ActivationError, match=r"layer 'wide'.*too large for float16.*bfloat16"):
        packed(raw, "float16", {"wide": along})


def test_packer_tells_the_layer_that_its_directions_do_not_fit() -> None:
    directions = {"wide": orthonormal(16, 20, 2), "narrow": orthonormal(4, 5, 3)}
    packer = Packer(("wide", "narrow"), "deep", "float16", directions)
    inside = {
        tap: np.einsum("kd,kc,chw->dhw", along, along, RAW[tap]).astype(np.float32)
        for tap, along in directions.items()
    }
    found = []
    for wide, narrow in ((inside, inside), (inside, RAW), (RAW, inside)):
        raw = {"wide": wide["wide"], "narrow": narrow["narrow"], "deep": RAW["deep"]}
        for _ in packer.records(raw, "img_0"):
            pass
        found.append(packer.outside())
    assert found == [None, "narrow", "wide"]
    assert Packer(("wide",), "deep", "float16", {}).outside() is None


def test_large_descriptors_are_no_matter() -> None:
    """They are float32, whatever float16 can hold."""
    descriptor, norm = pack_descriptor(RAW["deep"] * np.float32(1e6), "deep", "img_0")
    assert np.abs(descriptor).max() > 65504
    assert norm == pytest.approx(np.linalg.norm(descriptor.astype(np.float64)), rel=1e-6)
    with pytest.raises(ActivationError, match="layer 'deep' for image 'img_3' holds NaN"):
        pack_descriptor(np.full((6, 2, 3), np.nan, np.float32), "deep", "img_3")


def test_buffers_fit_images_of_any_size() -> None:
    packer = Packer(("wide", "narrow"), "deep", "float16", {"wide": orthonormal(16, 20, 2)})
    for seed, (height, width) in enumerate([(3, 4), (5, 2), (3, 4), (1, 1)]):
        raw = {tap: normal((len(values), height, width), seed) for tap, values in RAW.items()}
        found = [np.array(record) for record in packer.records(raw, "img_0")]
        expected = [
            *pack(raw["wide"], "float16", orthonormal(16, 20, 2)),
            *pack(raw["narrow"], "float16"),
        ]
        for record, right in zip(found, expected, strict=False):
            np.testing.assert_array_equal(record, right)
        assert found[4].shape == (6 * height * width,)


# Queries


def bank_cells(bases: list[Floats | None], sizes: list[tuple[int, int]], dtype: str) -> BankCells:
    """The cells of images of some sizes, each in a shard of its own and along its own basis."""
    shards, images = [], []
    for number, (basis, (height, width)) in enumerate(zip(bases, sizes, strict=True)):
        cells, norms = pack(normal((20, height, width), number), dtype, basis)
        shards.append((cells.reshape(height * width, -1), norms.reshape(-1), number))
        images.append((number, 0, height, width))
    core = _core.CellBank(shards, np.array(images, np.int64))
    return BankCells(core, np.array(sizes, np.int64), "wide", dtype, bases, 20)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8"])
def test_a_query_is_packed_in_each_basis(dtype: str) -> None:
    basis = orthonormal(16, 20, 2)
    bank = bank_cells([None, basis], [(3, 4), (5, 2)], dtype)
    whole, along = bank.pack(RAW["wide"], "img_0", (2, 2))
    for query, directions in ((whole, None), (along, basis)):
        for found, expected in zip(query[:2], pack(RAW["wide"], dtype, directions), strict=True):
            np.testing.assert_array_equal(found, expected)
    assert whole[2] is None
    share = along[2]
    assert share is not None
    flat = RAW["wide"].astype(np.float64)
    inside = np.einsum("kd,dhw->khw", basis, flat)
    windows = [
        np.lib.stride_tricks.sliding_window_view(np.square(each).sum(axis=0), (2, 2)).sum((2, 3))
        for each in (inside, flat)
    ]
    np.testing.assert_allclose(share, np.sqrt(windows[0] / windows[1]), rtol=1e-2)


def test_places_of_images_too_small_for_a_hyperpatch_count_nothing() -> None:
    bank = bank_cells([None] * 3, [(3, 4), (1, 9), (5, 2)], "float16")
    assert bank.places([0, 1, 2], (1, 1)) == 12 + 9 + 10
    assert bank.places([0, 1, 2], (2, 2)) == 6 + 0 + 4
    assert bank.places([1], (2, 2)) == 0
    assert bank.places([0], (4, 4)) == 0


def test_descriptor_of_another_length_is_refused() -> None:
    core = _core.CellBank(
        [(normal((2, 36), 0), normal((2,), 1), 0)], np.array([[0, 0, 1, 1]], np.int64)
    )
    descriptors = BankDescriptors(core, "deep", 36)
    [(cells, norms, share)] = descriptors.pack(RAW["deep"], "img_0")
    assert (cells.shape, norms.shape, share) == ((1, 1, 36), (1, 1), None)
    with pytest.raises(ImageError, match=r"'deep' of q.png has 40 values, those of the bank 36"):
        descriptors.pack(normal((10, 2, 2), 3), "q.png")
