"""Which pixels of the image belong to which hyperpatch of a layer (paper, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from compnn.errors import LayerError


@dataclass(frozen=True)
class Layer:
    """A tap with its geometry: how its cells and hyperpatches lie over the image.

    A hyperpatch at grid position (i, j) owns the patch of `stride` pixels centred at
    ((i + h/2) * sy, (j + w/2) * sx); patches at the border reach to the image's edge, so that every
    pixel has exactly one owner (paper, section 3.1 and Table 3). Where the stride does not divide
    the image, the last hyperpatches of an axis may own nothing.

    Attributes
    ----------
    name : str
        Name of the tensor in the network.
    shape : (H, W, D)
        Cells and channels of the activation of one image.
    stride : (sy, sx)
        Pixels per cell.
    hyperpatch : (h, w)
        Cells of a hyperpatch.
    image_size : (height, width)
        Pixels of the image.

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
    stride: tuple[int, int]
    hyperpatch: tuple[int, int]
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or min(self.stride) < 1 or min(self.image_size) < 1:
            raise LayerError(
                f"layer {self.name!r} needs sizes of at least 1, not activation {self.shape}, "
                f"stride {self.stride}, image {self.image_size}"
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
        image_size: tuple[int, int],
        hyperpatch: tuple[int, int] | None = None,
    ) -> Layer:
        """Layer of a tap with activations of `shape` (H, W, D) for images of `image_size`.

        The stride of an axis is the rounded ratio of pixels to cells (the image's size where there
        is one cell). The default hyperpatch has two cells per axis, and one where the stride is 1
        or the axis has one cell.

        Raises
        ------
        LayerError
            When the activation has two cells or more per pixel, or the hyperpatch does not fit.
        """
        cells = shape[:2]
        if any(round(c / pixels) > 1 for c, pixels in zip(cells, image_size, strict=True)):
            raise LayerError(
                f"layer {name!r} has {cells[0]}x{cells[1]} cells, finer than the image of "
                f"{image_size[0]}x{image_size[1]} pixels; choose a layer of at most its size"
            )
        sy, sx = (max(1, round(p / c)) for p, c in zip(image_size, cells, strict=True))
        if hyperpatch is None:
            h, w = (1 if s == 1 or c == 1 else 2 for s, c in zip((sy, sx), cells, strict=True))
            hyperpatch = (h, w)
        return cls(name, shape, (sy, sx), hyperpatch, image_size)

    def at(self, image_size: tuple[int, int], cells: tuple[int, int]) -> Layer:
        """The same tap of an image of another size, whose activation has (H, W) `cells`.

        Raises
        ------
        LayerError
            When the hyperpatch does not fit into it.
        """
        if (image_size, cells) == (self.image_size, self.shape[:2]):
            return self
        return replace(self, shape=(*cells, self.shape[2]), image_size=image_size)

    def to_json(self) -> dict[str, object]:
        """The fields as JSON values."""
        return {
            key: list(part) if isinstance(part, tuple) else part
            for key, part in asdict(self).items()
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
                "stride": [int(sy), int(sx)],
                "hyperpatch": [int(h), int(w)],
                "image_size": [int(height), int(width)],
            }:
                return cls(name, (rows, cols, depth), (sy, sx), (h, w), (height, width))
        raise LayerError(f"a layer has other fields than these: {dict(fields)!r}")

    def __str__(self) -> str:
        (h, w), (sy, sx) = self.hyperpatch, self.patch
        return f"{self.name}: hyperpatch {h}x{w}x{self.shape[2]} <-> patch {sy}x{sx}"

    @property
    def grid(self) -> tuple[int, int]:
        """Number of hyperpatches (gh, gw): every position at which one fits."""
        return self.shape[0] - self.hyperpatch[0] + 1, self.shape[1] - self.hyperpatch[1] + 1

    @property
    def patch(self) -> tuple[int, int]:
        """Pixels (height, width) of an interior patch; it equals the stride."""
        return self.stride

    def row_bounds(self) -> npt.NDArray[np.int64]:
        """Pixel rows of the grid rows: int64 (gh + 1,); row i owns rows [b[i], b[i + 1])."""
        return _bounds(self.grid[0], self.stride[0], self.hyperpatch[0], self.image_size[0])

    def col_bounds(self) -> npt.NDArray[np.int64]:
        """Pixel columns of the grid columns: int64 (gw + 1,), as `row_bounds`."""
        return _bounds(self.grid[1], self.stride[1], self.hyperpatch[1], self.image_size[1])

    def owners(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Grid row of each pixel row, int32 (height,), and grid column of each, int32 (width,)."""
        return _owners(self.row_bounds()), _owners(self.col_bounds())


def _bounds(grid: int, stride: int, cells: int, pixels: int) -> npt.NDArray[np.int64]:
    # floor(stride * (i + (cells - 1) / 2)) in whole numbers.
    bounds = (stride * (2 * np.arange(grid + 1, dtype=np.int64) + cells - 1)) // 2
    bounds = np.minimum(bounds, pixels)
    bounds[0], bounds[grid] = 0, pixels
    return bounds


def _owners(bounds: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    return np.repeat(np.arange(len(bounds) - 1, dtype=np.int32), np.diff(bounds))
