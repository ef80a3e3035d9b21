"""Which of a network's many taps are worth explaining: one for each level of detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

# A level whose tap has fewer channels tells little about an image, and one with fewer cells
# little about where.
_FEWEST_CHANNELS, _FEWEST_CELLS = 4, 16
_MOST_LAYERS = 6
# Numbers of a descriptor: they are kept, and compared, for every training image.
_MOST_NUMBERS = 1 << 16
# Where a residual block or a skip connection ends.
_JOINS = {"Add", "Concat", "Sum"}


@dataclass(frozen=True)
class Suggestion:
    """Taps that are worth explaining, in the order they are computed, and one to compare images by.

    Attributes
    ----------
    layers
        Three to six names, fewer where the network has fewer levels of detail.
    descriptor
        The coarsest tap; None where it has too many numbers.
    """

    layers: tuple[str, ...]
    descriptor: str | None


def suggest(
    shapes: Mapping[str, tuple[int, int, int]],
    operators: Mapping[str, str],
    image_size: tuple[int, int],
    beside: Sequence[str] = (),
) -> Suggestion:
    """Suggest taps by their shapes, as one would who has not read the paper of the network.

    A level is a run of taps of one grid of cells; its last tap, or the last join of it, has seen
    most. Of the levels after the coarsest one (a decoder) all are taken, finest first, of those
    before it as many as there is room for. A network with one level (a transformer) gives a few of
    its blocks.

    Parameters
    ----------
    shapes
        (H, W, D) of the taps, in the order they are computed.
    operators
        The operator that computes each.
    image_size
        (height, width) of the image.
    beside
        Taps that are not to be suggested: the output, and what only rewrites it.
    """
    usable = [
        name
        for name, (rows, cols, channels) in shapes.items()
        if name not in beside and channels >= _FEWEST_CHANNELS and rows * cols >= _FEWEST_CELLS
    ]
    levels = [list(names) for _, names in groupby(usable, key=lambda name: shapes[name][:2])]
    by_grid: dict[tuple[bool, tuple[int, int]], list[str]] = {}
    coarsest = min((shapes[level[-1]][0] * shapes[level[-1]][1] for level in levels), default=0)
    turned = False
    for level in levels:
        rows, cols, _ = shapes[level[-1]]
        turned = turned or rows * cols == coarsest
        by_grid.setdefault((turned, (rows, cols)), []).extend(level)
    ends = {
        key: _last_join(level, operators)
        for key, level in by_grid.items()
        if key[1] != tuple(image_size) or key[0]
    }
    if len(by_grid) == 1:
        chosen = _spread(next(iter(by_grid.values())), operators)
    else:
        after = [name for (turned, _), name in ends.items() if turned]
        before = [name for (turned, _), name in ends.items() if not turned]
        chosen = after[-_MOST_LAYERS:]
        room = _MOST_LAYERS - len(chosen)
        chosen = (before[-room:] if room else []) + chosen
    order = {name: place for place, name in enumerate(shapes)}
    return Suggestion(tuple(sorted(chosen, key=order.__getitem__)), _descriptor(shapes, beside))


def _last_join(level: Sequence[str], operators: Mapping[str, str]) -> str:
    """The last tap of a level, or the join that only few operators follow."""
    joins = [name for name in level[-4:] if operators.get(name) in _JOINS]
    return joins[-1] if joins else level[-1]


def _spread(level: Sequence[str], operators: Mapping[str, str]) -> list[str]:
    """The ends of four blocks of a network of one level, evenly spread."""
    ends = [name for name in level if operators.get(name) in _JOINS] or list(level)
    count = min(4, len(ends))
    return [ends[(place + 1) * len(ends) // count - 1] for place in range(count)]


def _descriptor(shapes: Mapping[str, tuple[int, int, int]], beside: Sequence[str]) -> str | None:
    """The last of the coarsest taps."""
    cells = {
        name: rows * cols
        for name, (rows, cols, channels) in shapes.items()
        if name not in beside and channels >= _FEWEST_CHANNELS
    }
    if not cells:
        return None
    fewest = min(cells.values())
    name = [name for name, count in cells.items() if count == fewest][-1]
    return name if fewest * shapes[name][2] <= _MOST_NUMBERS else None
