"""The contact sheet."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from compnn.errors import ImageError, LayerError, PaletteError
from compnn.images.kinds import Labels, Values
from compnn.images.palette import Palette
from compnn.report import contact_sheet
from explanation_cases import explain, grey, layers, target_of
from pixels import boxes_of, holds

FACADES = Palette.named("facades")
# Hues that no source colour and no class of the palette has.
PINK, LIME = (255, 0, 200), (60, 255, 0)


def boxes(sheet: npt.NDArray[np.uint8], colour: tuple[int, int, int]) -> list[tuple[int, ...]]:
    """(left, top, width, height) of the rectangles of exactly this colour."""
    found = boxes_of((sheet == colour).all(axis=2))
    assert all(box[4] == box[2] * box[3] for box in found)
    return [box[:4] for box in found]


@pytest.mark.parametrize("count", [1, 7, 30])
@pytest.mark.parametrize("size", [(16, 16), (256, 256), (360, 480)])
def test_sheet_is_at_most_2400_wide_with_white_margins(count: int, size: tuple[int, int]) -> None:
    sheet = contact_sheet(layers(count, size=size), title="A query")
    assert sheet.dtype == np.uint8
    assert sheet.shape[2] == 3
    assert sheet.shape[1] <= 2400
    edge = 16
    for side in (sheet[:edge], sheet[-edge:], sheet[:, :edge], sheet[:, -edge:]):
        assert (side == 255).all()


def test_sheet_holds_every_picture_whole_and_unchanged() -> None:
    size = (256, 256)
    explanation = explain([[0, 1], [2, 3]], size=size)
    target, best = grey(size, 50), grey(size, 51)
    sheet = contact_sheet([explanation] * 6, target=target, global_output=best)
    pictures = (explanation.query, explanation.network_output, target, best)
    for picture in (*pictures, explanation.input, explanation.output):
        assert holds(sheet, picture)
    assert not holds(sheet, grey(size, 52))


def test_output_is_right_below_input_and_layers_run_from_left_to_right() -> None:
    first, second = explain([[0]], name="a"), explain([[0]], name="b")
    for each, colour in ((first, PINK), (second, LIME)):
        each.__dict__["input"] = np.full((64, 64, 3), colour, dtype=np.uint8)
        each.__dict__["output"] = each.input
    sheet = contact_sheet([first, second])
    (left, top, width, height), below = sorted(boxes(sheet, PINK), key=lambda box: box[1])
    assert width == height
    assert width % 64 == 0
    assert below[0] == left
    assert below[1] > top + height
    right, _ = sorted(boxes(sheet, LIME), key=lambda box: box[1])
    assert right[1] == top
    assert right[0] > left + width


@pytest.mark.parametrize(("count", "rows"), [(6, 1), (7, 2), (16, 2), (17, 3)])
def test_layers_wrap_into_rows(count: int, rows: int) -> None:
    explanations = layers(count)
    for each in explanations:
        each.__dict__["input"] = np.full((64, 64, 3), PINK, dtype=np.uint8)
    found = boxes(contact_sheet(explanations), PINK)
    assert len(found) == count
    assert len({box[1] for box in found}) == rows
    # Columns of all rows are aligned.
    assert len({box[0] for box in found}) == -(-count // rows)


def test_large_images_are_reduced_to_fit() -> None:
    explanations = layers(6, size=(512, 1024))
    for each in explanations:
        each.__dict__["input"] = np.full((512, 1024, 3), PINK, dtype=np.uint8)
    sheet = contact_sheet(explanations)
    assert 2300 <= sheet.shape[1] <= 2400
    _, _, width, height = boxes(sheet, PINK)[0]
    assert width == pytest.approx(2 * height, abs=1)


def test_label_maps_are_painted_and_their_classes_listed() -> None:
    explanation = explain([[0, 1], [1, 0]], size=(256, 256), kind=Labels(FACADES))
    sheet = contact_sheet([explanation], target=explanation.network_output)
    scale = 2
    wanted = FACADES.colourise(explanation.output).repeat(scale, axis=0).repeat(scale, axis=1)
    assert holds(sheet, wanted)
    below_pictures = sheet[-150:]
    for colour in FACADES.colours.tolist():
        assert (below_pictures == colour).all(axis=2).sum() > 200


def test_captions_and_title_are_written_only_where_they_belong() -> None:
    explanations = layers(3)
    plain = contact_sheet(explanations)
    captioned = contact_sheet(explanations, captions={"layer_2": ["similarity 0.91"]})
    assert captioned.shape[0] > plain.shape[0]
    same = plain.shape[0] - 60
    assert np.array_equal(plain[:same], captioned[:same])
    written = np.nonzero((captioned[same:] < 200).any(axis=(0, 2)))[0]
    assert written.min() > captioned.shape[1] * 0.6
    assert contact_sheet(explanations, title="One query").shape[0] > plain.shape[0]


def test_sheet_refuses_what_it_cannot_show() -> None:
    explanations = layers(2)
    with pytest.raises(LayerError, match="at least one"):
        contact_sheet([])
    with pytest.raises(LayerError, match=r"'layer_9'.*layer_0, layer_1"):
        contact_sheet(explanations, captions={"layer_9": ["?"]})
    with pytest.raises(ImageError, match="target is 32x64"):
        contact_sheet(explanations, target=np.zeros((32, 64, 3), dtype=np.uint8))
    other = explain([[0]], name="other", query=grey((64, 64), 5))
    with pytest.raises(ImageError, match="'layer_0' and 'other'"):
        contact_sheet([*explanations, other])
    labelled = explain([[0]], kind=Labels(FACADES))
    with pytest.raises(PaletteError, match="label 200"):
        contact_sheet([labelled], target=np.full((64, 64), 200, dtype=np.uint8))


def test_values_are_painted_with_their_scale() -> None:
    kind = Values("m", (0, 80))
    explanation = explain([[0, 1], [1, 0]], size=(256, 256), kind=kind)
    target = target_of(kind, (256, 256), 5)
    sheet = contact_sheet([explanation], target=target)
    for picture in (explanation.output, explanation.network_output, target):
        assert holds(sheet, kind.paint(picture).repeat(2, axis=0).repeat(2, axis=1))
    other = explain([[0, 1], [1, 0]], size=(256, 256), kind=Values("feet", (0, 80)))
    assert (contact_sheet([other], target=target) != sheet).any(), "the unit is on the sheet"


def test_further_matches_are_not_shown() -> None:
    images = [[0, 1], [1, 2]]
    one, three = explain(images), explain(images, matches=3)
    assert np.array_equal(contact_sheet([one]), contact_sheet([three]))


def test_the_sheet_is_deterministic() -> None:
    one, other = (
        contact_sheet([explain(np.arange(16).reshape(4, 4) % 5, kind=Labels(FACADES))], title="x")
        for _ in range(2)
    )
    assert np.array_equal(one, other)


def test_names_that_are_no_unicode_are_drawn_as_escapes() -> None:
    hostile, meant = "fa\udce7ade\x1b[31m\r", "fa\\xE7ade\\x1B[31m\\x0D"
    sheets = [
        contact_sheet(
            [explain([[0]], name=name)], title=name, captions={name: [name], "input": [name]}
        )
        for name in (hostile, meant)
    ]
    assert np.array_equal(*sheets)
