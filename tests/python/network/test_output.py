"""What an output is taken for, and the picture that is made of its numbers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from compnn.errors import ActivationError, DatasetError, NetworkError
from compnn.images.kinds import Kind, Labels, Photo, Values
from compnn.images.palette import Palette
from compnn.network.geometry import AxisMap, Maps
from compnn.network.output import Frame, Output
from compnn.network.preprocessing import Preprocessing
from memory_dataset import grey_palette

UNIT = Preprocessing(range=(0, 1))


def maps(scale: Fraction | int, offset: Fraction | int = 0) -> Maps:
    each = AxisMap(Fraction(scale), Fraction(offset))
    return each, each


def picture_of(
    output: Output,
    values: npt.NDArray[np.float32],
    targets: Kind | None,
    looks: Maps | None = None,
    size: tuple[int, int] | None = None,
) -> npt.NDArray[np.generic]:
    size = size or (values.shape[1], values.shape[2])
    frame = Frame.of(looks or maps(1), size)
    resolved = output.resolved(targets, UNIT)
    return resolved.picture(values, frame, targets, UNIT)


# What it is


@pytest.mark.parametrize(
    ("output", "targets", "kind"),
    [
        (Output("y", 11), Labels("camvid"), "logits"),
        (Output("y", 12), Labels("camvid"), "logits"),  # void is a class of the network
        (Output("y", 11), None, "logits"),
        (Output("y", 3), Labels(grey_palette(3)), "logits"),
        (Output("y", 3), Photo(), "photo"),
        (Output("y", 3), None, "photo"),
        (Output("y", 3, "bounded", (-1, 1)), Labels("facades"), "photo"),
        (Output("y", 3, "sigmoid", (0, 1)), Labels("facades"), "photo"),
        (Output("y", 3, "sigmoid", (0, 1)), Labels(grey_palette(3)), "logits"),
        (Output("y", 3, range=(0, 255)), Labels("facades"), "photo"),
        (Output("y", 1, "sigmoid", (0, 1)), Labels(grey_palette(2)), "binary"),
        (Output("y", 1, "sigmoid", (0, 1)), Photo(), "photo"),
        (Output("y", 1, "sigmoid", (0, 1)), Values("m"), "values"),
        (Output("y", 1), Labels(grey_palette(2)), "binary"),
        (Output("y", 1), Values("m"), "values"),
        (Output("y", 1, "labels"), Labels("camvid"), "labels"),
        (Output("y", 1, "bool", (0, 1)), Labels(grey_palette(2)), "binary"),
        (Output("y", 5, "queries", kind="logits"), Labels(grey_palette(5)), "logits"),
        (Output("y", 3, "bounded", (-1, 1), "logits"), Labels(grey_palette(3)), "logits"),
    ],
)
def test_what_an_output_is_taken_for(output: Output, targets: Kind | None, kind: str) -> None:
    assert output.resolved(targets, UNIT).kind == kind


@pytest.mark.parametrize(
    ("output", "is_picture"),
    [
        (Output("y", 16, "features"), False),
        (Output("y", 257), False),
        (Output("y", 256), True),
        (Output("y", 16, "features", kind="logits"), True),
        (Output("y", 16, kind="none"), False),
    ],
)
def test_features_are_no_picture(output: Output, is_picture: bool) -> None:
    assert output.is_picture is is_picture


@pytest.mark.parametrize(
    ("output", "targets", "remedy"),
    [
        (Output("y", 21), Labels("camvid"), r"21 classes apart.*`--target-palette`"),
        (Output("y", 3), Labels("facades"), "3 classes apart.*`--output-kind photo`"),
        (Output("y", 1), Labels("camvid"), "one class from the rest.*palette of two classes"),
        (Output("y", 11), Photo(), "11 classes, logits, but the targets are photos"),
        (Output("y", 1, "labels"), Values("m"), "label maps, but.*`--output-kind`"),
        (Output("y", 3), Values("m"), "`--output-kind`"),
        (
            Output("y", 5, "queries"),
            Labels(grey_palette(5)),
            r"masks.*queries.*`--output-kind logits`",
        ),
    ],
)
def test_an_output_that_does_not_fit_the_targets_is_refused(
    output: Output, targets: Kind, remedy: str
) -> None:
    with pytest.raises(DatasetError, match=remedy):
        output.resolved(targets, UNIT)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"kind": "depth"}, "'depth'"),
        ({"kind": "values"}, "11 channels"),
        ({"kind": "binary"}, "11 channels"),
        ({"kind": "photo"}, "11 channels"),
        ({"range": (1.0, 0.0)}, "range"),
        ({"range": (0.0, float("nan"))}, "range"),
    ],
)
def test_descriptions_that_make_no_sense_are_refused(fields: dict[str, object], what: str) -> None:
    with pytest.raises(NetworkError, match=what):
        Output("y", 11, **fields)  # type: ignore[arg-type]


def test_it_says_what_it_is() -> None:
    described = Output("logits", 11).resolved(Labels("camvid"), UNIT).describe()
    assert described == "output 'logits': 11 classes, logits"
    photo = Output("y", 3, "bounded", (-1, 1)).resolved(Photo(), UNIT)
    assert photo.describe() == "output 'y': colours in [-1, 1]"
    assert Output("y", 1).resolved(Values("m"), UNIT).describe() == "output 'y': values in m"


# The picture


def test_photos_are_painted_in_their_own_range() -> None:
    values = np.linspace(-1, 1, 3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    expected = (values.transpose(1, 2, 0).astype(np.float64) + 1) * 127.5
    painted = picture_of(Output("y", 3, "bounded", (-1, 1)), values, Photo())
    assert np.abs(painted - expected).max() <= 0.5001
    # The input's range, [0, 1], where nothing else is known.
    open_range = picture_of(Output("y", 3), values, Photo())
    assert np.abs(open_range - np.clip(expected - 127.5, 0, 255) * 2).max() <= 1.001


def test_colours_of_a_palette_become_its_labels() -> None:
    palette = Palette.named("facades")
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    values = palette.colourise(labels).transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    painted = picture_of(
        Output("y", 3, "bounded", (-1, 1)), values + np.float32(0.02), Labels(palette)
    )
    np.testing.assert_array_equal(painted, labels)


def test_a_threshold_tells_two_classes_apart() -> None:
    values = np.array([[[0.2, 0.5, 0.7], [-3, 0.1, 9]]], np.float32)
    two = Labels(grey_palette(2))
    sigmoid = picture_of(Output("y", 1, "sigmoid", (0, 1)), values, two)
    assert sigmoid.tolist() == [[0, 0, 1], [0, 0, 1]]
    logit = picture_of(Output("y", 1), values, two)
    assert logit.tolist() == [[1, 1, 1], [0, 1, 1]]
    given_one = picture_of(Output("y", 1, threshold=0.6), values, two)
    assert given_one.tolist() == [[0, 0, 1], [0, 0, 1]]


def test_labels_that_the_palette_has_not_are_refused() -> None:
    values = np.array([[[0, 11, 12]]], np.float32)
    with pytest.raises(ActivationError, match="gives 12, which is no label"):
        picture_of(Output("y", 1, "labels"), values, Labels("camvid"))
    for wrong in (-1, 0.5, 256):
        with pytest.raises(ActivationError, match="no label"):
            picture_of(Output("y", 1, "labels"), np.full((1, 2, 2), wrong, np.float32), None)


def test_numbers_that_are_none_are_refused() -> None:
    for number in (np.nan, np.inf):
        with pytest.raises(ActivationError, match=r"NaN or infinite.*'y'"):
            picture_of(Output("y", 11), np.full((11, 2, 2), number, np.float32), None)


def test_logits_are_enlarged_before_the_largest_is_taken() -> None:
    values = np.random.default_rng(0).normal(size=(11, 12, 16)).astype(np.float32)
    painted = picture_of(Output("y", 11), values, Labels("camvid"), maps(4), (48, 64))
    at = (np.mgrid[:48, :64] + 0.5) / 4 - 0.5
    enlarged = np.stack([map_coordinates(each, at, order=1, mode="nearest") for each in values])
    assert (painted == enlarged.argmax(axis=0)).mean() > 0.999
    after = values.argmax(axis=0).repeat(4, axis=0).repeat(4, axis=1)
    assert (painted == after).mean() < 0.95


@given(
    scale=st.sampled_from([Fraction(1), Fraction(2), Fraction(4), Fraction(255, 63)]),
    offset=st.fractions(-3, 3, max_denominator=4),
    seed=st.integers(0, 99),
)
def test_values_lie_where_their_cells_look(scale: Fraction, offset: Fraction, seed: int) -> None:
    """Values that are the places of the cells' centres become those of the pixels' centres."""
    cells, size = (9, 7), (30, 26)
    looks = AxisMap(scale, offset)
    rows = np.array([float(looks(i + Fraction(1, 2))) for i in range(cells[0])], np.float32)
    values = np.repeat(rows[:, None], cells[1], axis=1)[None]
    painted = picture_of(Output("y", 1), values, Values("m"), (looks, looks), size)
    assert painted.shape == size
    pixels = np.arange(size[0]) + 0.5
    inside = (pixels >= rows[0]) & (pixels <= rows[-1])
    seen = inside & np.isfinite(painted[:, 3].astype(float))
    assert np.abs(painted[seen, 3] - pixels[seen]).max(initial=0) < 1e-3
    within = (pixels - float(offset)) / float(scale)
    half = (1 - 1 / float(scale)) / 2
    shown = (within >= -half) & (within <= cells[0] + half)
    column = (3.5 - float(offset)) / float(scale)
    if -half <= column <= cells[1] + half:
        np.testing.assert_array_equal(np.isfinite(painted[:, 3].astype(float)), shown)


def test_an_output_smaller_by_a_border_is_placed() -> None:
    values = np.zeros((11, 8, 8), np.float32)
    values[4] = 1
    painted = picture_of(Output("y", 11), values, Labels("camvid"), maps(1, 3), (14, 14))
    expected = np.full((14, 14), 11, np.uint8)  # void
    expected[3:11, 3:11] = 4
    np.testing.assert_array_equal(painted, expected)


def test_an_output_that_was_rounded_up_is_cropped() -> None:
    values = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    painted = picture_of(Output("y", 1, "labels"), values, None, maps(4), (10, 13))
    expected = np.kron(values[0].astype(np.uint8), np.ones((4, 4), np.uint8))[:10, :13]
    np.testing.assert_array_equal(painted, expected)


def test_a_finer_output_keeps_its_pixels() -> None:
    values = np.random.default_rng(0).uniform(size=(3, 24, 32)).astype(np.float32)
    frame = Frame.of(maps(Fraction(1, 2)), (12, 16))
    assert frame.size == (24, 32)
    painted = picture_of(Output("y", 3), values, Photo(), maps(Fraction(1, 2)), (12, 16))
    np.testing.assert_array_equal(painted, np.rint(values.transpose(1, 2, 0) * 255))
