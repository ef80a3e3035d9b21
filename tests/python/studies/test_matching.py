"""Semantic correspondences between two images: fields, classes, points and their picture."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix

from compnn.errors import ImageError, LayerError, PaletteError, SearchError
from compnn.explanation.query import Query
from compnn.images.files import read_image, write_image
from compnn.images.kinds import Photo
from compnn.images.palette import Palette
from compnn.network.geometry import AxisMap, Placement
from compnn.network.layer import Layer
from compnn.network.onnx import OnnxNetwork
from compnn.network.preprocessing import Preprocessing
from compnn.report.facts import matching_json
from compnn.report.sheets.matches import match_sheet
from compnn.search.search import Auto, Exhaustive, HyperPatchMatch
from compnn.studies.matching import match
from compnn.studies.patch_labels import patch_labels
from matching_cases import SIZE, made_up, palette, photo
from placements import given_by, owner
from reference import Case, hyperpatches, similarities
from tiny_networks import tiny_segnet, tiny_unet


@pytest.fixture(scope="module")
def segnet(tmp_path_factory: pytest.TempPathFactory) -> OnnxNetwork:
    return OnnxNetwork(tiny_segnet(tmp_path_factory.mktemp("nets") / "segnet.onnx", size=SIZE))


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> OnnxNetwork:
    return OnnxNetwork(tiny_unet(tmp_path_factory.mktemp("nets") / "unet.onnx"))


@pytest.fixture(scope="module")
def any_size(tmp_path_factory: pytest.TempPathFactory) -> OnnxNetwork:
    """It takes images of any size that is a multiple of 4."""
    path = tmp_path_factory.mktemp("nets") / "segnet.onnx"
    return OnnxNetwork(tiny_segnet(path, size=("height", "width")))


# --- fields


@pytest.mark.parametrize("layer", ["encoder_1", "encoder_2", "decoder_2"])
def test_fields_are_those_of_brute_force_in_both_directions(
    segnet: OnnxNetwork, layer: str
) -> None:
    a, b = photo(1), photo(2)
    found = match(segnet, a, b, layer)
    taps = [segnet.activations(image, [layer])[layer] for image in (a, b)]
    tap = segnet.layer(layer)
    assert found.search == Exhaustive()
    for field, query, other in ((found.forward, *taps), (found.backward, *taps[::-1])):
        case = Case(query, other[np.newaxis], tap.hyperpatch, np.array([0], np.int32))
        expected = similarities(case)
        width = tap.grid[1]
        chosen = np.take_along_axis(
            expected, (field.row[0] * width + field.col[0])[:, :, np.newaxis], axis=2
        )
        # Equal hyperpatches may be told apart by rounding, so that similarities are compared.
        np.testing.assert_allclose(chosen[:, :, 0], expected.max(axis=2), atol=1e-6)
        np.testing.assert_allclose(field.similarity[0], expected.max(axis=2), atol=1e-6)
        assert (field.image == 0).all()


def test_an_image_matched_to_itself_stays_where_it_is(segnet: OnnxNetwork) -> None:
    random = np.random.default_rng(3).integers(0, 256, (*SIZE, 3), np.uint8)
    found = match(segnet, random, random, "decoder_1", palette=palette(5))
    np.testing.assert_array_equal(found.forward.row[0], np.indices(found.layer.grid)[0])
    np.testing.assert_array_equal(found.forward.col[0], np.indices(found.layer.grid)[1])
    assert found.cycle.dtype == np.float32
    assert not found.cycle.any()
    assert found.cycle_consistency(0) == 1
    assert found.same_class == 1
    np.testing.assert_array_equal(found.a_from_b, random)
    np.testing.assert_array_equal(found.b_from_a, random)


def test_a_shifted_image_is_matched_by_that_shift(segnet: OnnxNetwork) -> None:
    """encoder_1 sees 4x4 pixels at stride 2, so that shifts by even numbers move its cells."""
    a = np.random.default_rng(4).integers(0, 256, (*SIZE, 3), np.uint8)
    b = np.roll(a, (4, 6), axis=(0, 1))
    found = match(segnet, a, b, "encoder_1")
    inner = np.s_[1:8, 1:11]
    rows, cols = np.indices(found.layer.grid)
    np.testing.assert_array_equal(found.forward.row[0][inner], rows[inner] + 2)
    np.testing.assert_array_equal(found.forward.col[0][inner], cols[inner] + 3)
    assert (found.cycle[inner] == 0).all()
    assert found.point(10, 12)[:2] == (14, 18)
    np.testing.assert_array_equal(found.a_from_b[4:14, 4:20], a[4:14, 4:20])


def test_hyperpatch_and_search_options_are_passed_on(segnet: OnnxNetwork) -> None:
    a, b = photo(1), photo(2)
    random_start = HyperPatchMatch(schedule="paper", iterations=0)
    found = match(segnet, a, b, "encoder_1", random_start, hyperpatch=(3, 1))
    assert found.search == random_start
    assert found.layer.grid == (10, 16)
    assert found.forward.grid == (10, 16)
    tap = segnet.activations(a, ["encoder_1"])["encoder_1"]
    other = segnet.activations(b, ["encoder_1"])["encoder_1"]
    # No rounds: a random field, whose similarities are those of the places it names.
    at = found.forward.row[0], found.forward.col[0]
    expected = (hyperpatches(tap, (3, 1)) * hyperpatches(other, (3, 1))[at]).sum(axis=-1)
    np.testing.assert_allclose(found.forward.similarity[0], expected, atol=1e-6)
    other_seed = replace(random_start, seed=1)
    again = match(segnet, a, b, "encoder_1", other_seed, hyperpatch=(3, 1))
    assert not np.array_equal(found.forward.row, again.forward.row)


def test_progress_names_both_directions(segnet: OnnxNetwork) -> None:
    seen: dict[str, float] = {}
    match(segnet, photo(1), photo(2), "encoder_1", progress=lambda d, s: seen.update({d: s}))
    assert seen == {"A to B": 1, "B to A": 1}
    with pytest.raises(ZeroDivisionError):
        match(segnet, photo(1), photo(2), "encoder_1", progress=lambda *_: 1 / 0)


def test_images_are_arrays_paths_or_queries_and_may_be_resized(
    segnet: OnnxNetwork, tmp_path: Path
) -> None:
    a, b = photo(1), photo(2)
    write_image(tmp_path / "a.png", a)
    plain = match(segnet, a, b, "encoder_1")
    other = match(segnet, tmp_path / "a.png", Query("b", b), "encoder_1")
    np.testing.assert_array_equal(plain.forward.similarity, other.forward.similarity)
    np.testing.assert_array_equal(plain.a, other.a)
    large = photo(1, (48, 64))
    with pytest.raises(ImageError, match="resize"):
        match(segnet, large, b, "encoder_1")
    resizing = OnnxNetwork(segnet.path, preprocessing=Preprocessing(resize=True))
    found = match(resizing, large, b, "encoder_1")
    assert found.a.shape == (*SIZE, 3)
    assert found.output_a.shape == SIZE


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"layer": "encoder_9"}, LayerError, "encoder_9.*nearest"),
        ({"hyperpatch": (99, 1)}, LayerError, "99x1"),
        ({"palette": "camvid"}, PaletteError, "5 classes apart.*camvid"),
        ({"palette": "no-such"}, PaletteError, "no-such"),
        ({"num_threads": 0}, SearchError, "thread"),
        ({"b": np.zeros((3, 3, 3), np.uint8)}, ImageError, "3x3"),
        ({"a": "missing.png"}, ImageError, "missing.png"),
    ],
)
def test_what_makes_no_sense_is_refused(
    segnet: OnnxNetwork, change: dict[str, object], error: type[Exception], words: str
) -> None:
    arguments = {"a": photo(1), "b": photo(2), "layer": "encoder_1", **change}
    with pytest.raises(error, match=words):
        match(segnet, **arguments)  # type: ignore[arg-type]


# --- two sizes


@pytest.mark.parametrize("layer", ["encoder_1", "encoder_2", "decoder_2"])
def test_images_of_two_sizes_are_matched_as_by_brute_force(
    any_size: OnnxNetwork, layer: str
) -> None:
    a, b = photo(1, (24, 40)), photo(2, (32, 16))
    found = match(any_size, a, b, layer, HyperPatchMatch(effort=8))
    exact = match(any_size, a, b, layer)
    taps = [any_size.activations(image, [layer])[layer] for image in (a, b)]
    for tap, image, geometry in zip(taps, (a, b), (exact.layer, exact.layer_b), strict=True):
        assert geometry.shape == tap.shape
        assert geometry.image_size == image.shape[:2]
    assert exact.forward.grid == exact.layer.grid != exact.layer_b.grid == exact.backward.grid
    for field, approximate, query, other, target in (
        (exact.forward, found.forward, *taps, exact.layer_b),
        (exact.backward, found.backward, *taps[::-1], exact.layer),
    ):
        case = Case(query, other[np.newaxis], exact.layer.hyperpatch, np.array([0], np.int32))
        expected = similarities(case)
        place = field.row[0] * target.grid[1] + field.col[0]
        chosen = np.take_along_axis(expected, place[:, :, np.newaxis], axis=2)
        np.testing.assert_allclose(chosen[:, :, 0], expected.max(axis=2), atol=1e-6)
        np.testing.assert_allclose(field.similarity[0], expected.max(axis=2), atol=1e-6)
        assert (approximate.row[0] < target.grid[0]).all()
        assert (approximate.col[0] < target.grid[1]).all()
    assert exact.output_a.shape == (24, 40)
    assert exact.output_b.shape == (32, 16)
    assert exact.classes_a.shape == exact.layer.grid
    assert exact.classes_b.shape == exact.layer_b.grid
    assert exact.agreement.sum() == exact.cycle.size == math.prod(exact.layer.grid)
    assert exact.a_from_b.shape == a.shape
    assert exact.b_from_a.shape == b.shape


def test_an_image_is_found_in_a_larger_one_around_it(any_size: OnnxNetwork) -> None:
    """encoder_1 sees 4x4 pixels at stride 2: away from the borders nothing else is seen."""
    large = np.random.default_rng(5).integers(0, 256, (40, 48, 3), np.uint8)
    small = np.ascontiguousarray(large[8:32, 12:44])
    found = match(any_size, small, large, "encoder_1")
    inner = np.s_[1:-1, 1:-1]
    rows, cols = np.indices(found.layer.grid)
    np.testing.assert_array_equal(found.forward.row[0][inner], rows[inner] + 4)
    np.testing.assert_array_equal(found.forward.col[0][inner], cols[inner] + 6)
    assert not found.cycle[inner].any()
    np.testing.assert_array_equal(found.a_from_b[4:-4, 4:-4], small[4:-4, 4:-4])
    np.testing.assert_array_equal(found.b_from_a[12:28, 16:40], large[12:28, 16:40])
    assert found.point(10, 12)[:2] == (18, 24)


@given(
    st.integers(0, 2**32),
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
)
@settings(max_examples=30, deadline=None)
def test_fields_between_two_sizes(
    seed: int, grid_a: tuple[int, int], grid_b: tuple[int, int]
) -> None:
    """Cells of each image have their own size, and the last pixels may be beyond the other's."""
    size_a, size_b = ((4 * rows - 1, 4 * cols + 1) for rows, cols in (grid_a, grid_b))
    found = made_up(seed, grid=grid_a, size=size_a, grid_b=grid_b, size_b=size_b)
    for layer, other, field, picture, target in (
        (found.layer, found.layer_b, found.forward, found.a_from_b, found.b),
        (found.layer_b, found.layer, found.backward, found.b_from_a, found.a),
    ):
        own, source = layer.looks, other.looks
        height, width = other.image_size
        for y, x in np.ndindex(*layer.image_size):
            at = owner(own, 0, y), owner(own, 1, x)
            there = (
                given_by(own, source, 0, y, at[0], int(field.row[0][at]), height),
                given_by(own, source, 1, x, at[1], int(field.col[0][at]), width),
            )
            np.testing.assert_array_equal(picture[y, x], target[there])
            if layer is found.layer:
                assert found.point(y, x)[:2] == there
    for row, col in np.ndindex(*found.layer.grid):
        there = found.forward.row[0, row, col], found.forward.col[0, row, col]
        back = found.backward.row[0][there], found.backward.col[0][there]
        assert found.cycle[row, col] == np.float32(math.hypot(back[0] - row, back[1] - col))
        assert found.matched_classes[row, col] == found.classes_b[there]


def test_a_network_of_one_size_takes_no_other(segnet: OnnxNetwork) -> None:
    with pytest.raises(ImageError, match=r"image B is 32x32.*24x32"):
        match(segnet, photo(1), photo(2, (32, 32)), "encoder_1")


def test_a_hyperpatch_that_does_not_fit_into_the_smaller_image(any_size: OnnxNetwork) -> None:
    large, small = photo(1, (48, 48)), photo(2, (8, 8))
    assert match(any_size, large, small, "encoder_2", hyperpatch=(2, 2)).layer_b.grid == (1, 1)
    with pytest.raises(LayerError, match="3x3 cells does not fit"):
        match(any_size, large, small, "encoder_2", hyperpatch=(3, 3))


# --- the search and the value


def test_auto_is_what_it_chooses_for_both_directions(segnet: OnnxNetwork) -> None:
    a, b = photo(1), photo(2)
    found = match(segnet, a, b, "encoder_1", Auto(seed=3))
    places = math.prod(found.layer.grid) ** 2
    assert found.search == Auto(seed=3).resolved(places, found.layer.shape[2]) == Exhaustive()
    plain = match(segnet, a, b, "encoder_1")
    np.testing.assert_array_equal(found.forward.similarity, plain.forward.similarity)


def test_threads_change_nothing(segnet: OnnxNetwork) -> None:
    a, b = photo(1), photo(2)
    one, two = (
        match(segnet, a, b, "decoder_1", HyperPatchMatch(), num_threads=count) for count in (1, 2)
    )
    for name in ("image", "row", "col", "similarity"):
        for first, second in ((one.forward, two.forward), (one.backward, two.backward)):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_a_matching_is_a_value(segnet: OnnxNetwork) -> None:
    found = match(segnet, photo(1), photo(2), "decoder_1", palette=palette(5))
    loaded = pickle.loads(pickle.dumps(found))
    assert repr(loaded) == repr(found)
    assert (loaded.layer, loaded.layer_b, loaded.search) == (
        found.layer,
        found.layer_b,
        found.search,
    )
    for name in ("a_from_b", "b_from_a", "output_a", "output_b", "agreement", "cycle"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(found, name))


# --- cycle


@given(st.integers(0, 2**32), st.floats(0, 6))
@settings(max_examples=30, deadline=None)
def test_cycle_is_the_distance_after_both_fields(seed: int, tolerance: float) -> None:
    found = made_up(seed)
    inside = 0
    for row, col in np.ndindex(*found.layer.grid):
        there = found.forward.row[0, row, col], found.forward.col[0, row, col]
        back = found.backward.row[0][there], found.backward.col[0][there]
        distance = ((back[0] - row) ** 2 + (back[1] - col) ** 2) ** 0.5
        assert found.cycle[row, col] == np.float32(distance)
        inside += bool(np.float32(distance) <= tolerance)
    assert found.cycle_consistency(tolerance) == inside / found.cycle.size


# --- classes


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_patch_labels_are_the_most_frequent_of_the_pixels_owned(
    size: tuple[int, int], cells: tuple[int, int], seed: int
) -> None:
    cells = min(cells[0], size[0]), min(cells[1], size[1])
    layer = Layer.of("layer", (*cells, 1), size)
    labels = np.random.default_rng(seed).integers(0, 4, size).astype(np.uint8)
    labels[labels == 3] = 255
    found = patch_labels(labels, layer.paints)
    assert found.shape == layer.grid
    assert found.dtype == np.uint8
    rows, cols = layer.paints.owners()
    for row, col in np.ndindex(*layer.grid):
        owned = labels[np.ix_(rows == row, cols == col)]
        if owned.size:
            assert found[row, col] == np.bincount(owned.ravel()).argmax()


def test_a_patch_without_pixels_takes_the_label_of_the_nearest() -> None:
    # 10 cells of stride 2 would need 20 pixels; the last patches of 16 own none.
    maps = AxisMap(Fraction(1)), AxisMap(Fraction(2))
    placement = Placement(maps, (1, 16), (1, 10), (1, 1))
    assert (placement.col_bounds()[8:] == 16).all()
    labels = np.zeros((1, 16), np.uint8)
    labels[0, -1] = 7
    labels[0, 0] = labels[0, 1] = 3
    assert patch_labels(labels, placement)[0].tolist() == [3, 0, 0, 0, 0, 0, 0, 0, 7, 7]


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=30, deadline=None)
def test_agreement_and_chance_are_those_of_scikit_learn(seed: int, with_void: bool) -> None:
    found = made_up(seed, grid=(12, 16), void=9 if with_void else None)
    matched = found.classes_b[found.forward.row[0], found.forward.col[0]]
    truth, predicted = found.classes_a.ravel(), matched.ravel()
    counted = (truth != 9) & (predicted != 9)
    expected = confusion_matrix(truth[counted], predicted[counted], labels=range(4))
    np.testing.assert_array_equal(found.agreement, expected)
    assert found.agreement.dtype == np.int64
    assert found.same_class == pytest.approx(accuracy_score(truth[counted], predicted[counted]))
    one, other = (c[c != 9] for c in (found.classes_a, found.classes_b))
    assert found.chance == pytest.approx((one[:, None] == other[None, :]).mean())


def test_without_any_class_the_shares_are_nan() -> None:
    found = made_up(0, void=9)
    found.output_a[:] = 9
    assert np.isnan(found.same_class)
    assert np.isnan(found.chance)


def test_classes_are_unnamed_without_a_palette_and_named_with_one(segnet: OnnxNetwork) -> None:
    a, b = photo(1), photo(2)
    unnamed = match(segnet, a, b, "encoder_1")
    assert unnamed.class_names == tuple(f"class {i}" for i in range(5))
    named = match(segnet, a, b, "encoder_1", palette=palette(5))
    assert named.class_names == tuple(f"name{i}" for i in range(5))
    np.testing.assert_array_equal(unnamed.agreement, named.agreement)
    for image, output in ((a, unnamed.output_a), (b, unnamed.output_b)):
        logits = segnet.read(image, [], output=True).output
        assert logits is not None
        np.testing.assert_array_equal(output, logits.argmax(axis=0))
    # The network's last channel may be void.
    with_void = match(segnet, a, b, "encoder_1", palette=palette(4, void=4))
    assert with_void.agreement.shape == (4, 4)


def test_a_network_that_paints_has_classes_only_with_a_palette(unet: OnnxNetwork) -> None:
    a, b = photo(1, (32, 32)), photo(2, (32, 32))
    photos = match(unet, a, b, "encoder_1")
    assert photos.class_names == ()
    assert photos.output_a.shape == (32, 32, 3)
    for name in ("classes_a", "agreement", "same_class", "chance"):
        with pytest.raises(PaletteError, match="palette"):
            getattr(photos, name)
    with pytest.raises(PaletteError, match="palette"):
        photos.point_classes(0, 0)
    facades = Palette.named("facades")
    painted = match(unet, a, b, "encoder_1", palette="facades")
    np.testing.assert_array_equal(painted.output_a, facades.quantise(photos.output_a))
    assert painted.agreement.sum() == painted.cycle.size
    assert "same class" in repr(painted)
    assert "same class" not in repr(photos)


# --- points


@given(st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_points_lie_in_the_matched_patch_as_in_their_own(seed: int) -> None:
    found = made_up(seed)  # 4x4 pixels for each of 6x8 cells
    for y in range(0, 24, 5):
        for x in range(0, 32, 7):
            at = y // 4, x // 4
            there = found.forward.row[0][at], found.forward.col[0][at]
            point = found.point(y, x)
            assert point[:2] == (4 * there[0] + y % 4, 4 * there[1] + x % 4)
            assert point.similarity == found.forward.similarity[0][at]
            np.testing.assert_array_equal(found.a_from_b[y, x], found.b[point[:2]])
            names = found.class_names
            expected = names[found.classes_a[at]], names[found.classes_b[there]]
            assert found.point_classes(y, x) == expected


def test_the_class_of_a_void_point_is_void() -> None:
    found = made_up(0, void=9)
    found.output_a[:] = 9
    assert found.point_classes(0, 0)[0] == "void"


@pytest.mark.parametrize("at", [(-1, 0), (24, 0), (0, 32), (0, -5)])
def test_points_outside_the_image_are_refused(at: tuple[int, int]) -> None:
    found = made_up(0)
    for ask in (found.point, found.point_classes):
        with pytest.raises(SearchError, match=f"{at[0]},{at[1]}.*24x32"):
            ask(*at)


def test_saved_files_hold_fields_and_pictures(tmp_path: Path) -> None:
    found = made_up(5)
    paths = found.save(tmp_path / "new" / "folder")
    assert {path.name for path in paths} == {
        "forward.npz",
        "backward.npz",
        "a_from_b.png",
        "b_from_a.png",
    }
    for path in paths:
        if path.suffix == ".png":
            np.testing.assert_array_equal(read_image(path), getattr(found, path.stem))
        else:
            with np.load(path) as arrays:
                np.testing.assert_array_equal(arrays["row"], getattr(found, path.stem).row)


# --- the real network


def test_segnet_matches_classes_far_better_than_chance(shared: Path) -> None:
    network = OnnxNetwork(shared / "models" / "segnet-basic-camvid.onnx")
    folder = shared / "data" / "camvid" / "val" / "images"
    a, b = (folder / f"0016E5_{number}.jpg" for number in ("07959", "08079"))
    early, late = (
        match(network, a, b, each, palette="camvid") for each in ("encoder_2", "decoder_2")
    )
    assert 0.15 < late.chance < 0.25
    assert late.same_class > 0.8
    # The paper's Figure 8: correspondences become semantic towards the output.
    assert early.same_class < late.same_class


# --- hyperpatches without a match


def test_what_has_no_match_is_void_and_returns_nowhere() -> None:
    found = made_up(3, void=9)
    for array, value in zip(
        (found.forward.image, found.forward.row, found.forward.col, found.forward.similarity),
        (-1, -1, -1, 0),
        strict=True,
    ):
        array[0, 2:, :5] = value
    found.backward.image[0, 0, 0] = found.backward.row[0, 0, 0] = found.backward.col[0, 0, 0] = -1
    matched = found.forward.image[0] >= 0
    lost = (found.forward.row[0] == 0) & (found.forward.col[0] == 0)
    assert (np.isinf(found.cycle) == (~matched | lost)).all()
    assert (found.matched_classes[~matched] == 9).all()
    in_a = found.classes_a[matched] != 9
    assert found.agreement.sum() == (in_a & (found.matched_classes[matched] != 9)).sum()
    y, x = found.layer.image_size[0] - 1, 0
    assert found.point(y, x) == (-1, -1, 0)
    assert found.point_classes(y, x)[1] == "void"
    rows, cols = found.layer.looks.owners()
    missing = ~matched[np.ix_(rows, cols)]
    nothing = Photo().unmatched(found.a_from_b, missing)
    np.testing.assert_array_equal(found.a_from_b, nothing)
    assert matching_json(found, [(y, x)])["points"][0]["b"] is None  # type: ignore[index]
    for points in ((), ((y, x), (0, 0))):
        assert match_sheet(found, points=points).ndim == 3
