"""`compnn reconstruct`: explain what a network painted for images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from compnn.bank.bank import Bank
from compnn.cli import console, options, search_options, selection
from compnn.cli.explanation_tables import print_scores, print_usage
from compnn.errors import ImageError
from compnn.explanation.explainer import Explainer
from compnn.explanation.query import Query, read_query
from compnn.explanation.scores import score
from compnn.files import check_folder
from compnn.names import file_name
from compnn.network.network import fit_target
from compnn.network.onnx import OnnxNetwork
from compnn.report.facts import explanation_json, search_words
from compnn.report.folder import layer_folder, write_report
from compnn.studies.usage import usage


def reconstruct(
    bank: options.BankFolder,
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...", help="The image to explain, or several.", show_default=False
        ),
    ],
    layer: options.Layers = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the results; of several images, each has one in it. "
            "Default: IMAGE-compnn, here.",
        ),
    ] = None,
    input_half: options.QueryHalf = None,
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
    method: search_options.Method = "auto",
    schedule: search_options.Schedule = None,
    effort: search_options.Effort = None,
    iterations: search_options.Iterations = None,
    seed: search_options.Seed = None,
    matches: search_options.Matches = None,
    hyperpatch: options.Hyperpatch = None,
    compose: options.Compose = "copy",
    maps: Annotated[
        bool, typer.Option("--map/--no-map", help="Draw the map of the sources (sources.png).")
    ] = True,
    sources: Annotated[
        Literal["used", "none"],
        typer.Option(
            help="Whether to copy the training images that matches point to, so that the "
            "explanation can be opened without the bank.",
        ),
    ] = "none",
    threads: options.Threads = -1,
    resize: options.Resize = False,
    network: options.Network = None,
    providers: options.Providers = None,
    json: options.Json = False,
) -> None:
    """Explain what the network paints for images, with patches of its training set.

    Writes into the output folder: contact_sheet.png, and for each layer the input and the output
    reconstruction, the network's output, a map of the sources, the field as field.npz, and how
    much each training image and attribute gave as images.csv and attributes.csv. Python reads the
    folder of a layer with compnn.Explanation.load.

    Example: `compnn reconstruct facades.bank 1.jpg --input right --layer decoder_2 --top-k 16`
    """
    search = search_options.search_of(
        method,
        schedule=schedule,
        effort=effort,
        iterations=iterations,
        seed=seed,
        matches=matches,
    )
    with Bank(bank) as opened:
        opened_network = options.network_of(opened, network, resize, threads, providers)
        explainer = Explainer(opened, opened_network, num_threads=threads)
        folders = _folders(images, output)
        if target is not None and len(images) > 1:
            raise ImageError("--target is of one image; explain the images one at a time")

        def queries() -> Iterator[Query]:
            for image in images:
                yield read_query(
                    image, opened.input_kind, opened.target_kind, half=input_half, target=target
                )

        for query in queries():  # so that a bad image is named before the first search
            opened_network.check_image(query.image, query.file)
            _fitted(query, opened_network, opened)
        allowed = explainer.indices(selection.selection_of(only, exclude, where, classes))
        names = list(dict.fromkeys(layer or opened.layers))
        size = None if hyperpatch is None else options.parse_pair(hyperpatch)
        documents: list[dict[str, object]] = []
        for image, query, folder in zip(images, queries(), folders, strict=True):
            with console.layer_progress(quiet=json) as progress:
                (explanations,) = explainer.explain_all(
                    [query],
                    names,
                    search,
                    top_k=top_k,
                    among=allowed,
                    hyperpatch=size,
                    composition=compose,
                    progress=progress,
                )
            query = _fitted(query, opened_network, opened)
            scores = {name: score(each, query.target) for name, each in explanations.items()}
            usages = {name: usage(each, allowed) for name, each in explanations.items()}
            write_report(
                folder, query, explanations, scores, usages=usages, maps=maps, sources=sources
            )
            if json:
                documents += [
                    {
                        "image": str(image),
                        "folder": str(layer_folder(folder, name)),
                        **explanation_json(each, scores[name], usages[name]),
                    }
                    for name, each in explanations.items()
                ]
                continue
            print_scores(f"{image.name}, {search_words(explanations)}", explanations, scores)
            print_usage(usages)
            console.say(f"pictures: {folder}")
        if json:
            console.print_json(documents)


def _fitted(query: Query, network: OnnxNetwork, bank: Bank) -> Query:
    """The query with its target, if any, at the size of what the network paints.

    Raises
    ------
    ImageError
        If it has another size, and images are not resized.
    """
    if query.target is None:
        return query
    image = network.fit(query.image, bank.input_kind)
    target = fit_target(network, query.target, image, bank.target_kind, query.file)
    return replace(query, target=target)


def _folders(images: Sequence[Path], output: Path | None) -> list[Path]:
    """The folder of each image, in none of which another one's results would be.

    Raises
    ------
    ImageError
        If two images would share one.
    OutputError
        If one could not be written.
    """
    if output is not None and len(images) == 1:
        folders = [output]
    elif output is not None:
        folders = [output / file_name(image.stem) for image in images]
    else:
        folders = [Path(f"{file_name(image.stem)}-compnn") for image in images]
    folder, count = Counter(folders).most_common(1)[0]
    if count > 1:
        first, second = [
            str(image) for image, at in zip(images, folders, strict=True) if at == folder
        ][:2]
        raise ImageError(
            f"the results of {first} and {second} would go into one folder, {folder}; explain them "
            f"one at a time, each with its own --output"
        )
    for each in folders:
        check_folder(each)
    return folders
