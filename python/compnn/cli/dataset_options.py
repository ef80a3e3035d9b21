"""Options that say where pairs of images are, and the dataset that they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from compnn.cli import console
from compnn.data import folders
from compnn.data.camvid import CamVid
from compnn.data.cityscapes import Cityscapes
from compnn.data.dataset import Dataset
from compnn.errors import DatasetError
from compnn.images.kinds import Kind, Labels, Photo

_PAIRS = "Pairs of images (one of these)"
_KINDS = "What the images are"

SideBySide = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        rich_help_panel=_PAIRS,
        help="Images that hold input and target side by side (Pix2Pix); see --input.",
    ),
]
Inputs = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", rich_help_panel=_PAIRS, help="Inputs, with --targets: same stems."
    ),
]
Targets = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", rich_help_panel=_PAIRS, help="Targets, with --inputs."),
]
CamVidFolder = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", rich_help_panel=_PAIRS, help="CamVid; see --split."),
]
CityscapesFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        rich_help_panel=_PAIRS,
        help="Cityscapes (leftImg8bit and gtFine); see --split.",
    ),
]
InputHalf = Annotated[
    Literal["left", "right"],
    typer.Option("--input", rich_help_panel=_PAIRS, help="The half that is the input."),
]
Split = Annotated[str, typer.Option(rich_help_panel=_PAIRS, help="Split of CamVid or Cityscapes.")]
Limit = Annotated[
    int | None,
    typer.Option(min=1, rich_help_panel=_PAIRS, help="Take only the first pairs, this many."),
]
InputPalette = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        rich_help_panel=_KINDS,
        help="Inputs are label maps of this palette: facades, cmp-facades, camvid, cityscapes, "
        "voc, ade20k, or a file: CSV (index,name,r,g,b), CVAT's labelmap.txt, Roboflow's "
        "_classes.csv, JSON (id2label), a name a line.",
    ),
]
TargetPalette = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        rich_help_panel=_KINDS,
        help="Targets are label maps of this palette.",
    ),
]
Names = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        rich_help_panel=_PAIRS,
        help="Of --inputs and --targets only these pairs: a name a line, or the paths of both.",
    ),
]
InputSuffix = Annotated[
    str,
    typer.Option(
        rich_help_panel=_PAIRS, help="What the names of inputs end with, such as _leftImg8bit."
    ),
]
TargetSuffix = Annotated[
    str,
    typer.Option(rich_help_panel=_PAIRS, help="What the names of targets end with, such as _mask."),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", rich_help_panel=_PAIRS, help="Look into subfolders, too.")
]
IgnoreUnpaired = Annotated[
    bool,
    typer.Option(
        "--ignore-unpaired",
        rich_help_panel=_PAIRS,
        help="Leave out images of --inputs and --targets without a partner.",
    ),
]
NearestColour = Annotated[
    bool,
    typer.Option(
        "--nearest-colour",
        rich_help_panel=_KINDS,
        help="Colours of label maps that their palette does not have are taken for its nearest; in "
        "JPEG files they always are.",
    ),
]
Indices = Annotated[
    bool,
    typer.Option(
        "--indices",
        rich_help_panel=_KINDS,
        help="Label maps with a colour table of their own (palette PNG) hold indices, whatever its "
        "colours are.",
    ),
]
ReduceZeroLabel = Annotated[
    bool,
    typer.Option(
        "--reduce-zero-label",
        rich_help_panel=_KINDS,
        help="Targets are label maps in which 0 is no class: it becomes void, 1 the first class.",
    ),
]
Attributes = Annotated[
    Path | None,
    typer.Option(
        metavar="CSV",
        rich_help_panel=_KINDS,
        help="Attributes of the images: a row each of name, key=value, ...",
    ),
]


def dataset_of(
    side_by_side: Path | None,
    inputs: Path | None,
    targets: Path | None,
    camvid: Path | None,
    cityscapes: Path | None,
    input_half: Literal["left", "right"],
    split: str,
    input_palette: str | None,
    target_palette: str | None,
    *,
    names: Path | None = None,
    input_suffix: str = "",
    target_suffix: str = "",
    recursive: bool = False,
    ignore_unpaired: bool = False,
    reduce_zero_label: bool = False,
    nearest_colour: bool = False,
    indices: bool = False,
    attributes: Path | None = None,
    limit: int | None = None,
    default_kinds: tuple[Kind, Kind] = (Photo(), Photo()),
) -> Dataset:
    """The pairs that the options mean.

    `default_kinds`, of inputs and targets, are for layouts without kinds of their own.

    Raises
    ------
    DatasetError
        If not exactly one layout is given, the palettes do not go with it, or there are no pairs.
    """
    sources = [source for source in (side_by_side, inputs, camvid, cityscapes) if source]
    if len(sources) != 1 or (inputs is None) != (targets is None):
        raise DatasetError(
            "give the pairs of images once: --side-by-side, or --inputs with --targets, or "
            "--camvid, or --cityscapes"
        )
    if (camvid or cityscapes) and (input_palette or target_palette or reduce_zero_label):
        raise DatasetError(
            "CamVid and Cityscapes have their own palettes; leave out --input-palette, "
            "--target-palette and --reduce-zero-label"
        )
    folders_only = names or input_suffix or target_suffix or recursive or ignore_unpaired
    if folders_only and inputs is None:
        raise DatasetError(
            "--names, --input-suffix, --target-suffix, --recursive and --ignore-unpaired are for "
            "--inputs with --targets"
        )
    input_kind, target_kind = (
        default
        if palette is None
        else Labels(palette, nearest_colour=nearest_colour, indices=indices)
        for palette, default in zip((input_palette, target_palette), default_kinds, strict=True)
    )
    dataset: Dataset
    if side_by_side is not None:
        dataset = folders.SideBySide(
            side_by_side,
            input_half,
            reduce_zero_label=reduce_zero_label,
            input_kind=input_kind,
            target_kind=target_kind,
            attributes=attributes,
        )
    elif inputs is not None and targets is not None:
        paired = folders.PairedFolders(
            inputs,
            targets,
            names=names,
            input_suffix=input_suffix,
            target_suffix=target_suffix,
            recursive=recursive,
            ignore_unpaired=ignore_unpaired,
            reduce_zero_label=reduce_zero_label,
            input_kind=input_kind,
            target_kind=target_kind,
            attributes=attributes,
        )
        if paired.unpaired:
            console.print_note(f"images without a partner that are left out: {paired.unpaired}")
        dataset = paired
    elif camvid is not None:
        dataset = CamVid(camvid, split, attributes=attributes)
    else:
        dataset = Cityscapes(sources[0], split, attributes=attributes)
    return dataset if limit is None else dataset.subset(dataset.names[:limit])
