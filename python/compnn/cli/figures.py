"""`compnn figures`: the paper's figures, of one's own bank and validation images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compnn.bank.bank import Bank
from compnn.cli import console, dataset_options, options, search_options
from compnn.explanation.explainer import Explainer
from compnn.files import check_folder, make_folder
from compnn.images.files import write_image
from compnn.names import file_name
from compnn.report.figures import COUNT, FIGURES, TOP_K, Figure, Figures


def parse_top_k(text: str) -> int | None:
    """Read a number of images, or "all", which is None."""
    if text == "all":
        return None
    count = int(text)
    if count < 1:
        raise ValueError(text)
    return count


@dataset_options.with_pairs("val")
def figures(
    bank: options.BankFolder,
    pairs: dataset_options.PairOptions,
    figure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"One of {', '.join(FIGURES)}; give it again for more. "
            f"Default: all that can be drawn.",
        ),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A validation image; give it again for more. The first is shown in the property "
            "control, the first two in the semantic matches.",
        ),
    ] = None,
    count: Annotated[
        int,
        typer.Option(min=1, help="Without --image: this many images, evenly spread."),
    ] = COUNT,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            help="A layer; give it again for more. Default: all layers of the bank. Correspondence "
            "maps are of the last one with patches of 8 pixels or more, the property control of "
            "the last one."
        ),
    ] = None,
    match_layer: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER",
            help="Layer of the semantic matches, any of the network. Default: the last one with "
            "patches of 8 pixels or more.",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Attribute of the property control. Default: the first one that differs.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the figures. Default: BANK-figures, here."),
    ] = None,
    top_k: Annotated[
        str | None,
        typer.Option(
            metavar="K|all",
            callback=options.parsed(parse_top_k, "K, such as 16, or all"),
            rich_help_panel=search_options.PANEL,
            help=f"Search only the k training images nearest by the global descriptor. "
            f"Default: {TOP_K}, all where the bank has no descriptors.",
        ),
    ] = None,
    method: search_options.Method = "auto",
    effort: search_options.Effort = None,
    seed: search_options.Seed = None,
    resize: options.Resize = False,
    threads: options.Threads = -1,
    network: options.Network = None,
    providers: options.Providers = None,
    json: options.Json = False,
) -> None:
    """Draw the paper's figures with a bank and validation images of your own.

    input-reconstructions and output-reconstructions (a row for each image, a column for each
    layer), correspondence-map (which training image gave which pixels), semantic-matches (between
    two validation images), and property-control (with the training images of each value of an
    attribute). Writes `FIGURE.png`, or `FIGURE-IMAGE.png` where there is one for each image.

    Example: `compnn figures facades.bank --side-by-side facades/val --input right --count 6`
    """
    search = search_options.search_of(method, effort=effort, seed=seed)
    with Bank(bank) as opened:
        dataset = pairs.dataset(default_kinds=(opened.input_kind, opened.target_kind))
        folder = output or options.beside(bank, "figures")
        check_folder(folder)
        found_network = options.network_of(opened, network, resize, threads, providers)
        default_top_k = None if opened.descriptor is None else TOP_K
        planned = Figures(
            Explainer(opened, found_network, num_threads=threads),
            dataset,
            search,
            figures=figure,
            images=image,
            count=count,
            layers=layer,
            top_k=default_top_k if top_k is None else parse_top_k(top_k),
            by=by,
            match_layer=match_layer,
        )
        make_folder(folder)
        written: list[dict[str, str | None]] = []
        with console.image_progress("searching", quiet=json) as progress:
            for each in planned.draw(progress):
                path = folder / _file_name(each)
                write_image(path, each.pixels)
                written.append(
                    {
                        "figure": each.name,
                        "image": each.image,
                        "file": str(path),
                        "search": each.search,
                    }
                )
    if json:
        console.print_json(
            {
                "folder": str(folder),
                "images": list(planned.images),
                "layers": list(planned.layers),
                "top_k": planned.top_k,
                "figures": written,
                "left_out": planned.left_out,
            }
        )
        return
    for one in written:
        console.say(f"{one['file']} ({one['search']})")
    for name, reason in planned.left_out.items():
        console.say(f"{name} is left out: {reason}")


def _file_name(figure: Figure) -> str:
    of_image = "" if figure.image is None else f"-{file_name(figure.image)}"
    return f"{figure.name}{of_image}.png"
