"""What a network is to compnn: something that gives activations, wherever it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from compnn.errors import ImageError, NetworkError
from compnn.images.kinds import Kind, Picture
from compnn.network.geometry import Size, TokenGrid
from compnn.network.input import InputChoice
from compnn.network.layer import Layer
from compnn.network.output import OutputChoice
from compnn.network.preprocessing import Preprocessing, image_channels
from compnn.network.reading import Reading

_Self = TypeVar("_Self", bound="Network")


@dataclass(frozen=True)
class Identity:
    """Which network it is, as a bank remembers it.

    Attributes
    ----------
    kind
        Where its activations come from: "onnx", "torch".
    fingerprint
        Equal for equal weights: "sha256:" and the hex digest of an ONNX file.
    path
        Its file when it was opened, absolute; None without a file.
    runtime
        What runs it, with its version: "ONNX Runtime 1.23.0", and on what, unless that is the CPU.
    """

    kind: str
    fingerprint: str
    path: str | None = None
    runtime: str = ""

    @property
    def short(self) -> str:
        """The first 12 hex digits of the fingerprint."""
        return self.fingerprint.removeprefix("sha256:")[:12]

    @property
    def described(self) -> str:
        """What messages call it: its file, or the kind of a network without one."""
        return self.path or f"a {self.kind} network without a file"

    def to_json(self) -> dict[str, object]:
        """The fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> Identity:
        """The inverse of `to_json`; fields of a later version are left alone.

        Raises
        ------
        NetworkError
            When a field is missing or of another type.
        """
        match fields:
            case {
                "kind": str(kind),
                "fingerprint": str(fingerprint),
                "path": str() | None as path,
                "runtime": str(runtime),
            }:
                return cls(kind, fingerprint, path, runtime)
        raise NetworkError(f"a network's identity has other fields than these: {dict(fields)!r}")


class Network(Protocol):
    """A network from which activations are taken.

    Attributes
    ----------
    name
        What messages call it.
    layers
        The layers to work with, for images of the size that it takes; where it takes any size,
        for one that stands for all.
    descriptor
        The tap that serves as global image feature, or None.
    preprocessing
        How images become its input.
    input_channels
        Of its input; images have as many, or 3 (RGB) where it is 1.
    input_size
        (height, width) of its input; None when it takes images of any size.
    input_choice
        Which input is the image, and what others are set to.
    assumptions
        What was assumed of the input where nobody says.
    grids
        Of taps that are tokens which of them are cells, where somebody has said so.
    output_name
        The output that is explained, which is per pixel; None where there is none (a backbone).
    output_choice
        Which output was asked for, and what it was said to be.
    num_threads
        Threads of one run.
    """

    @property
    def name(self) -> str: ...
    @property
    def layers(self) -> Mapping[str, Layer]: ...
    @property
    def descriptor(self) -> str | None: ...
    @property
    def preprocessing(self) -> Preprocessing: ...
    @property
    def input_channels(self) -> int: ...
    @property
    def input_size(self) -> tuple[int, int] | None: ...
    @property
    def input_choice(self) -> InputChoice: ...
    @property
    def assumptions(self) -> Sequence[str]: ...
    @property
    def grids(self) -> Mapping[str, TokenGrid]: ...
    @property
    def output_name(self) -> str | None: ...
    @property
    def output_choice(self) -> OutputChoice: ...
    @property
    def num_threads(self) -> int: ...

    def with_threads(self: _Self, num_threads: int) -> _Self:
        """The same network, whose runs take another number of threads."""

    def with_preprocessing(self: _Self, preprocessing: Preprocessing) -> _Self:
        """The same network, that is given images otherwise; their size stays."""

    def layer(self, name: str, size: Size | None = None) -> Layer:
        """Any tap with its geometry, for images of `size` (height, width).

        Default: for images as those of `layers`.

        Raises
        ------
        LayerError
            When there is no such tap, naming the nearest; or when the hyperpatch does not fit.
        """

    def output_size(self, image_size: Size) -> Size:
        """(height, width) of what is painted for an image, which its target must have.

        Without an output that of the image.
        """

    def tap_shape(self, name: str) -> tuple[int, int, int]:
        """Shape (H, W, D) of a tap's activation, for images as those of `layers`.

        Raises
        ------
        LayerError
            When there is no such tap, naming the nearest.
        """

    def taps(self) -> list[Layer]:
        """Every tap that can take the hyperpatch, in the order they are computed."""

    def check_image(self, image: Picture, name: str) -> None:
        """Refuse an image that the network cannot take; `name` is for the message.

        Raises
        ------
        ImageError
            When it has other channels or another dtype than the network's images, or another size
            while images are not resized.
        """

    def check_kind(self, kind: Kind) -> None:
        """Refuse a kind of targets that the network's output cannot be.

        Raises
        ------
        DatasetError
            Saying what the output is.
        """

    def describe_output(self, kind: Kind) -> str:
        """What the output is taken for where the targets are of a kind, in one line.

        Where there is none, why.

        Raises
        ------
        DatasetError
            As `check_kind`.
        """

    def fit(self, picture: Picture, kind: Kind) -> Picture:
        """A picture at the size that the network takes, where images are resized.

        Raises
        ------
        ImageError
            When it has another size and images are not resized.
        """

    def read(
        self,
        image: Picture,
        taps: Sequence[str],
        *,
        output: bool = False,
        name: str = "the image",
    ) -> Reading:
        """Run the network over one image, up to the last tensor that is asked for.

        Parameters
        ----------
        image
            uint8 (H, W, 3) RGB; one of another size than the network takes is fitted (`fit`).
        taps
            Names of the activations to return.
        output
            Whether to return the network's output, too, if it has one.
        name
            What messages call the image.

        Raises
        ------
        ImageError
            When the image is not what the network takes.
        LayerError
            When a tap does not exist.
        """

    def paint(
        self, output: npt.NDArray[np.float32], size: tuple[int, int], kind: Kind | None = None
    ) -> Picture:
        """What the network painted, as a picture of `output_size(size)`.

        Parameters
        ----------
        output
            float32 (C, h, w).
        size
            Of the image that it is of.
        kind
            Of the targets. None: a photo where the output has 1 or 3 channels, else a map of the
            largest channel's index.

        Raises
        ------
        ActivationError
            When the output has NaN or infinite values.
        NetworkError
            When the network has no output.
        """

    def identity(self) -> Identity:
        """Which network it is."""


def check_image(
    image: Picture,
    name: str,
    network: str,
    channels: int,
    size: tuple[int | None, int | None],
    preprocessing: Preprocessing,
) -> None:
    """Refuse an image that a network cannot take.

    Parameters
    ----------
    image, name
        The image, and what messages call it.
    network
        What messages call the network.
    channels
        Of the network's input.
    size
        (height, width) that it takes, None for any.
    preprocessing
        Which numbers pixels have, and whether images of other sizes are resized.

    Raises
    ------
    ImageError
        When it is not (H, W, C) of the preprocessing's dtype, C as many as `channels`, or 3 where
        that is 1; or of another size and not resized.
    """
    is_array = isinstance(image, np.ndarray)
    dtype, taken_channels = preprocessing.pixel_dtype, {channels, image_channels(channels)}
    fine = is_array and image.dtype == dtype and image.ndim == 3 and image.size
    if not fine or image.shape[2] not in taken_channels:
        found = f"{image.dtype} {image.shape}" if is_array else f"a {type(image).__name__}"
        count = image_channels(channels)
        images = "RGB images" if count == 3 else f"images of {count} channels"
        raise ImageError(f"{name} is {found}; {network} takes {images}, {dtype} (H, W, {count})")
    sizes = zip(size, image.shape[:2], strict=True)
    if not preprocessing.resize and any(taken not in (None, found) for taken, found in sizes):
        raise ImageError(_wrong_size(name, image, network, size))


def fit_image(
    picture: Picture, kind: Kind, network: str, size: Size | None, resize: bool
) -> Picture:
    """A picture at the `size` that a network takes, None for any; parameters as `check_image`.

    Raises
    ------
    ImageError
        When it has another size and images are not resized.
    """
    if size is None or picture.shape[:2] == size:
        return picture
    if not resize:
        raise ImageError(_wrong_size("the image", picture, network, size))
    return kind.fit(picture, size)


def _wrong_size(
    name: str, picture: Picture, network: str, size: tuple[int | None, int | None]
) -> str:
    height, width = size
    taken, remedy = f"{height}x{width}", "`--resize` (`resize=True`)"
    if height is None or width is None:
        taken = f"images of width {width}" if height is None else f"images of height {height}"
        fixed = "Hx" + str(width) if height is None else f"{height}xW"
        remedy = f"`--size {fixed} --resize` (`size=(H, W)`, `resize=True`)"
    return (
        f"{name} is {picture.shape[0]}x{picture.shape[1]} (height x width), but {network} takes "
        f"{taken}; resize it, or let compnn do so with {remedy}"
    )


def fit_target(
    network: Network, target: Picture, image: Picture, kind: Kind, name: str = "the image"
) -> Picture:
    """The target of an image, at the size of what the network paints for that.

    Parameters
    ----------
    network
        The network; where it resizes images, targets are brought to its output's size.
    target, kind
        The target, and what it is.
    image
        (H, W, 3), as the network sees it.
    name
        What messages call the image.

    Raises
    ------
    ImageError
        When it has another size and images are not resized.
    """
    height, width = network.output_size((image.shape[0], image.shape[1]))
    if target.shape[:2] == (height, width):
        return target
    if network.preprocessing.resize:
        return kind.fit(target, (height, width))
    raise ImageError(
        f"the target of {name} is {target.shape[0]}x{target.shape[1]}, but for its input of "
        f"{image.shape[0]}x{image.shape[1]} {network.name} paints {height}x{width} (height x "
        f"width); give targets of that size, or let compnn fit them with `--resize`"
    )
