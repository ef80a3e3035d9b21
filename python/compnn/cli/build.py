"""`compnn build`: run a network over its training pairs and keep the activations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from compnn.bank.bank import Bank
from compnn.cli import console, options
from compnn.cli.info import bank_json, print_bank
from compnn.datasets import CamVid, Cityscapes, Dataset, PairedFolders, SideBySide
from compnn.errors import DatasetError
from compnn.model import Model

_PAIRS = "Training pairs (one of these)"
_KINDS = "What the images are"


def build(
    bank: Annotated[Path, typer.Argument(help="Folder of the new bank.", show_default=False)],
    model: Annotated[Path, typer.Argument(help="The network, an ONNX file.", show_default=False)],
    side_by_side: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            rich_help_panel=_PAIRS,
            help="Images that hold input and target side by side (Pix2Pix); see --input.",
        ),
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", rich_help_panel=_PAIRS, help="Inputs, with --targets: same stems."
        ),
    ] = None,
    targets: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", rich_help_panel=_PAIRS, help="Targets, with --inputs."),
    ] = None,
    camvid: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", rich_help_panel=_PAIRS, help="CamVid; see --split."),
    ] = None,
    cityscapes: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            rich_help_panel=_PAIRS,
            help="Cityscapes (leftImg8bit and gtFine); see --split.",
        ),
    ] = None,
    input_half: Annotated[
        Literal["left", "right"],
        typer.Option("--input", rich_help_panel=_PAIRS, help="The half that is the input."),
    ] = "left",
    split: Annotated[
        str, typer.Option(rich_help_panel=_PAIRS, help="Split of CamVid or Cityscapes.")
    ] = "train",
    limit: Annotated[
        int | None,
        typer.Option(min=1, rich_help_panel=_PAIRS, help="Take only the first pairs, this many."),
    ] = None,
    input_palette: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            rich_help_panel=_KINDS,
            help="Inputs are label maps of this palette: facades, cmp-facades, camvid, cityscapes, "
            "or a CSV file (index,name,r,g,b).",
        ),
    ] = None,
    target_palette: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            rich_help_panel=_KINDS,
            help="Targets are label maps of this palette.",
        ),
    ] = None,
    attributes: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            rich_help_panel=_KINDS,
            help="Attributes of the images: a row each of name, key=value, ...",
        ),
    ] = None,
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
        Literal["float16", "float32"], typer.Option(help="How activations are kept.")
    ] = "float16",
    size: options.Size = None,
    input_range: options.InputRange = None,
    mean: options.Mean = None,
    std: options.Std = None,
    channel_order: options.ChannelOrder = None,
    resize: options.Resize = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out pairs that cannot be read.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the bank once the new one is complete.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard an interrupted build instead of resuming.")
    ] = False,
    threads: options.Threads = -1,
    json: options.Json = False,
) -> None:
    """Build a bank: run the network over the training pairs and keep the activations.

    A build that was interrupted goes on where it stopped when the same command is given again.

    Example: `compnn build facades.bank pix2pix.onnx --side-by-side facades/train
    --input right --input-palette facades --layer decoder_2 --descriptor decoder_7`
    """
    palettes = {"input_palette": input_palette, "target_palette": target_palette}
    sources = [source for source in (side_by_side, inputs, camvid, cityscapes) if source]
    if len(sources) != 1 or (inputs is None) != (targets is None):
        raise DatasetError(
            "give the training pairs once: --side-by-side, or --inputs with --targets, or "
            "--camvid, or --cityscapes"
        )
    dataset: Dataset
    if side_by_side is not None:
        dataset = SideBySide(side_by_side, input_half, attributes=attributes, **palettes)
    elif inputs is not None and targets is not None:
        dataset = PairedFolders(inputs, targets, attributes=attributes, **palettes)
    else:
        if input_palette or target_palette:
            raise DatasetError(
                "CamVid and Cityscapes have their own palettes; leave out --input-palette and "
                "--target-palette"
            )
        if camvid is not None:
            dataset = CamVid(camvid, split, attributes=attributes)
        else:
            dataset = Cityscapes(sources[0], split, attributes=attributes)
    if limit is not None:
        dataset = dataset.subset(dataset.names[:limit])
    network = Model(
        model,
        layer,
        descriptor,
        preprocessing=options.preprocessing_of(size, input_range, mean, std, channel_order, resize),
        hyperpatch=None if hyperpatch is None else options.parse_pair(hyperpatch),
        num_threads=threads,
    )
    with console.image_progress("building", quiet=json) as progress:
        built = Bank.build(
            bank,
            network,
            dataset,
            dtype=dtype,
            skip_bad=skip_bad,
            overwrite=overwrite,
            restart=restart,
            progress=progress,
        )
    if json:
        console.print_json(bank_json(built))
    else:
        print_bank(built)
