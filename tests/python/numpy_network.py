"""A network made of NumPy: it starts no threads, and lives in no file."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from compnn.errors import ImageError, LayerError
from compnn.images.kinds import Kind, Photo, Picture
from compnn.network.geometry import Size, TokenGrid
from compnn.network.input import InputChoice
from compnn.network.layer import Layer
from compnn.network.network import Identity
from compnn.network.output import OutputChoice
from compnn.network.preprocessing import Preprocessing
from compnn.network.reading import Reading


class NumpyNetwork:
    """Two taps of images of one size: `wide`, 48 combinations of 3 channels, and `half`.

    `half` has the means of 2x2 pixels, 3 channels; it is also the descriptor.
    """

    name = "NumPy"
    descriptor = "half"
    preprocessing = Preprocessing(range=(0, 1))
    input_choice = InputChoice()
    assumptions = ("pixels are taken as they are",)
    grids: Mapping[str, TokenGrid] = {}
    output_name: str | None = "output"
    output_choice = OutputChoice()
    num_threads = 1
    input_channels = 3

    def __init__(self, size: tuple[int, int] = (16, 16)) -> None:
        self.input_size: tuple[int, int] | None = size
        self._weights = np.random.default_rng(0).normal(size=(48, 3)).astype(np.float32)
        self.layers = {name: self.layer(name) for name in ("wide", "half")}

    def with_threads(self, num_threads: int) -> NumpyNetwork:
        other = copy.copy(self)
        other.num_threads = num_threads
        return other

    def with_preprocessing(self, preprocessing: Preprocessing) -> NumpyNetwork:
        other = copy.copy(self)
        other.preprocessing = preprocessing
        return other

    def tap_shape(self, name: str) -> tuple[int, int, int]:
        height, width = self.input_size or (16, 16)
        shapes = {"wide": (height, width, 48), "half": (height // 2, width // 2, 3)}
        if name not in shapes:
            raise LayerError(f"no tap {name}")
        return shapes[name]

    def layer(self, name: str, size: Size | None = None) -> Layer:
        return Layer.of(name, self.tap_shape(name), self.input_size or (16, 16))

    def output_size(self, image_size: Size) -> Size:
        return image_size

    def taps(self) -> list[Layer]:
        return list(self.layers.values())

    def check_image(self, image: npt.NDArray[np.uint8], name: str) -> None:
        if image.shape[:2] != self.input_size:
            raise ImageError(f"{name} is {image.shape}")

    def check_kind(self, kind: Kind) -> None:
        pass

    def describe_output(self, kind: Kind) -> str:
        return "output: colours"

    def fit(self, picture: Picture, kind: Kind) -> Picture:
        return picture

    def read(
        self,
        image: npt.NDArray[np.uint8],
        taps: Sequence[str],
        *,
        output: bool = False,
        name: str = "the image",
    ) -> Reading:
        pixels = image.transpose(2, 0, 1).astype(np.float32) / 255
        half = pixels.reshape(3, pixels.shape[1] // 2, 2, pixels.shape[2] // 2, 2).mean((2, 4))
        values: Mapping[str, npt.NDArray[np.float32]] = {
            "wide": np.einsum("kc,chw->khw", self._weights, pixels),
            "half": np.ascontiguousarray(half),
        }
        return Reading(
            image, {tap: values[tap] for tap in taps}, pixels if output else None, name=name
        )

    def paint(
        self, output: npt.NDArray[np.float32], size: tuple[int, int], kind: Kind | None = None
    ) -> Picture:
        return (kind or Photo()).fit((output * 255).astype(np.uint8).transpose(1, 2, 0), size)

    def identity(self) -> Identity:
        return Identity("numpy", "sha256:" + "0" * 64)
