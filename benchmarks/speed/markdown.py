"""Pieces of the document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MEGABYTE = 1e6


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def seconds(number: float) -> str:
    """A time, to about three digits."""
    return f"{number:.3f}" if number < 1 else f"{number:.2f}"


def megabytes(size: int) -> str:
    """A size in bytes, in MB."""
    return f"{size / MEGABYTE:.0f}"
