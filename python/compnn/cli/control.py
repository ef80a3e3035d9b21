"""`compnn control`: what the answer becomes when only some of the training images may be used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from compnn.bank.bank import Bank
from compnn.bank.selection import Selection
from compnn.cli import console, options, search_options
from compnn.cli.explanation_tables import print_output_columns
from compnn.cli.selection import conditions_of
from compnn.errors import SearchError
from compnn.explanation.explainer import Explainer
from compnn.explanation.query import read_query
from compnn.files import check_folder
from compnn.images.files import write_image
from compnn.images.kinds import Labels, Photo
from compnn.names import file_name
from compnn.report.facts import most_changed, quantity_scale, signed
from compnn.report.sheets.control_sheet import control_sheet
from compnn.studies.control import UNRESTRICTED, Control, subsets_by
from compnn.studies.control import control as explain_subsets

_SUBSETS = "Subsets of the training images (all of them always come first)"
_MOST_CLASSES = 4


def control(
    bank: options.BankFolder,
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
    input_half: options.QueryHalf = None,
    target: Annotated[Path | None, typer.Option(help="File of the true target.")] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            min=1,
            rich_help_panel=search_options.PANEL,
            help="Search only the k images of a subset nearest by the global descriptor.",
        ),
    ] = None,
    method: search_options.Method = "auto",
    effort: search_options.Effort = None,
    seed: search_options.Seed = None,
    compose: options.Compose = "copy",
    threads: options.Threads = -1,
    resize: options.Resize = False,
    network: options.Network = None,
    providers: options.Providers = None,
    json: options.Json = False,
) -> None:
    """Explain one image with subsets of the training images, and show what each changes.

    Writes control.png into the output folder, and the reconstructions of each subset. Statistics
    of the output reconstructions: the mean colour of photos, the class shares of label maps, the
    mean of values.

    Example: `compnn control facades.bank 1.jpg --input right --layer decoder_2 --by wall`
    """
    search = search_options.search_of(method, effort=effort, seed=seed)
    with Bank(bank) as opened:
        found_network = options.network_of(opened, network, resize, threads, providers)
        subsets = _subsets(opened, by, where, classes)
        query = read_query(
            image, opened.input_kind, opened.target_kind, half=input_half, target=target
        )
        folder = output or Path(f"{file_name(query.name)}-control")
        check_folder(folder)
        with console.layer_progress(quiet=json) as progress:
            found = explain_subsets(
                Explainer(opened, found_network, num_threads=threads),
                query,
                layer or list(opened.layers)[-1],
                subsets,
                search,
                region=region,
                top_k=top_k,
                composition=compose,
                progress=progress,
            )
        for number, (title, explanation) in enumerate(found.explanations.items()):
            explanation.save(folder / f"{number}-{_folder_name(title)}", sources="none")
        write_image(folder / "control.png", control_sheet(found, title=query.name))
        if json:
            console.print_json({**found.to_json(), "folder": str(folder)})
            return
        _print(f"{image.name}, {found.unrestricted.layer.name}, {found.search}", found)
        console.say(f"picture: {folder / 'control.png'}")


def _folder_name(title: str) -> str:
    """Readable: the number before it tells it from others, so that no hash has to."""
    return file_name(re.sub(r"[^\w.-]", "_", title))


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
    has_output = first.output_to_network is not None
    rows = [
        [
            subset,
            str(found.images[subset]),
            f"{scores.similarity:.4f}",
            signed(found.similarity_change(subset), 4),
            *([str(scores.output_to_network)] * has_output),
            *([str(scores.output_to_target)] * has_target),
        ]
        for subset, scores in found.scores.items()
    ]
    columns = ["subset", "images", "similarity", "change"]
    columns += [*(["output"] * has_output), *(["to target"] * has_target)]
    console.print_table(title, columns, rows)
    print_output_columns(first)
    _print_statistics(found)


def _print_statistics(found: Control) -> None:
    """Print the mean colours or values, or the shares in % of the classes that change most."""
    kind = found.unrestricted.target_kind
    shown = list(range(len(found.quantities)))
    what = (
        f"mean {'colour' if isinstance(kind, Photo) else f'of {kind.describe()}'} (and its change)"
    )
    if isinstance(kind, Labels):
        shown = most_changed(found, _MOST_CLASSES)
        what = "share of the pixels in % (and change)"
    scale, digits = quantity_scale(kind)
    rows = []
    own = found.network_statistics
    shown_rows = {} if own is None else {"network output": own}
    for subset, values in (shown_rows | found.statistics).items():
        changes = [""] * len(values)
        if subset in found.statistics and subset != UNRESTRICTED:
            changes = [f" ({signed(scale * each, digits)})" for each in found.change(subset)]
        rows.append([subset, *(f"{scale * values[i]:.{digits}f}{changes[i]}" for i in shown)])
    where = "" if found.region is None else f" where the query is {found.region}"
    console.print_table(
        f"output reconstruction: {what}{where}",
        ["subset", *(found.quantities[i] for i in shown)],
        rows,
    )
