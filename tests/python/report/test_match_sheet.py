"""The sheet of semantic correspondences: its pictures, lines, table and colours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compnn.errors import SearchError
from compnn.network.onnx import OnnxNetwork
from compnn.report.sheets.class_colours import ClassColours
from compnn.report.sheets.colours import OTHERS, SOURCE_COLOURS
from compnn.report.sheets.match_sample import sample_patches
from compnn.report.sheets.matches import match_sheet
from compnn.studies.matching import match
from matching_cases import SIZE, Images, made_up, palette, photo
from pixels import boxes_of, holds
from tiny_networks import tiny_segnet, tiny_unet


@pytest.fixture(scope="module")
def segnet(tmp_path_factory: pytest.TempPathFactory) -> OnnxNetwork:
    return OnnxNetwork(tiny_segnet(tmp_path_factory.mktemp("nets") / "segnet.onnx", size=SIZE))


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> OnnxNetwork:
    return OnnxNetwork(tiny_unet(tmp_path_factory.mktemp("nets") / "unet.onnx"))


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


def test_sheet_of_photos_shows_the_network_s_output(unet: OnnxNetwork) -> None:
    found = match(unet, photo(1, (32, 32)), photo(2, (32, 32)), "encoder_1")
    sheet = match_sheet(found)
    for picture in (found.output_a, found.output_b, found.a_from_b, found.b_from_a):
        assert holds(sheet, enlarged(picture, 544))


@pytest.mark.parametrize("named", [True, False])
def test_table_has_a_full_cell_for_each_class_that_only_meets_itself(
    segnet: OnnxNetwork, named: bool
) -> None:
    image = np.random.default_rng(3).integers(0, 256, (*SIZE, 3), np.uint8)
    found = match(segnet, image, image, "decoder_1", palette=palette(5) if named else None)
    full = boxes_of((match_sheet(found) == (0, 90, 150)).all(axis=2))
    assert sum(box[4] > 200 for box in full) == len(np.unique(found.classes_a))


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


def test_sheet_of_images_of_two_sizes() -> None:
    """Both have the width of a picture; lines end where the points are in B."""
    found = made_up(6, size_b=(40, 16), grid_b=(10, 4))
    sheet = match_sheet(found, points=[(2, 2), (23, 31)])
    for picture in (found.a_from_b, found.b_from_a):
        assert holds(sheet, enlarged(picture, 544))


@pytest.mark.parametrize("at", [(-1, 0), (24, 0), (0, 32), (0, -5)])
def test_points_outside_the_image_are_refused(at: tuple[int, int]) -> None:
    with pytest.raises(SearchError, match=f"{at[0]},{at[1]}.*24x32"):
        match_sheet(made_up(0), points=[at])


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
