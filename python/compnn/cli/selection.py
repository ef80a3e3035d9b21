"""Options that say which training images may be used, and how their text is read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from compnn.bank.selection import Selection

_PANEL = "Which training images may be used"

Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|PATTERN|@FILE",
        rich_help_panel=_PANEL,
        help="Only these: a name, a pattern ('cmp_*'), or a file of them; may be repeated.",
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|PATTERN|@FILE",
        rich_help_panel=_PANEL,
        help="Not these; as --only.",
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        rich_help_panel=_PANEL,
        help="Only images of this attribute, or not of it (KEY!=VALUE); several must all hold.",
    ),
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[not ]CLASS",
        rich_help_panel=_PANEL,
        help="Only images in whose label map this class occurs, or does not occur ('not CLASS').",
    ),
]


def conditions_of(texts: Iterable[str] | None) -> tuple[str, ...]:
    """The conditions in the texts of --where or --classes; a comma separates two."""
    parts = (part.strip() for text in texts or () for part in text.split(","))
    return tuple(part for part in parts if part)


def selection_of(
    only: list[str] | None,
    exclude: list[str] | None,
    where: list[str] | None,
    classes: list[str] | None,
) -> Selection:
    """The selection that the options ask for; without any, all images."""
    return Selection(
        only=tuple(only or ()),
        exclude=tuple(exclude or ()),
        where=conditions_of(where),
        classes=conditions_of(classes),
    )
