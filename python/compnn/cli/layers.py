"""`compnn layers`: the activation tensors of a network and their geometry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compnn.cli import console, options
from compnn.network.layer import Layer
from compnn.network.onnx import Model


def layers(
    model: Annotated[Path, typer.Argument(help="The network, an ONNX file.", show_default=False)],
    all_taps: Annotated[
        bool,
        typer.Option("--all", help="List every tap, not only the layers that the file names."),
    ] = False,
    hyperpatch: options.Hyperpatch = None,
    size: options.Size = None,
    input_range: options.InputRange = None,
    mean: options.Mean = None,
    std: options.Std = None,
    channel_order: options.ChannelOrder = None,
    json: options.Json = False,
) -> None:
    """List the layers of a network: activation, stride, hyperpatch, and the patch it stands for.

    Any of the names can be given to `compnn build --layer`. The table is the paper's
    Table 3 for the network at hand.
    """
    network = Model(
        model,
        preprocessing=options.preprocessing_of(size, input_range, mean, std, channel_order, False),
        hyperpatch=None if hyperpatch is None else options.parse_pair(hyperpatch),
    )
    listed = network.taps() if all_taps else network.named_layers()
    if json:
        console.print_json([layer_json(layer) for layer in listed])
        return
    height, width = network.input_size
    console.print_table(
        f"{model.name}: input {height}x{width}, {len(listed)} layers",
        ("layer", "activation", "stride", "hyperpatch", "patch"),
        [layer_row(layer) for layer in listed],
    )


def layer_row(layer: Layer) -> tuple[str, ...]:
    """The row of a layer: name, activation, stride, hyperpatch, patch."""
    h, w = layer.hyperpatch
    return (
        layer.name,
        "x".join(map(str, layer.shape)),
        "x".join(map(str, layer.stride)),
        f"{h}x{w}x{layer.shape[2]}",
        "x".join(map(str, layer.patch)),
    )


def layer_json(layer: Layer) -> dict[str, object]:
    """A layer as JSON values."""
    return {
        "name": layer.name,
        "activation": list(layer.shape),
        "stride": list(layer.stride),
        "hyperpatch": [*layer.hyperpatch, layer.shape[2]],
        "patch": list(layer.patch),
        "grid": list(layer.grid),
    }
