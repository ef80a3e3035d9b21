"""Finding the nearest training hyperpatch of every query hyperpatch (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from compnn import _core
from compnn.errors import SearchError
from compnn.search.field import Field

Method = Literal["hyperpatch-match", "exhaustive"]
METHODS: tuple[Method, ...] = get_args(Method)

Schedule = Literal["fast", "paper"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)

MOST_EFFORT = 8

Progress = Callable[[float], None]


def bank_of(cells: npt.NDArray[Any], norms: npt.NDArray[np.float32]) -> _core.CellBank:
    """Return a bank of images of one size: cells (N, H, W, K), norms (N, H, W)."""
    count, rows, cols, depth = cells.shape
    images = np.zeros((count, 4), np.int64)
    images[:, 1] = np.arange(count) * rows * cols
    images[:, 2:] = rows, cols
    return _core.CellBank([(cells.reshape(-1, depth), norms.reshape(-1), 0)], images)


@dataclass(frozen=True)
class Search:
    """How to search; the same search gives the same field, bit for bit, on any number of threads.

    Attributes
    ----------
    method
        "hyperpatch-match" (approximate) or "exhaustive" (exact).
    matches
        Number K of matches kept for each hyperpatch.
    schedule
        Of HyperPatch-Match: "fast" starts where a codebook of the candidates' hyperpatches points
        to, and searches around that for a few rounds; "paper" starts at random.
    effort
        Of the fast schedule, from 1 (quick) to 8 (near exact).
    iterations
        Rounds of propagation and random search after the start. Default: 8 of the fast schedule,
        1024 of the paper's.
    seed
        Of the random numbers of HyperPatch-Match, in [0, 2**64).
    stop_when_unchanged
        End HyperPatch-Match after the first round that improves nothing.
    num_threads
        -1 means all CPUs that this process may use.

    Raises
    ------
    SearchError
        When a value makes no sense.
    """

    method: Method = "hyperpatch-match"
    matches: int = 1
    schedule: Schedule = "fast"
    effort: int = 4
    iterations: int | None = None
    seed: int = 0
    stop_when_unchanged: bool = False
    num_threads: int = -1

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise SearchError(
                f"there is no method {self.method!r}; choose one of {', '.join(METHODS)}"
            )
        if self.schedule not in SCHEDULES:
            raise SearchError(
                f"there is no schedule {self.schedule!r}; choose one of {', '.join(SCHEDULES)}"
            )
        if not 1 <= self.effort <= MOST_EFFORT:
            raise SearchError(f"effort must be 1 to {MOST_EFFORT}, not {self.effort}")
        if not 0 <= self.seed < 2**64:
            raise SearchError(f"seed must be in [0, 2**64), not {self.seed}")
        for name, lowest in (("matches", 1), ("iterations", 0)):
            number = getattr(self, name)
            if number is not None and not lowest <= number < 2**31:
                raise SearchError(f"{name} must be at least {lowest}, not {number}")
        if self.num_threads != -1 and not 1 <= self.num_threads <= 4096:
            raise SearchError(
                f"num_threads must be positive, or -1 for all CPUs, not {self.num_threads}"
            )

    def field(
        self,
        bank: _core.CellBank,
        cells: npt.NDArray[Any],
        norms: npt.NDArray[np.float32],
        candidates: Sequence[int] | npt.NDArray[np.int32],
        hyperpatch: tuple[int, int],
        progress: Progress | None = None,
        share: npt.NDArray[np.float32] | None = None,
    ) -> Field:
        """Search the candidates for the matches of one image's hyperpatches.

        Parameters
        ----------
        bank
            Cells of the training images.
        cells
            float16 or float32 (H, W, D), C-contiguous: cells of the query.
        norms
            float32 (H, W): the L2 norm of each.
        candidates
            Images of the bank to search.
        hyperpatch
            Cells (h, w) of a hyperpatch.
        progress
            Called now and then with the finished share in [0, 1]; an exception ends the search.
        share
            float32 (gh, gw): what similarities are multiplied by.

        Raises
        ------
        SearchError
            When there are no candidates or fewer hyperpatches in them than `matches`, or shapes
            do not fit.
        """
        ascending = np.unique(np.asarray(candidates, dtype=np.int32))
        try:
            if self.method == "exhaustive":
                found = _core.exhaustive_search(
                    bank,
                    [(cells, norms, share)],
                    ascending,
                    hyperpatch,
                    matches=self.matches,
                    num_threads=self.num_threads,
                    progress=progress,
                )
            else:
                found = _core.hyperpatch_match(
                    bank,
                    [(cells, norms, share)],
                    ascending,
                    hyperpatch,
                    matches=self.matches,
                    schedule=self.schedule,
                    effort=self.effort,
                    iterations=-1 if self.iterations is None else self.iterations,
                    seed=self.seed,
                    stop_when_unchanged=self.stop_when_unchanged,
                    num_threads=self.num_threads,
                    progress=progress,
                )
        except ValueError as error:
            raise SearchError(str(error)) from error
        return Field(*found)
