"""Images become the numbers that a network expects."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compnn.errors import NetworkError
from compnn.network.preprocessing import Preprocessing


def image(height: int = 4, width: int = 6, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_range_is_linear_and_channels_come_first() -> None:
    pixels = image()
    values = Preprocessing(size=(4, 6), range=(-1, 1)).apply(pixels[None])
    assert values.dtype == np.float32
    assert values.shape == (1, 3, 4, 6)
    assert values.flags.c_contiguous
    np.testing.assert_allclose(values[0, 2], pixels[..., 2] / 127.5 - 1, atol=1e-6)


def test_ends_of_the_range_are_reached() -> None:
    ends = np.array([[[[0, 0, 0], [255, 255, 255]]]], np.uint8)
    values = Preprocessing(range=(-3, 5)).apply(ends)
    np.testing.assert_allclose(values[0, :, 0], [[-3, 5]] * 3, atol=1e-6)


def test_mean_and_std_are_those_of_values_from_0_to_1() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    pixels = image()
    values = Preprocessing(mean=mean, std=std).apply(pixels[None])[0]
    for c in range(3):
        np.testing.assert_allclose(values[c], (pixels[..., c] / 255 - mean[c]) / std[c], atol=1e-5)


def test_bgr_swaps_the_channels_before_mean_and_std() -> None:
    pixels = image()
    swapped = Preprocessing(channel_order="BGR", mean=(0.1, 0.2, 0.3), std=(1, 1, 1))
    values = swapped.apply(pixels[None])[0]
    np.testing.assert_allclose(values[0], pixels[..., 2] / 255 - 0.1, atol=1e-6)
    np.testing.assert_allclose(values[2], pixels[..., 0] / 255 - 0.3, atol=1e-6)


def test_one_channel_networks_get_luminance() -> None:
    pixels = image()
    values = Preprocessing(range=(0, 255)).apply(pixels[None], channels=1)
    assert values.shape == (1, 1, 4, 6)
    luminance = pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(values[0, 0] - luminance).max() <= 0.51


@given(
    st.sampled_from([None, "RGB", "BGR"]),
    st.sampled_from(
        [
            {"range": (-1, 1)},
            {"range": (0, 255)},
            {"mean": (0.4, 0.5, 0.6), "std": (0.1, 0.2, 0.3)},
        ]
    ),
    st.integers(0, 2**32 - 1),
)
def test_to_image_undoes_apply(order: str | None, scaling: dict[str, Any], seed: int) -> None:
    preprocessing = Preprocessing(channel_order=order, **scaling)
    pixels = image(seed=seed)
    np.testing.assert_array_equal(
        preprocessing.to_image(preprocessing.apply(pixels[None])[0]), pixels
    )


def test_to_image_clips_and_makes_grey_rgb() -> None:
    values = np.array([[[-7, 0.2, 7]]], np.float32)
    painted = Preprocessing(range=(-1, 1)).to_image(values)
    assert painted.tolist() == [[[0] * 3, [153] * 3, [255] * 3]]


def test_what_is_left_open_is_completed() -> None:
    file = Preprocessing(channel_order="BGR", range=(-1, 1))
    mine = Preprocessing(size=(4, 6), mean=(0.5,), std=(0.5,))
    assert mine.completed(file) == Preprocessing((4, 6), "BGR", None, (0.5,), (0.5,))
    assert Preprocessing(resize=True).completed(file) == Preprocessing(
        None, "BGR", (-1, 1), resize=True
    )


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(),
        Preprocessing(size=(256, 128), channel_order="BGR", range=(-1.0, 1.0), resize=True),
        Preprocessing(size=(3, 4), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)),
    ],
)
def test_json_round_trip(preprocessing: Preprocessing) -> None:
    document = json.loads(json.dumps(preprocessing.to_json()))
    assert Preprocessing.from_json(document) == preprocessing
    assert Preprocessing.from_json(document | {"of_a_later_version": [1]}) == preprocessing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": "32x32"}, "other fields"),
        ({"size": [32.0, 32]}, "other fields"),
        ({"size": [0, 32]}, "at least 1x1"),
        ({"channel_order": 7}, "RGB or BGR"),
        ({"range": [0, "1"]}, "other fields"),
        ({"range": [0, 10**400]}, "other fields"),
        ({"mean": [0.5]}, "given together"),
        ({"std": 0.5}, "other fields"),
        ({"resize": 1}, "other fields"),
    ],
)
def test_other_fields_are_refused(change: dict[str, object], message: str) -> None:
    document = Preprocessing(size=(3, 4), range=(0, 1)).to_json()
    with pytest.raises(NetworkError, match=message):
        Preprocessing.from_json(document | change)
    (key,) = change
    with pytest.raises(NetworkError, match="other fields"):
        Preprocessing.from_json({each: part for each, part in document.items() if each != key})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": (0, 5)}, r"size must be .* not \(0, 5\)"),
        ({"channel_order": "GBR"}, "RGB or BGR, not 'GBR'"),
        ({"range": (1, 1)}, r"lo < hi, not \(1, 1\)"),
        ({"range": (0, float("inf"))}, "lo < hi"),
        ({"mean": (0.5,)}, "given together"),
        ({"mean": (0.5,), "std": (0.0,)}, "std above 0"),
        ({"mean": (0.5,), "std": (float("inf"),)}, "finite"),
        ({"mean": (float("nan"),), "std": (1.0,)}, "finite"),
        ({"mean": (0.5,), "std": (1.0, 1.0)}, "one value per channel"),
        ({"mean": (0.5,), "std": (1.0,), "range": (0, 1)}, "not both"),
    ],
)
def test_senseless_values_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        Preprocessing(**fields)


def test_an_unknown_scaling_says_how_to_give_it() -> None:
    with pytest.raises(NetworkError, match=r"--input-range lo,hi.*Preprocessing\(range="):
        Preprocessing().scaling(3)
    with pytest.raises(NetworkError, match="1 values, but the network has 3 channels"):
        Preprocessing(mean=(0.5,), std=(0.5,)).scaling(3)
