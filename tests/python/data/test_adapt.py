"""Tensors and arrays as pairs: values are checked, never guessed. PyTorch is imitated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import compnn
from compnn.errors import DatasetError, ImageError
from compnn.images.palette import Palette
from memory_dataset import grey_palette

PHOTO = compnn.Photo()
LABELS = compnn.Labels(grey_palette(4))


class Tensor:
    """As much of a tensor as is used."""

    def __init__(self, values: Any) -> None:
        self._values, self.dtype = values, values.dtype

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self._values


def image(seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)


def labels() -> Any:
    return np.random.default_rng(0).integers(0, 4, (6, 8), np.int64)


@pytest.mark.parametrize("wrap", [np.asarray, Tensor])
def test_all_layouts_give_the_same_pixels(wrap: Any) -> None:
    pixels = image()
    planes = pixels.transpose(2, 0, 1)
    for given_image in (pixels, planes, planes / np.float32(255), planes / 255):
        pair = compnn.TensorPairs([(wrap(given_image), wrap(labels()))], LABELS)[0]
        np.testing.assert_array_equal(pair.input, pixels)
        np.testing.assert_array_equal(pair.target, labels())
        assert (pair.input.dtype, pair.target.dtype) == (np.uint8, np.uint8)


@given(
    st.lists(st.floats(0.1, 0.9), min_size=3, max_size=3),
    st.lists(st.floats(0.05, 2), min_size=3, max_size=3),
)
def test_normalisation_is_undone(mean: list[float], std: list[float]) -> None:
    values = ((image() / 255 - mean) / std).transpose(2, 0, 1).astype(np.float32)
    pairs = compnn.TensorPairs([(values, labels())], LABELS, mean=mean, std=std)
    np.testing.assert_array_equal(pairs[0].input, image())


def test_photos_and_values() -> None:
    pixels = image().transpose(2, 0, 1) / np.float32(127.5) - 1
    pairs = compnn.TensorPairs([(pixels, pixels)], PHOTO, range=(-1, 1))
    np.testing.assert_array_equal(pairs[0].input, image())
    np.testing.assert_array_equal(pairs[0].target, image())
    depth = np.linspace(0, 9, 48).reshape(1, 6, 8)
    pair = compnn.TensorPairs([(image()[..., :1], depth)], compnn.Values("m"))[0]
    np.testing.assert_array_equal(pair.target, depth[0].astype(np.float32))
    np.testing.assert_array_equal(pair.input, np.repeat(image()[..., :1], 3, axis=2))


@pytest.mark.parametrize(
    ("given_image", "target", "kind", "message"),
    [
        (
            image() / 127.5 - 1,
            labels(),
            LABELS,
            r"from -[01].*`range=\(lo, hi\)`",
        ),
        (
            image().astype(np.float32),
            labels(),
            LABELS,
            r"from 0 to 2\d+.* `range=",
        ),
        (np.full((3, 6, 8), np.nan), labels(), LABELS, "values from nan"),
        (image().astype(np.int64), labels(), LABELS, "is int64; images are uint8"),
        (np.zeros((5, 6, 8)), labels(), LABELS, r"shape \(5, 6, 8\), not \(3, H, W\)"),
        (np.zeros((3, 6, 3)), labels(), LABELS, "either end may be the channels"),
        (image(), labels() - 100, LABELS, r"label -\d+; .*give `ignore=-"),
        (image(), labels() + 4, LABELS, "which is not in"),
        (image(), labels() / 2, LABELS, "float64; labels are integers"),
        (image(), np.zeros((4, 6, 8)), LABELS, r"\(4, 6, 8\), not \(H, W\).*argmax"),
        (image(), np.full((6, 8), np.inf), compnn.Values(), "holds infinite values"),
        ("a.png", labels(), LABELS, "is a str, not a tensor"),
    ],
)
def test_what_is_not_told_is_refused(
    given_image: Any, target: Any, kind: Any, message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        _ = compnn.TensorPairs([(given_image, target)], kind)[0]


def test_pixels_that_do_not_count_are_void() -> None:
    colours = np.arange(1, 13, dtype=np.uint8).reshape(4, 3)
    palette = Palette("void", tuple("abcd"), colours, void=4)
    target = labels()
    target[:2] = -100
    pairs = compnn.TensorPairs([(image(), target)], compnn.Labels(palette), ignore=-100)
    np.testing.assert_array_equal(pairs[0].target, np.where(target < 0, 4, target))
    with pytest.raises(DatasetError, match="without void; give a palette"):
        compnn.TensorPairs([(image(), target)], LABELS, ignore=-100)


def test_names_follow_the_numbers() -> None:
    items = [(image(seed), labels()) for seed in range(12)]
    pairs = compnn.TensorPairs(items, LABELS)
    assert pairs.names == tuple(map(str, range(12)))
    np.testing.assert_array_equal(pairs[10].input, image(10))
    named = compnn.TensorPairs(items, LABELS, names=[f"scan {11 - i}" for i in range(12)])
    np.testing.assert_array_equal(named.read("scan 1").input, image(10))
    assert len(named.subset(["scan 1"])) == 1
    for names in (["a"], ["a"] * 12):
        with pytest.raises(DatasetError, match=r"names|named"):
            compnn.TensorPairs(items, LABELS, names=names)


def test_datasets_that_are_none_are_refused() -> None:
    with pytest.raises(DatasetError, match="generator has no numbered pairs"):
        compnn.TensorPairs((pair for pair in [(image(), labels())]), LABELS)  # type: ignore
    with pytest.raises(DatasetError, match="is empty; give one with pairs"):
        compnn.TensorPairs([], LABELS)
    with pytest.raises(DatasetError, match=r"is a dict, not \(image, target\)"):
        compnn.TensorPairs([{"image": image()}], LABELS)
    for options in ({"range": (1, 0)}, {"range": (1, 1)}, {"mean": (0.5,)}, {"std": (0.0,)}):
        full = {"mean": (0.5,)} | options if "std" in options else options
        with pytest.raises(DatasetError, match="range"):
            compnn.TensorPairs([(image(), labels())], LABELS, **full)  # type: ignore


def test_random_augmentation_is_seen() -> None:
    class Noisy(list[Any]):
        def __getitem__(self, index: Any) -> Any:
            noise = np.random.default_rng().random((3, 6, 8))
            return noise, labels()

    with pytest.raises(DatasetError, match=r"another one each time .* random augmentation"):
        compnn.TensorPairs(Noisy([0]), LABELS)


def test_errors_of_the_dataset_name_the_pair() -> None:
    class Broken(list[Any]):
        def __getitem__(self, index: Any) -> Any:
            if index:
                raise OSError("cut short")
            return image(), labels()

    pairs = compnn.TensorPairs(Broken([0, 1]), LABELS)
    with pytest.raises(ImageError, match=r"pair 1 cannot be read .* OSError: cut short"):
        _ = pairs[1]
