"""What is compared: something that is built over candidates and then searched."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.speed.case import Case


@dataclass(frozen=True)
class Found:
    """Matches (Q,): places among the candidates, and the similarities that the engine gives."""

    place: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float32]


class Engine(ABC):
    """A way to search a case on a number of threads; one lives in each process of `Worker`."""

    def __init__(self, case: Case, threads: int) -> None:
        self.case = case
        self.threads = threads

    @abstractmethod
    def build(self) -> None:
        """Take the candidates in; timed as seconds to build."""

    @abstractmethod
    def size(self) -> int:
        """Bytes of what is searched."""

    @abstractmethod
    def search(self, setting: int) -> Found:
        """Find the matches of all queries; timed as seconds."""

    @abstractmethod
    def warm_up(self) -> None:
        """Search something, untimed, so that threads and pages are there."""
