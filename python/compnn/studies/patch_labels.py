"""The class of each patch, from the class of each pixel."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from compnn.network.geometry import Placement


def patch_labels(labels: npt.NDArray[np.uint8], placement: Placement) -> npt.NDArray[np.uint8]:
    """The most frequent label of each patch, uint8 (gh, gw), of a label map uint8 (H, W).

    The lowest of equally frequent ones. A patch that owns no pixels (where cells lie outside of the
    picture, or are finer) takes the label of the pixels nearest to it.
    """
    starts, ends = [], []
    for bounds, pixels in zip(
        (placement.row_bounds(), placement.col_bounds()), placement.size, strict=True
    ):
        starts.append(np.minimum(bounds[:-1], pixels - 1))
        ends.append(np.maximum(bounds[1:], starts[-1] + 1))
    most = np.zeros(placement.grid, dtype=np.int32)
    winners = np.zeros(placement.grid, dtype=np.uint8)
    for label in np.unique(labels):
        sums = np.asarray(cv2.integral((labels == label).astype(np.uint8)))
        counts = (
            sums[np.ix_(ends[0], ends[1])]
            - sums[np.ix_(starts[0], ends[1])]
            - sums[np.ix_(ends[0], starts[1])]
            + sums[np.ix_(starts[0], starts[1])]
        )
        winners[counts > most] = label
        most = np.maximum(most, counts)
    return winners
