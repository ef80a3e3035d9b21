"""Composition against a loop over patches that states the paper's rule (section 3.1) directly."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compnn.composition import provenance
from compnn.field import Field
from compnn.geometry import Layer

IMAGES = 3


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


def compose(
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
        np.testing.assert_array_equal(found, compose(field, layer, images, match))


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
