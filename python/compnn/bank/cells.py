"""The cells of images: what the network computed for one, packed as the bank keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from compnn import _core
from compnn.bank import layout
from compnn.bank.directions import Directions, fits, kept_share
from compnn.bank.writing import empty_for
from compnn.errors import ActivationError, ImageError

PackedQuery: TypeAlias = tuple[
    npt.NDArray[Any], npt.NDArray[np.float32], npt.NDArray[np.float32] | None
]
"""Cells (h, w, K) and norms (h, w) of a query along one basis, and its share of the whole."""


class Packer:
    """Packs raw activations: channels last, rounded to the bank's dtype, with norms.

    A descriptor stays float32. The buffers are used again for each image of the same size: records
    are valid until those of the next one are asked for.

    Parameters
    ----------
    layers
        The taps that are kept as layers.
    descriptor
        The tap that is kept as global image feature, or None.
    dtype
        Of the layers, one of `layout.ACTIVATION_DTYPES`.
    directions
        float32 (K, D) of the layers that are kept along directions.

    Attributes
    ----------
    lost
        Of these layers: float32 (h, w), how much of the squared length of each cell of the last
        image is in none of the directions.
    """

    def __init__(
        self,
        layers: Sequence[str],
        descriptor: str | None,
        dtype: str,
        directions: Mapping[str, Directions],
    ) -> None:
        self._cells: dict[str, npt.NDArray[Any]] = {}
        self._norms: dict[str, npt.NDArray[np.float32]] = {}
        self.lost: dict[str, npt.NDArray[np.float32]] = {}
        self._layers = layers
        self._descriptor = descriptor
        self._dtype = dtype
        self._directions = directions

    def records(
        self, raw: Mapping[str, npt.NDArray[np.float32]], image: str
    ) -> Iterator[npt.NDArray[Any]]:
        """Yield the records of an image, in the order of `layout.array_specs`, without its images.

        `raw` has the activations (D, h, w) float32 by tap.

        Raises
        ------
        ActivationError
            If an activation is NaN or infinite, or too large for the dtype.
        """
        for layer in self._layers:
            self._make_room(layer, raw[layer].shape)
            cells, norms = self._cells[layer], self._norms[layer]
            along = self._directions.get(layer), self.lost.get(layer)
            _pack(raw[layer], cells, norms, *along, layer, image, self._dtype)
            yield cells
            yield norms
        if self._descriptor is not None:
            yield from pack_descriptor(raw[self._descriptor], self._descriptor, image)

    def outside(self) -> str | None:
        """Return a layer of which cells of the last image are outside of its directions, if any."""
        for layer, lost in self.lost.items():
            if not fits(lost, self._norms[layer], self._dtype):
                return layer
        return None

    def _make_room(self, layer: str, shape: tuple[int, ...]) -> None:
        channels, height, width = shape
        if layer in self._norms and self._norms[layer].shape == (height, width):
            return
        kept = len(self._directions[layer]) if layer in self._directions else channels
        # Records often are whole blocks: then they all lie to blocks as the first one does.
        self._cells[layer] = empty_for(
            layout.HEADER_BYTES, (height, width, kept), layout.stored_dtype(self._dtype)
        )
        self._norms[layer] = np.empty((height, width), np.float32)
        if layer in self._directions:
            self.lost[layer] = np.empty((height, width), np.float32)


def pack_descriptor(
    raw: npt.NDArray[np.float32], tap: str, image: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return a descriptor (dim,), channels last, and its norm (), of an activation (D, H, W).

    Raises
    ------
    ActivationError
        If the activation is NaN or infinite, or too large.
    """
    depth, height, width = raw.shape
    cells = np.empty((height, width, depth), np.float32)
    norms = np.empty((height, width), np.float32)
    _pack(raw, cells, norms, None, None, tap, image, "float32")
    descriptor = cells.reshape(-1)
    # Not a dot product: BLAS threads spin afterwards, and the network waits for the CPUs.
    norm = np.sqrt(np.square(descriptor, dtype=np.float64).sum())
    return descriptor, np.array(norm, np.float32)


def _pack(
    raw: npt.NDArray[np.float32],
    cells: npt.NDArray[Any],
    norms: npt.NDArray[np.float32],
    directions: npt.NDArray[np.float32] | None,
    lost: npt.NDArray[np.float32] | None,
    tap: str,
    image: str,
    dtype: str,
) -> None:
    try:
        _core.pack_activations(raw, cells, norms, directions, lost)
    except _core.NotFinite as error:
        raise ActivationError(
            f"the activation of layer {tap!r} for image {image!r} holds NaN or infinite "
            f"values. Check the network's file and its preprocessing."
        ) from error
    except _core.OutOfRange as error:
        advice = (
            "Build the bank with dtype bfloat16 or float32 (`--dtype bfloat16`)"
            if dtype == "float16"
            else "Check the network's file and its preprocessing"
        )
        raise ActivationError(
            f"the activation of layer {tap!r} for image {image!r} holds values too large for "
            f"{dtype}. {advice}."
        ) from error


class BankCells:
    """The cells of a layer of all images of a bank, and how a query is packed to be searched for.

    Shards may be kept along different directions: each of these coordinate systems is a *basis*,
    in which a query is packed for itself.

    Parameters
    ----------
    core
        The engine's bank.
    sizes
        Rows and columns of each image's cells, int64 (N, 2).
    layer
        Name of the layer.
    dtype
        Of the bank's activations.
    bases
        Directions of each basis; None where all channels are kept.

    Attributes
    ----------
    core, layer
        As given.
    channels : int
        Most numbers of a stored cell.
    """

    def __init__(
        self,
        core: _core.CellBank,
        sizes: npt.NDArray[np.int64],
        layer: str,
        dtype: str,
        bases: Sequence[Directions | None],
        channels: int,
    ) -> None:
        self.core = core
        self.layer = layer
        self.channels = channels
        self._sizes = sizes
        self._dtype = dtype
        self._bases = bases

    def pack(
        self, raw: npt.NDArray[np.float32], image: str, hyperpatch: tuple[int, int]
    ) -> list[PackedQuery]:
        """Pack an activation (D, h, w) as the engine takes it, once for each basis.

        It is rounded like the bank's cells, so that an image finds itself exactly. What lies
        outside of directions is like nothing in the bank: similarities are multiplied by the share
        float32 (h - hyperpatch + 1, ...) of each hyperpatch that is in them.

        Raises
        ------
        ActivationError
            If it is NaN or infinite, or too large for the bank's dtype; `image` is named.
        """
        packed = []
        for basis in self._bases:
            along = {} if basis is None else {self.layer: basis}
            packer = Packer((self.layer,), None, self._dtype, along)
            cells, norms = packer.records({self.layer: raw}, image)
            share = None
            if basis is not None:
                share = kept_share(packer.lost[self.layer], norms, hyperpatch, self._dtype)
            packed.append((cells, norms, share))
        return packed

    def places(self, images: Sequence[int], hyperpatch: tuple[int, int]) -> int:
        """How many hyperpatches the images have; those that are too small for one have none."""
        sizes = self._sizes[np.asarray(images, np.int64)]
        grids = np.maximum(sizes - np.asarray(hyperpatch) + 1, 0)
        return int((grids[:, 0] * grids[:, 1]).sum())


class BankDescriptors:
    """The descriptors of all images of a bank: each image is one cell.

    Parameters
    ----------
    core
        The engine's bank.
    tap
        The tap that gives them.
    dim
        Number of values.

    Attributes
    ----------
    core
        As given.
    channels : int
        Number of values.
    """

    def __init__(self, core: _core.CellBank, tap: str, dim: int) -> None:
        self.core = core
        self.channels = dim
        self._tap = tap

    def pack(self, raw: npt.NDArray[np.float32], image: str) -> list[PackedQuery]:
        """Pack the activation (D, h, w) of the descriptor's tap as a query of one cell.

        Raises
        ------
        ActivationError
            If it is NaN or infinite; `image` is named.
        ImageError
            If it has another number of values than the bank's.
        """
        if raw.size != self.channels:
            raise ImageError(
                f"the descriptor {self._tap!r} of {image} has {raw.size} values, those of the bank "
                f"{self.channels}: the image has another size. Give it the size of the bank's "
                f"images."
            )
        descriptor, norm = pack_descriptor(raw, self._tap, image)
        return [(descriptor[None, None], norm[None, None], None)]

    def places(self, images: Sequence[int]) -> int:
        """How many descriptors the images have."""
        return len(images)
