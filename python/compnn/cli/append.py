"""`compnn append`: add training pairs to a bank."""

from __future__ import annotations

from typing import Annotated

import typer

from compnn.bank.bank import Bank
from compnn.cli import console, dataset_options, options
from compnn.cli.info import print_bank
from compnn.report.facts import bank_json


def append(
    bank: options.BankFolder,
    side_by_side: dataset_options.SideBySide = None,
    inputs: dataset_options.Inputs = None,
    targets: dataset_options.Targets = None,
    camvid: dataset_options.CamVidFolder = None,
    cityscapes: dataset_options.CityscapesFolder = None,
    input_half: dataset_options.InputHalf = "left",
    split: dataset_options.Split = "train",
    limit: dataset_options.Limit = None,
    input_palette: dataset_options.InputPalette = None,
    target_palette: dataset_options.TargetPalette = None,
    names: dataset_options.Names = None,
    input_suffix: dataset_options.InputSuffix = "",
    target_suffix: dataset_options.TargetSuffix = "",
    recursive: dataset_options.Recursive = False,
    ignore_unpaired: dataset_options.IgnoreUnpaired = False,
    nearest_colour: dataset_options.NearestColour = False,
    indices: dataset_options.Indices = False,
    reduce_zero_label: dataset_options.ReduceZeroLabel = False,
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
        dataset = dataset_options.dataset_of(
            side_by_side,
            inputs,
            targets,
            camvid,
            cityscapes,
            input_half,
            split,
            input_palette,
            target_palette,
            names=names,
            input_suffix=input_suffix,
            target_suffix=target_suffix,
            recursive=recursive,
            ignore_unpaired=ignore_unpaired,
            nearest_colour=nearest_colour,
            indices=indices,
            reduce_zero_label=reduce_zero_label,
            attributes=attributes,
            limit=limit,
            default_kinds=(opened.input_kind, opened.target_kind),
        )
        found = opened.open_network(
            network,
            resize=resize or None,
            num_threads=threads,
            providers=options.providers_of(providers),
        )
        with console.image_progress("appending", quiet=json) as progress:
            opened.append(found, dataset, skip_bad=skip_bad, restart=restart, progress=progress)
        if json:
            console.print_json(bank_json(opened))
        else:
            print_bank(opened)
