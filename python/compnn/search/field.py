"""The nearest-neighbour field: for each hyperpatch of a query its matches in the bank."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compnn.errors import SearchError
from compnn.files import read_file, write_file

_ARRAYS = {"image": np.int32, "row": np.int32, "col": np.int32, "similarity": np.float32}


@dataclass(frozen=True, eq=False)
class Field:
    """The K best matches of each of gh x gw hyperpatches, best first (paper, section 3.2).

    A hyperpatch whose numbers are all zero has no direction: it matches nothing, and nothing
    matches it. Where fewer than K matches exist, the rest is none.

    Attributes
    ----------
    image, row, col
        int32 (K, gh, gw): image of the bank, and grid position of the hyperpatch in it; all -1
        where there is no match.
    similarity
        float32 (K, gh, gw): cosine similarity, in [-1, 1]; 0 where there is no match.
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
    def matched(self) -> npt.NDArray[np.bool_]:
        """Where there is a match: bool (K, gh, gw)."""
        return self.image >= 0

    @property
    def mean_similarity(self) -> float:
        """Mean similarity of the best matches that exist; 0 where none does."""
        best = self.similarity[0][self.matched[0]]
        return float(best.mean(dtype=np.float64)) if best.size else 0.0

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

    @classmethod
    def load(cls, path: str | Path) -> Field:
        """Read a field that `save` wrote.

        Raises
        ------
        SearchError
            If the file cannot be read, or does not hold a field.
        """
        try:
            with np.load(io.BytesIO(read_file(path)), allow_pickle=False) as arrays:
                found = {name: np.ascontiguousarray(arrays[name]) for name in _ARRAYS}
        except Exception as error:
            # zipfile, zlib and NumPy have as many kinds of errors as there are kinds of damage.
            raise SearchError(f"{path} is not a field that compnn saved: {error}") from error
        shape = found["image"].shape
        for name, dtype in _ARRAYS.items():
            array = found[name]
            if array.dtype != dtype or array.shape != shape or array.ndim != 3 or not array.size:
                raise SearchError(
                    f"{path} is not a field that compnn saved: {name} is {array.dtype} "
                    f"{array.shape}"
                )
            # NaN is not in any range.
            low, high = -1, 1 if name == "similarity" else np.iinfo(np.int32).max
            if not ((array >= low) & (array <= high)).all():
                raise SearchError(
                    f"{path} is not a field that compnn saved: {name} has values outside of "
                    f"[{low}, {high}]"
                )
        field = cls(**found)
        none = ~field.matched
        halves = [(found[name] < 0) != none for name in ("row", "col")]
        if np.any(halves) or found["similarity"][none].any():
            raise SearchError(
                f"{path} is not a field that compnn saved: where there is no match, image, row and "
                f"column are -1 and the similarity is 0"
            )
        if (none[:-1] & ~none[1:]).any():
            raise SearchError(
                f"{path} is not a field that compnn saved: there are matches after none"
            )
        return field

    @classmethod
    def merged(cls, fields: Sequence[Field]) -> Field:
        """The best matches of several searches of one query, each among other images.

        Fields of exhaustive searches give what one search among all of the images gives. What is no
        match comes last.

        Raises
        ------
        SearchError
            If there are none, they differ in shape, or two have matches in the same image.
        """
        shapes = {(each.matches, *each.grid) for each in fields}
        if len(shapes) != 1:
            raise SearchError(
                f"fields of one query with as many matches each can be merged, not "
                f"{', '.join(map(repr, fields)) or 'none'}"
            )
        images = np.concatenate([np.unique(each.image[each.matched]) for each in fields])
        if len(np.unique(images)) != len(images):
            raise SearchError("two fields have matches in the same image; search each image once")
        image, row, col, similarity = (
            np.concatenate([getattr(each, name) for each in fields]) for name in _ARRAYS
        )
        best = np.lexsort((col, row, image, -similarity, image < 0), axis=0)[: fields[0].matches]
        return cls(*(np.take_along_axis(a, best, 0) for a in (image, row, col, similarity)))
