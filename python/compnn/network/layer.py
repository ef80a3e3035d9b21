"""A tap of a network with its geometry: its hyperpatches, and what pixels they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import numpy.typing as npt

from compnn.errors import LayerError
from compnn.network.geometry import Geometry, Maps, Placement, Size, pixels_at

# Of which the same is said.
_MOST_NAMES = 5


@dataclass(frozen=True)
class Layer:
    """A tap with its geometry: how its cells and hyperpatches lie over input and output.

    Attributes
    ----------
    name : str
        Name of the tensor in the network, or path of the module whose result it is.
    shape : (H, W, D)
        Cells and channels of the activation of one image.
    hyperpatch : (h, w)
        Cells of a hyperpatch.
    geometry : Geometry
        Where the cells lie over the image, and over the output.

    Raises
    ------
    LayerError
        When a hyperpatch of h x w cells does not fit into the activation.

    Examples
    --------
    >>> print(Layer.of("encoder_1", (128, 128, 64), image_size=(256, 256)))
    encoder_1: hyperpatch 2x2x64 <-> patch 2x2
    """

    name: str
    shape: tuple[int, int, int]
    hyperpatch: tuple[int, int]
    geometry: Geometry

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise LayerError(
                f"layer {self.name!r} needs sizes of at least 1, not activation {self.shape}"
            )
        (h, w), (cells_y, cells_x, _) = self.hyperpatch, self.shape
        if not (1 <= h <= cells_y and 1 <= w <= cells_x):
            raise LayerError(
                f"a hyperpatch of {h}x{w} cells does not fit into layer {self.name!r} with its "
                f"{cells_y}x{cells_x} cells; ask for one from 1x1 to {cells_y}x{cells_x}"
            )

    @classmethod
    def of(
        cls,
        name: str,
        shape: tuple[int, int, int],
        image_size: Size,
        hyperpatch: tuple[int, int] | None = None,
        geometry: Geometry | None = None,
    ) -> Layer:
        """Layer of a tap with activations of `shape` (H, W, D) for images of `image_size`.

        The default geometry is what the sizes suggest (`Geometry.by_sizes`). The default hyperpatch
        has two cells per axis, and one where a cell paints at most one pixel or the axis has one
        cell.

        Raises
        ------
        LayerError
            When the hyperpatch does not fit.
        """
        cells = shape[0], shape[1]
        if min(shape) < 1:
            raise LayerError(f"layer {name!r} has no cells or channels: its activation is {shape}")
        if geometry is None:
            geometry = Geometry.by_sizes(cells, image_size)
        if hyperpatch is None:
            h, w = (
                1 if each.scale <= 1 or count == 1 else 2
                for each, count in zip(geometry.paints, cells, strict=True)
            )
            hyperpatch = h, w
        return cls(name, shape, hyperpatch, geometry)

    def to_json(self) -> dict[str, object]:
        """The fields as JSON values."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "hyperpatch": list(self.hyperpatch),
            "geometry": self.geometry.to_json(),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> Layer:
        """The inverse of `to_json`; fields of a later version are left alone.

        Raises
        ------
        LayerError
            When the fields are not those of a layer.
        """
        match fields:
            case {
                "name": str(name),
                "shape": [int(rows), int(cols), int(depth)],
                "hyperpatch": [int(h), int(w)],
                "geometry": Mapping() as geometry,
            }:
                return cls(name, (rows, cols, depth), (h, w), Geometry.from_json(geometry))
        raise LayerError(f"a layer has other fields than these: {dict(fields)!r}")

    def __str__(self) -> str:
        h, w = self.hyperpatch
        return f"{self.name}: hyperpatch {h}x{w}x{self.shape[2]} <-> patch {self.patch_text}"

    @property
    def grid(self) -> Size:
        """Number of hyperpatches (gh, gw): every position at which one fits."""
        return self.looks.grid

    @cached_property
    def looks(self) -> Placement:
        """How the hyperpatches lie over the input image: what each sees."""
        return self._placement(self.geometry.looks, self.geometry.image_size)

    @cached_property
    def paints(self) -> Placement:
        """How the hyperpatches lie over the output: what each decides there."""
        return self._placement(self.geometry.paints, self.geometry.output_size)

    @property
    def image_size(self) -> Size:
        """(height, width) of the input image."""
        return self.geometry.image_size

    @property
    def output_size(self) -> Size:
        """(height, width) of the output as a picture."""
        return self.geometry.output_size

    def pixels_seen(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Which row of the image a row of the output lies over, int64 (height,), and columns."""
        (looks, paints), (image, output) = (
            (self.geometry.looks, self.geometry.paints),
            (self.image_size, self.output_size),
        )
        rows, cols = (
            pixels_at(looks[axis].after(paints[axis].inverse()), output[axis], image[axis])
            for axis in (0, 1)
        )
        return rows, cols

    @property
    def patch(self) -> tuple[float, float]:
        """Pixels (height, width) of an interior patch of the output, to one decimal."""
        rows, cols = (_decimal(each.scale) for each in self.geometry.paints)
        return rows, cols

    @property
    def patch_text(self) -> str:
        """The patch in words: "8x8", "8.2x8.2"."""
        return "x".join(map(str, self.patch))

    def _placement(self, maps: Maps, size: Size) -> Placement:
        return Placement(maps, size, (self.shape[0], self.shape[1]), self.hyperpatch)


def geometry_notes(layers: Iterable[Layer]) -> list[str]:
    """What is uncertain about where the cells of layers lie: a line for all of which it is said."""
    said: dict[str, list[str]] = {}
    for layer in layers:
        if layer.geometry.note:
            said.setdefault(layer.geometry.note, []).append(layer.name)
    lines = []
    for note, names in said.items():
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        lines.append(f"{', '.join(names[:_MOST_NAMES])}{more}: {note}")
    return lines


def maps_text(maps: Maps) -> str:
    """The maps of rows and columns in words: "4u - 3/2", or both where they differ: "4u, 3u"."""
    return ", ".join(dict.fromkeys(map(str, maps)))


def _decimal(value: Fraction) -> float:
    rounded = round(value * 10)
    return rounded // 10 if rounded % 10 == 0 else rounded / 10
