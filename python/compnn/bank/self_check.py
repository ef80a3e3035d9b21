"""Whether a network reproduces the targets that it was trained on: nonsense shows before the build.

A wrong range, labels shifted by one or a mirrored mask make a bank that explains as smoothly as the
right one. The network's own output tells: it is like its targets, and more so than like others'.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from compnn.bank.pairs import PairReader
from compnn.bank.tables import SkippedImage
from compnn.data.dataset import Dataset, Pair
from compnn.errors import ActivationError, CompnnError, DatasetError
from compnn.images.kinds import Kind, Labels, Photo, Picture
from compnn.images.measures import psnr, rmse
from compnn.images.palette import BUILT_IN, Palette
from compnn.network.network import Network
from compnn.network.preprocessing import Preprocessing

_MOST_PAIRS, _FEWEST_PAIRS = 16, 4
# An output is compared with its own target, and with those of so many other pairs.
_OTHERS = 3
_MOST_SECONDS = 60
_HALF = 0.5
_IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
_RANGES = ((0, 1), (-1, 1), (0, 255))


@dataclass(frozen=True)
class _Likeness:
    """How like outputs are to their own targets, and to other pairs', one number a pair.

    Of label maps the share of a class's pixels that are right, mean of the classes; else dB.
    `said` and `others_said`, means of all pairs, are what is told: of label maps the share of all
    pixels that are right.
    """

    own: npt.NDArray[np.float64]
    others: npt.NDArray[np.float64]
    said: float
    others_said: float


@dataclass(frozen=True)
class _Alternative:
    """Another reading of the data: what it is, how it is asked for, and what it gives."""

    words: str
    remedy: str
    likeness: Callable[[], _Likeness]


def check_pairs(
    network: Network,
    dataset: Dataset,
    taps: Sequence[str],
    workers: int,
    say: Callable[[str], None],
) -> None:
    """Compare what a network paints with its targets, on up to 16 pairs.

    Where that looks weak, other readings of the data are tried, for a minute at most.

    Parameters
    ----------
    network, dataset, taps
        Of the build. Taps are computed, too: ONNX Runtime takes memory for each choice of tensors.
    workers
        How many pairs are run at a time.
    say
        Called with what was found.

    Raises
    ------
    DatasetError
        If another reading is better by a margin: it is named.
    """
    if network.output_name is None:
        return
    check = _Check(network, dataset, taps, workers)
    if not check.pairs:
        return
    try:
        found = check.likeness()
    except ActivationError:
        return  # the build will say for which image
    say(check.words(found))
    if len(check.pairs) < _FEWEST_PAIRS:
        say(f"fewer than {_FEWEST_PAIRS} pairs: whether that is right cannot be told")
        return
    if not check.is_weak(found):
        return
    end = time.monotonic() + _MOST_SECONDS
    better: list[tuple[float, _Likeness, _Alternative]] = []
    likelier: list[tuple[float, _Likeness, _Alternative]] = []
    for alternative in check.alternatives():
        if time.monotonic() > end:
            break
        try:
            other = alternative.likeness()
        except CompnnError:  # it cannot be read so
            continue
        share = check.better_in(other, found)
        if share > _HALF:
            (better if share == 1 else likelier).append((_mean(other.own), other, alternative))
    if better:
        _, other, best = max(better, key=lambda each: each[0])
        raise DatasetError(
            f"{check.words(found)}; {best.words} it would be {check.number(other.said)}: "
            f"{best.remedy}, or build all the same with `--no-check` (check=False)"
        )
    if likelier:
        _, other, best = max(likelier, key=lambda each: each[0])
        say(
            f"WARNING: {best.words} it would be {check.number(other.said)}, better for most of the "
            f"pairs that were tried; if that is what it was trained on, {best.remedy}"
        )
        return
    if check.is_alarming(found):
        say(
            f"WARNING: its own targets are hardly more like it than those of other images, and no "
            f"other reading of the data is better. Either {network.name} is not trained, or its "
            f"task is hard, or these are not the images or targets that it was trained on"
        )


class _Check:
    """The pairs of a check, and what the network makes of them."""

    def __init__(
        self, network: Network, dataset: Dataset, taps: Sequence[str], workers: int
    ) -> None:
        self._network, self._dataset, self._taps = network, dataset, taps
        self._workers = workers
        self._kind = dataset.target_kind
        self._labels = isinstance(self._kind, Labels)
        self._margin = 0.05 if self._labels else 1.0
        count = min(len(dataset), _MOST_PAIRS)
        self._indices = [index * len(dataset) // count for index in range(count)]
        self.pairs = self._read(dataset)
        self._shown: list[Picture] = []

    def likeness(self) -> _Likeness:
        """Of the data as they are."""
        self._shown = self._painted(self._network, self.pairs, self._kind)
        return self._compared([pair.target for pair in self.pairs], self._shown)

    def words(self, found: _Likeness) -> str:
        own, others = self.number(found.said), self.number(found.others_said)
        what = "labels" if self._labels else "targets"
        return f"the network reproduces {own} of its training {what}; of other images' {others}"

    def number(self, value: float) -> str:
        return f"{value:.1%}" if self._labels else f"{value:.1f} dB"

    def is_weak(self, found: _Likeness) -> bool:
        """Whether another reading may be better."""
        own, others = _mean(found.own), _mean(found.others)
        if self._labels:
            return not (own >= 0.9 and own >= others + 0.15)
        return not own >= others + 3

    def is_alarming(self, found: _Likeness) -> bool:
        """Whether outputs are hardly more like their targets than others'."""
        own, others = _mean(found.own), _mean(found.others)
        return not own >= others + self._margin

    def better_in(self, other: _Likeness, found: _Likeness) -> float:
        """The share of pairs for which another reading is better; 1 for all but one.

        0 where it is not by a margin, or does not tell images apart: of a network that paints one
        picture whatever it is given, some reading is always better.
        """
        gains, apart = other.own - found.own, other.own - other.others
        gains = gains[np.isfinite(gains)]
        enough = len(gains) >= _FEWEST_PAIRS and gains.mean() >= self._margin
        if not enough or _mean(apart) < self._margin:
            return 0.0
        count = int((gains > 0).sum())
        return 1.0 if count >= len(gains) - 1 else count / len(gains)

    # ---- other readings

    def alternatives(self) -> Iterator[_Alternative]:
        yield from self._of_targets()
        yield from self._of_preprocessing()
        yield from self._of_datasets()

    def _of_targets(self) -> Iterator[_Alternative]:
        """The same outputs, and targets that are changed."""
        changes: list[tuple[str, str, Callable[[Picture], Picture]]] = [
            ("with targets mirrored left to right", "mirror them", np.fliplr),
            ("with targets mirrored top to bottom", "mirror them", np.flipud),
            (
                "with targets turned by 180 degrees",
                "turn them (orientation in EXIF?)",
                lambda target: target[::-1, ::-1],
            ),
            (
                "with rows and columns of targets exchanged",
                "transpose them",
                lambda target: target.swapaxes(0, 1),
            ),
            (
                "with targets turned by 90 degrees",
                "turn them (orientation in EXIF?)",
                lambda target: np.rot90(target),
            ),
            (
                "with targets turned by 90 degrees clockwise",
                "turn them (orientation in EXIF?)",
                lambda target: np.rot90(target, -1),
            ),
        ]
        if isinstance(self._kind, Labels):
            changes = [
                (
                    "with labels that are one less, where 0 is no class,",
                    "give `--reduce-zero-label` (reduce_zero_label=True)",
                    lambda target: self._shifted(target, -1),
                ),
                (
                    "with labels that are one more",
                    "store labels that are one more",
                    lambda target: self._shifted(target, 1),
                ),
                *changes,
            ]
        for words, remedy, change in changes:

            def likeness(change: Callable[[Picture], Picture] = change) -> _Likeness:
                return self._compared([change(pair.target) for pair in self.pairs], self._shown)

            yield _Alternative(words, remedy, likeness)

    def _shifted(self, target: Picture, by: int) -> Picture:
        """A label map of other labels; those that become none are void."""
        assert isinstance(self._kind, Labels)
        moved, classes = target.astype(np.int16) + by, len(self._kind.palette)
        outside = (target >= classes) | (moved < 0) | (moved >= classes)
        return self._kind.unmatched(np.where(outside, 0, moved).astype(np.uint8), outside)

    def _of_preprocessing(self) -> Iterator[_Alternative]:
        """The same images, in another scale or order."""
        now = self._network.preprocessing
        others = [
            (f"with input in [{low}, {high}]", f"give `--input-range {low},{high}`", (low, high))
            for low, high in _RANGES
            if now.range != (low, high)
        ]
        for words, remedy, span in others:
            yield self._with(words, remedy, replace(now, range=span, mean=None, std=None))
        if now.mean != _IMAGENET.mean and self.pairs[0].input.shape[2] == 3:
            yield self._with(
                "with the mean and std of ImageNet",
                "give `--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225`",
                replace(now, range=None, mean=_IMAGENET.mean, std=_IMAGENET.std),
            )
        if self.pairs[0].input.shape[2] == 3:
            order = "RGB" if now.channel_order == "BGR" else "BGR"
            yield self._with(
                f"with channels in the order {order}",
                f"give `--channel-order {order}`",
                replace(now, channel_order=order),
            )

    def _with(self, words: str, remedy: str, preprocessing: Preprocessing) -> _Alternative:
        def likeness() -> _Likeness:
            network = self._network.with_preprocessing(preprocessing)
            shown = self._painted(network, self.pairs, self._kind)
            return self._compared([pair.target for pair in self.pairs], shown)

        return _Alternative(words, remedy, likeness)

    def _of_datasets(self) -> Iterator[_Alternative]:
        """The same files, read otherwise."""
        swapped = self._dataset.swapped()
        if swapped is not None:
            yield self._reading("with input and target exchanged", "exchange them", swapped)
        for what, kind in (("input", self._dataset.input_kind), ("target", self._kind)):
            for palette in _like(kind):
                yield self._reading(
                    f"with the {what} palette {palette.name}",
                    f"give `--{what}-palette {palette.name}`",
                    self._dataset.of_kinds(**{f"{what}_kind": _with_palette(kind, palette)}),
                )

    def _reading(self, words: str, remedy: str, dataset: Dataset) -> _Alternative:
        def likeness() -> _Likeness:
            pairs = self._read(dataset)
            if len(pairs) != len(self.pairs):
                raise DatasetError("not all pairs can be read so")
            shown = self._painted(self._network, pairs, dataset.target_kind)
            return self._compared([pair.target for pair in pairs], shown)

        return _Alternative(words, remedy, likeness)

    # ---- reading, running, comparing

    def _read(self, dataset: Dataset) -> list[Pair]:
        reader = PairReader(dataset, self._network, skip_bad=True)
        with ThreadPoolExecutor(self._workers) as workers:
            found = list(workers.map(reader.read, self._indices))
        return [pair for pair in found if not isinstance(pair, SkippedImage)]

    def _painted(self, network: Network, pairs: Sequence[Pair], kind: Kind) -> list[Picture]:
        def paint(pair: Pair) -> Picture:
            output = network.read(pair.input, self._taps, output=True, name=pair.name).output
            assert output is not None
            size = pair.input.shape[0], pair.input.shape[1]
            return network.paint(output, size, kind)

        with ThreadPoolExecutor(self._workers) as workers:
            return list(workers.map(paint, pairs))

    def _compared(self, targets: Sequence[Picture], shown: Sequence[Picture]) -> _Likeness:
        count = len(shown)
        further = range(1, min(_OTHERS, count - 1) + 1)
        found = np.array(
            [
                [self._likeness(targets[(index + step) % count], picture) for step in (0, *further)]
                for index, picture in enumerate(shown)
            ]
        )  # (pairs, own and others, decided by and said)
        own, said = _means(found[:, :1])
        others, others_said = _means(found[:, 1:])
        return _Likeness(own, others, _mean(said), _mean(others_said))

    def _likeness(self, target: Picture, shown: Picture) -> tuple[float, float]:
        """What decides, and what is said."""
        target = self._kind.fit(np.ascontiguousarray(target), (shown.shape[0], shown.shape[1]))
        if isinstance(self._kind, Labels):
            comparison = self._kind.comparison()
            found = comparison.summarise([comparison.observe(target, shown)])
            return found["class_accuracy"], found["pixel_accuracy"]
        if isinstance(self._kind, Photo):
            value = min(psnr(target, shown), 99.0)
        else:
            value = -20 * math.log10(max(rmse(target, shown), 1e-9))
        return value, value


def _means(found: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    """Of (pairs, targets, 2) the means over known targets: (pairs,) of either kind."""
    return tuple(np.array([_mean(row) for row in found[..., kind]]) for kind in (0, 1))


def _mean(values: npt.NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan


def _like(kind: Kind) -> Iterator[Palette]:
    """Built-in palettes of as many classes, of other colours."""
    if isinstance(kind, Labels):
        for palette in map(Palette.named, BUILT_IN):
            if len(palette) == len(kind.palette) and not np.array_equal(
                palette.colours, kind.palette.colours
            ):
                yield palette


def _with_palette(kind: Kind, palette: Palette) -> Labels:
    assert isinstance(kind, Labels)
    return Labels(palette, nearest_colour=kind.nearest_colour, indices=kind.indices)
