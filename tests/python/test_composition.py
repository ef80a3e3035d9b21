"""Composition against loops over patches and windows that state the rules directly."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import product
from math import floor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compnn.bank.bank import Bank
from compnn.explanation.composition import Composition, compose, provenance
from compnn.errors import BankError, SearchError
from compnn.explanation.explanation import Explanation
from compnn.search.field import Field
from compnn.network.layer import Layer
from compnn.network.onnx import Model
from compnn.images.palette import Palette
from memory_dataset import MemoryDataset
from tiny_networks import tiny_segnet, tiny_unet

IMAGES = 3
Labels = npt.NDArray[np.uint8]


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    """Layers of any stride and hyperpatch; the stride need not divide the image."""
    cells, pixels, strides, hyperpatch = [], [], [], []
    for _ in range(2):
        count = draw(st.integers(1, 6))
        stride = draw(st.integers(1, 7))
        cells.append(count)
        strides.append(stride)
        pixels.append(max(1, count * stride + draw(st.integers(-stride // 2, stride // 2))))
        hyperpatch.append(draw(st.integers(1, min(count, 3))))
    return Layer(
        "layer",
        (cells[0], cells[1], 4),
        (strides[0], strides[1]),
        (hyperpatch[0], hyperpatch[1]),
        (pixels[0], pixels[1]),
    )


def random_field(layer: Layer, matches: int, seed: int) -> Field:
    random = np.random.default_rng(seed)
    rows, cols = layer.grid
    shape = (matches, rows, cols)
    return Field(
        random.integers(0, IMAGES, shape, np.int32),
        random.integers(0, rows, shape, np.int32),
        random.integers(0, cols, shape, np.int32),
        random.random(shape, np.float32),
    )


def identity_field(layer: Layer, image: int) -> Field:
    rows, cols = np.indices(layer.grid, np.int32)[:, np.newaxis]
    return Field(np.full_like(rows, image), rows, cols, np.ones(rows.shape, np.float32))


def random_images(layer: Layer) -> npt.NDArray[np.uint8]:
    random = np.random.default_rng(7)
    return random.integers(0, 256, (IMAGES, *layer.image_size, 3), np.uint8)


def pixels_of_patch(place: int, grid: int, stride: int, cells: int, pixels: int) -> range:
    """Pixels along one axis of the patch of the hyperpatch at `place`."""
    centre = (place + Fraction(cells, 2)) * stride
    first, last = (floor(centre + half * Fraction(stride, 2)) for half in (-1, 1))
    first = 0 if place == 0 else min(first, pixels)
    last = pixels if place == grid - 1 else min(last, pixels)
    return range(first, last)


def copied(
    place: int, match: int, grid: int, stride: int, cells: int, pixels: int
) -> list[tuple[int, int]]:
    """Along one axis: each pixel of the patch at `place`, with the one that `match` gives it."""
    centre, matched = ((each + Fraction(cells, 2)) * stride for each in (place, match))
    pairs = []
    for pixel in pixels_of_patch(place, grid, stride, cells, pixels):
        source = matched + (pixel - centre)
        assert source.denominator == 1
        pairs.append((pixel, min(max(int(source), 0), pixels - 1)))
    return pairs


def copied_patches(
    field: Field, layer: Layer, images: npt.NDArray[np.uint8], match: int
) -> npt.NDArray[np.int64]:
    """Copy patch by patch, pixels by their place relative to the patch's centre."""
    picture = np.full((*layer.image_size, 3), -1, np.int64)
    axes = list(zip(layer.grid, layer.stride, layer.hyperpatch, layer.image_size, strict=True))
    for i, j in np.ndindex(*layer.grid):
        image, row, col = (int(a[match, i, j]) for a in (field.image, field.row, field.col))
        for y, source_y in copied(i, row, *axes[0]):
            for x, source_x in copied(j, col, *axes[1]):
                assert (picture[y, x] == -1).all(), "a pixel has two owners"
                picture[y, x] = images[image, source_y, source_x]
    return picture


@given(layers(), st.integers(1, 3), st.integers(0, 1000))
@settings(max_examples=80, deadline=None)
def test_patches_are_copied_about_their_centres(layer: Layer, matches: int, seed: int) -> None:
    field, images = random_field(layer, matches, seed), random_images(layer)
    for match in range(matches):
        found = provenance(field, layer, match).copy_from(images)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, copied_patches(field, layer, images, match))


@given(layers(), st.integers(0, IMAGES - 1))
@settings(deadline=None)
def test_the_identity_gives_the_image_back(layer: Layer, image: int) -> None:
    images = random_images(layer)
    found = provenance(identity_field(layer, image), layer)
    np.testing.assert_array_equal(found.copy_from(images), images[image])
    np.testing.assert_array_equal(found.copy_from(images[..., 0]), images[image, ..., 0])
    assert found.copy_from(images[..., 0]).shape == layer.image_size


def test_default_is_the_best_match() -> None:
    layer = Layer.of("layer", (4, 4, 2), (16, 16))
    field = random_field(layer, 2, seed=0)
    best, second = provenance(field, layer, 0), provenance(field, layer, 1)
    np.testing.assert_array_equal(provenance(field, layer).row, best.row)
    assert (best.row != second.row).any()
    with pytest.raises(IndexError):
        provenance(field, layer, 2)


def test_a_patch_at_the_edge_of_the_query_takes_as_much_more() -> None:
    """2x2 hyperpatches of stride 4 in 16 pixels: grid 3, patches of 6, 4 and 6 pixels."""
    layer = Layer.of("layer", (4, 1, 2), (16, 1))
    assert layer.grid == (3, 1)
    rows = np.array([[[1], [0], [1]]], np.int32)
    zeros = np.zeros_like(rows)
    found = provenance(Field(zeros, rows, zeros, np.ones(rows.shape, np.float32)), layer)
    # Patch 0, centred at 4, is given what lies about 8; patch 1, at 8, what lies about 4; ...
    np.testing.assert_array_equal(
        found.row[:, 0], [4, 5, 6, 7, 8, 9, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    )


# Overlapping windows


PALETTE = Palette(
    "test",
    tuple("abcd"),
    np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 0]], np.uint8),
    void=7,
)


def window(place: int, cells: int, stride: int, pixels: int, shape: int) -> range:
    """Pixels along one axis of the cells of a hyperpatch; the last cell reaches to the edge."""
    end = pixels if place + cells == shape else min((place + cells) * stride, pixels)
    return range(min(place * stride, pixels), end)


def pasted_windows(
    field: Field, layer: Layer, images: npt.NDArray[np.generic]
) -> dict[tuple[int, int], list[npt.NDArray[np.generic]]]:
    """All that is pasted at each pixel, window by window."""
    (height, width), (sy, sx), (h, w) = layer.image_size, layer.stride, layer.hyperpatch
    pasted: dict[tuple[int, int], list[npt.NDArray[np.generic]]] = {
        pixel: [] for pixel in product(range(height), range(width))
    }
    for match, i, j in np.ndindex(field.matches, *layer.grid):
        image, row, col = (int(a[match, i, j]) for a in (field.image, field.row, field.col))
        rows = window(i, h, sy, height, layer.shape[0])
        cols = window(j, w, sx, width, layer.shape[1])
        for y, x in product(rows, cols):
            source_y = min(max(y - i * sy + row * sy, 0), height - 1)
            source_x = min(max(x - j * sx + col * sx, 0), width - 1)
            pasted[y, x].append(images[image, source_y, source_x])
    return pasted


def elected(votes: list[int], owner: int) -> int:
    counts = Counter(votes)
    most = max(counts.values())
    tied = [label for label, count in counts.items() if count == most]
    return owner if owner in tied else min(tied)


def random_labels(layer: Layer, seed: int) -> npt.NDArray[np.uint8]:
    labels = np.array([0, 1, 2, 3, 7], np.uint8)
    return np.random.default_rng(seed).choice(labels, (IMAGES, *layer.image_size))


@given(layers(), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_overlapping_photos_are_averaged(layer: Layer, seed: int) -> None:
    field, images = random_field(layer, 2, seed), random_images(layer)
    found = compose(field, layer, images, "overlap")
    assert found.dtype == np.uint8
    assert found.shape == (*layer.image_size, 3)
    for pixel, values in pasted_windows(field, layer, images).items():
        assert 2 <= len(values) <= 2 * layer.hyperpatch[0] * layer.hyperpatch[1]
        mean = np.mean(np.array(values, np.float64), axis=0)
        assert np.abs(found[pixel] - mean).max() <= 0.5 + 1e-4


@given(layers(), st.integers(1, 3), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_overlapping_label_maps_are_voted_on(layer: Layer, matches: int, seed: int) -> None:
    field, images = random_field(layer, matches, seed), random_labels(layer, seed)
    owners = compose(field, layer, images, "copy")
    expected = np.zeros(layer.image_size, np.uint8)
    for pixel, votes in pasted_windows(field, layer, images).items():
        expected[pixel] = elected([int(vote) for vote in votes], int(owners[pixel]))
    found = compose(field, layer, images, "overlap", palette=PALETTE)
    np.testing.assert_array_equal(found, expected)

    # Painted label maps, with colours a little off, give the same classes in their true colours.
    painted = np.stack([PALETTE.colourise(labels) for labels in images])
    painted[painted > 0] -= np.uint8(20)
    np.testing.assert_array_equal(
        compose(field, layer, painted, "overlap", palette=PALETTE), PALETTE.colourise(expected)
    )


@given(layers(), st.integers(0, IMAGES - 1))
@settings(deadline=None, max_examples=40)
def test_the_identity_gives_the_image_back_from_windows_too(layer: Layer, image: int) -> None:
    field = identity_field(layer, image)
    photos, labels = random_images(layer), random_labels(layer, 0)
    np.testing.assert_array_equal(compose(field, layer, photos, "overlap"), photos[image])
    np.testing.assert_array_equal(compose(field, layer, labels, "overlap"), labels[image])


def test_windows_of_one_cell_are_the_patches() -> None:
    layer = Layer("layer", (5, 6, 2), (3, 2), (1, 1), (15, 12))
    field, images = random_field(layer, 1, 0), random_images(layer)
    np.testing.assert_array_equal(
        compose(field, layer, images, "overlap"), compose(field, layer, images, "copy")
    )


def plain_stripes(labels: list[int], stride: int, cells: int) -> tuple[Field, Layer, Labels]:
    """A column of hyperpatches, each matched at its own place in an image of one label."""
    count = len(labels)
    pixels = (count + cells - 1) * stride
    layer = Layer("layer", (count + cells - 1, 1, 1), (stride, 1), (cells, 1), (pixels, 1))
    places = np.arange(count, dtype=np.int32).reshape(1, count, 1)
    field = Field(places, places, np.zeros_like(places), np.ones(places.shape, np.float32))
    images = np.empty((count, pixels, 1), np.uint8)
    images[:] = np.reshape(labels, (count, 1, 1))
    return field, layer, images


def test_a_tie_goes_to_the_owner() -> None:
    """Two windows of 4 pixels, of which 2 overlap; the patches meet in the middle of these."""
    field, layer, images = plain_stripes([3, 1], stride=2, cells=2)
    assert compose(field, layer, images, "overlap")[:, 0].tolist() == [3, 3, 3, 1, 1, 1]


def test_a_tie_of_others_goes_to_the_lowest() -> None:
    """All 5 windows cover pixel 5; its owner's label has one vote, 1 and 2 have two each."""
    field, layer, images = plain_stripes([2, 2, 1, 0, 1], stride=1, cells=6)
    assert compose(field, layer, images, "copy")[5, 0] == 0
    assert compose(field, layer, images, "overlap")[5, 0] == 1


def test_a_composition_that_there_is_not() -> None:
    layer = Layer.of("layer", (4, 4, 2), (16, 16))
    with pytest.raises(SearchError, match="'blend'; choose 'copy' or 'overlap'"):
        compose(identity_field(layer, 0), layer, random_images(layer), "blend")  # type: ignore[arg-type]


# In explanations


@pytest.fixture(scope="module", params=["photos", "labels"])
def explained(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Explanation:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "photos":
        model, dataset = Model(tiny_unet(folder / "net.onnx"), ["encoder_2"]), MemoryDataset(3)
    else:
        model = Model(tiny_segnet(folder / "net.onnx"), ["encoder_2"])
        dataset = MemoryDataset(3, (24, 32), classes=5)
    bank = Bank.build(folder / "bank", model, dataset)
    size = dataset[0].input.shape[:2]
    return bank.explain(MemoryDataset(1, size, seed=1)[0].input, "encoder_2")


def recomposed(explanation: Explanation, composition: Composition) -> Explanation:
    return Explanation(
        explanation.layer,
        explanation.field,
        explanation.query,
        explanation.network_output,
        explanation.candidates,
        explanation.bank,
        composition,
    )


def test_explanations_are_composed_as_asked(explained: Explanation) -> None:
    inputs, targets = explained.bank.inputs([]), explained.bank.targets([])
    assert explained.composition == "copy"
    for how in ("copy", "overlap"):
        found = recomposed(explained, how)
        field, layer = explained.field, explained.layer
        np.testing.assert_array_equal(found.input, compose(field, layer, inputs, how))
        np.testing.assert_array_equal(found.output, compose(field, layer, targets, how))
        np.testing.assert_array_equal(found.provenance.image, explained.provenance.image)
        assert found.sources() == explained.sources()
    overlapping = recomposed(explained, "overlap")
    assert (overlapping.input != explained.input).any()
    assert (overlapping.output != explained.output).any()
    assert overlapping.output.shape == explained.output.shape


def test_an_overlap_of_matches_beyond_the_owners_is_checked(tmp_path: Path) -> None:
    """Every image that is pasted is checked for damage, also one that owns few pixels or none."""
    model = Model(tiny_unet(tmp_path / "net.onnx"), ["encoder_2"])
    bank = Bank.build(tmp_path / "bank", model, MemoryDataset(2))
    layer = bank.layers["encoder_2"]
    field = identity_field(layer, 0)
    photo = MemoryDataset(2)[1].input
    file = tmp_path / "bank" / "inputs.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    damaged = Bank(tmp_path / "bank")
    sound = Explanation(layer, field, photo, photo, (), damaged, "overlap")
    assert sound.input.shape == photo.shape
    field.image[0, 3, 3] = 1
    with pytest.raises(BankError, match="'img_1'"):
        _ = Explanation(layer, field, photo, photo, (), damaged, "overlap").input


def test_an_explanation_with_a_composition_that_there_is_not(explained: Explanation) -> None:
    with pytest.raises(SearchError, match="'mean'; choose 'copy' or 'overlap'"):
        recomposed(explained, "mean")  # type: ignore[arg-type]
