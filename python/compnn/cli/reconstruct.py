"""`compnn reconstruct`: explain what a network painted for one image."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import typer

from compnn.bank.bank import Bank
from compnn.bank.reader import open_manifest
from compnn.cli import console, options, search_options, selection
from compnn.cli.report import explanation_json, print_scores, print_usage, write_report
from compnn.explanation.query import read_query
from compnn.explanation.scores import score
from compnn.files import check_folder
from compnn.studies.usage import usage


def reconstruct(
    bank: Annotated[Path, typer.Argument(help="Folder of the bank.", show_default=False)],
    image: Annotated[Path, typer.Argument(help="The image to explain.", show_default=False)],
    layer: Annotated[
        list[str] | None,
        typer.Option(help="A layer; give it again for more. Default: all layers of the bank."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the results. Default: IMAGE-compnn, here."),
    ] = None,
    input_half: Annotated[
        Literal["left", "right"] | None,
        typer.Option("--input", help="The image holds input and target side by side: input half."),
    ] = None,
    target: Annotated[
        Path | None, typer.Option(help="File of the true target, to measure accuracy.")
    ] = None,
    only: selection.Only = None,
    exclude: selection.Exclude = None,
    where: selection.Where = None,
    classes: selection.Classes = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            min=1,
            rich_help_panel=search_options.PANEL,
            help="Search only the k training images nearest by the global descriptor.",
        ),
    ] = None,
    method: search_options.Method = "hyperpatch-match",
    schedule: search_options.Schedule = "fast",
    effort: search_options.Effort = 4,
    iterations: search_options.Iterations = None,
    seed: search_options.Seed = 0,
    matches: search_options.Matches = 1,
    hyperpatch: options.Hyperpatch = None,
    compose: options.Compose = "copy",
    maps: Annotated[
        bool, typer.Option("--map/--no-map", help="Draw the map of the sources (sources.png).")
    ] = True,
    threads: options.Threads = -1,
    resize: options.Resize = False,
    model: Annotated[
        Path | None,
        typer.Option(help="The network's file, if it is not where it was at the build."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Explain what the network paints for an image, with patches of its training set.

    Writes into the output folder: contact_sheet.png, and for each layer the input and the output
    reconstruction, the network's output, a map of the sources, the field as field.npz, and how
    much each training image and attribute gave as images.csv and attributes.csv.
    """
    network = open_manifest(bank).load_model(model, resize=resize or None, num_threads=threads)
    opened = Bank(bank, network)
    query = read_query(
        image, opened.input_palette, opened.target_palette, half=input_half, target=target
    )
    folder = output or Path(f"{query.name}-compnn")
    check_folder(folder)
    allowed = selection.selection_of(only, exclude, where, classes).select(opened)
    names = list(opened.layers) if not layer else list(dict.fromkeys(layer))
    with console.layer_progress(quiet=json) as progress:
        explanations = opened.explain(
            query,
            names,
            top_k=top_k,
            candidates=allowed,
            hyperpatch=None if hyperpatch is None else options.parse_pair(hyperpatch),
            composition=compose,
            method=method,
            schedule=schedule,
            effort=effort,
            matches=matches,
            iterations=iterations,
            seed=seed,
            num_threads=threads,
            progress=progress,
        )
    if query.target is not None:
        query = dataclasses.replace(query, target=network.preprocessing.fit(query.target))
    scores = {name: score(each, query.target) for name, each in explanations.items()}
    usages = {name: usage(each, allowed) for name, each in explanations.items()}
    write_report(folder, opened, query, explanations, scores, maps=maps, usages=usages)
    if json:
        console.print_json(
            [
                explanation_json(name, each, scores[name], folder, usages[name])
                for name, each in explanations.items()
            ]
        )
        return
    print_scores(f"{image.name}, {method}", explanations, scores)
    print_usage(usages)
    console.out.print(f"pictures: {folder}", markup=False, soft_wrap=True)
