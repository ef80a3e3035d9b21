"""Kinds of pictures: what they take, how it is fitted, painted, compared and told."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from compnn.errors import ImageError, PaletteError
from compnn.images.files import StoredImage, write_image
from compnn.images.kinds import Kind, Labels, Photo, Values, kind_from_json
from compnn.images.palette import Palette

CAMVID = Labels("camvid")
DEPTH = Values("m", (0, 80))
KINDS: tuple[Kind, ...] = (Photo(), CAMVID, Values(), DEPTH)


def photo(height: int = 6, width: int = 8, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def labels(height: int = 6, width: int = 8, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 12, (height, width), dtype=np.uint8)


def depth(height: int = 6, width: int = 8, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0, 80, (height, width)).astype(np.float32)


def picture_of(kind: Kind, height: int = 6, width: int = 8, seed: int = 0) -> npt.NDArray[Any]:
    make = {"photo": photo, "labels": labels, "values": depth}[kind.name]
    return make(height, width, seed)


# What is checked


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_of_its_kind_is_taken_as_it_is(kind: Kind) -> None:
    picture = picture_of(kind)
    assert picture.dtype == kind.dtype
    assert picture.shape == (6, 8, *kind.trailing)
    assert kind.check(picture, "a") is picture
    turned = kind.check(picture[::-1, ::2], "a")
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(turned, picture[::-1, ::2])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", [Photo(), CAMVID, DEPTH])
def test_a_picture_of_another_kind_is_refused(kind: Kind, other: Kind) -> None:
    if kind.name == other.name:
        return
    wanted = r"height, width, 3\)$" if kind.name == "photo" else r"height, width\)$"
    with pytest.raises(ImageError, match=rf"^the target of 'a' is .*{kind.dtype} \({wanted}"):
        kind.check(picture_of(other), "the target of 'a'")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 0), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4), np.float64),
        np.zeros((4, 4), ">f4"),
        np.zeros((4, 4), np.int64),
        np.zeros((4, 4, 1), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.array(None),
        [[1, 2], [3, 4]],
        None,
    ],
)
def test_what_is_no_picture_is_refused(kind: Kind, wrong: Any) -> None:
    with pytest.raises(ImageError, match=r"^target is .* but it should be "):
        kind.check(wrong, "target")


def test_labels_must_be_in_the_palette() -> None:
    CAMVID.check(np.array([[0, 11]], np.uint8), "a")
    with pytest.raises(ImageError, match=r"^a holds the label 12, .*'camvid' .*0\.\.10, void 11"):
        CAMVID.check(np.array([[0, 200, 12]], np.uint8), "a")


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_values_must_be_finite(value: float) -> None:
    with pytest.raises(ImageError, match=r"^a holds infinite values; say which number means that"):
        DEPTH.check(np.array([[0, value]], np.float32), "a")


def test_some_values_may_be_unknown() -> None:
    some = np.array([[0, math.nan]], np.float32)
    np.testing.assert_array_equal(DEPTH.check(some, "a"), some)
    with pytest.raises(ImageError, match=r"^a holds no value that is known; leave it out"):
        DEPTH.check(np.full((1, 2), math.nan, np.float32), "a")


@pytest.mark.parametrize(
    "limits", [(1, 1), (2, 1), (0, math.inf), (math.nan, 1), (0,), (0, "x"), (0, 10**400), None]
)
def test_senseless_limits_are_refused(limits: Any) -> None:
    with pytest.raises(ImageError, match=r"limits must be \(low, high\) with low < high"):
        Values("m", limits)


# How files are read


def test_files_are_read_as_inputs_and_as_targets(tmp_path: Path) -> None:
    write_image(tmp_path / "photo.png", photo())
    write_image(tmp_path / "labels.png", labels())
    colours, index = (StoredImage.read(tmp_path / f"{n}.png") for n in ("photo", "labels"))
    for each in (Photo(), DEPTH):
        np.testing.assert_array_equal(each.input_of(colours), photo())
        np.testing.assert_array_equal(each.input_of(index), np.stack([labels()] * 3, axis=2))
    np.testing.assert_array_equal(CAMVID.input_of(index), CAMVID.palette.colourise(labels()))
    np.testing.assert_array_equal(CAMVID.input_of(colours), photo())
    np.testing.assert_array_equal(Photo().target_of(colours), photo())
    np.testing.assert_array_equal(CAMVID.target_of(index), labels())
    with pytest.raises(ImageError, match=r"holds the colour .*`--nearest-colour`"):
        CAMVID.target_of(colours)
    nearest = kind_from_json(Labels("camvid", nearest_colour=True).to_json())
    np.testing.assert_array_equal(nearest.target_of(colours), CAMVID.palette.quantise(photo()))
    assert nearest.is_like(CAMVID)
    painted = CAMVID.palette.colourise(labels())
    write_image(tmp_path / "painted.png", painted)
    exact = StoredImage.read(tmp_path / "painted.png")
    np.testing.assert_array_equal(CAMVID.target_of(exact), labels())
    ids = {label: 11 - label for label in range(12)}
    np.testing.assert_array_equal(CAMVID.target_of(index, ids), 11 - labels())
    values = DEPTH.check(DEPTH.target_of(index), "a")
    np.testing.assert_array_equal(values, labels().astype(np.float32))
    with pytest.raises(ImageError, match=r"photo\.png has colours, but labels and values have"):
        DEPTH.target_of(colours)


# How pictures are fitted and painted


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_that_fits_is_left_alone(kind: Kind) -> None:
    picture = picture_of(kind)
    assert kind.fit(picture, (6, 8)) is picture


@pytest.mark.parametrize("kind", [Photo(), DEPTH])
def test_shrinking_takes_means(kind: Kind) -> None:
    picture = picture_of(kind)
    means = picture.reshape(3, 2, 4, 2, *kind.trailing).mean(axis=(1, 3))
    fitted = kind.check(kind.fit(picture, (3, 4)), "a")
    assert np.abs(fitted - means).max() <= (0.51 if kind.dtype == "uint8" else 1e-4)


@pytest.mark.parametrize("kind", [Photo(), DEPTH])
def test_growing_stays_between_neighbours(kind: Kind) -> None:
    picture = picture_of(kind, 1, 2)
    fitted = kind.check(kind.fit(picture, (2, 9)), "a").astype(float)
    steps = np.diff(fitted, axis=1)
    direction = np.sign(picture[:, 1:].astype(float) - picture[:, :1])
    assert (steps * direction >= 0).all()
    np.testing.assert_allclose(fitted[:, [0, -1]], np.repeat(picture, 2, axis=0), atol=1e-4)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_label_maps_keep_their_labels(height: int, width: int, seed: int) -> None:
    picture = labels(seed=seed)
    fitted = CAMVID.check(CAMVID.fit(picture, (height, width)), "a")
    assert fitted.shape == (height, width)
    assert set(np.unique(fitted)) <= set(np.unique(picture))
    twice = CAMVID.fit(picture, (12, 16))
    np.testing.assert_array_equal(twice, np.kron(picture, np.ones((2, 2), np.uint8)))


@pytest.mark.parametrize("kind", KINDS)
def test_painted_pictures_are_rgb_and_stay_so(kind: Kind) -> None:
    painted = kind.paint(picture_of(kind))
    assert (painted.shape, painted.dtype) == ((6, 8, 3), np.uint8)
    assert kind.paint(painted) is painted


def test_label_maps_are_painted_in_their_colours() -> None:
    painted = CAMVID.paint(labels())
    np.testing.assert_array_equal(painted, CAMVID.palette.colourise(labels()))
    np.testing.assert_array_equal(CAMVID.labels(painted), labels())
    assert CAMVID.labels(labels()).tolist() == labels().tolist()


def test_values_are_painted_from_black_to_white() -> None:
    values = np.array([[-5, 0, 20, 80, 1e30, -3e38, 3e38]], np.float32)
    assert DEPTH.paint(values)[..., 0].tolist() == [[0, 0, 64, 255, 255, 0, 255]]
    wide = Values("", (-3e38, 3e38)).paint(values)
    assert wide[..., 0].tolist() == [[128, 128, 128, 128, 128, 0, 255]]
    assert (wide == wide[..., :1]).all()


# How two are compared


def test_pictures_are_compared_by_the_measure_of_their_kind() -> None:
    first, second = photo(seed=0), photo(seed=1)
    error = np.mean((first.astype(float) - second) ** 2)
    for kind in (Photo(), DEPTH):  # inputs of values are RGB
        found = kind.compare(first, second)
        assert (found.measure, found.value) == (
            "psnr",
            pytest.approx(10 * math.log10(255**2 / error)),
        )
    one, other = depth(seed=0), depth(seed=1)
    found = DEPTH.compare(one, other)
    assert (found.measure, found.unit) == ("rmse", "m")
    assert found.value == pytest.approx(np.sqrt(np.mean((one.astype(float) - other) ** 2)))
    assert str(found) == f"{found.value:.4g} m"
    truth, guess = labels(seed=0), labels(seed=1)
    counted = truth != 11
    expected = np.mean((truth == guess)[counted])
    for pictures in ((truth, guess), (CAMVID.paint(truth), guess), (truth, CAMVID.paint(guess))):
        found = CAMVID.compare(*pictures)
        assert (found.measure, found.value) == ("accuracy", pytest.approx(expected))


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_two_sizes_are_not_compared(kind: Kind) -> None:
    with pytest.raises(ImageError, match="bring both to one size"):
        kind.compare(picture_of(kind), picture_of(kind, 6, 9))


@pytest.mark.parametrize("kind", KINDS)
def test_the_comparison_of_a_set_begins_with_what_one_picture_is_measured_by(kind: Kind) -> None:
    first, second = picture_of(kind, 9, 9, 0), picture_of(kind, 9, 9, 1)
    comparison = kind.comparison()
    summary = comparison.summarise([comparison.observe(first, second)])
    assert tuple(summary) == comparison.measures
    assert summary[comparison.measures[0]] == pytest.approx(kind.compare(first, second).value)


# What they are to each other


_TEXT = st.text("m 'é立\n\udce7", max_size=3)


@st.composite
def kinds(draw: st.DrawFn) -> Kind:
    name = draw(st.sampled_from(["photo", "labels", "values"]))
    if name == "photo":
        return Photo()
    if name == "labels":
        count = draw(st.integers(1, 5))
        colours = draw(hnp.arrays(np.uint8, (count, 3), elements=st.integers(1, 255), unique=True))
        classes = tuple(draw(_TEXT) + str(index) for index in range(count))
        return Labels(Palette(draw(_TEXT), classes, colours, draw(st.none() | st.just(77))))
    limits = sorted(draw(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=2, unique=True)))
    return Values(draw(_TEXT), (limits[0], limits[1]))


@given(kinds())
def test_kinds_go_through_json_and_pickle(kind: Kind) -> None:
    for again in (
        kind_from_json(json.loads(json.dumps(kind.to_json()))),
        pickle.loads(pickle.dumps(kind)),
    ):
        assert again == kind
        assert hash(again) == hash(kind)
        assert again.is_like(kind)
        assert kind.is_like(again)
        assert again.describe() == kind.describe()
        assert repr(again) == repr(kind)


@given(kinds(), kinds())
def test_kinds_are_equal_when_they_say_the_same(first: Kind, second: Kind) -> None:
    assert (first == second) == (first.to_json() == second.to_json())
    if first == second:
        assert hash(first) == hash(second)
        assert first.is_like(second)
    assert first.is_like(second) == second.is_like(first)
    assert first != first.to_json()


def test_kinds_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        DEPTH.unit = "km"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        CAMVID.palette = Palette.named("facades")  # type: ignore[misc]
    again = pickle.loads(pickle.dumps(CAMVID))
    with pytest.raises(ValueError, match="read-only"):
        again.palette.colours[0, 0] = 9


def test_kinds_are_like_each_other_whatever_their_palettes_are_called() -> None:
    palette = CAMVID.palette
    called = Labels(Palette("streets", palette.classes, palette.colours, palette.void))
    without_void = Labels(Palette("camvid", palette.classes, palette.colours))
    recoloured = Labels(Palette("camvid", palette.classes, palette.colours[::-1], palette.void))
    renamed = Labels(Palette("camvid", ("a", *palette.classes[1:]), palette.colours, palette.void))
    assert called != CAMVID
    assert called.is_like(CAMVID)
    for other in (without_void, recoloured, renamed, Photo(), DEPTH):
        assert not other.is_like(CAMVID)
        assert not CAMVID.is_like(other)
    assert Values("m", (0, 9)).is_like(DEPTH)
    assert not Values("km", (0, 80)).is_like(DEPTH)
    assert Values("m", (0, 80)) == Values("m", (0.0, 80.0))


def test_kinds_in_words() -> None:
    assert [kind.describe() for kind in KINDS] == [
        "photos",
        "label maps of palette 'camvid' (labels 0..10, void 11)",
        "values",
        "values in m",
    ]
    assert Photo().describe_one() == "a photo"
    assert CAMVID.describe_one() == "a label map of palette 'camvid' (labels 0..10, void 11)"


def test_palettes_of_label_maps_are_found_by_name_and_by_file(tmp_path: Path) -> None:
    path = tmp_path / "fruit.csv"
    path.write_text("index,name,r,g,b\n0,apple,200,0,0\n")
    assert Labels(path).palette.classes == ("apple",)
    assert Labels(str(path)) == Labels(Palette.load(path))
    assert Labels("camvid").palette == Palette.named("camvid")
    with pytest.raises(PaletteError, match="facades, cmp-facades, camvid, "):
        Labels("fruit")


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"kind": "video"},
        {"kind": ["photo"]},
        {"kind": "labels"},
        {"kind": "labels", "palette": "camvid"},
        {"kind": "labels", "palette": {"name": "p"}},
        {"kind": "values", "unit": "m"},
        {"kind": "values", "unit": 5, "limits": [0, 1]},
        {"kind": "values", "unit": "m", "limits": [1, 0]},
        {"kind": "values", "unit": "m", "limits": [0, "1"]},
        {"kind": "values", "unit": "m", "limits": [0, 10**400]},
    ],
)
def test_documents_of_no_kind_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises((ImageError, PaletteError)):
        kind_from_json(document)


def test_what_is_not_known_is_not_shown() -> None:
    where = np.array([[True, False], [False, False]])
    photo = Photo().unmatched(np.zeros((2, 2, 3), np.uint8), where)
    assert photo[..., 0].tolist() == [[96, 0], [0, 0]]
    labels = np.ones((2, 2), np.uint8)
    assert Labels("camvid").unmatched(labels, where).tolist() == [[11, 1], [1, 1]]
    assert Labels("facades").unmatched(labels, where).tolist() == [[255, 1], [1, 1]]
    assert labels.all()  # the picture that was given stays
    values = Values("m").unmatched(np.ones((2, 2), np.float32), where)
    assert np.isnan(values).tolist() == where.tolist()
