"""Options that say how to search."""

from __future__ import annotations

from typing import Annotated

import typer

from compnn import search

PANEL = "Search"
"""Title under which help lists them."""

Method = Annotated[
    search.Method,
    typer.Option(rich_help_panel=PANEL, help="Approximate and fast, or exact."),
]
Schedule = Annotated[
    search.Schedule,
    typer.Option(
        rich_help_panel=PANEL,
        help="Of HyperPatch-Match: from a guided start in a few rounds, or the paper's.",
    ),
]
Effort = Annotated[
    int,
    typer.Option(
        min=1,
        max=search.MOST_EFFORT,
        rich_help_panel=PANEL,
        help="Of the fast schedule: from quick to near exact.",
    ),
]
Iterations = Annotated[
    int | None,
    typer.Option(
        min=0,
        rich_help_panel=PANEL,
        help="Rounds of HyperPatch-Match. Default: 8 of the fast schedule, 1024 of the paper's.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, rich_help_panel=PANEL, help="Seed of HyperPatch-Match.")]
Matches = Annotated[
    int, typer.Option(min=1, rich_help_panel=PANEL, help="Matches kept for each hyperpatch.")
]
