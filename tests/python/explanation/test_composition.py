"""Composition against loops over patches and windows that state the rules directly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product
from math import floor

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compnn.errors import SearchError
from compnn.explanation.composition import Composition, compose, provenance
from compnn.explanation.explanation import Explanation
from compnn.images.kinds import Kind, Labels, Photo, Picture, Values
from compnn.images.palette import Palette
from compnn.network.layer import Layer
from compnn.search.field import Field
from compnn.search.search import Exhaustive
from memory_images import MemoryImages, MemoryPictures

IMAGES = 3
PALETTE = Palette(
    "test",
    tuple("abcd"),
    np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 0]], np.uint8),
    void=7,
)
LABELS = Labels(PALETTE)


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


# Sizes of the training images: as the query, or each of its own.
sizes = st.none() | st.lists(
    st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=IMAGES, max_size=IMAGES
)
Sizes = Sequence[tuple[int, int]] | None


def random_field(layer: Layer, matches: int, seed: int, sizes: Sizes = None) -> Field:
    """Places in images of the query's size, or in those of other sizes, of as many cells."""
    random = np.random.default_rng(seed)
    shape = (matches, *layer.grid)
    image = random.integers(0, IMAGES, shape, np.int32)
    grids = np.array([layer.grid] * IMAGES)
    if sizes is not None:
        grids = np.maximum(np.array(sizes) // layer.stride - layer.hyperpatch + 1, 1)
    places = [(random.random(shape) * grids[image, axis]).astype(np.int32) for axis in (0, 1)]
    return Field(image, *places, random.random(shape, np.float32))


def identity_field(layer: Layer, image: int) -> Field:
    rows, cols = np.indices(layer.grid, np.int32)[:, np.newaxis]
    return Field(np.full_like(rows, image), rows, cols, np.ones(rows.shape, np.float32))


def random_photos(layer: Layer, sizes: Sizes = None) -> MemoryPictures:
    random = np.random.default_rng(7)
    return MemoryPictures(
        [
            random.integers(0, 256, (*size, 3), np.uint8)
            for size in sizes or [layer.image_size] * IMAGES
        ]
    )


def random_labels(layer: Layer, seed: int, sizes: Sizes = None) -> MemoryPictures:
    labels = np.array([0, 1, 2, 3, 7], np.uint8)
    random = np.random.default_rng(seed)
    return MemoryPictures(
        [random.choice(labels, size) for size in sizes or [layer.image_size] * IMAGES]
    )


def random_values(layer: Layer, sizes: Sizes = None) -> MemoryPictures:
    random = np.random.default_rng(8)
    return MemoryPictures(
        [
            random.uniform(-50, 50, size).astype(np.float32)
            for size in sizes or [layer.image_size] * IMAGES
        ]
    )


def pixels_of_patch(place: int, grid: int, stride: int, cells: int, pixels: int) -> range:
    """Pixels along one axis of the patch of the hyperpatch at `place`."""
    centre = (place + Fraction(cells, 2)) * stride
    first, last = (floor(centre + half * Fraction(stride, 2)) for half in (-1, 1))
    first = 0 if place == 0 else min(first, pixels)
    last = pixels if place == grid - 1 else min(last, pixels)
    return range(first, last)


def copied(
    place: int, match: int, grid: int, stride: int, cells: int, pixels: int, there: int
) -> list[tuple[int, int]]:
    """Along one axis: each pixel of the patch at `place`, with the one that `match` gives it.

    The matched image has `there` pixels.
    """
    centre, matched = ((each + Fraction(cells, 2)) * stride for each in (place, match))
    pairs = []
    for pixel in pixels_of_patch(place, grid, stride, cells, pixels):
        source = matched + (pixel - centre)
        assert source.denominator == 1
        pairs.append((pixel, min(max(int(source), 0), there - 1)))
    return pairs


def copied_patches(
    field: Field, layer: Layer, images: MemoryPictures, match: int
) -> npt.NDArray[np.int64]:
    """Copy patch by patch, pixels by their place relative to the patch's centre."""
    picture = np.full((*layer.image_size, 3), -1, np.int64)
    axes = list(zip(layer.grid, layer.stride, layer.hyperpatch, layer.image_size, strict=True))
    for i, j in np.ndindex(*layer.grid):
        image, row, col = (int(a[match, i, j]) for a in (field.image, field.row, field.col))
        source = images.pictures[image]
        for y, source_y in copied(i, row, *axes[0], source.shape[0]):
            for x, source_x in copied(j, col, *axes[1], source.shape[1]):
                assert (picture[y, x] == -1).all(), "a pixel has two owners"
                picture[y, x] = source[source_y, source_x]
    return picture


@given(layers(), sizes, st.integers(1, 3), st.integers(0, 1000))
@settings(max_examples=150, deadline=None)
def test_patches_are_copied_about_their_centres(
    layer: Layer, sizes: Sizes, matches: int, seed: int
) -> None:
    field, images = random_field(layer, matches, seed, sizes), random_photos(layer, sizes)
    for match in range(matches):
        found = provenance(field, layer, images, match)
        for array in (found.image, found.row, found.col):
            assert array.dtype == np.int32
            assert array.shape == layer.image_size
        picture = found.copy_from(images)
        assert picture.dtype == np.uint8
        np.testing.assert_array_equal(picture, copied_patches(field, layer, images, match))


@given(layers(), st.integers(0, IMAGES - 1))
@settings(deadline=None)
def test_the_identity_gives_the_image_back(layer: Layer, image: int) -> None:
    photos, labels = random_photos(layer), random_labels(layer, 0)
    found = provenance(identity_field(layer, image), layer, photos)
    np.testing.assert_array_equal(found.copy_from(photos), photos.picture(image))
    np.testing.assert_array_equal(found.copy_from(labels), labels.picture(image))
    assert found.copy_from(labels).shape == layer.image_size


def test_default_is_the_best_match() -> None:
    layer = Layer.of("layer", (4, 4, 2), (16, 16))
    field, photos = random_field(layer, 2, seed=0), random_photos(layer)
    best, second = provenance(field, layer, photos, 0), provenance(field, layer, photos, 1)
    np.testing.assert_array_equal(provenance(field, layer, photos).row, best.row)
    assert (best.row != second.row).any()
    with pytest.raises(IndexError):
        provenance(field, layer, photos, 2)


def test_a_patch_at_the_edge_of_the_query_takes_as_much_more() -> None:
    """2x2 hyperpatches of stride 4 in 16 pixels: grid 3, patches of 6, 4 and 6 pixels."""
    layer = Layer.of("layer", (4, 1, 2), (16, 1))
    assert layer.grid == (3, 1)
    rows = np.array([[[1], [0], [1]]], np.int32)
    zeros = np.zeros_like(rows)
    field = Field(zeros, rows, zeros, np.ones(rows.shape, np.float32))
    found = provenance(field, layer, random_photos(layer))
    # Patch 0, centred at 4, is given what lies about 8; patch 1, at 8, what lies about 4; ...
    np.testing.assert_array_equal(
        found.row[:, 0], [4, 5, 6, 7, 8, 9, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    )
    # A matched image of 7 pixels gives its last one for those that it does not have.
    small = provenance(field, layer, random_photos(layer, [(7, 1)] * IMAGES))
    np.testing.assert_array_equal(small.row, np.minimum(found.row, 6))


# Overlapping windows


def window(place: int, cells: int, stride: int, pixels: int, shape: int) -> range:
    """Pixels along one axis of the cells of a hyperpatch; the last cell reaches to the edge."""
    end = pixels if place + cells == shape else min((place + cells) * stride, pixels)
    return range(min(place * stride, pixels), end)


def pasted_windows(
    field: Field, layer: Layer, images: MemoryPictures
) -> dict[tuple[int, int], list[npt.NDArray[np.generic]]]:
    """All that is pasted at each pixel, window by window."""
    (height, width), (sy, sx), (h, w) = layer.image_size, layer.stride, layer.hyperpatch
    pasted: dict[tuple[int, int], list[npt.NDArray[np.generic]]] = {
        pixel: [] for pixel in product(range(height), range(width))
    }
    for match, i, j in np.ndindex(field.matches, *layer.grid):
        image, row, col = (int(a[match, i, j]) for a in (field.image, field.row, field.col))
        source = images.pictures[image]
        rows = window(i, h, sy, height, layer.shape[0])
        cols = window(j, w, sx, width, layer.shape[1])
        for y, x in product(rows, cols):
            source_y = min(max(y - i * sy + row * sy, 0), source.shape[0] - 1)
            source_x = min(max(x - j * sx + col * sx, 0), source.shape[1] - 1)
            pasted[y, x].append(source[source_y, source_x])
    return pasted


def elected(votes: list[int], owner: int) -> int:
    counts = Counter(votes)
    most = max(counts.values())
    tied = [label for label, count in counts.items() if count == most]
    return owner if owner in tied else min(tied)


@given(layers(), sizes, st.integers(0, 1000))
@settings(max_examples=80, deadline=None)
def test_overlapping_photos_are_averaged(layer: Layer, sizes: Sizes, seed: int) -> None:
    field, images = random_field(layer, 2, seed, sizes), random_photos(layer, sizes)
    found = compose(field, layer, images, "overlap", Photo())
    assert found.dtype == np.uint8
    assert found.shape == (*layer.image_size, 3)
    for pixel, values in pasted_windows(field, layer, images).items():
        assert 2 <= len(values) <= 2 * layer.hyperpatch[0] * layer.hyperpatch[1]
        mean = np.mean(np.array(values, np.float64), axis=0)
        assert np.abs(found[pixel] - mean).max() <= 0.5 + 1e-4


@given(layers(), sizes, st.integers(1, 2), st.integers(0, 1000))
@settings(max_examples=80, deadline=None)
def test_overlapping_values_are_averaged(
    layer: Layer, sizes: Sizes, matches: int, seed: int
) -> None:
    field, images = random_field(layer, matches, seed, sizes), random_values(layer, sizes)
    found = compose(field, layer, images, "overlap", Values("m"))
    assert found.dtype == np.float32
    assert found.shape == layer.image_size
    for pixel, values in pasted_windows(field, layer, images).items():
        assert found[pixel] == pytest.approx(np.mean(values, dtype=np.float64), abs=1e-4)
    copied = compose(field, layer, images, "copy", Values("m"))
    where = provenance(field, layer, images)
    assert copied.dtype == np.float32
    for place in np.ndindex(*layer.image_size):
        source = images.pictures[where.image[place]]
        assert copied[place] == source[where.row[place], where.col[place]]


@given(layers(), sizes, st.integers(1, 3), st.integers(0, 1000))
@settings(max_examples=80, deadline=None)
def test_overlapping_label_maps_are_voted_on(
    layer: Layer, sizes: Sizes, matches: int, seed: int
) -> None:
    field, images = random_field(layer, matches, seed, sizes), random_labels(layer, seed, sizes)
    owners = compose(field, layer, images, "copy", LABELS)
    expected = np.zeros(layer.image_size, np.uint8)
    for pixel, votes in pasted_windows(field, layer, images).items():
        expected[pixel] = elected([int(vote) for vote in votes], int(owners[pixel]))
    found = compose(field, layer, images, "overlap", LABELS)
    np.testing.assert_array_equal(found, expected)

    # Painted label maps, with colours a little off, give the same classes in their true colours.
    painted = MemoryPictures([PALETTE.colourise(labels) for labels in images.pictures])
    for picture in painted.pictures:
        picture[picture > 0] -= np.uint8(20)
    np.testing.assert_array_equal(
        compose(field, layer, painted, "overlap", LABELS), PALETTE.colourise(expected)
    )


@given(layers(), st.integers(0, IMAGES - 1))
@settings(deadline=None, max_examples=40)
def test_the_identity_gives_the_image_back_from_windows_too(layer: Layer, image: int) -> None:
    field = identity_field(layer, image)
    for images, kind in (
        (random_photos(layer), Photo()),
        (random_labels(layer, 0), LABELS),
        (random_values(layer), Values()),
    ):
        found = compose(field, layer, images, "overlap", kind)
        np.testing.assert_allclose(found, images.picture(image), rtol=1e-6)


def test_windows_of_one_cell_are_the_patches() -> None:
    layer = Layer("layer", (5, 6, 2), (3, 2), (1, 1), (15, 12))
    field, images = random_field(layer, 1, 0), random_photos(layer)
    np.testing.assert_array_equal(
        compose(field, layer, images, "overlap", Photo()),
        compose(field, layer, images, "copy", Photo()),
    )


def plain_stripes(
    labels: list[int], stride: int, cells: int
) -> tuple[Field, Layer, MemoryPictures]:
    """A column of hyperpatches, each matched at its own place in an image of one label."""
    count = len(labels)
    pixels = (count + cells - 1) * stride
    layer = Layer("layer", (count + cells - 1, 1, 1), (stride, 1), (cells, 1), (pixels, 1))
    places = np.arange(count, dtype=np.int32).reshape(1, count, 1)
    field = Field(places, places, np.zeros_like(places), np.ones(places.shape, np.float32))
    return field, layer, MemoryPictures([np.full((pixels, 1), each, np.uint8) for each in labels])


def test_a_tie_goes_to_the_owner() -> None:
    """Two windows of 4 pixels, of which 2 overlap; the patches meet in the middle of these."""
    stripes = plain_stripes([3, 1], stride=2, cells=2)
    assert compose(*stripes, "overlap", LABELS)[:, 0].tolist() == [3, 3, 3, 1, 1, 1]


def test_a_tie_of_others_goes_to_the_lowest() -> None:
    """All 5 windows cover pixel 5; its owner's label has one vote, 1 and 2 have two each."""
    stripes = plain_stripes([2, 2, 1, 0, 1], stride=1, cells=6)
    assert compose(*stripes, "copy", LABELS)[5, 0] == 0
    assert compose(*stripes, "overlap", LABELS)[5, 0] == 1


def test_a_composition_that_there_is_not() -> None:
    layer = Layer.of("layer", (4, 4, 2), (16, 16))
    with pytest.raises(SearchError, match="'blend'; choose 'copy' or 'overlap'"):
        compose(
            identity_field(layer, 0),
            layer,
            random_photos(layer),
            "blend",  # type: ignore[arg-type]
            Photo(),
        )


# In explanations


Made = Callable[[Composition], Explanation]


@pytest.fixture(params=["photos", "labels", "values", "sizes"])
def made(request: pytest.FixtureRequest) -> tuple[Made, Kind]:
    """An explanation composed in any way, and the kind of its targets."""
    layer = Layer.of("layer", (4, 5, 2), (16, 20))
    sizes = [(16, 20), (9, 30), (40, 8)] if request.param == "sizes" else None
    inputs, field = random_photos(layer, sizes), random_field(layer, 2, 0, sizes)
    targets: MemoryPictures
    kind: Kind
    if request.param == "labels":
        targets, kind = random_labels(layer, 0), LABELS
    elif request.param == "values":
        targets, kind = random_values(layer), Values("m")
    else:
        targets, kind = MemoryPictures([image[::-1] for image in inputs.pictures]), Photo()

    def make(how: Composition) -> Explanation:
        images = MemoryImages(inputs.pictures, targets.pictures)
        query: Picture = inputs.pictures[0][:16, :20]
        output = targets.pictures[0][:16, :20]
        kinds = (Photo(), kind)
        return Explanation(layer, field, Exhaustive(2), query, output, (), kinds, images, how)

    return make, kind


def test_explanations_are_composed_as_asked(made: tuple[Made, Kind]) -> None:
    make, kind = made
    copied, overlapping = make("copy"), make("overlap")
    assert copied.composition == "copy"
    for found in (copied, overlapping):
        arguments = found.field, found.layer
        images, how = found.images, found.composition
        np.testing.assert_array_equal(found.input, compose(*arguments, images.inputs, how, Photo()))
        np.testing.assert_array_equal(found.output, compose(*arguments, images.targets, how, kind))
        np.testing.assert_array_equal(found.provenance.image, copied.provenance.image)
        assert found.sources() == copied.sources()
    assert (overlapping.input != copied.input).any()
    assert (overlapping.output != copied.output).any()
    assert overlapping.output.shape == copied.output.shape == (16, 20, *kind.trailing)
    assert overlapping.output.dtype == kind.dtype


@pytest.mark.parametrize(("how", "expected"), [("copy", {0}), ("overlap", {0, 2})])
def test_all_that_is_pasted_is_checked(how: Composition, expected: set[int]) -> None:
    """Also an image that owns few pixels or none, as the second best of one hyperpatch."""
    layer = Layer.of("layer", (4, 4, 2), (16, 16))
    best = identity_field(layer, 0)
    field = Field(
        *(np.concatenate([array] * 2) for array in (best.image, best.row, best.col)),
        np.ones((2, *layer.grid), np.float32),
    )
    field.image[1, 1, 1] = 2
    photos = random_photos(layer)
    images = MemoryImages(photos.pictures, photos.pictures)
    photo = photos.pictures[0]
    found = Explanation(
        layer, field, Exhaustive(2), photo, photo, (), (Photo(), Photo()), images, how
    )
    assert found.input.shape == photo.shape
    assert set(images.inputs.checked) == expected
    assert images.targets.checked == []
    assert found.output.shape == photo.shape
    assert set(images.targets.checked) == expected


def test_an_explanation_with_a_composition_that_there_is_not(made: tuple[Made, Kind]) -> None:
    with pytest.raises(SearchError, match="'mean'; choose 'copy' or 'overlap'"):
        made[0]("mean")  # type: ignore[arg-type]
