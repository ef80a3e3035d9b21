"""The document of a run: Markdown in which every number is one that was measured."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.speed import building, choice, end_to_end, formats
from benchmarks.speed.markdown import megabytes, table
from benchmarks.speed.markdown import seconds as time
from benchmarks.speed.peers import CONSTRUCTION, LINKS, LISTS
from benchmarks.speed.results import Results, verdicts
from benchmarks.speed.sections import (
    EFFORT,
    EXHAUSTIVE,
    FLAT,
    IMAGES_PATIENCE,
    LESS_PATIENCE,
    MATCH,
    PATIENCE,
    Point,
)

_GIGA = 1e9


def write(
    results: Results, case: str, machine: str, packages: str, command: str, repeat: int
) -> str:
    """The whole document; the texts describe the run in a line each."""
    parts = [
        f"""# Benchmarks

Written by `python -m benchmarks.speed`, in one run; every number is from it. It needs
`pip install '.[test,results]' hnswlib usearch torch`; engines that are not installed are left out.
The engine alone is measured by programs in C++ (Google Benchmark): `cmake --preset benchmarks`,
`cmake --build --preset benchmarks`, then `build/benchmarks/benchmarks/cpp/bench_search` and
`bench_kernels`.

    {command}

- Machine: {machine}.
- Packages: {packages}.
- Reference case: {case}.
- Each engine runs in a process of its own, one at a time, so that threads of one that still wait
  for work, or its memory, do not slow the next. They take turns, up to {repeat} times each; the
  fastest counts. A measurement is not repeated once it has taken {PATIENCE:.0f} s in all
  ({IMAGES_PATIENCE:.0f} s against the number of images; {LESS_PATIENCE:.0f} s of IVF, PyTorch,
  NumPy and the paper's schedule).
- FAISS and NumPy multiply matrices with OpenBLAS, which is told to take the kernels of the largest
  instruction set here: left to itself, the one in FAISS's wheel may take a processor that is newer
  than itself for an old one.
- compnn's time is all that lies between the activations and the field. The peers' begins with
  normalised vectors of all hyperpatches in memory, and leaves out what it took to make them."""
    ]
    found = verdicts(results)
    if found:
        marks = {True: "met", False: "**not met**", None: "-"}
        rows = [(each.requirement, each.measured, marks[each.met]) for each in found]
        parts.append("## Requirements\n\n" + table(("requirement", "measured", ""), rows))
    if results.rows:
        parts.append(_engines(results))
    if results.images is not None:
        parts.append(_images(results))
    if results.channels:
        parts.append(
            f"""## Time against D

The first D channels of fewer images; hyperpatches 2x2xD. {MATCH} at effort {EFFORT}.

![Time against channels](images/benchmarks-channels.png)

{_points(results.channels, "D")}"""
        )
    if results.threads:
        parts.append(
            f"""## Time against threads

The reference case. {MATCH} at effort {EFFORT}. The threads of the matrix
products have nothing in common: their times tell what more threads are worth on this machine, in
the same minutes.

![Time against threads](images/benchmarks-threads.png)

{_points(results.threads, "threads")}"""
        )
    if results.roofs:
        parts.append(_roofs(results))
    if results.formats:
        parts.append(formats.section(results.formats, results.flat_bytes))
    if results.built is not None:
        parts.append(building.section(results.built))
    if results.choices:
        parts.append(choice.section(results.choices))
    if results.reconstruction is not None:
        parts.append(end_to_end.section(results.reconstruction))
    return "\n\n".join(parts) + "\n"


def _engines(results: Results) -> str:
    rows = [
        (
            row.engine,
            f"{row.parameter} {row.setting}" if row.parameter else "",
            time(row.seconds),
            time(row.build) if row.build else "0",
            f"{row.size:.0f}",
            f"{row.similarity:.4f}",
            f"{row.hits:.1%}",
            f"{row.accuracy:.4f}",
        )
        for row in results.rows
    ]
    head = (
        "engine",
        "setting",
        "seconds",
        "to build, s",
        "bytes per hyperpatch",
        "mean similarity",
        "exact hits",
        "MPA",
    )
    return f"""## Engines

Similarities are computed again in double precision from the matches that each engine names; an
exact hit is a match as similar as the exact one. MPA is the pixel accuracy of the output
reconstruction. FAISS IVF has {LISTS} lists; graphs have M = {LINKS} and efConstruction = \
{CONSTRUCTION}.
compnn searches the bank's cells as they are, here in float32: nothing is built.

![Mean similarity against time](images/benchmarks-similarity.png)

{table(head, rows)}"""


def _images(results: Results) -> str:
    images = results.images
    assert images is not None
    rows = [
        (p.engine, str(p.at), time(p.seconds), f"{p.similarity:.4f}", megabytes(p.memory))
        for p in images.points
    ]
    rows += [(p.engine, str(p.at), time(p.seconds), "", "") for p in images.flat]
    most = max(p.at for p in images.points)
    if images.flat:
        seconds = time(images.flat_per_image * most)
        rows.append((f"{FLAT}, extrapolated", str(most), seconds, "", ""))
    head = ("engine", "images k", "seconds", "mean similarity", "memory, MB")
    return f"""## Time against the number of images

`Explainer.explain` over the k nearest images of a bank of {images.images} ({images.hyperpatches}
hyperpatches, {images.dtype}), from the activations to the explanation. The first search of a
process reads the bank and checks its checksums; that is not counted. Memory is the most that the
process held besides mapped files, the network included. {MATCH} at effort {EFFORT}.

![Time against images](images/benchmarks-images.png)

{table(head, rows)}"""


def _points(points: Sequence[Point], name: str) -> str:
    engines = list(dict.fromkeys(point.engine for point in points))
    rows = []
    for at in sorted({point.at for point in points}):
        seconds = {point.engine: point.seconds for point in points if point.at == at}
        rows.append((str(at), *(time(seconds[engine]) for engine in engines)))
    return table((name, *(f"{engine}, s" for engine in engines)), rows)


def _roofs(results: Results) -> str:
    rows = [
        (
            roof.level,
            time(roof.seconds),
            f"{roof.full / _GIGA:.0f}",
            f"{roof.peak / _GIGA:.0f} ({roof.kind})",
            f"{roof.full / roof.peak:.1f}",
        )
        for roof in results.roofs
    ]
    head = (
        "kernels",
        "seconds",
        "in full, G/s",
        "measured peak, G/s",
        "times the peak",
    )
    return f"""## Beside the machine's peak

{EXHAUSTIVE} of the reference case on each instruction set. "In full" are the multiply-adds per
second that it would take to multiply all pairs of cells, each once, in all channels and in the same
time; the peak is what a product of large matrices reaches on the same threads and instruction set.
An exact search that multiplies everything cannot be above 1. The time is that of the whole search,
with the conversion of the cells, the codes, the bounds and the exact part.

{table(head, rows)}"""
