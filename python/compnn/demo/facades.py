"""The demo's data: pairs of a facade's label map and its photo, made from a seed alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compnn.data.dataset import Dataset, Pair
from compnn.demo.facade.building import choose_style, make_layout
from compnn.demo.facade.layout import Layout, label_map
from compnn.demo.facade.rendering import render
from compnn.demo.facade.styles import CLASSES
from compnn.errors import DatasetError
from compnn.images.kinds import Labels
from compnn.images.palette import Palette

PALETTE = Palette(
    name="demo-facades",
    classes=tuple(CLASSES),
    colours=np.array(list(CLASSES.values()), np.uint8),
)
"""The classes of the demo's label maps and their colours."""

FIRST_SEED = {"train": 144, "held-out": 10_042}
"""Seed of the first facade of each split; the next ones follow it.

They begin where each wall colour occurs in several styles, and the held-out ones have usual walls.
"""
MOST = FIRST_SEED["held-out"] - FIRST_SEED["train"]
"""Most facades that a split can have: more would run into the other one."""
COUNT = {"train": 64, "held-out": 8}
"""Facades of each split, unless another count is asked for."""


@dataclass(frozen=True)
class Facade:
    """Label map uint8 (256, 256) and photo uint8 (256, 256, 3) RGB of a facade, and its attributes.

    The attributes are wall (red, yellow, white, grey, brown, blue), style, material, roof, storeys.
    """

    name: str
    labels: npt.NDArray[np.uint8]
    photo: npt.NDArray[np.uint8]
    attributes: dict[str, str]


def make_facade(seed: int) -> Facade:
    """Return the facade of a seed (0 or more), the same on every machine."""
    layout = _layout(seed)
    return Facade(
        name=_name(seed),
        labels=label_map(layout),
        # A stream of its own: what only the photo shows cannot change the label map.
        photo=render(layout, np.random.default_rng([seed, 1])),
        attributes=_attributes(layout),
    )


class DemoFacades(Dataset):
    """Made-up facades, label map to photo: input the painted label map, target the photo.

    Parameters
    ----------
    split
        "train", which the demo's network was trained on, or "held-out", which it never saw.
    count
        Number of pairs; by default 64 to train on, 8 held out.

    Raises
    ------
    DatasetError
        If there is no such split, or not as many facades in it.

    Examples
    --------
    >>> facades = DemoFacades("held-out", count=2)
    >>> facades.names, facades[0].target.shape
    (('facade-10042', 'facade-10043'), (256, 256, 3))
    """

    def __init__(self, split: str = "train", count: int | None = None) -> None:
        if split not in FIRST_SEED:
            raise DatasetError(f"the demo has no split {split!r}; use train or held-out")
        count = COUNT[split] if count is None else count
        first = FIRST_SEED[split]
        if not 1 <= count <= MOST:
            raise DatasetError(f"count is {count}; ask for 1 to {MOST} facades")
        self._seeds = {_name(seed): seed for seed in range(first, first + count)}
        super().__init__(
            self._seeds,
            input_kind=Labels(PALETTE),
            attributes={name: _attributes(_layout(seed)) for name, seed in self._seeds.items()},
        )

    def read(self, name: str) -> Pair:
        """As `Dataset.read`."""
        facade = make_facade(self._seeds[name])
        return Pair(name, PALETTE.colourise(facade.labels), facade.photo)


def _name(seed: int) -> str:
    return f"facade-{seed:03d}"


def _layout(seed: int) -> Layout:
    return make_layout(np.random.default_rng([seed, 0]), choose_style(seed))


def _attributes(layout: Layout) -> dict[str, str]:
    return {
        "wall": layout.wall,
        "style": layout.style.name,
        "material": layout.material,
        "roof": layout.roof,
        "storeys": str(layout.storeys),
    }
