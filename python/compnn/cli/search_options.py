"""Options that say how to search, and the search that they mean."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from compnn.errors import SearchError
from compnn.search import search
from compnn.search.search import Search

PANEL = "Search"
"""Title under which help lists them."""

MethodName = Literal["auto", "exhaustive", "hyperpatch-match"]

Method = Annotated[
    MethodName,
    typer.Option(
        rich_help_panel=PANEL,
        help="auto: exact where that is quick, else approximate. exhaustive: exact. "
        "hyperpatch-match: approximate.",
    ),
]
Schedule = Annotated[
    search.Schedule | None,
    typer.Option(
        rich_help_panel=PANEL,
        help="Of hyperpatch-match: from a guided start in a few rounds (the default, fast), or the "
        "paper's.",
    ),
]
Effort = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=search.MOST_EFFORT,
        rich_help_panel=PANEL,
        help=f"Of hyperpatch-match's fast schedule: from quick to near exact. Default: "
        f"{search.USUAL_EFFORT}.",
    ),
]
Iterations = Annotated[
    int | None,
    typer.Option(
        min=0,
        rich_help_panel=PANEL,
        help="Rounds of hyperpatch-match. Default: 8 of the fast schedule, 1024 of the paper's.",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        min=0, rich_help_panel=PANEL, help="Seed of hyperpatch-match and of auto. Default: 0."
    ),
]
Matches = Annotated[
    int | None,
    typer.Option(
        min=1, rich_help_panel=PANEL, help="Matches kept for each hyperpatch. Default: 1."
    ),
]


def search_of(method: MethodName, **options: str | int | None) -> Search:
    """The search of a method with those of the options that were given (are not None).

    Raises
    ------
    SearchError
        If the method does not have an option, naming those that do, or a value makes no sense.
    """
    for name, value in options.items():
        having = [kind.method for kind in search.SEARCHES if name in kind.__dataclass_fields__]
        if value is not None and method not in having:
            raise SearchError(
                f"--{name} is no option of --method {method}; add "
                f"{' or '.join(f'--method {each}' for each in having)}, or leave --{name} out"
            )
    return search.search_of(method, **options)
