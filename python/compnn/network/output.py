"""What the numbers of a network's output are, and the picture that they make."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from compnn.errors import ActivationError, DatasetError, NetworkError
from compnn.images.kinds import Kind, Labels, Photo, Picture, Values
from compnn.network.geometry import AxisMap, Maps, Size
from compnn.network.preprocessing import Preprocessing

OutputKind = Literal["logits", "labels", "binary", "values", "photo", "none"]
"""What an output is.

"logits": a number for each class, the largest wins (probabilities, too); "labels": the class
itself; "binary": one number, above a threshold or not; "values": a quantity such as depth; "photo":
colours; "none": no picture, such as the features of a backbone, which is left out.
"""

Ending = Literal["softmax", "sigmoid", "bounded", "labels", "bool", "features", "queries", "open"]
"""How the operators of an output end, as far as that tells what it is; "open" where it does not."""

# Label maps hold no more.
_MOST_CLASSES = 256
_HALF = Fraction(1, 2)
_Floats: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Frame:
    """The picture that an output becomes, and how the output's cells lie over it.

    Attributes
    ----------
    size
        (height, width) of the picture: that of the image, or of the output where it is finer.
    maps
        Coordinates of the output to those of the picture.
    """

    size: Size
    maps: Maps

    @classmethod
    def of(cls, looks: Maps, image_size: Size) -> Frame:
        """The frame of an output that lies over the image by `looks`."""
        size, maps = [], []
        for each, pixels in zip(looks, image_size, strict=True):
            # A finer output keeps its own pixels: the picture is the image enlarged.
            scale = min(each.scale, Fraction(1))
            size.append(max(1, round(pixels / scale)))
            maps.append(AxisMap(each.scale / scale, each.offset / scale))
        return cls((size[0], size[1]), (maps[0], maps[1]))


@dataclass(frozen=True)
class OutputChoice:
    """Which output of a network is meant, and what it is; None where that is to be found out.

    Attributes
    ----------
    name
        Of the tensor.
    kind
        See `OutputKind`.
    range
        (low, high): the numbers of a photo that are black and white.
    threshold
        Of a binary output: larger numbers are the second class.
    """

    name: str | None = None
    kind: OutputKind | None = None
    range: tuple[float, float] | None = None
    threshold: float | None = None

    def completed(self, said: OutputChoice) -> OutputChoice:
        """The same choice, with what it leaves open as `said`, if that is not of another output."""
        if self.name not in (None, said.name or self.name):
            return self
        return OutputChoice(
            self.name or said.name,
            self.kind or said.kind,
            self.range or said.range,
            said.threshold if self.threshold is None else self.threshold,
        )

    def to_json(self) -> dict[str, object]:
        """The fields as JSON values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "range": None if self.range is None else list(self.range),
            "threshold": self.threshold,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> OutputChoice:
        """The inverse of `to_json`; fields of a later version are left alone.

        Raises
        ------
        NetworkError
            When a field is missing or of another type.
        """
        match fields:
            case {
                "name": str() | None as name,
                "kind": None | "logits" | "labels" | "binary" | "values" | "photo" | "none" as kind,
                "range": None | [int() | float(), int() | float()] as span,
                "threshold": int() | float() | None as threshold,
            }:
                return cls(name, kind, None if span is None else (span[0], span[1]), threshold)
        raise NetworkError(f"the choice of an output has other fields than these: {dict(fields)!r}")


@dataclass(frozen=True)
class Output:
    """A per-pixel output of a network, and what is known of it.

    Attributes
    ----------
    name
        Of the tensor.
    channels
        Its channels, 1 where it has no such dimension.
    ending
        What its operators say.
    bounds
        (low, high) that its operators keep the numbers within, if they do.
    kind
        What it was said to be, by its file or by the user; None where nobody has.
    range
        (low, high): the numbers of a photo that are black and white.
    threshold
        Of a binary output: larger numbers are the second class.
    unit
        Of values, as the targets have it.

    Raises
    ------
    NetworkError
        When these make no sense.
    """

    name: str
    channels: int
    ending: Ending = "open"
    bounds: tuple[float, float] | None = None
    kind: OutputKind | None = None
    range: tuple[float, float] | None = None
    threshold: float | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        if self.kind is not None and self.kind not in get_args(OutputKind):
            raise NetworkError(f"an output is {', '.join(get_args(OutputKind))}, not {self.kind!r}")
        if self.range is not None and not (
            all(map(math.isfinite, self.range)) and self.range[0] < self.range[1]
        ):
            raise NetworkError(f"the range of an output is (low, high), not {self.range}")
        wanted = {"photo": (1, 3), "binary": (1,), "values": (1,), "labels": (1,)}
        if self.kind in wanted and self.channels not in wanted[self.kind]:
            raise NetworkError(
                f"output {self.name!r} has {self.channels} channels and cannot be {self.kind!r}, "
                f"which has {' or '.join(map(str, wanted[self.kind]))}"
            )
        if self.kind == "logits" and not 2 <= self.channels <= _MOST_CLASSES:
            raise NetworkError(
                f"output {self.name!r} has {self.channels} channels; logits are of 2 to "
                f"{_MOST_CLASSES} classes"
            )

    @property
    def is_picture(self) -> bool:
        """Whether it becomes one, and not features that nobody has said to be something else."""
        if self.kind is None:
            return self.ending != "features" and self.channels <= _MOST_CLASSES
        return self.kind != "none"

    def resolved(self, targets: Kind | None, preprocessing: Preprocessing) -> Output:
        """The same output with all that was left open taken from its operators and the targets.

        Parameters
        ----------
        targets
            What the targets are; None where nobody has said.
        preprocessing
            Of the network's input: what is left of a photo's range is taken from there.

        Raises
        ------
        DatasetError
            When the output cannot be of that kind: what it is, and how to say otherwise.
        """
        kind = self.kind or self._guessed(targets)
        threshold = self.threshold
        if kind == "binary" and threshold is None:
            threshold = 0.0 if self.bounds is None else sum(self.bounds) / 2
        span = self.range
        if kind == "photo":
            span = span or self.bounds or preprocessing.range
        unit = targets.unit if isinstance(targets, Values) else ""
        found = replace(self, kind=kind, threshold=threshold, range=span, unit=unit)
        found._check(targets)
        return found

    def _guessed(self, targets: Kind | None) -> OutputKind:
        """What the output is, by its operators and channels, then by the targets."""
        if self.ending == "queries":
            raise DatasetError(
                f"output {self.name!r} has {self.channels} masks that the network makes for "
                f"queries, not classes; add operators that make label maps of them to the network, "
                f"or say that they are classes (`--output-kind logits`)"
            )
        if self.ending == "labels":
            return "labels"
        if self.ending == "bool" and self.channels == 1:
            return "binary"
        if isinstance(targets, Values) and self.channels == 1:
            return "values"
        if self.channels == 1:
            if isinstance(targets, Labels) or (targets is None and self.ending == "sigmoid"):
                return "binary" if self.range is None else "photo"
            return "photo"
        if self.channels == 3 and (targets is None or isinstance(targets, Photo)):
            return "photo" if self.ending != "softmax" else "logits"
        if self.channels == 3 and isinstance(targets, Labels):
            painted = self.ending == "bounded" or self.range is not None
            if painted or (self.ending == "sigmoid" and not self._fits(targets)):
                return "photo"  # label maps in colours (Pix2Pix)
        return "logits"

    def _fits(self, targets: Labels) -> bool:
        """Whether a palette has as many classes as the output has channels; void may be one."""
        palette = targets.palette
        return self.channels == len(palette) or (
            palette.void == len(palette) and self.channels == len(palette) + 1
        )

    def _check(self, targets: Kind | None) -> None:
        """Refuse targets that what the output is cannot be compared with."""
        if targets is None:
            return
        if isinstance(targets, Labels):
            if self.kind == "logits" and not self._fits(targets):
                also = (
                    ". If it paints label maps in colours, say so: `--output-kind photo`"
                    if self.channels == 3
                    else ""
                )
                raise DatasetError(
                    f"output {self.name!r} tells {self.channels} classes apart, but the targets "
                    f"are {targets.describe()}; name the palette that the network was trained with "
                    f"(`--target-palette`), or leave its picture out: `--output-kind none`{also}"
                )
            if self.kind == "binary" and len(targets.palette) != 2:
                raise DatasetError(
                    f"output {self.name!r} tells one class from the rest, but the targets are "
                    f"{targets.describe()}; give a palette of two classes (`--target-palette`)"
                )
            fine = self.kind != "values"
        elif isinstance(targets, Values):
            fine = self.kind == "values"
        else:
            fine = self.kind == "photo"
        if not fine:
            raise DatasetError(
                f"output {self.name!r} is {self.describe_kind()}, but the targets are "
                f"{targets.describe()}; name another kind of targets, or say what the output is "
                f"with `--output-kind`, such as none where it is no picture"
            )

    def describe_kind(self) -> str:
        """What it is, in words: "11 classes, logits"."""
        match self.kind:
            case "logits":
                numbers = "probabilities" if self.ending == "softmax" else "logits"
                return f"{self.channels} classes, {numbers}"
            case "labels":
                return "label maps"
            case "binary":
                return f"one class, above {self.threshold:g}"
            case "values":
                return f"values in {self.unit}" if self.unit else "values"
            case "photo":
                span = "" if self.range is None else " in [{:g}, {:g}]".format(*self.range)
                return f"{'colours' if self.channels == 3 else 'grey'}{span}"
            case _:
                return f"{self.channels} channels"

    def describe(self) -> str:
        """One line: "output 'logits': 11 classes, logits"."""
        return f"output {self.name!r}: {self.describe_kind()}"

    def picture(
        self,
        values: _Floats,
        frame: Frame,
        targets: Kind | None,
        preprocessing: Preprocessing,
    ) -> Picture:
        """What a resolved output shows, as a picture of the frame's size.

        Numbers are brought to the picture's size where they are numbers: logits before the largest
        is taken, values and colours linearly; labels by nearest. Pixels that no cell of the output
        lies over, as at the border of a network that does not pad, are shown as unmatched.

        Parameters
        ----------
        values
            (C, h, w), as the network gives them.
        frame
            Of the output for the image.
        targets
            What the targets are. None: photos of 1 or 3 channels, else label maps.
        preprocessing
            Of the input: the order of channels, and the range of photos that have none.

        Raises
        ------
        ActivationError
            When the numbers are NaN or infinite, or no labels of the palette.
        """
        if not np.isfinite(values).all():
            raise ActivationError(
                f"there are NaN or infinite values in the output {self.name!r}; check the network "
                f"and the range of its input"
            )
        outside = _outside(frame, (values.shape[1], values.shape[2]))
        if self.kind == "labels":
            picture: Picture = self._labels(_nearest(values, frame)[0], targets)
        elif self.kind == "photo":
            scaling = (
                preprocessing
                if self.range is None
                else Preprocessing(channel_order=preprocessing.channel_order, range=self.range)
            )
            picture = scaling.to_image(_enlarged(values, frame))
            if isinstance(targets, Labels):
                picture = targets.labels(picture)
        elif self.kind == "values":
            picture = np.ascontiguousarray(_enlarged(values, frame)[0])
        elif self.kind == "binary":
            assert self.threshold is not None
            picture = (_enlarged(values, frame)[0] > self.threshold).astype(np.uint8)
        else:
            picture = _enlarged(values, frame).argmax(axis=0).astype(np.uint8)
        if outside is None:
            return picture
        if targets is None and picture.ndim == 2:
            return np.where(outside, 255, picture).astype(np.uint8)
        return (targets or Photo()).unmatched(picture, outside)

    def _labels(self, values: _Floats, targets: Kind | None) -> npt.NDArray[np.uint8]:
        labels = values.astype(np.uint8)
        known = targets.palette.is_label() if isinstance(targets, Labels) else np.ones(256, bool)
        wrong = (labels != values) | ~known[labels]
        if wrong.any():
            raise ActivationError(
                f"output {self.name!r} gives {values[wrong][0]:g}, which is no label"
                + (f" of {targets.describe()}" if isinstance(targets, Labels) else "")
            )
        return labels


def no_output(why: str) -> str:
    """One line about a network without an output to explain: "no output: ..."."""
    return f"no output: {why}. Explanations go without the network's own picture"


def _centres(frame: Frame, axis: int) -> tuple[list[Fraction], Fraction]:
    """Where the centres of a picture's pixels lie in the output; pixels of a cell."""
    back = frame.maps[axis].inverse()
    return [back(pixel + _HALF) for pixel in range(frame.size[axis])], frame.maps[axis].scale


def _outside(frame: Frame, cells: Size) -> npt.NDArray[np.bool_] | None:
    """The pixels (H, W) that no cell lies over; None where there are none.

    The centres of outermost cells that see one pixel of s need not be at the picture's edge: what
    is left there, up to (s - 1) / 2 pixels, is theirs.
    """
    lines = []
    for axis in (0, 1):
        centres, scale = _centres(frame, axis)
        beyond = max(Fraction(0), (1 - 1 / scale) / 2)
        lines.append(np.array([not -beyond <= v <= cells[axis] + beyond for v in centres]))
    if not (lines[0].any() or lines[1].any()):
        return None
    outside: npt.NDArray[np.bool_] = lines[0][:, None] | lines[1][None, :]
    return outside


def _is_same(frame: Frame, cells: Size) -> bool:
    return frame.size == cells and all(each == AxisMap(Fraction(1)) for each in frame.maps)


def _nearest(values: _Floats, frame: Frame) -> _Floats:
    """The output's cells (C, h, w) at the picture's pixels (C, H, W): the cell that each is in."""
    cells = values.shape[1], values.shape[2]
    if _is_same(frame, cells):
        return values
    for axis in (0, 1):
        centres, _ = _centres(frame, axis)
        places = np.clip([math.floor(v) for v in centres], 0, cells[axis] - 1)
        values = values.take(places, axis=1 + axis)
    return values


def _enlarged(values: _Floats, frame: Frame) -> _Floats:
    """The output's numbers (C, h, w) at the picture's pixels (C, H, W), linearly between cells."""
    cells = values.shape[1], values.shape[2]
    if _is_same(frame, cells):
        return values
    for axis in (0, 1):
        centres, _ = _centres(frame, axis)
        places = [min(max(v - _HALF, Fraction(0)), Fraction(cells[axis] - 1)) for v in centres]
        low = np.array([math.floor(v) for v in places])
        high = np.minimum(low + 1, cells[axis] - 1)
        share = np.array([float(v - math.floor(v)) for v in places], np.float32)
        share = share[:, None] if axis == 0 else share
        first, second = values.take(low, axis=1 + axis), values.take(high, axis=1 + axis)
        values = first + (second - first) * share
    return values
