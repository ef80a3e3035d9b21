"""`compnn append`: add training pairs to a bank."""

from __future__ import annotations

from typing import Annotated

import typer

from compnn.bank.bank import Bank
from compnn.cli import console, dataset_options, options
from compnn.cli.info import print_bank
from compnn.report.facts import bank_json


@dataset_options.with_pairs("train")
def append(
    bank: options.BankFolder,
    pairs: dataset_options.PairOptions,
    limit: dataset_options.Limit = None,
    attributes: dataset_options.Attributes = None,
    network: options.Network = None,
    providers: options.Providers = None,
    resize: options.Resize = False,
    skip_bad: options.SkipBad = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard an interrupted append instead of resuming.")
    ] = False,
    threads: options.Threads = -1,
    json: options.Json = False,
) -> None:
    """Add training pairs to a bank; those who have it open keep what they opened.

    The images are label maps of the bank's palettes, where it has them, unless told otherwise.
    An append that was interrupted goes on where it stopped when the same command is given again.

    Example: `compnn append facades.bank --side-by-side facades/more --input right`
    """
    with Bank(bank) as opened:
        dataset = pairs.dataset(
            attributes=attributes,
            limit=limit,
            default_kinds=(opened.input_kind, opened.target_kind),
        )
        found = options.network_of(opened, network, resize, threads, providers)
        with console.image_progress("appending", quiet=json) as progress:
            opened.append(found, dataset, skip_bad=skip_bad, restart=restart, progress=progress)
        if json:
            console.print_json(bank_json(opened))
        else:
            print_bank(opened)
