"""Turning what the network computed for one image into the records of the bank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn import _core
from compnn.bank import layout
from compnn.bank.direct_writer import empty_for
from compnn.bank.directions import fits
from compnn.errors import ActivationError


class Packer:
    """Packs raw activations: channels last, rounded to the bank's dtype, with norms.

    A descriptor stays float32. The buffers are used again for each image: records are valid until
    those of the next one are asked for.

    Parameters
    ----------
    shapes
        (H, W, D) of each tap that is kept.
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
        Of these layers: float32 (H, W), how much of the squared length of each cell of the last
        image is in none of the directions.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, int, int]],
        layers: tuple[str, ...],
        descriptor: str | None,
        dtype: str,
        directions: Mapping[str, npt.NDArray[np.float32]],
    ) -> None:
        self._cells: dict[str, npt.NDArray[Any]] = {}
        for layer in layers:
            height, width, channels = shapes[layer]
            kept = len(directions[layer]) if layer in directions else channels
            # Records often are whole blocks: then they all lie to blocks as the first one does.
            self._cells[layer] = empty_for(
                layout.HEADER_BYTES, (height, width, kept), layout.stored_dtype(dtype)
            )
        self._norms = {layer: np.empty(shapes[layer][:2], np.float32) for layer in layers}
        self.lost = {layer: np.empty(shapes[layer][:2], np.float32) for layer in directions}
        self._layers = layers
        self._descriptor = descriptor
        self._dtype = dtype
        self._directions = directions

    def records(
        self, raw: Mapping[str, npt.NDArray[np.float32]], image: str
    ) -> Iterator[npt.NDArray[Any]]:
        """Yield the records of an image, in the order of `layout.array_specs`, without its images.

        `raw` has the activations (D, H, W) float32 by tap.

        Raises
        ------
        ActivationError
            If an activation is NaN or infinite, or too large for the dtype.
        """
        for layer in self._layers:
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
