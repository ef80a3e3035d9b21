"""What a network makes of one image: the part of an explanation that needs no search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compnn.errors import SearchError
from compnn.images.kinds import Picture


@dataclass(frozen=True, eq=False)
class Reading:
    """An image that went through a network, once, for as many explanations as one likes.

    Attributes
    ----------
    image
        (H, W, 3) uint8 RGB, or of other channels: the image as the network saw it.
    taps
        Activations float32 (D, h, w), as the network computes them, by tap; C-contiguous, whatever
        is given.
    output
        The network's output float32 (C, h, w), as it computes it; None where it was not asked for,
        or there is none.
    painted
        What the network painted, as a picture of the targets' kind and of the image's size; None
        without output, or where nobody has said what kind that is.
    name
        What messages call the image.
    """

    image: Picture
    taps: Mapping[str, npt.NDArray[np.float32]]
    output: npt.NDArray[np.float32] | None = None
    painted: Picture | None = None
    name: str = "the image"

    def __post_init__(self) -> None:
        # Of channels-last networks and of tokens they are views, transposed.
        whole = {tap: np.ascontiguousarray(each, np.float32) for tap, each in self.taps.items()}
        object.__setattr__(self, "taps", whole)

    def tap(self, name: str) -> npt.NDArray[np.float32]:
        """The activation (D, h, w) of a tap.

        Raises
        ------
        SearchError
            If it was not kept.
        """
        if name not in self.taps:
            raise SearchError(
                f"the network's run over {self.name} kept {', '.join(self.taps)}, not {name}; "
                f"name this layer when the image is read"
            )
        return self.taps[name]
