"""`compnn drop`: take images out of a bank."""

from __future__ import annotations

from typing import Annotated

import typer

from compnn.bank.bank import Bank
from compnn.bank.selection import Selection
from compnn.cli import console, options
from compnn.report.facts import bank_json


def drop(
    bank: options.BankFolder,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME|PATTERN|@FILE...",
            help="Images: names, patterns ('cmp_*'), or files of them.",
            show_default=False,
        ),
    ],
    json: options.Json = False,
) -> None:
    """Take images out of a bank; `compnn compact` then frees their room.

    Example: `compnn drop facades.bank cmp_b0001 'base_*'`
    """
    with Bank(bank) as opened:
        dropped = [opened.names[index] for index in Selection(only=tuple(names)).select(opened)]
        opened.drop(dropped)
        if json:
            console.print_json({**bank_json(opened), "dropped": dropped})
            return
        for name in dropped:
            console.say(f"dropped: {name}")
        console.say(f"{opened.path}: {len(opened)} pairs are left")
