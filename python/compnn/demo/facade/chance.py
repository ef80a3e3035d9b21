"""Draws from a random stream: one of several values, a whole number, a usual value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def pick(rng: np.random.Generator, values: Sequence[T]) -> T:
    """One of `values`, all alike."""
    return values[int(rng.integers(len(values)))]


def between(rng: np.random.Generator, bounds: tuple[int, int]) -> int:
    """A whole number from low to high, both included."""
    return int(rng.integers(bounds[0], bounds[1] + 1))


def mostly(rng: np.random.Generator, share: float, usual: T, others: Sequence[T]) -> T:
    """`usual` with probability `share`, else one of `others`."""
    return usual if rng.random() < share else pick(rng, others)
