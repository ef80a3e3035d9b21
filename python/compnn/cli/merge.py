"""`compnn merge`: one bank of several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compnn.bank.bank import merge as merge_banks
from compnn.cli import console, options
from compnn.cli.info import print_bank
from compnn.report.facts import bank_json


def merge(
    bank: Annotated[Path, typer.Argument(help="Folder of the new bank.", show_default=False)],
    banks: Annotated[
        list[Path],
        typer.Argument(
            metavar="BANK...", help="Banks of one network, built alike.", show_default=False
        ),
    ],
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Make one bank of several, which stay as they are.

    They must be of one network with the same layers and dtype, and no two images may share a name.
    On one file system the new bank takes no more room.

    Example: `compnn merge both.bank first.bank second.bank`
    """
    with merge_banks(banks, bank, overwrite=overwrite) as merged:
        if json:
            console.print_json(bank_json(merged))
        else:
            print_bank(merged)
