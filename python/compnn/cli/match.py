"""`compnn match`: semantic correspondences between two images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from compnn.cli import console, options, search_options
from compnn.explanation.query import read_query
from compnn.files import check_folder
from compnn.images.files import write_image
from compnn.images.kinds import Labels
from compnn.names import file_name
from compnn.network.onnx import OnnxNetwork
from compnn.network.output import OutputChoice
from compnn.report.facts import CONSISTENT, matching_json
from compnn.report.sheets.matches import match_sheet
from compnn.studies.matching import Matching, check_pixel
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
    network: Annotated[
        Path, typer.Option(metavar="FILE", help="The network, an ONNX file.", show_default=False)
    ],
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
            help="Show the matches of these pixels of A, as the network sees it; may be repeated.",
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
    schedule: search_options.Schedule = None,
    effort: search_options.Effort = None,
    iterations: search_options.Iterations = None,
    seed: search_options.Seed = None,
    hyperpatch: options.Hyperpatch = None,
    threads: options.Threads = -1,
    providers: options.Providers = None,
    size: options.Size = None,
    input_range: options.InputRange = None,
    mean: options.Mean = None,
    std: options.Std = None,
    channel_order: options.ChannelOrder = None,
    resize: options.Resize = False,
    output_kind: options.OutputKindOption = None,
    image_input: options.ImageInput = None,
    set_inputs: options.SetInputs = None,
    grid: options.Grids = None,
    json: options.Json = False,
) -> None:
    """Match the patches of image A to those of image B at one layer, and back.

    No bank is needed. Tells how many matches join patches of the same class, as the network
    predicts it, and how many are mutually consistent. Writes into the output folder: matches.png,
    each image put together from patches of the other, and both fields as forward.npz and
    backward.npz.

    Example: `compnn match a.jpg b.jpg --network segnet.onnx --layer decoder_2 --palette camvid`
    """
    search = search_options.search_of(
        method, schedule=schedule, effort=effort, iterations=iterations, seed=seed
    )
    kind = None if input_palette is None else Labels(input_palette)
    opened = OnnxNetwork(
        network,
        [layer],
        preprocessing=options.preprocessing_of(size, input_range, mean, std, channel_order, resize),
        hyperpatch=None if hyperpatch is None else options.parse_pair(hyperpatch),
        output=OutputChoice(kind=output_kind),
        num_threads=threads,
        image_input=image_input,
        values=options.values_of(set_inputs),
        grids=options.grids_of(grid),
        providers=options.providers_of(providers),
    )
    one, other = (read_query(image, kind, half=input_half) for image in (a, b))
    if not json:
        for line in opened.assumptions:
            console.print_note(line)
    chosen = parse_points(points or [])
    height, width = opened.input_size or one.image.shape[:2]
    for y, x in chosen:
        check_pixel((height, width), y, x)
    folder = output or Path(f"{file_name(a.stem)}-{file_name(b.stem)}-match")
    check_folder(folder)
    with console.layer_progress(quiet=json) as progress:
        matching = match_images(
            opened,
            one,
            other,
            layer,
            search,
            palette=palette,
            num_threads=threads,
            progress=progress,
        )
    sheet = match_sheet(matching, points=chosen, names=(f"A: {a.stem}", f"B: {b.stem}"))
    matching.save(folder)
    write_image(folder / "matches.png", sheet)
    if json:
        found = {"folder": str(folder), **matching_json(matching, chosen)}
        console.print_json({"a": str(a), "b": str(b), **found})
        return
    _print(f"{a.name} and {b.name}, {layer}, {matching.search}", matching, chosen)
    console.say(f"pictures: {folder}")


def _print(title: str, matching: Matching, points: list[tuple[int, int]]) -> None:
    """Print a row for each class and each point (y, x), and the measures of the whole."""
    if matching.class_names:
        _print_classes(title, matching)
    else:
        console.say(title, bold=True)
    if points:
        columns = ["point of A", "point of B", "similarity", "class in A", "class in B"]
        rows = []
        for y, x in points:
            found = matching.point(y, x)
            place = "no match" if found.y < 0 else f"{found.y},{found.x}"
            row = [f"{y},{x}", place, f"{found.similarity:.4f}"]
            rows.append([*row, *(matching.point_classes(y, x) if matching.class_names else ())])
        console.print_table("chosen points", columns[: len(rows[0])], rows)
    console.say(
        f"mean similarity: {matching.forward.mean_similarity:.4f} from A to B, "
        f"{matching.backward.mean_similarity:.4f} from B to A",
        f"mutually consistent: {matching.cycle_consistency(CONSISTENT):.1%} of the patches of A "
        f"return to within one cell",
    )
    if matching.class_names:
        console.say(
            f"same class: {matching.same_class:.1%} of the patches of A are matched to their own "
            f"class (by chance: {matching.chance:.1%})"
        )


def _print_classes(title: str, matching: Matching) -> None:
    in_a, in_b = matching.class_counts()
    rows = []
    for label, name in enumerate(matching.class_names):
        if not in_a[label] and not in_b[label]:
            continue
        matched = matching.agreement[label]
        total = int(matched.sum())
        row = [name, f"{in_a[label]}", f"{in_b[label]}", "", ""]
        if total:
            most = int(matched.argmax())
            row[3] = f"{matched[label] / total:.1%}"
            row[4] = f"{matching.class_names[most]} {matched[most] / total:.0%}"
        rows.append(row)
    columns = ("class", "patches of A", "patches of B", "same class", "most matches")
    console.print_table(title, columns, rows)
