"""What tests of explaining with a bank share: its training images, and queries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from compnn.explanation.explainer import Explainer
from compnn.explanation.explanation import Explanation
from compnn.search.search import HyperPatchMatch
from memory_dataset import MemoryDataset

COUNT = 6
TRAIN = MemoryDataset(COUNT, attributes={"img_1": {"wall": "red"}})
HELD_OUT = MemoryDataset(2, seed=1)
QUERY = HELD_OUT[0].input
LONG = HyperPatchMatch(iterations=64)


def same_field(first: Explanation, second: Explanation) -> bool:
    """Whether two explanations have the same matches."""
    return all(
        np.array_equal(getattr(first.field, key), getattr(second.field, key))
        for key in ("image", "row", "col", "similarity")
    )


def array_file(bank: Path, name: str) -> Path:
    """The one file of that name in the shards of a bank."""
    (file,) = bank.glob(f"shards/*/{name}")
    return file


def flip_a_bit(file: Path, image: int, images: int = COUNT) -> None:
    """Damage the part of one image, all of one size, in an array file of a bank."""
    numbers = np.load(file, mmap_mode="r+").reshape(-1).view(np.uint8)
    size = len(numbers) // images
    numbers[image * size + size // 2] ^= 0x04
    numbers.flush()  # type: ignore[attr-defined]


def described(explanation: Explanation) -> list[Any]:
    """What an explanation says, from the field to the pixels of a source."""
    source = explanation.sources()[0]
    given, target = explanation.source_images(source.index)
    pictures = explanation.input, explanation.output, given, target, explanation.network_output
    field = explanation.field
    return [
        repr(explanation),
        explanation.sources(),
        explanation.candidates,
        *(each.tobytes() for each in (*pictures, field.image, field.row, field.col)),
    ]


def explained_by(explainer: Explainer, among: Any = None) -> list[Any]:
    """The same, of what an explainer finds."""
    return described(explainer.explain(QUERY, "encoder_2", LONG, top_k=3, among=among))
