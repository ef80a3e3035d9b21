"""`compnn match`: semantic correspondences between two images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from compnn.cli import console, options, search_options
from compnn.cli.match_report import matching_json, print_matching
from compnn.explanation.query import read_query
from compnn.files import check_folder
from compnn.images.files import write_image
from compnn.images.palette import resolve_palette
from compnn.network.onnx import Model
from compnn.report.sheets.matches import match_sheet
from compnn.studies.matching import check_pixel
from compnn.studies.matching import match as match_images

_KINDS = "What the images are"


def parse_points(texts: list[str]) -> list[tuple[int, int]]:
    """Read "y,x y,x ..." of each text.

    Raises
    ------
    ValueError
        If one is not that.
    """
    points = []
    for point in " ".join(texts).split():
        y, x = point.split(",")
        points.append((int(y), int(x)))
    return points


def _check_points(texts: list[str] | None) -> list[str] | None:
    try:
        parse_points(texts or [])
    except ValueError:
        raise typer.BadParameter(
            f"{' '.join(texts or [])!r} is not of the form 'y,x y,x', such as '120,64 30,200'"
        ) from None
    return texts


def match(
    a: Annotated[Path, typer.Argument(help="Image A.", show_default=False)],
    b: Annotated[Path, typer.Argument(help="Image B.", show_default=False)],
    model: Annotated[Path, typer.Option(help="The network, an ONNX file.", show_default=False)],
    layer: Annotated[str, typer.Option(help="The layer; see `compnn layers`.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the results. Default: A-B-match, here."),
    ] = None,
    points: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'Y,X Y,X'",
            callback=_check_points,
            help="Show the matches of these pixels of A, at the network's size; may be repeated.",
        ),
    ] = None,
    input_half: Annotated[
        Literal["left", "right"] | None,
        typer.Option(
            "--input",
            rich_help_panel=_KINDS,
            help="The images hold input and target side by side: the half that is the input.",
        ),
    ] = None,
    input_palette: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            rich_help_panel=_KINDS,
            help="The images are label maps of this palette, which index images are painted with.",
        ),
    ] = None,
    palette: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            rich_help_panel=_KINDS,
            help="Palette of what the network paints, which names the classes: facades, "
            "cmp-facades, camvid, cityscapes, or a CSV file (index,name,r,g,b).",
        ),
    ] = None,
    method: search_options.Method = "exhaustive",
    schedule: search_options.Schedule = "fast",
    effort: search_options.Effort = 4,
    iterations: search_options.Iterations = None,
    seed: search_options.Seed = 0,
    hyperpatch: options.Hyperpatch = None,
    threads: options.Threads = -1,
    size: options.Size = None,
    input_range: options.InputRange = None,
    mean: options.Mean = None,
    std: options.Std = None,
    channel_order: options.ChannelOrder = None,
    resize: options.Resize = False,
    json: options.Json = False,
) -> None:
    """Match the patches of image A to those of image B at one layer, and back.

    No bank is needed. Tells how many matches join patches of the same class, as the network
    predicts it, and how many are mutually consistent. Writes into the output folder: matches.png,
    each image put together from patches of the other, and both fields as forward.npz and
    backward.npz.

    Example: `compnn match a.jpg b.jpg --model segnet.onnx --layer decoder_2 --palette camvid`
    """
    inputs = None if input_palette is None else resolve_palette(input_palette)
    network = Model(
        model,
        [layer],
        preprocessing=options.preprocessing_of(size, input_range, mean, std, channel_order, resize),
        hyperpatch=None if hyperpatch is None else options.parse_pair(hyperpatch),
        num_threads=threads,
    )
    chosen = parse_points(points or [])
    for y, x in chosen:
        check_pixel(network.input_size, y, x)
    folder = output or Path(f"{a.stem}-{b.stem}-match")
    check_folder(folder)
    with console.layer_progress(quiet=json) as progress:
        matching = match_images(
            network,
            read_query(a, inputs, None, half=input_half),
            read_query(b, inputs, None, half=input_half),
            layer,
            palette=palette,
            method=method,
            schedule=schedule,
            effort=effort,
            iterations=iterations,
            seed=seed,
            num_threads=threads,
            progress=progress,
        )
    sheet = match_sheet(matching, points=chosen, names=(f"A: {a.stem}", f"B: {b.stem}"))
    matching.save(folder)
    write_image(folder / "matches.png", sheet)
    if json:
        console.print_json({"a": str(a), "b": str(b), **matching_json(matching, chosen, folder)})
    else:
        print_matching(f"{a.name} and {b.name}, {layer}, {method}", matching, chosen)
        console.out.print(f"pictures: {folder}", markup=False, soft_wrap=True)
