"""The curves, as PNG files."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, StrMethodFormatter

from benchmarks.speed.results import Results
from benchmarks.speed.sections import (
    EXHAUSTIVE,
    EXHAUSTIVE_AVX2,
    FLAT,
    INDEPENDENT,
    MATCH,
    PAPER,
    Point,
)
from compnn.files import make_folder, write_file

matplotlib.use("Agg")
_COLOURS = {
    EXHAUSTIVE: "#b2182b",
    EXHAUSTIVE_AVX2: "#67001f",
    MATCH: "#d6604d",
    PAPER: "#f4a582",
    FLAT: "#2166ac",
    INDEPENDENT: "#999999",
}
# Of the others, in their order.
_MORE_COLOURS = ["#4daf4a", "#984ea3", "#ff7f00", "#a65628", "#e7298a", "#1b9e77"]


def draw(results: Results, folder: Path) -> list[Path]:
    """Write a picture for each section that was run."""
    make_folder(folder)
    pictures = {
        "similarity": _similarity(results) if results.rows else None,
        "images": _images(results) if results.images is not None else None,
        "channels": _points(results.channels, "channels D") if results.channels else None,
        "threads": _points(results.threads, "threads") if results.threads else None,
    }
    paths = []
    for name, figure in pictures.items():
        if figure is not None:
            paths.append(folder / f"benchmarks-{name}.png")
            data = io.BytesIO()
            figure.savefig(data, format="png", dpi=120)
            write_file(paths[-1], data.getvalue())
    return paths


def _axes(across: str, up: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_prop_cycle(color=_MORE_COLOURS)
    return figure, axes


def _plain(axis: Any) -> None:
    """Ticks of a logarithmic axis at 1, 2, 5 of each power of ten, as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.minorticks_off()


def _similarity(results: Results) -> Figure:
    figure, axes = _axes("seconds to search", "mean similarity")
    for engine in dict.fromkeys(row.engine for row in results.rows):
        rows = sorted(results.of(engine), key=lambda row: row.seconds)
        ours = engine.startswith("compnn")
        axes.plot(
            [row.seconds for row in rows],
            [row.similarity for row in rows],
            marker="o" if ours else "s",
            linewidth=2 if ours else 1,
            color=_COLOURS.get(engine),
            label=engine,
        )
    axes.set_xscale("log")
    _plain(axes.xaxis)
    axes.legend(fontsize="small", frameon=False)
    return figure


def _images(results: Results) -> Figure:
    images = results.images
    assert images is not None
    figure = _points([*images.points, *images.flat], "training images k")
    if images.flat:
        ends = [max(p.at for p in images.flat), max(p.at for p in images.points)]
        figure.axes[0].plot(
            ends,
            [images.flat_per_image * k for k in ends],
            linestyle="--",
            color=_COLOURS[FLAT],
            label=f"{FLAT}, extrapolated",
        )
        figure.axes[0].legend(fontsize="small", frameon=False)
    return figure


def _points(points: Iterable[Point], across: str) -> Figure:
    points = list(points)
    figure, axes = _axes(across, "seconds to search")
    for engine in dict.fromkeys(point.engine for point in points):
        curve = sorted((p.at, p.seconds) for p in points if p.engine == engine)
        axes.plot(*zip(*curve, strict=True), marker="o", color=_COLOURS[engine], label=engine)
    axes.set_xscale("log")
    axes.set_yscale("log")
    _plain(axes.yaxis)
    ticks = sorted({point.at for point in points})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.xaxis.minorticks_off()
    axes.legend(fontsize="small", frameon=False)
    return figure
