"""Turning what the network computed for one image into the records of the bank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn import _core
from compnn.errors import ActivationError


class Packer:
    """Packs raw activations: channels last, rounded to the bank's dtype, with norms.

    The buffers are used again for each image: a record is valid until the next one is asked for.

    Parameters
    ----------
    shapes
        (H, W, D) of each tap that is kept.
    layers
        The taps that are kept as layers.
    descriptor
        The tap that is kept as global image feature, or None.
    dtype
        "float16" or "float32".
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, int, int]],
        layers: tuple[str, ...],
        descriptor: str | None,
        dtype: str,
    ) -> None:
        self._cells = {tap: np.empty(shape, dtype) for tap, shape in shapes.items()}
        self._norms = {tap: np.empty(shape[:2], np.float32) for tap, shape in shapes.items()}
        self._layers = layers
        self._descriptor = descriptor
        self._dtype = dtype

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
            self._pack(layer, raw[layer], image)
            yield self._cells[layer]
            yield self._norms[layer]
        if self._descriptor is not None:
            if self._descriptor not in self._layers:
                self._pack(self._descriptor, raw[self._descriptor], image)
            descriptor = self._cells[self._descriptor].reshape(-1)
            yield descriptor
            # Not a dot product: BLAS threads spin afterwards, and the network waits for the CPUs.
            yield np.array(np.sqrt(np.square(descriptor, dtype=np.float64).sum()), np.float32)

    def _pack(self, tap: str, raw: npt.NDArray[np.float32], image: str) -> None:
        try:
            _core.pack_activations(raw, self._cells[tap], self._norms[tap])
        except _core.NotFinite as error:
            raise ActivationError(
                f"the activation of layer {tap!r} for image {image!r} holds NaN or infinite "
                f"values. Check the network's file and its preprocessing."
            ) from error
        except _core.OutOfRange as error:
            raise ActivationError(
                f"the activation of layer {tap!r} for image {image!r} holds values too large for "
                f"{self._dtype}. Build the bank with dtype float32 (`--dtype float32`)."
            ) from error
