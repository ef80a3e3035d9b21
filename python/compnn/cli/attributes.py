"""`compnn attributes`: say what the images of a bank are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from compnn.bank.bank import Bank
from compnn.cli import console, options
from compnn.report.facts import bank_json


def attributes(
    bank: options.BankFolder,
    csv: Annotated[
        Path,
        typer.Argument(
            metavar="CSV",
            help="A row for each image: name, key=value, ... or a header name,key,... and values.",
            show_default=False,
        ),
    ],
    json: options.Json = False,
) -> None:
    """Give the images of a bank attributes, in place of those that they have.

    Example: `compnn attributes facades.bank walls.csv`
    """
    with Bank(bank) as opened:
        opened.set_attributes(csv)
        counts: Counter[str] = Counter()
        for values in opened.attributes.values():
            counts.update(values.keys())
        if json:
            console.print_json({**bank_json(opened), "attributes": dict(counts)})
            return
        console.say(
            f"{opened.path}: {len(opened.attributes)} of {len(opened)} pairs have attributes"
        )
        for key, count in counts.most_common():
            console.say(f"{key}: {count}")
