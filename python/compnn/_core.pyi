"""The C++ engine, private to the package; arrays are C-contiguous, in native byte order."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

class NotFinite(ValueError):
    """Activations hold NaN or infinity."""

class OutOfRange(ValueError):
    """Activations are larger than the bank's precision can hold."""

class Cancelled(RuntimeError):
    """The monitor of a search asked it to stop."""

def simd_level() -> str:
    """Instruction set of the kernels: "baseline", "avx2", "avx512" or "avx512vnni".

    The fastest supported one, or the one that the environment variable COMPNN_SIMD names when the
    engine is first used; ValueError when that is not supported here.
    """

def supported_simd_levels() -> list[str]:
    """Instruction sets that this binary has and this processor runs, slowest first."""

# bfloat16, which NumPy does not have, is a uint16 with its bits. Cells of int8 are integers along
# the cell's direction, in [-127, 127]; their norm is that of the cell.
Numbers: TypeAlias = (
    npt.NDArray[np.float32]
    | npt.NDArray[np.float16]
    | npt.NDArray[np.uint16]
    | npt.NDArray[np.int8]
)

# A query in one basis of a bank: cells (H, W, K), norms (H, W), and for each hyperpatch the share
# of it in [0, 1] that lies in the basis, (H - h + 1, W - w + 1), which similarities are multiplied
# by; None stands for 1.
Query: TypeAlias = tuple[Numbers, npt.NDArray[np.float32], npt.NDArray[np.float32] | None]

class CellBank:
    """The cells of one layer for every training image, and their L2 norms."""

    def __init__(
        self,
        shards: Sequence[tuple[Numbers, npt.NDArray[np.float32], int]],
        images: npt.NDArray[np.int64],
    ) -> None:
        """A bank over arrays that are kept alive, not copied.

        Each of `shards` holds the cells (n, K) of some images, one after the other, their norms
        (n,), and the basis that the cells are coordinates along, 0..B-1: only cells of one basis
        can be compared. All shards have one dtype, those of a basis one K.

        `images` (N, 4) says for each image of the bank, in the bank's order, its shard, first cell,
        rows and columns; it is copied. Sizes may differ.

        Raises ValueError where an array is not C-contiguous, aligned and of its dtype, shards do
        not fit one another, a basis has no shard, or an image is not within its shard.
        """

    @property
    def images(self) -> int:
        """Number N of images."""

    @property
    def dtype(self) -> np.dtype[np.float32 | np.float16 | np.uint16 | np.int8]:
        """Of the cells."""

def pack_activations(
    activations: npt.NDArray[np.float32],
    cells: Numbers,
    norms: npt.NDArray[np.float32],
    directions: npt.NDArray[np.float32] | None = None,
    lost: npt.NDArray[np.float32] | None = None,
) -> None:
    """Transpose activations (D, H, W) into cells (H, W, D), rounded to their dtype.

    With directions (K, D), orthonormal, the cells (H, W, K) are coordinates along these. The L2
    norms of the rounded cells (of int8: before rounding) go into norms (H, W). Raises NotFinite for
    NaN or infinity, OutOfRange for numbers that float16, or norms, cannot hold. `lost` (H, W) is
    set to how much of each cell's squared length is in none of the directions.
    """

def main_directions(
    cells: npt.NDArray[np.float32], *, missing: float, step: int
) -> npt.NDArray[np.float32]:
    """Orthonormal directions (K, D) of cells (n, D), each taken as a unit vector.

    They leave out no more than the share `missing` of the squared length; K is a multiple of
    `step`, or 0 where that leaves out none.
    """

def exhaustive_search(
    bank: CellBank,
    queries: Sequence[Query],
    candidates: npt.NDArray[np.int32],
    hyperpatch: tuple[int, int],
    *,
    matches: int = 1,
    num_threads: int = -1,
    progress: Callable[[float], object] | None = None,
) -> tuple[
    npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]
]:
    """Compare each hyperpatch (h, w) of a query with all of the candidates (paper section 3.2).

    `queries[b]` is the query in the bank's basis b, one for each; `candidates` (n,) ascend, each
    once. Candidates that are too small for a hyperpatch are left out. Returns (image, row, col,
    similarity), each (matches, H - h + 1, W - w + 1), best first; equal similarities in the order
    of image, row, column. `progress` is called on the calling thread, about ten times a second,
    with the finished fraction in [0, 1]; what it raises ends the search. num_threads = -1 takes all
    processors. Where there are fewer than `matches`, image, row and column of the rest are -1, and
    the similarity is 0. Raises ValueError for arguments that do not fit.
    """

def hyperpatch_match(
    bank: CellBank,
    queries: Sequence[Query],
    candidates: npt.NDArray[np.int32],
    hyperpatch: tuple[int, int],
    *,
    matches: int = 1,
    schedule: str = "fast",
    effort: int = 4,
    iterations: int = -1,
    seed: int = 0,
    stop_when_unchanged: bool = False,
    num_threads: int = -1,
    progress: Callable[[float], object] | None = None,
) -> tuple[
    npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]
]:
    """Search approximately, by propagation and random search (paper section 3.2).

    As `exhaustive_search`; candidates in several bases are one list. The schedule "fast" starts
    from a codebook of each basis, on which it spends by `effort`, 1 to 8; "paper" starts at random.
    `iterations` rounds follow, -1 for the schedule's own number; `stop_when_unchanged` ends after
    the first that improves nothing. Both draw from `seed` in [0, 2**64).
    """
