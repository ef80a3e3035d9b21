"""The grid of reconstructions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from compnn.errors import LayerError
from compnn.explanation.scores import Scores, score
from compnn.images.kinds import Kind, Labels, Photo, Values
from compnn.images.measures import Score
from compnn.report.sheets.reconstruction_grid import GridRow, Side, reconstruction_grid
from explanation_cases import Image, explain, target_of
from pixels import boxes_of, holds


def rows_of(
    count: int, size: tuple[int, int], *, target: bool = True, queries: int = 1
) -> list[GridRow]:
    """Rows of `count` layers, each of which has pictures of one grey of its own."""
    found = []
    for query in range(queries):
        explanations = []
        for number in range(count):
            each = explain([[0]], name=f"layer_{number}", size=size)
            each.query = np.full((*size, 3), 40 + query, np.uint8)
            each.network_output = np.full((*size, 3), 60, np.uint8)
            shade = 80 + query * count + number
            each.__dict__["input"] = np.full((*size, 3), shade, np.uint8)
            each.__dict__["output"] = np.full((*size, 3), shade, np.uint8)
            explanations.append(each)
        number = Score("psnr", 20.0)
        scores = Scores(
            0.9, 0, 0, number, number, number if target else None, number if target else None
        )
        truth = np.full((*size, 3), 70, np.uint8) if target else None
        found.append(GridRow(f"query {query}", explanations, [scores] * count, truth))
    return found


def boxes(sheet: Image, shade: int) -> list[tuple[int, int, int, int]]:
    """(left, top, width, height), to within three pixels, of large rectangles of one grey."""
    found = boxes_of((sheet[::3, ::3] == shade).all(axis=2))
    return [
        (3 * left, 3 * top, 3 * width, 3 * height)
        for left, top, width, height, pixels in found
        if pixels > 200
    ]


@pytest.mark.parametrize("side", ["input", "output"])
@pytest.mark.parametrize(
    ("count", "size", "blocks"),
    [(1, (16, 16), 1), (8, (64, 64), 1), (15, (256, 256), 2), (17, (360, 480), 3)],
)
def test_grid_wraps_layers_into_aligned_blocks(
    side: Side, count: int, size: tuple[int, int], blocks: int
) -> None:
    sheet = reconstruction_grid(rows_of(count, size, queries=2), side)
    assert sheet.shape[1] <= 2600
    for edge in (sheet[:15], sheet[-15:], sheet[:, :15], sheet[:, -15:]):
        assert (edge == 255).all()
    found = [boxes(sheet, 80 + number) for number in range(2 * count)]
    assert [len(each) for each in found] == [1] * (2 * count)
    length = -(-count // blocks)
    lefts, tops = ([each[0][axis] for each in found] for axis in (0, 1))
    for number in range(count):
        # Both rows use the same columns, and so do all blocks.
        assert lefts[number] == lefts[number + count] == lefts[number % length]
        assert tops[number] == tops[number - number % length] < tops[number + count]
    assert lefts[:length] == sorted(lefts[:length])
    assert tops[:count] == sorted(tops[:count])
    # Each block has the queries at its left.
    assert len(boxes(sheet, 40)) == len(boxes(sheet, 41)) == blocks
    assert max(box[0] for box in boxes(sheet, 40)) < min(lefts)
    assert len(boxes(sheet, 60)) == len(boxes(sheet, 70)) == 2 * blocks * (side == "output")


def test_grid_without_targets_and_without_a_note() -> None:
    rows = rows_of(2, (64, 64), target=False)
    assert not boxes(reconstruction_grid(rows, "output"), 70)
    short = reconstruction_grid(rows, "input")
    long = reconstruction_grid(rows, "input", note="many words " * 40)
    assert long.shape[0] > short.shape[0]  # the note takes several lines
    assert long.shape[1] == short.shape[1]


def test_grid_writes_the_numbers_of_each_picture() -> None:
    (row,) = rows_of(2, (256, 256))
    before = reconstruction_grid([row], "output")
    other = dataclasses.replace(row.scores[1], output_to_target=Score("psnr", 7.0))
    after = reconstruction_grid([dataclasses.replace(row, scores=[row.scores[0], other])], "output")
    ((left, top, width, height),) = boxes(before, 81)
    tops, lefts = np.nonzero((before != after).any(axis=2))
    assert top + height < tops.min() < tops.max() < top + height + 70
    assert left <= lefts.min() < lefts.max() < left + width
    # What is not shown changes nothing.
    hidden = dataclasses.replace(row.scores[1], input=Score("psnr", 7.0))
    same = dataclasses.replace(row, scores=[row.scores[0], hidden])
    np.testing.assert_array_equal(reconstruction_grid([same], "output"), before)


def test_grid_refuses_what_it_cannot_show() -> None:
    one, two = rows_of(1, (32, 32)), rows_of(2, (32, 32))
    with pytest.raises(LayerError, match="at least one query"):
        reconstruction_grid([], "input")
    with pytest.raises(LayerError, match=r"query 0.*layer_0, layer_1"):
        reconstruction_grid([*one, *two], "input")


@pytest.mark.parametrize("kind", [Photo(), Labels("facades"), Values("m", (-1, 1))])
def test_grid_paints_every_kind_and_says_what_is_measured(kind: Kind) -> None:
    explanation = explain([[0, 1]], kind=kind)
    target = target_of(kind, (64, 64), 3)
    row = GridRow("q", [explanation], [score(explanation, target)], target)
    sheet = reconstruction_grid([row], "output")
    for picture in (target, explanation.network_output, explanation.output):
        painted = kind.paint(picture)
        assert holds(sheet, painted.repeat(7, axis=0).repeat(7, axis=1))
    assert holds(reconstruction_grid([row], "input"), explanation.input.repeat(7, 0).repeat(7, 1))


def test_queries_of_many_sizes_stay_in_their_cells() -> None:
    rows = []
    for size in ((64, 64), (128, 32), (32, 128)):
        explanation = explain([[0]], size=size)
        rows.append(GridRow("q", [explanation], [score(explanation)], None))
    sheet = reconstruction_grid(rows, "input")
    shown = [row.explanations[0] for row in rows]
    # Cells are those of the first query, 64x64 seven times enlarged.
    assert holds(sheet, shown[0].input.repeat(7, axis=0).repeat(7, axis=1))
    for explanation, size in ((shown[1], (448, 112)), (shown[2], (112, 448))):
        for picture in (explanation.query, explanation.input):
            rows, cols = (
                np.arange(large) * small // large
                for large, small in zip(size, picture.shape, strict=False)
            )
            assert holds(sheet, picture[rows][:, cols])


def test_names_that_are_no_unicode_are_drawn_as_escapes() -> None:
    sheets = []
    for name in ("fa\udce7ade\x1b[31m\r", "fa\\xE7ade\\x1B[31m\\x0D"):
        explanation = explain([[0]], name=name)
        row = GridRow(name, [explanation], [score(explanation)], None)
        sheets.append(reconstruction_grid([row], "input"))
    assert np.array_equal(*sheets)
