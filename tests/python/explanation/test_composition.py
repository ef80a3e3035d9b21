"""Composition against the rules, stated pixel by pixel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compnn.errors import SearchError
from compnn.explanation.composition import Composition, Provenance, compose, provenance
from compnn.explanation.explanation import Explanation
from compnn.images.kinds import Kind, Labels, Photo, Picture, Values
from compnn.images.palette import Palette
from compnn.network.geometry import AxisMap, Geometry, Placement
from compnn.network.layer import Layer
from compnn.search.field import Field
from compnn.search.search import Exhaustive
from memory_images import MemoryImages, MemoryPictures
from placements import cell, geometries, given_by, owner

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
    """Layers that lie over input and output in any way, by any two maps."""
    cells = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    hyperpatch = tuple(draw(st.integers(1, min(count, 3))) for count in cells)
    geometry = draw(geometries())
    return Layer("layer", (*cells, 4), (hyperpatch[0], hyperpatch[1]), geometry)


@st.composite
def many_layers(draw: st.DrawFn) -> tuple[Layer, list[Layer]]:
    """A layer over the query, and over each training image: alike, or each in its own way."""
    own = draw(layers())
    if draw(st.booleans()):
        return own, [own] * IMAGES
    others = []
    for _ in range(IMAGES):
        shape = (*(draw(st.integers(least, 8)) for least in own.hyperpatch), 4)
        others.append(replace(own, shape=shape, geometry=draw(geometries())))
    return own, others


def random_field(
    own: Layer, others: Sequence[Layer], matches: int, seed: int, nothing: float = 0
) -> Field:
    """Places anywhere in the training images; a share of the matches does not exist."""
    random = np.random.default_rng(seed)
    shape = (matches, *own.grid)
    image = random.integers(0, IMAGES, shape, np.int32)
    grids = np.array([each.grid for each in others])
    places = [(random.random(shape) * grids[image, axis]).astype(np.int32) for axis in (0, 1)]
    similarity = random.random(shape, np.float32)
    none = random.random(shape) < nothing
    for array, value in ((image, -1), (places[0], -1), (places[1], -1), (similarity, 0)):
        array[none] = value
    return Field(image, *places, similarity)


def identity_field(layer: Layer, image: int) -> Field:
    rows, cols = np.indices(layer.grid, np.int32)[:, np.newaxis]
    return Field(np.full_like(rows, image), rows, cols, np.ones(rows.shape, np.float32))


def random_pictures(kind: Kind, sizes: Sequence[tuple[int, int]], seed: int = 7) -> MemoryPictures:
    random = np.random.default_rng(seed)
    if isinstance(kind, Labels):
        labels = np.array([0, 1, 2, 3, 7], np.uint8)
        return MemoryPictures([random.choice(labels, size) for size in sizes])
    if isinstance(kind, Values):
        return MemoryPictures([random.uniform(-50, 50, size).astype(np.float32) for size in sizes])
    return MemoryPictures([random.integers(0, 256, (*size, 3), np.uint8) for size in sizes])


class Case(NamedTuple):
    """A field, and how its layer lies over the pictures."""

    field: Field
    own: Placement
    others: list[Placement]
    pictures: MemoryPictures

    @classmethod
    def of(
        cls,
        layers: tuple[Layer, list[Layer]],
        kind: Kind,
        matches: int,
        seed: int,
        nothing: float = 0,
    ) -> Case:
        """By where the layers paint."""
        own, others = layers
        placements = [each.paints for each in others]
        pictures = random_pictures(kind, [each.size for each in placements], seed)
        field = random_field(own, others, matches, seed, nothing)
        return cls(field, own.paints, placements, pictures)

    def provenance(self, match: int = 0) -> Provenance:
        return provenance(self.field, self.own, self.others.__getitem__, self.pictures, match)

    def composed(self, how: Composition, kind: Kind) -> Picture:
        return compose(self.field, self.own, self.others.__getitem__, self.pictures, how, kind)

    def given(self, match: int, at: tuple[int, int], pixel: tuple[int, int]) -> Any:
        """What a match of the hyperpatch `at` gives to a pixel; None where there is none."""
        image, row, col = (
            int(a[(match, *at)]) for a in (self.field.image, self.field.row, self.field.col)
        )
        if image == -1:
            return None
        source, picture = self.others[image], self.pictures.pictures[image]
        y, x = (
            given_by(self.own, source, axis, pixel[axis], at[axis], (row, col)[axis], pixels)
            for axis, pixels in enumerate(picture.shape[:2])
        )
        return image, y, x

    def owned(self, match: int, pixel: tuple[int, int]) -> Any:
        """As `given`, by the hyperpatch that owns the pixel."""
        at = owner(self.own, 0, pixel[0]), owner(self.own, 1, pixel[1])
        return self.given(match, at, pixel)

    def pasted(self, pixel: tuple[int, int]) -> list[Any]:
        """All that the windows paste at a pixel."""
        cells = [cell(self.own, axis, pixel[axis]) for axis in (0, 1)]
        found = []
        for match, a, b in np.ndindex(self.field.matches, *self.own.hyperpatch):
            i, j = cells[0] - a, cells[1] - b
            if 0 <= i < self.own.grid[0] and 0 <= j < self.own.grid[1]:
                place = self.given(match, (i, j), pixel)
                if place is not None:
                    found.append(self.pictures.pictures[place[0]][place[1], place[2]])
        return found


@given(many_layers(), st.integers(1, 3), st.integers(0, 1000), st.sampled_from([0, 0.3, 1]))
@settings(max_examples=150, deadline=None)
def test_pixels_are_copied_about_the_centres_of_their_hyperpatches(
    layers: tuple[Layer, list[Layer]], matches: int, seed: int, nothing: float
) -> None:
    case = Case.of(layers, Photo(), matches, seed, nothing)
    for match in range(matches):
        found = case.provenance(match)
        picture = found.copy_from(case.pictures, Photo())
        assert picture.dtype == np.uint8
        missing = np.zeros(case.own.size, np.bool_)
        for array in (found.image, found.row, found.col):
            assert array.dtype == np.int32
            assert array.shape == case.own.size
        for pixel in np.ndindex(*case.own.size):
            place = case.owned(match, pixel)
            assert (found.image[pixel], found.row[pixel], found.col[pixel]) == (
                place or (-1, -1, -1)
            )
            missing[pixel] = place is None
            if place is not None:
                image, y, x = place
                assert (picture[pixel] == case.pictures.pictures[image][y, x]).all()
        shown = Photo().unmatched(np.zeros_like(picture), missing)
        np.testing.assert_array_equal(picture[missing], shown[missing])
        assert (found.matched is None) == (not missing.any())


@given(layers(), st.integers(0, IMAGES - 1))
@settings(deadline=None)
def test_the_identity_gives_the_image_back(layer: Layer, image: int) -> None:
    for kind in (Photo(), LABELS, Values()):
        pictures = random_pictures(kind, [layer.output_size] * IMAGES)
        case = Case(identity_field(layer, image), layer.paints, [layer.paints] * IMAGES, pictures)
        np.testing.assert_array_equal(case.composed("copy", kind), pictures.picture(image))
        found = case.composed("overlap", kind)
        np.testing.assert_allclose(found, pictures.picture(image), rtol=1e-6)


def test_default_is_the_best_match() -> None:
    layer = Layer.of("layer", (4, 4, 2), (16, 16))
    case = Case.of((layer, [layer] * IMAGES), Photo(), 2, 0)
    best, second = case.provenance(0), case.provenance(1)
    found = provenance(case.field, case.own, case.others.__getitem__, case.pictures)
    np.testing.assert_array_equal(found.row, best.row)
    assert (best.row != second.row).any()
    with pytest.raises(IndexError):
        case.provenance(2)


def test_a_patch_at_the_edge_of_the_query_takes_as_much_more() -> None:
    """2x2 hyperpatches of stride 4 in 16 pixels: grid 3, patches of 6, 4 and 6 pixels."""
    layer = Layer.of("layer", (4, 1, 2), (16, 1))
    assert layer.grid == (3, 1)
    rows = np.array([[[1], [0], [1]]], np.int32)
    zeros = np.zeros_like(rows)
    field = Field(zeros, rows, zeros, np.ones(rows.shape, np.float32))
    photos = random_pictures(Photo(), [(16, 1)] * IMAGES)
    found = Case(field, layer.paints, [layer.paints], photos).provenance()
    # Patch 0, centred at 4, is given what lies about 8; patch 1, at 8, what lies about 4; ...
    np.testing.assert_array_equal(
        found.row[:, 0], [4, 5, 6, 7, 8, 9, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    )
    # A matched image of 7 pixels gives its last one for those that it does not have.
    small = random_pictures(Photo(), [(7, 1)] * IMAGES)
    found_there = Case(field, layer.paints, [layer.paints], small).provenance()
    np.testing.assert_array_equal(found_there.row, np.minimum(found.row, 6))


def test_half_a_pixel_goes_up() -> None:
    """Cells of half a pixel: an odd number of cells is half a pixel more than a whole number."""
    half = AxisMap(Fraction(1, 2))
    one = AxisMap(Fraction(1))
    geometry = Geometry((4, 1), (half, one), (4, 1), (half, one))
    layer = Layer("layer", (8, 1, 2), (1, 1), geometry)
    rows = np.full((1, 8, 1), 4, np.int32)
    field = Field(rows * 0, rows, rows * 0, np.ones(rows.shape, np.float32))
    photos = random_pictures(Photo(), [(4, 1)])
    found = Case(field, layer.paints, [layer.paints], photos).provenance()
    # Pixels 0 to 3 are owned by the cells 1, 3, 5 and 7: 3, 1, -1 and -3 cells before cell 4.
    np.testing.assert_array_equal(found.row[:, 0], [0 + 2, 1 + 1, 2 + 0, 3 - 1])


# Overlapping windows


def elected(votes: list[int], owner: int) -> int:
    counts = Counter(votes)
    most = max(counts.values())
    tied = [label for label, count in counts.items() if count == most]
    return owner if owner in tied else min(tied)


@given(many_layers(), st.integers(0, 1000), st.sampled_from([0, 0.3, 1]))
@settings(max_examples=60, deadline=None)
def test_overlapping_photos_are_averaged(
    layers: tuple[Layer, list[Layer]], seed: int, nothing: float
) -> None:
    case = Case.of(layers, Photo(), 2, seed, nothing)
    found = case.composed("overlap", Photo())
    assert found.dtype == np.uint8
    assert found.shape == (*case.own.size, 3)
    missing = np.zeros(case.own.size, np.bool_)
    for pixel in np.ndindex(*case.own.size):
        values = case.pasted(pixel)
        missing[pixel] = not values
        if values:
            mean = np.mean(np.array(values, np.float64), axis=0)
            assert np.abs(found[pixel] - mean).max() <= 0.5 + 1e-4
    shown = Photo().unmatched(found, missing)
    np.testing.assert_array_equal(found, shown)
    assert nothing or not missing.any()


@given(many_layers(), st.integers(1, 2), st.integers(0, 1000), st.sampled_from([0, 0.3]))
@settings(max_examples=60, deadline=None)
def test_overlapping_values_are_averaged(
    layers: tuple[Layer, list[Layer]], matches: int, seed: int, nothing: float
) -> None:
    case = Case.of(layers, Values("m"), matches, seed, nothing)
    found = case.composed("overlap", Values("m"))
    assert found.dtype == np.float32
    assert found.shape == case.own.size
    for pixel in np.ndindex(*case.own.size):
        values = case.pasted(pixel)
        if values:
            assert found[pixel] == pytest.approx(np.mean(values, dtype=np.float64), abs=1e-4)
        else:
            assert np.isnan(found[pixel])


@given(many_layers(), st.integers(1, 3), st.integers(0, 1000), st.sampled_from([0, 0.3, 1]))
@settings(max_examples=60, deadline=None)
def test_overlapping_label_maps_are_voted_on(
    layers: tuple[Layer, list[Layer]], matches: int, seed: int, nothing: float
) -> None:
    case = Case.of(layers, LABELS, matches, seed, nothing)
    owners = case.composed("copy", LABELS)
    expected = np.zeros(case.own.size, np.uint8)
    for pixel in np.ndindex(*case.own.size):
        votes = [int(vote) for vote in case.pasted(pixel)]
        expected[pixel] = elected(votes, int(owners[pixel])) if votes else PALETTE.void
    found = case.composed("overlap", LABELS)
    np.testing.assert_array_equal(found, expected)
    if nothing:
        return
    # Painted label maps, with colours a little off, give the same classes in their true colours.
    painted = MemoryPictures([PALETTE.colourise(labels) for labels in case.pictures.pictures])
    for picture in painted.pictures:
        picture[picture > 0] -= np.uint8(20)
    np.testing.assert_array_equal(
        case._replace(pictures=painted).composed("overlap", LABELS), PALETTE.colourise(expected)
    )


def test_windows_of_one_cell_are_the_patches() -> None:
    layer = Layer.of("layer", (5, 6, 2), (15, 12), hyperpatch=(1, 1))
    case = Case.of((layer, [layer] * IMAGES), Photo(), 1, 0)
    np.testing.assert_array_equal(case.composed("overlap", Photo()), case.composed("copy", Photo()))


def plain_stripes(labels: list[int], stride: int, cells: int) -> Case:
    """A column of hyperpatches, each matched at its own place in an image of one label."""
    count = len(labels)
    pixels = (count + cells - 1) * stride
    layer = Layer.of("layer", (count + cells - 1, 1, 1), (pixels, 1), hyperpatch=(cells, 1))
    places = np.arange(count, dtype=np.int32).reshape(1, count, 1)
    field = Field(places, places, np.zeros_like(places), np.ones(places.shape, np.float32))
    pictures = MemoryPictures([np.full((pixels, 1), each, np.uint8) for each in labels])
    return Case(field, layer.paints, [layer.paints] * count, pictures)


def test_a_tie_goes_to_the_owner() -> None:
    """Two windows of 4 pixels, of which 2 overlap; the patches meet in the middle of these."""
    stripes = plain_stripes([3, 1], stride=2, cells=2)
    assert stripes.composed("overlap", LABELS)[:, 0].tolist() == [3, 3, 3, 1, 1, 1]


def test_a_tie_of_others_goes_to_the_lowest() -> None:
    """All 5 windows cover pixel 5; its owner's label has one vote, 1 and 2 have two each."""
    stripes = plain_stripes([2, 2, 1, 0, 1], stride=1, cells=6)
    assert stripes.composed("copy", LABELS)[5, 0] == 0
    assert stripes.composed("overlap", LABELS)[5, 0] == 1


def test_a_composition_that_there_is_not() -> None:
    layer = Layer.of("layer", (4, 4, 2), (16, 16))
    case = Case.of((layer, [layer] * IMAGES), Photo(), 1, 0)
    with pytest.raises(SearchError, match="'blend'; choose 'copy' or 'overlap'"):
        case.composed("blend", Photo())  # type: ignore[arg-type]


# In explanations


def two_maps(kind: Kind, how: Composition, *, nothing: float = 0) -> tuple[Explanation, Case, Case]:
    """An explanation that looks at and paints other places, and both its sides."""
    own, *others = (
        Layer(
            "layer",
            (rows, 5, 2),
            (2, 2),
            Geometry(
                (4 * rows, 20),
                (AxisMap(Fraction(4), Fraction(-3, 2)), AxisMap(Fraction(4), Fraction(-3, 2))),
                (8 * rows - 6, 37),
                (AxisMap(Fraction(8), Fraction(-3)), AxisMap(Fraction(255, 31), Fraction(-3, 2))),
            ),
        )
        for rows in (4, 4, 3, 7)
    )
    field = random_field(own, others, 2, 1, nothing)
    inputs = random_pictures(Photo(), [each.image_size for each in others])
    targets = random_pictures(kind, [each.output_size for each in others])
    sides = [
        Case(field, side[0], side[1:], pictures)
        for side, pictures in (
            ([each.looks for each in (own, *others)], inputs),
            ([each.paints for each in (own, *others)], targets),
        )
    ]
    images = MemoryImages(inputs.pictures, targets.pictures, layers=others)
    query, output = inputs.pictures[0], targets.pictures[0]
    kinds = (Photo(), kind)
    made = Explanation(own, field, Exhaustive(2), query, output, (), kinds, images, how)
    return made, sides[0], sides[1]


@pytest.mark.parametrize("kind", [Photo(), LABELS, Values("m")])
@pytest.mark.parametrize("nothing", [0, 0.3, 1])
def test_explanations_are_composed_as_asked(kind: Kind, nothing: float) -> None:
    copied = two_maps(kind, "copy", nothing=nothing)[0]
    for how in get_args(Composition):
        found, inputs, outputs = two_maps(kind, how, nothing=nothing)
        np.testing.assert_array_equal(found.input, inputs.composed(how, Photo()))
        np.testing.assert_array_equal(found.output, outputs.composed(how, kind))
        for side, ours in ((inputs, found.input_provenance), (outputs, found.provenance)):
            np.testing.assert_array_equal(side.provenance().image, ours.image)
            np.testing.assert_array_equal(side.provenance().col, ours.col)
        assert found.input.shape == (16, 20, 3)
        assert found.output.shape == (26, 37, *kind.trailing)
        assert found.output.dtype == kind.dtype
        assert found.sources() == copied.sources()
        of_input = found.sources("input")
        for sources, size in ((found.sources(), 26 * 37), (of_input, 16 * 20)):
            assert all(source.index >= 0 for source in sources)
            share = sum(source.share for source in sources)
            assert sum(source.pixels for source in sources) == round(share * size)
            assert share == pytest.approx(1) if not nothing else share < 1
        if nothing == 0:
            assert of_input != found.sources()
            assert (found.output == copied.output).all() == (how == "copy")


def test_an_explanation_that_paints_where_it_looks_is_put_together_once() -> None:
    layer = Layer.of("layer", (4, 4, 2), (16, 16))
    photos = random_pictures(Photo(), [(16, 16)] * IMAGES)
    images = MemoryImages(photos.pictures, photos.pictures, layers=[layer])
    field = random_field(layer, [layer] * IMAGES, 1, 0)
    query = photos.pictures[0]
    kinds = (Photo(), Photo())
    found = Explanation(layer, field, Exhaustive(), query, query, (), kinds, images)
    assert found.input_provenance is found.provenance
    assert found.sources("input") == found.sources()
    np.testing.assert_array_equal(found.input, found.output)


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
    photos = random_pictures(Photo(), [(16, 16)] * IMAGES)
    images = MemoryImages(photos.pictures, photos.pictures, layers=[layer])
    photo = photos.pictures[0]
    found = Explanation(
        layer, field, Exhaustive(2), photo, photo, (), (Photo(), Photo()), images, how
    )
    assert found.input.shape == photo.shape
    assert set(images.inputs.checked) == expected
    assert images.targets.checked == []
    assert found.output.shape == photo.shape
    assert set(images.targets.checked) == expected


def test_an_explanation_with_a_composition_that_there_is_not() -> None:
    with pytest.raises(SearchError, match="'mean'; choose 'copy' or 'overlap'"):
        two_maps(Photo(), "mean")  # type: ignore[arg-type]
