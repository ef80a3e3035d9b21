"""Training pairs made of random pixels, and what tests that build banks of them share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compnn.data.dataset import Dataset, Pair
from compnn.errors import ImageError
from compnn.images.kinds import Kind, Labels, Photo, Values
from compnn.images.palette import Palette

if TYPE_CHECKING:
    from compnn.bank.bank import Bank


class MemoryDataset(Dataset):
    """`count` pairs img_0, img_1, ... (or another prefix) of one size, the same for the same seed.

    Those in `bad` cannot be read. With `classes` the targets are label maps, with `unit` values
    from -1 to 1. With `sizes` the pairs have these in turn, instead of one.
    """

    def __init__(
        self,
        count: int,
        size: tuple[int, int] = (32, 32),
        *,
        bad: Sequence[int] = (),
        classes: int | None = None,
        unit: str | None = None,
        sizes: Sequence[tuple[int, int]] = (),
        darkest: int = 0,
        seed: int = 0,
        attributes: Mapping[str, Mapping[str, str]] | None = None,
        prefix: str = "img_",
    ) -> None:
        kind: Kind = Photo()
        if classes is not None:
            kind = Labels(grey_palette(classes))
        elif unit is not None:
            kind = Values(unit, limits=(-1, 1))
        names = [f"{prefix}{index}" for index in range(count)]
        super().__init__(names, target_kind=kind, attributes=attributes)
        self.bad = {f"{prefix}{index}" for index in bad}
        self.pairs = {}
        for index, (name, size_here) in enumerate(zip(names, cycle(sizes or [size]), strict=False)):
            random = np.random.default_rng((seed, index))
            image = random.integers(darkest, 256, (*size_here, 3), np.uint8)
            if classes is not None:
                target = random.integers(0, classes, size_here, np.uint8)
            elif unit is not None:
                target = random.uniform(-1, 1, size_here).astype(np.float32)
            else:
                target = random.integers(0, 256, (*size_here, 3), np.uint8)
            self.pairs[name] = Pair(name, image, target)

    def read(self, name: str) -> Pair:
        if name in self.bad:
            raise ImageError(f"{name}.png is cut short")
        return self.pairs[name]


def grey_palette(classes: int) -> Palette:
    """A palette of `classes` greys."""
    colours = np.repeat(np.arange(classes, dtype=np.uint8)[:, None] + 1, 3, axis=1)
    return Palette("greys", tuple(f"class {index}" for index in range(classes)), colours)


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files of a bank, by relative path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def patch_call(monkeypatch: Any, owner: Any, name: str, replacement: Any) -> list[tuple[Any, ...]]:
    """Replace a function and return the growing list of the arguments of its calls.

    `replacement` is given the original and the arguments.
    """
    original, calls = getattr(owner, name), []

    def patched(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return replacement(original, *args, **kwargs)

    monkeypatch.setattr(owner, name, patched)
    return calls


class StoppedError(Exception):
    """Raised by a progress callback in place of whatever may end a build."""


def stop_at(done: int, error: type[BaseException] = StoppedError) -> Callable[[int, int], None]:
    """A progress callback that raises after `done` pairs."""

    def progress(count: int, total: int) -> None:
        if count == done:
            raise error

    return progress


def check_that_images_find_themselves(bank: Bank, pairs: Iterable[Pair], layer: str) -> None:
    """By exhaustive search, place for place and pixel for pixel; `pairs` are the bank's."""
    # Imported here: most tests that share this file need no search.
    from compnn.explanation.explainer import Explainer
    from compnn.search.search import Exhaustive

    explainer = Explainer(bank)
    for index, pair in enumerate(pairs):
        found = explainer.explain(pair.input, layer, Exhaustive())
        rows, cols = np.indices(found.layer.grid)
        np.testing.assert_allclose(found.field.similarity, 1, atol=1e-6)
        assert (found.field.image == index).all()
        np.testing.assert_array_equal(found.field.row[0], rows)
        np.testing.assert_array_equal(found.field.col[0], cols)
        np.testing.assert_array_equal(found.input, pair.input)
        np.testing.assert_array_equal(found.output, pair.target)
