"""The nearest-neighbour field: for each hyperpatch of a query its matches in the bank."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compnn.files import write_file


@dataclass(frozen=True)
class Field:
    """The K best matches of each of gh x gw hyperpatches, best first (paper, section 3.2).

    Attributes
    ----------
    image, row, col
        int32 (K, gh, gw): image of the bank, and grid position of the hyperpatch in it.
    similarity
        float32 (K, gh, gw): cosine similarity, in [-1, 1]; 0 where either hyperpatch is zero.
    """

    image: npt.NDArray[np.int32]
    row: npt.NDArray[np.int32]
    col: npt.NDArray[np.int32]
    similarity: npt.NDArray[np.float32]

    @property
    def matches(self) -> int:
        """Number K of matches of each hyperpatch."""
        return len(self.image)

    @property
    def grid(self) -> tuple[int, int]:
        """Number of hyperpatches (gh, gw) of the query."""
        return self.image.shape[1], self.image.shape[2]

    @property
    def mean_similarity(self) -> float:
        """Mean similarity of the best matches."""
        return float(self.similarity[0].mean(dtype=np.float64))

    def __repr__(self) -> str:
        gh, gw = self.grid
        return (
            f"Field({gh}x{gw} hyperpatches, {self.matches} match{'es' * (self.matches > 1)} each, "
            f"mean similarity {self.mean_similarity:.4f})"
        )

    def save(self, path: str | Path) -> None:
        """Write the four arrays to an .npz file, whole or not at all.

        Raises
        ------
        OutputError
            If writing fails.
        """
        data = io.BytesIO()
        np.savez_compressed(
            data, image=self.image, row=self.row, col=self.col, similarity=self.similarity
        )
        write_file(Path(path), data.getvalue())
