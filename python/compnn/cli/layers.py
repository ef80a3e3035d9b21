"""`compnn layers`: the activation tensors of a network and their geometry."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from compnn.cli import console, options
from compnn.network.layer import Layer, geometry_notes, maps_text
from compnn.network.onnx import OnnxNetwork
from compnn.report.facts import layer_json


def layers(
    network: options.NetworkFile,
    all_taps: Annotated[
        bool,
        typer.Option("--all", help="List every tap, not only the layers that the file names."),
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Perturb pixels and cells, and see whether what changes lies where the maps say; "
            "minutes for a large network.",
        ),
    ] = False,
    hyperpatch: options.Hyperpatch = None,
    size: options.Size = None,
    input_range: options.InputRange = None,
    mean: options.Mean = None,
    std: options.Std = None,
    channel_order: options.ChannelOrder = None,
    image_input: options.ImageInput = None,
    set_inputs: options.SetInputs = None,
    grid: options.Grids = None,
    json: options.Json = False,
) -> None:
    """List the layers of a network: where they look and paint, and the patch of a hyperpatch.

    Where the file names none, three to six are suggested, and one as descriptor. A layer is called
    by the module that it is the result of, where PyTorch has written that into the file, else by
    the graph's tensor; either name can be given to `compnn build --layer`. The table is the paper's
    Table 3 for the network at hand.
    """
    opened = OnnxNetwork(
        network,
        [] if all_taps else None,  # the names in the file may be wrong
        preprocessing=options.preprocessing_of(size, input_range, mean, std, channel_order, False),
        hyperpatch=None if hyperpatch is None else options.parse_pair(hyperpatch),
        image_input=image_input,
        values=options.values_of(set_inputs),
        grids=options.grids_of(grid),
    )
    listed = opened.taps() if all_taps else opened.named_layers()
    suggested = opened.suggestion() if not (all_taps or opened.names_layers) else None
    count = len(listed)
    if suggested is not None:
        worth = {*suggested.layers, suggested.descriptor}
        listed = [layer for layer in listed if layer.name in worth] or listed
    verdicts = {layer.name: _verdicts(opened, layer) for layer in listed} if check else {}
    if json:
        checked = ({"check": verdicts[each.name]} if check else {} for each in listed)
        rows = zip(listed, checked, strict=True)
        console.print_json(
            [
                {**layer_json(layer), "tensor": opened.tensor(layer.name), **verdict}
                for layer, verdict in rows
            ]
        )
        return
    if opened.input_size is None:
        taken = "any size, shown for {}x{}".format(*listed[0].image_size)
    else:
        taken = "{}x{}".format(*opened.input_size)
    console.print_table(
        f"{network.name}: input {taken}, {len(listed)} layers",
        ("layer", "activation", "looks", "paints", "hyperpatch", "patch", "MB per image"),
        [
            (
                _both_names(opened, layer.name) if all_taps else layer.name,
                *layer_row(layer)[1:],
                f"{2 * math.prod(layer.shape) / 1e6:.3g}",
            )
            for layer in listed
        ],
    )
    console.say(*opened.assumptions, *geometry_notes(listed))
    if check:
        console.print_table(
            "Perturbed, with everything off the local path held",
            ("layer", "looks", "paints"),
            [(name, each["looks"], each["paints"]) for name, each in verdicts.items()],
        )
    if suggested is not None:
        console.say(
            f"The file names no layers: these of {count} are suggested by their sizes; --all lists "
            f"all."
        )
        if suggested.descriptor is not None:
            console.say(f"As descriptor: {suggested.descriptor}")


def _both_names(network: OnnxNetwork, name: str) -> str:
    """A module with the tensor that is its result."""
    tensor = network.tensor(name)
    return name if tensor == name else f"{name} = {tensor}"


def _verdicts(network: OnnxNetwork, layer: Layer) -> dict[str, str]:
    """What perturbing says about both maps of a layer."""
    found = network.check(layer.name)
    paints = "no path to the output" if found.paints is None else str(found.paints)
    return {"looks": str(found.looks), "paints": paints}


def layer_row(layer: Layer) -> tuple[str, ...]:
    """The row of a layer: name, activation, where it looks and paints, hyperpatch, patch."""
    h, w = layer.hyperpatch
    return (
        layer.name,
        "x".join(map(str, layer.shape)),
        maps_text(layer.geometry.looks),
        maps_text(layer.geometry.paints),
        f"{h}x{w}x{layer.shape[2]}",
        layer.patch_text,
    )
