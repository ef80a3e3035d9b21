"""Explanations of training images in memory, without a network and a bank."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compnn.explanation.composition import Composition
from compnn.explanation.explanation import Candidate, Explanation
from compnn.images.kinds import Kind, Labels, Photo, Picture, Values
from compnn.images.palette import Palette
from compnn.network.layer import Layer
from compnn.search.field import Field
from compnn.search.search import Exhaustive
from memory_images import MemoryImages

COUNT = 5
SIZE = (32, 24)
ATTRIBUTES = {"img_1": {"wall": "red", "style": "old"}, "img_4": {"wall": "blue"}}


@dataclass(frozen=True)
class Training:
    """Training images, and what they are."""

    images: MemoryImages
    input_kind: Kind
    target_kind: Kind


def training(
    target_kind: Kind,
    draw: Callable[[np.random.Generator, tuple[int, int]], Picture],
    *,
    input_kind: Kind | None = None,
    sizes: Sequence[tuple[int, int]] = (SIZE,) * COUNT,
    names: Sequence[str] = (),
    attributes: Mapping[str, Mapping[str, str]] = ATTRIBUTES,
) -> Training:
    """Training images whose inputs are noise and whose targets are drawn."""
    random = np.random.default_rng(1)
    inputs = [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    if isinstance(input_kind, Labels):
        palette = input_kind.palette
        inputs = [palette.colourise(palette.quantise(each)) for each in inputs]
    images = MemoryImages(inputs, [draw(random, size) for size in sizes], names, attributes)
    return Training(images, input_kind or Photo(), target_kind)


def photos(
    sizes: Sequence[tuple[int, int]] = (SIZE,) * COUNT,
    names: Sequence[str] = (),
    attributes: Mapping[str, Mapping[str, str]] = ATTRIBUTES,
) -> Training:
    """Photos to photos."""
    return training(
        Photo(),
        lambda random, size: random.integers(0, 256, (*size, 3), np.uint8),
        sizes=sizes,
        names=names,
        attributes=attributes,
    )


def grey_labels(void: int | None = None) -> Training:
    """Photos to label maps of five classes."""
    colours = np.repeat(np.arange(5, dtype=np.uint8)[:, None] * 40 + 10, 3, axis=1)
    palette = Palette("greys", tuple("abcde"), colours, void=void)
    labels = np.array([*range(5), *([] if void is None else [void])], np.uint8)
    return training(Labels(palette), lambda random, size: random.choice(labels, size))


def painted_labels() -> Training:
    """Painted label maps to photos."""
    return training(
        Photo(),
        lambda random, size: random.integers(0, 256, (*size, 3), np.uint8),
        input_kind=Labels("camvid"),
    )


def values() -> Training:
    """Photos to values."""
    return training(
        Values("m"),
        lambda random, size: random.uniform(0, 9, size).astype(np.float32),
    )


def explanation_of(
    found: Training,
    *,
    matches: int = 2,
    composition: Composition = "copy",
    seed: int = 0,
    used: Sequence[int] | None = None,
) -> Explanation:
    """An explanation whose matches point anywhere in the images `used` (default: all but one)."""
    random = np.random.default_rng(seed)
    layer = Layer.of("layer", (8, 6, 3), SIZE)
    shape = (matches, *layer.grid)
    images = found.images
    images.layers = [layer]
    image = random.choice(np.array([0, 1, 3, 4] if used is None else used, np.int32), shape)
    heights, widths = images.inputs.sizes(image)
    field = Field(
        image,
        (random.random(shape) * np.maximum(heights // 4 - 1, 1)).astype(np.int32),
        (random.random(shape) * np.maximum(widths // 4 - 1, 1)).astype(np.int32),
        -np.sort(-random.uniform(-1, 1, shape).astype(np.float32), axis=0),
    )
    query, output = (
        each.take(*(np.full(SIZE, 1), *(np.indices(SIZE) % 4)))
        for each in (images.inputs, images.targets)
    )
    candidates = [
        Candidate(index, images.names[index], float(np.float32(1 / (place + 2))))
        for place, index in enumerate([2, 0, 1, 3, 4])
    ]
    kinds = found.input_kind, found.target_kind
    return Explanation(
        layer, field, Exhaustive(matches), query, output, candidates, kinds, images, composition
    )
