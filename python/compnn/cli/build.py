"""`compnn build`: run a network over its training pairs and keep the activations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from compnn.bank.bank import build as build_bank
from compnn.cli import console, dataset_options, options
from compnn.cli.info import print_bank
from compnn.network.onnx import OnnxNetwork
from compnn.report.facts import bank_json


@dataset_options.with_pairs("train")
def build(
    bank: Annotated[Path, typer.Argument(help="Folder of the new bank.", show_default=False)],
    network: options.NetworkFile,
    pairs: dataset_options.PairOptions,
    limit: dataset_options.Limit = None,
    attributes: dataset_options.Attributes = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(help="A layer to keep; give it again for more. Default: all named layers."),
    ] = None,
    descriptor: Annotated[
        str | None,
        typer.Option(help="Layer that serves as global descriptor, for searches among the top k."),
    ] = None,
    hyperpatch: options.Hyperpatch = None,
    dtype: Annotated[
        Literal["float16", "bfloat16", "float32", "int8"],
        typer.Option(help="How activations are kept."),
    ] = "float16",
    size: options.Size = None,
    input_range: options.InputRange = None,
    mean: options.Mean = None,
    std: options.Std = None,
    channel_order: options.ChannelOrder = None,
    resize: options.Resize = False,
    image_input: options.ImageInput = None,
    set_inputs: options.SetInputs = None,
    grid: options.Grids = None,
    output: options.OutputName = None,
    output_kind: options.OutputKindOption = None,
    output_range: options.OutputRange = None,
    threshold: options.Threshold = None,
    copy_network: Annotated[
        bool,
        typer.Option(
            "--copy-network", help="Put the network's file into the bank, which is then whole."
        ),
    ] = False,
    skip_bad: options.SkipBad = False,
    no_check: Annotated[
        bool,
        typer.Option(
            "--no-check", help="Do not compare what the network paints with the targets first."
        ),
    ] = False,
    overwrite: options.Overwrite = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard an interrupted build instead of resuming.")
    ] = False,
    threads: options.Threads = -1,
    providers: options.Providers = None,
    json: options.Json = False,
) -> None:
    """Build a bank: run the network over the training pairs and keep the activations.

    A build that was interrupted goes on where it stopped when the same command is given again.

    Example: `compnn build facades.bank pix2pix.onnx --side-by-side facades/train
    --input right --input-palette facades --layer decoder_2 --descriptor decoder_7`
    """
    dataset = pairs.dataset(attributes=attributes, limit=limit)
    opened = OnnxNetwork(
        network,
        layer,
        descriptor,
        preprocessing=replace(
            options.preprocessing_of(size, input_range, mean, std, channel_order, resize),
            white=dataset.input_kind.seen.white,
        ),
        hyperpatch=None if hyperpatch is None else options.parse_pair(hyperpatch),
        output=options.output_of(output, output_kind, output_range, threshold),
        num_threads=threads,
        image_input=image_input,
        values=options.values_of(set_inputs),
        grids=options.grids_of(grid),
        providers=options.providers_of(providers),
    )
    with console.image_progress("building", quiet=json) as progress:
        built = build_bank(
            bank,
            opened,
            dataset,
            dtype=dtype,
            skip_bad=skip_bad,
            overwrite=overwrite,
            restart=restart,
            copy_network=copy_network,
            check=not no_check,
            progress=progress,
            say=None if json else console.print_note,
        )
    with built:
        if json:
            console.print_json(bank_json(built))
        else:
            print_bank(built)
