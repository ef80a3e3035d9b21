"""What a network makes of one image: the part of an explanation that needs no search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compnn.errors import SearchError


@dataclass(frozen=True, eq=False)
class Reading:
    """An image that went through a bank's network: see `Bank.run`.

    Attributes
    ----------
    image
        uint8 (H, W, 3) RGB: the image as the network saw it.
    painted
        uint8 (H, W, 3), or label map (H, W): what the network painted, at the size of the image.
    taps
        Activations float32 (D, h, w), as the network computes them, by tap.
    file
        What messages call the image.
    """

    image: npt.NDArray[np.uint8]
    painted: npt.NDArray[np.uint8]
    taps: Mapping[str, npt.NDArray[np.float32]]
    file: str

    def check_taps(self, wanted: Mapping[str, tuple[int, int, int]]) -> None:
        """Refuse to be searched for with taps, {name: (h, w, D)}, that were not kept.

        Raises
        ------
        SearchError
            Naming the first that is missing or has another shape.
        """
        for name, (height, width, depth) in wanted.items():
            if name not in self.taps:
                raise SearchError(
                    f"the network's run over {self.file} kept {', '.join(self.taps)}, not {name}; "
                    f"name this layer in `Bank.run`"
                )
            if self.taps[name].shape != (depth, height, width):
                raise SearchError(
                    f"{name} is {self.taps[name].shape} in the network's run over {self.file}, "
                    f"but {(depth, height, width)} in the bank; run the bank's own network"
                )
