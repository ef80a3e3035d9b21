"""`compnn control`: what the answer becomes when only some of the training images may be used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from compnn.bank.bank import Bank
from compnn.bank.reader import open_manifest
from compnn.bank.selection import Selection
from compnn.cli import console, options, search_options
from compnn.cli.report import MEASURES, folder_name
from compnn.cli.selection import conditions_of
from compnn.errors import SearchError
from compnn.explanation.query import read_query
from compnn.files import check_folder
from compnn.images.files import write_image
from compnn.report.sheets.control_sheet import control_sheet, most_changed, signed
from compnn.studies.control import UNRESTRICTED, Control, subsets_by
from compnn.studies.control import control as explain_subsets

_SUBSETS = "Subsets of the training images (all of them always come first)"
_MOST_CLASSES = 4


def control(
    bank: Annotated[Path, typer.Argument(help="Folder of the bank.", show_default=False)],
    image: Annotated[Path, typer.Argument(help="The image to explain.", show_default=False)],
    layer: Annotated[
        str | None, typer.Option(help="The layer. Default: the last one of the bank.")
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            rich_help_panel=_SUBSETS,
            help="A subset for each value of this attribute; may be repeated.",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE,...",
            rich_help_panel=_SUBSETS,
            help="A subset: images of these attributes (KEY!=VALUE: not of this one).",
        ),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[not ]CLASS,...",
            rich_help_panel=_SUBSETS,
            help="A subset: images in whose label map these classes occur, or do not.",
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS",
            help="Measure the output only where the query's label map has this class.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder for the results. Default: IMAGE-control, here."
        ),
    ] = None,
    input_half: Annotated[
        Literal["left", "right"] | None,
        typer.Option("--input", help="The image holds input and target side by side: input half."),
    ] = None,
    target: Annotated[Path | None, typer.Option(help="File of the true target.")] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            min=1,
            rich_help_panel=search_options.PANEL,
            help="Search only the k images of a subset nearest by the global descriptor.",
        ),
    ] = None,
    method: search_options.Method = "hyperpatch-match",
    effort: search_options.Effort = 4,
    seed: search_options.Seed = 0,
    compose: options.Compose = "copy",
    threads: options.Threads = -1,
    resize: options.Resize = False,
    model: Annotated[
        Path | None,
        typer.Option(help="The network's file, if it is not where it was at the build."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Explain one image with subsets of the training images, and show what each changes.

    Writes control.png into the output folder, and the reconstructions of each subset. Statistics
    of the output reconstructions: the mean colour of photos, the class shares of label maps.

    Example: `compnn control facades.bank 1.jpg --input right --layer decoder_2 --by wall`
    """
    network = open_manifest(bank).load_model(model, resize=resize or None, num_threads=threads)
    opened = Bank(bank, network)
    subsets = _subsets(opened, by, where, classes)
    query = read_query(
        image, opened.input_palette, opened.target_palette, half=input_half, target=target
    )
    folder = output or Path(f"{query.name}-control")
    check_folder(folder)
    with console.layer_progress(quiet=json) as progress:
        found = explain_subsets(
            opened,
            query,
            layer or list(opened.layers)[-1],
            subsets,
            region=region,
            top_k=top_k,
            method=method,
            effort=effort,
            seed=seed,
            composition=compose,
            num_threads=threads,
            progress=progress,
        )
    for number, (title, explanation) in enumerate(found.explanations.items()):
        explanation.save(folder / f"{number}-{folder_name(title)}")
    write_image(folder / "control.png", control_sheet(found, title=query.name))
    if json:
        console.print_json({**found.to_json(), "folder": str(folder)})
        return
    _print(f"{image.name}, {found.unrestricted.layer.name}, {method}", found)
    console.out.print(f"picture: {folder / 'control.png'}", markup=False, soft_wrap=True)


def _subsets(
    bank: Bank, by: list[str] | None, where: list[str] | None, classes: list[str] | None
) -> dict[str, Selection]:
    """The subsets that the options ask for, by title."""
    subsets: dict[str, Selection] = {}
    for attribute in by or ():
        subsets |= subsets_by(bank, attribute)
    for text in where or ():
        conditions = conditions_of([text])
        subsets[", ".join(conditions)] = Selection(where=conditions)
    for text in classes or ():
        conditions = conditions_of([text])
        subsets[", ".join(conditions)] = Selection(classes=conditions)
    if not subsets:
        raise SearchError(
            "give the subsets of the training images: --by KEY, --where KEY=VALUE or --classes NAME"
        )
    return subsets


def _print(title: str, found: Control) -> None:
    """Print the scores of each subset, what the columns mean, and the statistics."""
    first = next(iter(found.scores.values()))
    has_target = first.output_to_target is not None
    rows = [
        [
            subset,
            str(found.images[subset]),
            f"{scores.similarity:.4f}",
            signed(found.similarity_change(subset), 4),
            str(scores.output_to_network),
            *([str(scores.output_to_target)] * has_target),
        ]
        for subset, scores in found.scores.items()
    ]
    columns = ["subset", "images", "similarity", "change", "output", *(["to target"] * has_target)]
    console.print_table(title, columns, rows)
    measure = MEASURES[first.output_to_network.measure]
    lines = [f"output: {measure} of the output reconstruction against the network's output"]
    if has_target:
        lines.append(
            f"to target: the same against the true target (the network's own output: "
            f"{first.network_to_target})"
        )
    for line in lines:
        console.out.print(line, soft_wrap=True)
    _print_statistics(found)


def _print_statistics(found: Control) -> None:
    """Print the mean colours, or the shares in % of the classes that change most."""
    is_photo = found.unrestricted.target_palette is None
    shown = range(3) if is_photo else most_changed(found, _MOST_CLASSES)
    scale, digits = (1, 0) if is_photo else (100, 1)
    rows = []
    for subset, values in [("network output", found.network_statistics), *found.statistics.items()]:
        changes = [""] * len(values)
        if subset in found.statistics and subset != UNRESTRICTED:
            changes = [f" ({signed(scale * each, digits)})" for each in found.change(subset)]
        rows.append([subset, *(f"{scale * values[i]:.{digits}f}{changes[i]}" for i in shown)])
    what = "mean colour (and its change)" if is_photo else "share of the pixels in % (and change)"
    where = "" if found.region is None else f" where the query is {found.region}"
    console.print_table(
        f"output reconstruction: {what}{where}",
        ["subset", *(found.quantities[i] for i in shown)],
        rows,
    )
