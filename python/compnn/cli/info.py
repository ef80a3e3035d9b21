"""`compnn info`: what a bank holds, and whether it is whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from compnn.bank.bank import Bank
from compnn.cli import console, options
from compnn.cli.layers import layer_row
from compnn.network.layer import geometry_notes
from compnn.report.facts import bank_json, bank_sizes

# How many sizes of inputs are told.
_MOST_SIZES = 5


def info(
    bank: options.BankFolder,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read the whole bank and check every checksum.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Show what a bank holds: images, layers, sizes, and the network it was built with."""
    with Bank(bank) as opened:
        if verify:
            with console.image_progress("verifying", quiet=json) as progress:
                opened.verify(progress)
        if json:
            console.print_json(bank_json(opened, verified=verify))
            return
        print_bank(opened)
        if verify:
            console.say("all checksums are right")


def print_bank(bank: Bank) -> None:
    """Print what a bank holds."""
    sizes = bank_sizes(bank)
    of_size = f"of {len(sizes)} sizes" if len(sizes) > 1 else f"of {next(iter(sizes))}"
    console.print_table(
        f"{bank.path}: {len(bank)} pairs {of_size}, {bank.dtype}, {bytes_words(bank.nbytes)}",
        ("layer", "activation", "looks", "paints", "hyperpatch", "patch", "kept", "size"),
        [
            (
                *layer_row(layer),
                " or ".join(map(str, bank.kept(name))),
                bytes_words(bank.layer_bytes(name)),
            )
            for name, layer in bank.layers.items()
        ],
    )
    network = bank.network
    console.say(
        f"network: {network.described} ({network.fingerprint[:19]}...)",
        f"global descriptor: {bank.descriptor or 'none'}",
        f"inputs: {bank.input_kind.describe()}, targets: {bank.target_kind.describe()}",
        *([_sizes_words(sizes)] if len(sizes) > 1 else []),
        f"generation {bank.generation}, {bank.shards} shard{'s' * (bank.shards != 1)}",
        "kept: numbers of a cell; fewer than channels where these depend on each other",
        *geometry_notes(bank.layers.values()),
        *(f"left out: {skipped.name} ({skipped.reason})" for skipped in bank.skipped),
        *(
            f"not known to this version of compnn: {field}; it is kept"
            for field in bank.unknown_fields
        ),
    )


def _sizes_words(sizes: Mapping[str, int]) -> str:
    """The commonest sizes of inputs, and how many pairs have each."""
    told = [f"{size} ({count})" for size, count in list(sizes.items())[:_MOST_SIZES]]
    rest = sum(list(sizes.values())[_MOST_SIZES:])
    more = f", others ({rest})" if rest else ""
    return f"sizes (height x width) of inputs: {', '.join(told)}{more}"


def bytes_words(count: int) -> str:
    """A number of bytes, short."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
