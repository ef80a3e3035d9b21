"""All that a run measured, and the verdicts on it."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.speed import building, choice, end_to_end, formats
from benchmarks.speed.building import Built
from benchmarks.speed.choice import Choice
from benchmarks.speed.end_to_end import Reconstruction
from benchmarks.speed.formats import Format
from benchmarks.speed.sections import (
    EXHAUSTIVE,
    EXHAUSTIVE_AVX2,
    FLAT,
    GRAPHS,
    INDEPENDENT,
    MATCH,
    ManyImages,
    Point,
    Roof,
    Row,
)
from benchmarks.speed.verdict import Verdict

_SAME = 1e-5
_GIGABYTE = 1e9


@dataclass
class Results:
    """What the sections returned; those that were not run are empty.

    `flat_bytes` are those that FAISS Flat takes for a hyperpatch.
    """

    flat_bytes: float = 0.0
    rows: list[Row] = field(default_factory=list)
    images: ManyImages | None = None
    channels: list[Point] = field(default_factory=list)
    threads: list[Point] = field(default_factory=list)
    roofs: list[Roof] = field(default_factory=list)
    formats: list[Format] = field(default_factory=list)
    built: Built | None = None
    choices: list[Choice] = field(default_factory=list)
    reconstruction: Reconstruction | None = None

    def of(self, engine: str) -> list[Row]:
        """Rows of an engine."""
        return [row for row in self.rows if row.engine == engine]


def verdicts(results: Results) -> list[Verdict]:
    """The verdicts that the sections run allow."""
    found = _exhaustive(results) + _graphs(results)
    if results.images is not None:
        found += _bank(results.images)
    found += formats.verdicts(results.formats, results.flat_bytes)
    found += _threads(results.threads) + _avx2(results)
    return [
        *found,
        *building.verdicts(results.built),
        *choice.verdicts(results.choices),
        *end_to_end.verdicts(results.reconstruction),
    ]


def _share(part: float, whole: float) -> str:
    return f"1/{whole / part:.1f}"


def _exhaustive(results: Results) -> list[Verdict]:
    ours, flat = results.of(EXHAUSTIVE), results.of(FLAT)
    if not ours or not flat:
        return []
    return [
        Verdict(
            "exhaustive search takes at most 1/10 of FAISS Flat's time",
            f"{_share(ours[0].seconds, flat[0].seconds)} "
            f"({ours[0].seconds:.2f} s, {flat[0].seconds:.2f} s)",
            ours[0].seconds <= flat[0].seconds / 10,
        ),
        Verdict(
            "with the same similarities, within 1e-5",
            f"largest difference {ours[0].difference:.1e}",
            ours[0].difference <= _SAME,
        ),
    ]


def _graphs(results: Results) -> list[Verdict]:
    """HyperPatch-Match at the fastest effort that is good enough, beside each graph."""
    exact = results.of(EXHAUSTIVE)
    ours = sorted(results.of(MATCH), key=lambda row: row.seconds)
    found = []
    for graph in GRAPHS:
        at = {row.setting: row for row in results.of(graph)}
        if 16 in at and ours:
            goal = at[16]
            found.append(
                _fastest(
                    f"HyperPatch-Match reaches the mean similarity of {graph}, ef 16 "
                    f"({goal.similarity:.4f}), in at most half of its search time",
                    [row for row in ours if row.similarity >= goal.similarity],
                    goal,
                    0.5,
                )
            )
        if 64 in at and ours and exact:
            goal = at[64]
            found.append(
                _fastest(
                    f"and 0.999 of the exact mean ({0.999 * exact[0].similarity:.4f}) in at most "
                    f"the search time of {graph}, ef 64",
                    [row for row in ours if row.similarity >= 0.999 * exact[0].similarity],
                    goal,
                    1.0,
                )
            )
    return found


def _fastest(requirement: str, good: list[Row], goal: Row, share: float) -> Verdict:
    if not good:
        return Verdict(requirement, "no effort reaches it", False)
    row = good[0]
    measured = (
        f"effort {row.setting} ({row.similarity:.4f}): {row.seconds / goal.seconds:.2f} of it "
        f"({row.seconds:.2f} s, {goal.seconds:.2f} s)"
    )
    return Verdict(requirement, measured, row.seconds <= share * goal.seconds)


def _bank(images: ManyImages) -> list[Verdict]:
    exhaustive, match = (
        {p.at: p for p in images.points if p.engine == name} for name in (EXHAUSTIVE, MATCH)
    )
    most, few = max(exhaustive), min(16, max(exhaustive))
    memory = [max(p.memory for p in each.values()) for each in (exhaustive, match)]
    whole = f"the bank's {most} images"
    found = [
        Verdict(
            f"both methods search {whole} within 2 GB beyond the mapped bank",
            f"exhaustive {memory[0] / _GIGABYTE:.2f} GB, "
            f"HyperPatch-Match {memory[1] / _GIGABYTE:.2f} GB",
            max(memory) <= 2 * _GIGABYTE,
        )
    ]
    if images.flat:
        flat = images.flat_per_image * most
        found.append(
            Verdict(
                f"exhaustive search of {whole} takes at most 1/10 of FAISS Flat's time "
                "(extrapolated)",
                f"{_share(exhaustive[most].seconds, flat)} "
                f"({exhaustive[most].seconds:.1f} s, {flat:.0f} s)",
                exhaustive[most].seconds <= flat / 10,
            )
        )
    found.append(
        Verdict(
            f"HyperPatch-Match searches {whole} in at most twice its time for {few}",
            f"{match[most].seconds / match[few].seconds:.2f} times "
            f"({match[most].seconds:.2f} s, {match[few].seconds:.2f} s)",
            match[most].seconds <= 2 * match[few].seconds,
        )
    )
    found.append(
        Verdict(
            "at equal or better mean similarity",
            f"{match[most].similarity:.4f}, {match[few].similarity:.4f}",
            match[most].similarity >= match[few].similarity,
        )
    )
    return found


def _threads(points: list[Point]) -> list[Verdict]:
    speedups = {}
    for engine in (EXHAUSTIVE, MATCH, INDEPENDENT):
        seconds = {p.at: p.seconds for p in points if p.engine == engine}
        if {1, 2} <= seconds.keys():
            speedups[engine] = seconds[1] / seconds[2]
    most = speedups.pop(INDEPENDENT, float("nan"))
    return [
        Verdict(
            f"{engine}: 2 threads are at least 1.8 times as fast as 1",
            f"{speedup:.2f} times ({INDEPENDENT}: {most:.2f} times)",
            speedup >= 1.8,
        )
        for engine, speedup in speedups.items()
    ]


def _avx2(results: Results) -> list[Verdict]:
    ours, flat = results.of(EXHAUSTIVE_AVX2), results.of(FLAT)
    if not ours or not flat:
        return []
    return [
        Verdict(
            "with AVX2 only, exhaustive search is exact, in at most 1/4 of FAISS Flat's time",
            f"largest difference {ours[0].difference:.1e}; "
            f"{_share(ours[0].seconds, flat[0].seconds)} ({ours[0].seconds:.2f} s)",
            ours[0].difference <= _SAME and ours[0].seconds <= flat[0].seconds / 4,
        )
    ]
