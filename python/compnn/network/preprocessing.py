"""From images to the numbers a network takes, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from compnn.errors import NetworkError
from compnn.images.files import photo_dtype
from compnn.images.kinds import grey

_Number = TypeVar("_Number", int, float)


def image_channels(input_channels: int) -> int:
    """Channels of an image: 3 (RGB) where the network's input has 1 or 3, else as many as that."""
    return 3 if input_channels == 1 else input_channels


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a network's input. What is None is taken from the network's file.

    Attributes
    ----------
    size : (height, width), optional
        Pixels of the network's input; needed only where the file leaves them free.
    channel_order : "RGB" or "BGR", optional
        Order of the channels that the network takes (RGB where its file says nothing).
    range : (lo, hi), optional
        0..`white` is mapped linearly to lo..hi.
    mean, std : one float per channel, optional
        Instead of `range`: values in [0, 1] become (value - mean) / std, in the network's order of
        channels.
    resize : bool
        Whether images of another size are resized; otherwise they are refused.
    white : int
        The largest number of a pixel: 255, or up to 65535 for images of 16 bits.

    Raises
    ------
    NetworkError
        When a value makes no sense, or `range` and `mean`/`std` are both given.
    """

    size: tuple[int, int] | None = None
    channel_order: str | None = None
    range: tuple[float, float] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize: bool = False
    white: int = 255

    def __post_init__(self) -> None:
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise NetworkError(f"size must be (height, width) of at least 1x1, not {self.size}")
        if self.channel_order not in (None, "RGB", "BGR"):
            raise NetworkError(f"channel_order must be RGB or BGR, not {self.channel_order!r}")
        if type(self.white) is not int or not 1 <= self.white <= 65535:
            raise NetworkError(f"white is a number from 1 to 65535, not {self.white!r}")
        if self.range is not None and not (
            len(self.range) == 2
            and all(map(math.isfinite, self.range))
            and self.range[0] < self.range[1]
        ):
            raise NetworkError(f"range must be (lo, hi) with lo < hi, not {self.range}")
        if (self.mean is None) != (self.std is None):
            raise NetworkError("mean and std must be given together")
        if self.mean is not None and self.std is not None:
            if self.range is not None:
                raise NetworkError("give either range or mean and std, not both")
            finite = all(map(math.isfinite, (*self.mean, *self.std)))
            if len(self.mean) != len(self.std) or not finite or not all(s > 0 for s in self.std):
                raise NetworkError(
                    f"mean and std need one value per channel, finite and std above 0, not mean "
                    f"{self.mean}, std {self.std}"
                )

    def completed(self, default: Preprocessing) -> Preprocessing:
        """This one, with what it leaves open taken from `default`."""
        open_scaling = not self.scales
        return replace(
            self,
            size=self.size or default.size,
            channel_order=self.channel_order or default.channel_order,
            range=default.range if open_scaling else self.range,
            mean=default.mean if open_scaling else self.mean,
            std=default.std if open_scaling else self.std,
        )

    @property
    def scales(self) -> bool:
        """Whether the range, or mean and std, are known."""
        return self.range is not None or self.mean is not None

    def scaling(self, channels: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Factor and offset, float32 (channels,): network value = pixel * factor + offset.

        Raises
        ------
        NetworkError
            When neither a range nor mean and std are known, or their length is not `channels`.
        """
        if self.range is not None:
            lo, hi = self.range
            factor, offset = np.full(channels, (hi - lo) / self.white), np.full(channels, lo)
        elif self.mean is not None and self.std is not None:
            if len(self.mean) != channels:
                raise NetworkError(
                    f"mean and std have {len(self.mean)} values, but the network has {channels} "
                    f"channels; give one value per channel"
                )
            factor = 1 / (self.white * np.array(self.std))
            offset = -np.array(self.mean) / np.array(self.std)
        else:
            raise NetworkError(
                "the range of values that the network takes is not known; give it with "
                "`--input-range lo,hi` or `Preprocessing(range=(lo, hi))`, for example -1,1"
            )
        return factor.astype(np.float32), offset.astype(np.float32)

    @property
    def pixel_dtype(self) -> str:
        """Of images: "uint8", or "uint16" where `white` is above 255."""
        return photo_dtype(self.white)

    def apply(
        self, images: npt.NDArray[np.unsignedinteger[Any]], channels: int = 3
    ) -> npt.NDArray[np.float32]:
        """The network's input for `images` (B, H, W, C): float32 (B, channels, H, W).

        With 3 channels the images are RGB, and so they may be with one: they become grey. With
        others they have these channels, in the network's order.

        Raises
        ------
        NetworkError
            As `scaling`; or when an order is given for channels that are not RGB.
        """
        if channels == 1:
            images = grey(images)[..., None] if images.shape[-1] == 3 else images
        elif self.channel_order == "BGR":
            if channels != 3:
                raise NetworkError(
                    f"channel_order is for networks of 3 channels, not of {channels}; give images "
                    f"in the order of the network"
                )
            images = images[..., ::-1]
        factor, offset = self.scaling(channels)
        values = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32)
        values *= factor[:, None, None]
        values += offset[:, None, None]
        return values

    def to_image(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Undo `apply`: values (C, H, W), C 1 or 3, as a uint8 RGB image (H, W, 3), clipped."""
        factor, offset = replace(self, white=255).scaling(len(values))
        pixels = (values - offset[:, None, None]) / factor[:, None, None]
        image = np.clip(np.rint(pixels), 0, 255).astype(np.uint8).transpose(1, 2, 0)
        if len(values) == 1:
            image = np.repeat(image, 3, axis=2)
        elif self.channel_order == "BGR":
            image = image[..., ::-1]
        return np.ascontiguousarray(image)

    def to_json(self) -> dict[str, object]:
        """The fields as JSON values."""
        fields = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> Preprocessing:
        """The inverse of `to_json`; fields of a later version are left alone.

        Raises
        ------
        NetworkError
            When a field is missing or of another type, or makes no sense.
        """
        try:
            size, resize = _numbers(fields["size"], int), fields["resize"]
            if not isinstance(resize, bool):
                raise TypeError(f"resize is {resize!r}")
            span = _numbers(fields["range"], float)
            mean, std = _numbers(fields["mean"], float), _numbers(fields["std"], float)
            order, white = fields["channel_order"], fields["white"]
        except (KeyError, TypeError, OverflowError) as error:
            raise NetworkError(
                f"preprocessing has other fields than these: {dict(fields)!r}"
            ) from error
        return cls(size, order, span, mean, std, resize, white)  # type: ignore[arg-type]


def _numbers(values: object, kind: type[_Number]) -> tuple[_Number, ...] | None:
    """A JSON list of numbers as numbers of a kind; None stays."""
    if values is None:
        return None
    allowed = int if kind is int else int | float
    if not isinstance(values, list | tuple) or not all(isinstance(v, allowed) for v in values):
        raise TypeError(f"{values!r} is no list of numbers")
    return tuple(kind(value) for value in values)
