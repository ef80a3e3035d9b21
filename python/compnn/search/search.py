"""How to find the nearest training hyperpatch of every query hyperpatch (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from compnn import _core
from compnn.errors import SearchError
from compnn.search.field import Field

Schedule = Literal["fast", "paper"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)

MOST_EFFORT = 8
USUAL_EFFORT = 4

Progress: TypeAlias = Callable[[float], None]

# Products of numbers up to which an exhaustive search is taken. Measured on the layers of Pix2Pix
# (`benchmarks/speed`, section choice): on 16 images it is as quick as HyperPatch-Match up to 8e9,
# on 400 up to 1e11; with this number no layer takes 1.2 times the quicker one's time.
_QUICK = 2.5e10


@dataclass(frozen=True)
class Exhaustive:
    """Compare each hyperpatch with all of the candidates: exact.

    Attributes
    ----------
    matches
        Number K of matches kept for each hyperpatch; those that there are not are none.

    Raises
    ------
    SearchError
        When a value makes no sense.
    """

    matches: int = 1

    method: ClassVar[str] = "exhaustive"

    def __post_init__(self) -> None:
        _check_count("matches", self.matches, 1)

    def __str__(self) -> str:
        return f"{self.method}{_matches_words(self.matches)}"

    def resolved(self, pairs: int, channels: int) -> Exhaustive:
        """Itself: see `Auto.resolved`."""
        return self

    def run(
        self,
        cells: _core.CellBank,
        queries: Sequence[_core.Query],
        candidates: npt.NDArray[np.int32],
        hyperpatch: tuple[int, int],
        *,
        num_threads: int = -1,
        progress: Progress | None = None,
    ) -> Field:
        """Search the candidates for the matches of one image's hyperpatches.

        Parameters
        ----------
        cells
            Of the training images.
        queries
            The query's cells, packed for each basis of the training cells.
        candidates
            int32 (n,): images to search, ascending, each once.
        hyperpatch
            Cells (h, w) of a hyperpatch.
        num_threads
            -1 means all CPUs that this process may use; changes no result.
        progress
            Called now and then with the finished share in [0, 1]; an exception ends the search.

        Raises
        ------
        SearchError
            When there are no candidates, or shapes do not fit.
        """
        try:
            return Field(
                *_core.exhaustive_search(
                    cells,
                    queries,
                    candidates,
                    hyperpatch,
                    matches=self.matches,
                    num_threads=num_threads,
                    progress=progress,
                )
            )
        except ValueError as error:
            if _is_of_progress(error):
                raise
            raise SearchError(str(error)) from error


@dataclass(frozen=True)
class HyperPatchMatch:
    """Search approximately, by propagation and random search over all candidates at once.

    The same search gives the same field, bit for bit, on any number of threads.

    Attributes
    ----------
    matches
        Number K of matches kept for each hyperpatch.
    schedule
        "fast" starts where a codebook of the candidates' hyperpatches points to, and searches
        around that for a few rounds; "paper" starts at random.
    effort
        Of the fast schedule, from 1 (quick) to 8 (near exact). Default: 4.
    iterations
        Rounds of propagation and random search after the start. Default: 8 of the fast schedule,
        1024 of the paper's.
    seed
        Of the random numbers, in [0, 2**64).
    stop_when_unchanged
        End after the first round that improves nothing.

    Raises
    ------
    SearchError
        When a value makes no sense, or effort is given for the paper's schedule.
    """

    matches: int = 1
    schedule: Schedule = "fast"
    effort: int | None = None
    iterations: int | None = None
    seed: int = 0
    stop_when_unchanged: bool = False

    method: ClassVar[str] = "hyperpatch-match"

    def __post_init__(self) -> None:
        _check_count("matches", self.matches, 1)
        if self.schedule not in SCHEDULES:
            raise SearchError(
                f"there is no schedule {self.schedule!r}; choose one of {', '.join(SCHEDULES)}"
            )
        if self.effort is not None and self.schedule != "fast":
            raise SearchError(
                f"effort is of the fast schedule; leave it out for the schedule {self.schedule!r}"
            )
        if self.effort is None and self.schedule == "fast":
            object.__setattr__(self, "effort", USUAL_EFFORT)
        if self.effort is not None:
            _check_whole("effort", self.effort)
            if not 1 <= self.effort <= MOST_EFFORT:
                raise SearchError(f"effort must be 1 to {MOST_EFFORT}, not {self.effort}")
        if self.iterations is not None:
            _check_count("iterations", self.iterations, 0)
        _check_seed(self.seed)
        if not isinstance(self.stop_when_unchanged, bool):
            raise SearchError(
                f"stop_when_unchanged must be True or False, not {self.stop_when_unchanged!r}"
            )

    def __str__(self) -> str:
        how = f"effort {self.effort}" if self.schedule == "fast" else "the paper's schedule"
        rounds = "" if self.iterations is None else f", {self.iterations} rounds"
        end = ", to the first round that changes nothing" if self.stop_when_unchanged else ""
        return f"{self.method}, {how}{rounds}{end}, seed {self.seed}{_matches_words(self.matches)}"

    def resolved(self, pairs: int, channels: int) -> HyperPatchMatch:
        """Itself: see `Auto.resolved`."""
        return self

    def run(
        self,
        cells: _core.CellBank,
        queries: Sequence[_core.Query],
        candidates: npt.NDArray[np.int32],
        hyperpatch: tuple[int, int],
        *,
        num_threads: int = -1,
        progress: Progress | None = None,
    ) -> Field:
        """As `Exhaustive.run`."""
        try:
            return Field(
                *_core.hyperpatch_match(
                    cells,
                    queries,
                    candidates,
                    hyperpatch,
                    matches=self.matches,
                    schedule=self.schedule,
                    effort=USUAL_EFFORT if self.effort is None else self.effort,
                    iterations=-1 if self.iterations is None else self.iterations,
                    seed=self.seed,
                    stop_when_unchanged=self.stop_when_unchanged,
                    num_threads=num_threads,
                    progress=progress,
                )
            )
        except ValueError as error:
            if _is_of_progress(error):
                raise
            raise SearchError(str(error)) from error


@dataclass(frozen=True)
class Auto:
    """Exhaustive where that is quick, else HyperPatch-Match.

    What is chosen hangs on the size of the search alone, never on threads, processor or clock, so
    that it is the same everywhere; results say which it was.

    Attributes
    ----------
    matches
        Number K of matches kept for each hyperpatch.
    seed
        Of HyperPatch-Match, in [0, 2**64), where that is chosen.

    Raises
    ------
    SearchError
        When a value makes no sense.
    """

    matches: int = 1
    seed: int = 0

    method: ClassVar[str] = "auto"

    def __post_init__(self) -> None:
        _check_count("matches", self.matches, 1)
        _check_seed(self.seed)

    def __str__(self) -> str:
        return f"{self.method}, seed {self.seed}{_matches_words(self.matches)}"

    def resolved(self, pairs: int, channels: int) -> Exhaustive | HyperPatchMatch:
        """The search for `pairs` of query and candidate hyperpatches, of `channels` numbers a cell.

        The number of matches changes nothing: it was measured to cost both searches alike.
        """
        if pairs * channels <= _QUICK:
            return Exhaustive(self.matches)
        return HyperPatchMatch(self.matches, seed=self.seed)


Search: TypeAlias = Exhaustive | HyperPatchMatch | Auto
"""How to search; no field of a search is silently ignored."""

SEARCHES: tuple[type[Search], ...] = (Auto, Exhaustive, HyperPatchMatch)
METHODS: tuple[str, ...] = tuple(each.method for each in SEARCHES)


def search_of(method: str, **options: object) -> Search:
    """The search of a method, with those of the `options` that are not None.

    Raises
    ------
    SearchError
        If there is no such method, it does not have an option, or a value makes no sense.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for kind in SEARCHES:
        if kind.method == method:
            fields = kind.__dataclass_fields__
            for name in given:
                if name not in fields:
                    raise SearchError(
                        f"{name.replace('_', ' ')} is no option of the method {method!r}, which "
                        f"has {', '.join(fields)}; leave it out, or choose the method"
                    )
            make: Callable[..., Search] = kind
            return make(**given)
    raise SearchError(f"there is no method {method!r}; choose one of {', '.join(METHODS)}")


def search_json(search: Search) -> dict[str, object]:
    """A search as JSON values."""
    return {"method": search.method, **asdict(search)}


def search_from_json(document: object) -> Search:
    """The search that `search_json` wrote.

    Raises
    ------
    SearchError
        If it is none: a field is missing, unknown or of another type.
    """
    if isinstance(document, Mapping) and isinstance(document.get("method"), str):
        search = search_of(**document)
        if search_json(search) == document:
            return search
    raise SearchError(f"a search has other fields than these: {document!r}")


def _is_of_progress(error: ValueError) -> bool:
    """Whether an error comes out of the callback: the engine itself has no frame of Python."""
    return error.__traceback__ is not None and error.__traceback__.tb_next is not None


def _check_count(name: str, number: int, lowest: int) -> None:
    _check_whole(name, number)
    if not lowest <= number < 2**31:
        raise SearchError(f"{name} must be at least {lowest}, not {number}")


def _check_seed(seed: int) -> None:
    _check_whole("seed", seed)
    if not 0 <= seed < 2**64:
        raise SearchError(f"seed must be in [0, 2**64), not {seed}")


def _check_whole(name: str, number: object) -> None:
    # A truth value is an int to Python, and others would not come back from JSON as they went.
    if type(number) is not int:
        raise SearchError(f"{name} must be an int, not {number!r}")


def _matches_words(matches: int) -> str:
    return "" if matches == 1 else f", {matches} matches"
