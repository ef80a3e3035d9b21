"""`compnn compact`: free the room of what a bank no longer holds."""

from __future__ import annotations

from compnn.bank.bank import Bank
from compnn.cli import console, options
from compnn.cli.info import bytes_words
from compnn.report.facts import bank_json


def compact(bank: options.BankFolder, json: options.Json = False) -> None:
    """Rewrite a bank without the images that were dropped, and free their room.

    Room that those take who have an older state of the bank open is freed later, by the next
    change.

    Example: `compnn compact facades.bank`
    """
    with Bank(bank) as opened:
        opened.compact()
        if json:
            console.print_json(bank_json(opened))
        else:
            console.say(f"{opened.path}: {len(opened)} pairs, {bytes_words(opened.nbytes)}")
