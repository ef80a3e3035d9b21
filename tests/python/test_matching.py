"""Semantic correspondences between two images: fields, classes, points and their picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix

from compnn.errors import ImageError, LayerError, PaletteError, SearchError
from compnn.search.field import Field
from compnn.network.layer import Layer
from compnn.images.files import read_image, write_image
from compnn.studies.matching import Matching, match
from compnn.network.onnx import Model
from compnn.images.palette import Palette
from compnn.studies.patch_labels import patch_labels
from compnn.network.preprocessing import Preprocessing
from compnn.explanation.query import Query
from compnn.report.sheets.class_colours import ClassColours
from compnn.report.sheets.colours import OTHERS, SOURCE_COLOURS
from compnn.report.sheets.match_sample import sample_patches
from compnn.report.sheets.matches import match_sheet
from reference import Case, hyperpatches, similarities
from tiny_networks import tiny_segnet, tiny_unet

SIZE = (24, 32)
Images = npt.NDArray[np.uint8]


def colours(count: int) -> npt.NDArray[np.uint8]:
    return np.array([(6 * label + 1, 200 - 4 * label, 90) for label in range(count)], np.uint8)


def palette(count: int, void: int | None = None) -> Palette:
    return Palette("test", tuple(f"name{i}" for i in range(count)), colours(count), void)


@pytest.fixture(scope="module")
def segnet(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tiny_segnet(tmp_path_factory.mktemp("nets") / "segnet.onnx", size=SIZE))


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tiny_unet(tmp_path_factory.mktemp("nets") / "unet.onnx"))


def photo(seed: int, size: tuple[int, int] = SIZE) -> Images:
    """Smooth colours, so that a network sees regions."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)


def made_up(
    seed: int,
    *,
    grid: tuple[int, int] = (6, 8),
    size: tuple[int, int] = SIZE,
    classes: int = 4,
    void: int | None = None,
    backward: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]] | None = None,
    named: bool = True,
) -> Matching:
    """A matching of random fields over random label maps; void pixels if `void` is given."""
    random = np.random.default_rng(seed)
    layer = Layer.of("layer", (*grid, 3), size, hyperpatch=(1, 1))

    def field(places: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]] | None) -> Field:
        row, col = places or (
            random.integers(0, grid[0], grid, np.int32),
            random.integers(0, grid[1], grid, np.int32),
        )
        similarity = random.random((1, *grid), np.float32)
        return Field(np.zeros((1, *grid), np.int32), row[None], col[None], similarity)

    labels = np.arange(classes) if void is None else np.array([*range(classes), void])
    return Matching(
        layer=layer,
        a=random.integers(0, 256, (*size, 3), np.uint8),
        b=random.integers(0, 256, (*size, 3), np.uint8),
        output_a=random.choice(labels, size).astype(np.uint8),
        output_b=random.choice(labels, size).astype(np.uint8),
        forward=field(None),
        backward=field(backward),
        class_names=palette(classes).classes,
        palette=palette(classes, void) if named else None,
    )


# --- fields


@pytest.mark.parametrize("layer", ["encoder_1", "encoder_2", "decoder_2"])
def test_fields_are_those_of_brute_force_in_both_directions(segnet: Model, layer: str) -> None:
    a, b = photo(1), photo(2)
    found = match(segnet, a, b, layer)
    taps = [segnet.activations(image, [layer])[layer] for image in (a, b)]
    tap = segnet.tap(layer)
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


def test_an_image_matched_to_itself_stays_where_it_is(segnet: Model) -> None:
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


def test_a_shifted_image_is_matched_by_that_shift(segnet: Model) -> None:
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


def test_hyperpatch_and_search_options_are_passed_on(segnet: Model) -> None:
    a, b = photo(1), photo(2)
    random_start: dict[str, Any] = {
        "method": "hyperpatch-match",
        "schedule": "paper",
        "iterations": 0,
    }
    found = match(segnet, a, b, "encoder_1", hyperpatch=(3, 1), **random_start)
    assert found.layer.grid == (10, 16)
    assert found.forward.grid == (10, 16)
    tap = segnet.activations(a, ["encoder_1"])["encoder_1"]
    other = segnet.activations(b, ["encoder_1"])["encoder_1"]
    # No rounds: a random field, whose similarities are those of the places it names.
    at = found.forward.row[0], found.forward.col[0]
    expected = (hyperpatches(tap, (3, 1)) * hyperpatches(other, (3, 1))[at]).sum(axis=-1)
    np.testing.assert_allclose(found.forward.similarity[0], expected, atol=1e-6)
    again = match(segnet, a, b, "encoder_1", hyperpatch=(3, 1), seed=1, **random_start)
    assert not np.array_equal(found.forward.row, again.forward.row)


def test_progress_names_both_directions(segnet: Model) -> None:
    seen: dict[str, float] = {}
    match(segnet, photo(1), photo(2), "encoder_1", progress=lambda d, s: seen.update({d: s}))
    assert seen == {"A to B": 1, "B to A": 1}
    with pytest.raises(ZeroDivisionError):
        match(segnet, photo(1), photo(2), "encoder_1", progress=lambda *_: 1 / 0)


def test_images_are_arrays_paths_or_queries_and_may_be_resized(
    segnet: Model, tmp_path: Path
) -> None:
    a, b = photo(1), photo(2)
    write_image(tmp_path / "a.png", a)
    plain = match(segnet, a, b, "encoder_1")
    other = match(segnet, tmp_path / "a.png", Query("b", b, None), "encoder_1")
    np.testing.assert_array_equal(plain.forward.similarity, other.forward.similarity)
    np.testing.assert_array_equal(plain.a, other.a)
    large = photo(1, (48, 64))
    with pytest.raises(ImageError, match="resize"):
        match(segnet, large, b, "encoder_1")
    resizing = Model(segnet.path, preprocessing=Preprocessing(resize=True))
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
        ({"method": "fast"}, SearchError, "'fast'"),
        ({"b": np.zeros((3, 3, 3), np.uint8)}, ImageError, "3x3"),
        ({"a": "missing.png"}, ImageError, "missing.png"),
    ],
)
def test_what_makes_no_sense_is_refused(
    segnet: Model, change: dict[str, object], error: type[Exception], words: str
) -> None:
    arguments = {"a": photo(1), "b": photo(2), "layer": "encoder_1", **change}
    with pytest.raises(error, match=words):
        match(segnet, **arguments)  # type: ignore[arg-type]


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
    found = patch_labels(labels, layer)
    assert found.shape == layer.grid
    assert found.dtype == np.uint8
    rows, cols = layer.owners()
    for row, col in np.ndindex(*layer.grid):
        owned = labels[np.ix_(rows == row, cols == col)]
        if owned.size:
            assert found[row, col] == np.bincount(owned.ravel()).argmax()


def test_a_patch_without_pixels_takes_the_label_of_the_nearest() -> None:
    # 10 cells of stride 2 would need 20 pixels; the last patches of 16 own none.
    layer = Layer("layer", (1, 10, 1), (1, 2), (1, 1), (1, 16))
    assert (layer.col_bounds()[8:] == 16).all()
    labels = np.zeros((1, 16), np.uint8)
    labels[0, -1] = 7
    labels[0, 0] = labels[0, 1] = 3
    assert patch_labels(labels, layer)[0].tolist() == [3, 0, 0, 0, 0, 0, 0, 0, 7, 7]


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


def test_classes_are_unnamed_without_a_palette_and_named_with_one(segnet: Model) -> None:
    a, b = photo(1), photo(2)
    unnamed = match(segnet, a, b, "encoder_1")
    assert unnamed.class_names == tuple(f"class {i}" for i in range(5))
    named = match(segnet, a, b, "encoder_1", palette=palette(5))
    assert named.class_names == tuple(f"name{i}" for i in range(5))
    np.testing.assert_array_equal(unnamed.agreement, named.agreement)
    _, logits = segnet.run(np.stack([a, b]), [], output=True)
    assert logits is not None
    np.testing.assert_array_equal(unnamed.output_a, logits[0].argmax(axis=0))
    np.testing.assert_array_equal(unnamed.output_b, logits[1].argmax(axis=0))
    # The network's last channel may be void.
    with_void = match(segnet, a, b, "encoder_1", palette=palette(4, void=4))
    assert with_void.agreement.shape == (4, 4)


def test_a_network_that_paints_has_classes_only_with_a_palette(unet: Model) -> None:
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
    with pytest.raises(SearchError, match="24x32"):
        match_sheet(found, points=[at])


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


# --- the picture


def holds(sheet: Images, picture: Images) -> bool:
    """Whether the picture is on the sheet, pixel by pixel."""
    rows, cols = picture.shape[:2]
    result = cv2.matchTemplate(sheet[:, :, 1], picture[:, :, 1], cv2.TM_SQDIFF)
    top, left = np.unravel_index(int(result.argmin()), result.shape)
    return np.array_equal(sheet[top : top + rows, left : left + cols], picture)


def enlarged(picture: Images, width: int) -> Images:
    factor = width // picture.shape[1]
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def test_sheet_shows_each_image_made_of_the_other() -> None:
    found = made_up(6)
    sheet = match_sheet(found)
    assert sheet.dtype == np.uint8
    assert (sheet[:24] == 255).all()
    assert (sheet[:, -24:] == 255).all()
    for picture in (found.a_from_b, found.b_from_a):
        assert holds(sheet, enlarged(picture, 544))


def test_sheet_of_photos_shows_the_network_s_output(unet: Model) -> None:
    found = match(unet, photo(1, (32, 32)), photo(2, (32, 32)), "encoder_1")
    sheet = match_sheet(found)
    for picture in (found.output_a, found.output_b, found.a_from_b, found.b_from_a):
        assert holds(sheet, enlarged(picture, 544))


@pytest.mark.parametrize("named", [True, False])
def test_table_has_a_full_cell_for_each_class_that_only_meets_itself(
    segnet: Model, named: bool
) -> None:
    image = np.random.default_rng(3).integers(0, 256, (*SIZE, 3), np.uint8)
    found = match(segnet, image, image, "decoder_1", palette=palette(5) if named else None)
    full = (match_sheet(found) == (0, 90, 150)).all(axis=2).astype(np.uint8)
    areas = cv2.connectedComponentsWithStats(full)[2][1:, cv2.CC_STAT_AREA]
    assert (areas > 200).sum() == len(np.unique(found.classes_a))


def test_lines_carry_the_class_of_a_and_ends_that_of_b() -> None:
    found = made_up(7, classes=2)
    found.a[:], found.b[:] = 255, 255
    found.output_a[:], found.output_b[:] = 0, 1
    sheet = match_sheet(found, points=[(2, 2)])
    # The upper pictures; what is below has swatches of the same colours.
    upper = sheet[: 816 + 150]
    first, second = ((upper == colour).all(axis=2).nonzero() for colour in found.palette.colours)
    channel = slice(2 * 544 + 60, 2 * 544 + 100)
    assert len(first[0]) > len(second[0]) > 50
    assert ((first[1] > channel.start) & (first[1] < channel.stop)).any()
    assert second[1].min() > channel.stop
    # Without classes, lines are told apart by colour.
    unnamed = made_up(7, named=False)
    picture = match_sheet(unnamed)
    for colour in SOURCE_COLOURS[:4]:
        assert (picture == colour).all(axis=2).any()


def test_unnamed_classes_of_most_patches_get_the_strongest_colours() -> None:
    found = made_up(8, grid=(24, 32), classes=10, named=False)
    found.output_a[:, 2:], found.output_b[:, 3:] = 9, 4
    found.output_a[:, :2], found.output_b[:, :3] = 2, np.arange(8).repeat(3)[:, None]
    shown = ClassColours(found)
    in_a, in_b = found.class_counts()
    assert in_a[9] > in_b[4] > in_a[2]
    assert [shown[label] for label in (9, 4, 2)] == list(SOURCE_COLOURS[:3])
    # Of the ten classes the eighth never occurs, so that it comes last.
    assert shown[8] == OTHERS
    tinted = shown.tinted(np.zeros((1, 2, 3), np.uint8), np.array([[9, 4]], np.uint8))
    hues = tinted[0] / tinted[0].max(axis=1, keepdims=True)
    expected = np.array(SOURCE_COLOURS[:2]) / np.max(SOURCE_COLOURS[:2], axis=1, keepdims=True)
    np.testing.assert_allclose(hues, expected, atol=0.02)


def test_more_classes_than_the_table_has_rows_for_are_taken_together() -> None:
    few, many = (made_up(8, grid=(24, 32), classes=count) for count in (13, 40))
    assert len(np.unique(many.classes_a)) > 30
    # 12 classes and "others", in both.
    assert match_sheet(few).shape == match_sheet(many).shape


@pytest.mark.parametrize(
    ("size", "grid"), [((24, 32), (1, 1)), ((7, 5), (7, 5)), ((300, 700), (3, 70))]
)
def test_sheets_of_odd_sizes_can_be_drawn(size: tuple[int, int], grid: tuple[int, int]) -> None:
    sheet = match_sheet(made_up(9, size=size, grid=grid), points=[(0, 0), (size[0] - 1, 2)])
    assert sheet.shape[1] <= 2400


@given(st.integers(0, 2**32), st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_sample_takes_one_patch_a_block_and_consistent_ones_first(seed: int, count: int) -> None:
    found = made_up(seed, grid=(12, 16))
    chosen = sample_patches(found, count)
    assert len(set(chosen)) == len(chosen)
    assert count / 2 <= len(chosen) <= 2 * count
    across = max(1, round((count * 32 / 24) ** 0.5))
    cols, rows = min(across, 16), min(max(1, round(count / across)), 12)
    row_ends, col_ends = (
        np.linspace(0, cells, parts + 1).round() for cells, parts in ((12, rows), (16, cols))
    )
    blocks = {
        (
            int(np.searchsorted(row_ends, row, side="right")),
            int(np.searchsorted(col_ends, col, side="right")),
        )
        for row, col in chosen
    }
    assert len(blocks) == rows * cols == len(chosen)
    for row, col in chosen:
        top = int(row_ends[np.searchsorted(row_ends, row, side="right") - 1])
        left = int(col_ends[np.searchsorted(col_ends, col, side="right") - 1])
        bottom = int(row_ends[np.searchsorted(row_ends, row, side="right")])
        right = int(col_ends[np.searchsorted(col_ends, col, side="right")])
        block = found.cycle[top:bottom, left:right]
        assert found.cycle[row, col] <= 1 or (block > 1).all()


# --- the real network


def test_segnet_matches_classes_far_better_than_chance(shared: Path) -> None:
    model = Model(shared / "models" / "segnet-basic-camvid.onnx")
    folder = shared / "data" / "camvid" / "val" / "images"
    a, b = (folder / f"0016E5_{number}.jpg" for number in ("07959", "08079"))
    early, late = (
        match(model, a, b, each, palette="camvid") for each in ("encoder_2", "decoder_2")
    )
    assert 0.15 < late.chance < 0.25
    assert late.same_class > 0.8
    # The paper's Figure 8: correspondences become semantic towards the output.
    assert early.same_class < late.same_class
