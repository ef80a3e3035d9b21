"""Pieces of Markdown: tables, commands and verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from compnn.studies.evaluation.tables import Table


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose columns but the first are aligned right."""
    rule = ["---", *("--:" for _ in columns[1:])]
    lines = [columns, rule, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def evaluation_table(found: Table) -> str:
    """A table of an evaluation."""
    return table(found.columns, found.rows)


def commands(*lines: str) -> str:
    """Commands as a block."""
    return "\n".join(f"    {line}" for line in lines)


def verdict(claim: str, holds: bool, numbers: str) -> str:
    """A claim, whether it holds, and the numbers that say so."""
    return f"- {claim}: **{'holds' if holds else 'does not hold'}** ({numbers})."


def paragraphs(*parts: str) -> str:
    """The parts, with an empty line between each two."""
    return "\n\n".join(part for part in parts if part)
