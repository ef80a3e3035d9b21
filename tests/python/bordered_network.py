"""A network that looks at and paints other places: its border is cut off, its output enlarged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from compnn.data.dataset import Dataset, Pair
from compnn.errors import LayerError
from compnn.images.kinds import Kind, Photo, Picture
from compnn.network.geometry import AxisMap, Geometry, Size
from compnn.network.layer import Layer
from compnn.network.network import Identity
from compnn.network.reading import Reading
from numpy_network import NumpyNetwork

BORDER = 3
LOOKS = AxisMap(Fraction(2), Fraction(BORDER))
PAINTS = AxisMap(Fraction(4))


class BorderedNetwork(NumpyNetwork):
    """Takes images of any size with an even number of rows and columns.

    `half` has the means of 2x2 pixels, less 3 rows and columns at each edge; the output is what is
    left of the image, at twice its size. `mean`, the descriptor, is the mean colour.
    """

    name = "bordered"
    descriptor = "mean"

    def __init__(self) -> None:
        self.input_size = None
        self.layers = {"half": self.layer("half")}

    def output_size(self, image_size: Size) -> Size:
        return 2 * (image_size[0] - 2 * BORDER), 2 * (image_size[1] - 2 * BORDER)

    def tap_shape(self, name: str) -> tuple[int, int, int]:
        return self._shape(name, (32, 32))

    def _shape(self, name: str, size: Size) -> tuple[int, int, int]:
        shapes = {"half": (size[0] // 2 - BORDER, size[1] // 2 - BORDER, 3), "mean": (1, 1, 3)}
        if name not in shapes:
            raise LayerError(f"no tap {name}")
        return shapes[name]

    def layer(self, name: str, size: Size | None = None) -> Layer:
        size = size or (32, 32)
        geometry = Geometry(size, (LOOKS, LOOKS), self.output_size(size), (PAINTS, PAINTS))
        return Layer.of(name, self._shape(name, size), size, geometry=geometry)

    def check_image(self, image: npt.NDArray[np.uint8], name: str) -> None:
        pass

    def read(
        self,
        image: npt.NDArray[np.uint8],
        taps: Sequence[str],
        *,
        output: bool = False,
        name: str = "the image",
    ) -> Reading:
        pixels = image.transpose(2, 0, 1).astype(np.float32) / 255
        kept = pixels[:, BORDER:-BORDER, BORDER:-BORDER]
        half = kept.reshape(3, kept.shape[1] // 2, 2, kept.shape[2] // 2, 2).mean((2, 4))
        values: Mapping[str, npt.NDArray[np.float32]] = {
            "half": np.ascontiguousarray(half),
            "mean": pixels.mean((1, 2), keepdims=True),
        }
        return Reading(
            image, {tap: values[tap] for tap in taps}, kept if output else None, name=name
        )

    def paint(
        self, output: npt.NDArray[np.float32], size: tuple[int, int], kind: Kind | None = None
    ) -> Picture:
        painted = (output * 255).round().astype(np.uint8).transpose(1, 2, 0)
        return (kind or Photo()).fit(painted, self.output_size(size))

    def identity(self) -> Identity:
        return Identity("bordered", "sha256:" + "1" * 64)


class BorderedPairs(Dataset):
    """Random photos of these sizes; targets are what is left of them, upside down and enlarged."""

    def __init__(self, sizes: Sequence[Size], prefix: str = "img_") -> None:
        self.sizes = {f"{prefix}{index}": size for index, size in enumerate(sizes)}
        super().__init__(list(self.sizes))

    def read(self, name: str) -> Pair:
        random = np.random.default_rng(list(name.encode()))
        image = random.integers(0, 256, (*self.sizes[name], 3), np.uint8)
        kept = image[BORDER:-BORDER, BORDER:-BORDER]
        return Pair(name, image, 255 - kept.repeat(2, axis=0).repeat(2, axis=1))
