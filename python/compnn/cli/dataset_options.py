"""Options that say where pairs of images are, and the dataset that they mean."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal, get_type_hints

import typer

from compnn.cli import console, options
from compnn.data import folders
from compnn.data.camvid import CamVid
from compnn.data.cityscapes import Cityscapes
from compnn.data.coco import CocoJson
from compnn.data.dataset import Dataset
from compnn.data.layouts import Ade20k, CocoStuff, PascalVoc, Roboflow
from compnn.errors import CompnnError, DatasetError
from compnn.images.kinds import Kind, Labels, Photo, Values
from compnn.images.palette import BUILT_IN

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
        metavar="FOLDER",
        rich_help_panel=_PAIRS,
        help="Inputs, with --targets (same stems) or --coco.",
    ),
]
Targets = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", rich_help_panel=_PAIRS, help="Targets, with --inputs."),
]
CocoFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        rich_help_panel=_PAIRS,
        help="Targets are the polygons and masks of this file (COCO's JSON), with --inputs.",
    ),
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
VocFolder = Annotated[
    Path | None,
    typer.Option(
        "--voc",
        metavar="FOLDER",
        rich_help_panel=_PAIRS,
        help="Pascal VOC (JPEGImages, SegmentationClass, ImageSets); see --split.",
    ),
]
Ade20kFolder = Annotated[
    Path | None,
    typer.Option(
        "--ade20k",
        metavar="FOLDER",
        rich_help_panel=_PAIRS,
        help="ADE20K (images, annotations); see --split.",
    ),
]
CocoStuffFolder = Annotated[
    Path | None,
    typer.Option(
        "--coco-stuff",
        metavar="FOLDER",
        rich_help_panel=_PAIRS,
        help="COCO-Stuff (images, annotations); see --split.",
    ),
]
RoboflowFolder = Annotated[
    Path | None,
    typer.Option(
        "--roboflow",
        metavar="FOLDER",
        rich_help_panel=_PAIRS,
        help="Masks as Roboflow exports them (_mask.png, _classes.csv); see --split.",
    ),
]
OwnDataset = Annotated[
    str | None,
    typer.Option(
        "--pairs",
        metavar="MODULE:NAME",
        rich_help_panel=_PAIRS,
        help="A dataset of compnn, or a function that gives one, in a module (`my:train`) that "
        "is found from the current folder.",
    ),
]
InputHalf = Annotated[
    Literal["left", "right"],
    typer.Option("--input", rich_help_panel=_PAIRS, help="The half that is the input."),
]
Split = Annotated[
    str, typer.Option(rich_help_panel=_PAIRS, help="Split of a data set: train, val, ...")
]
Limit = Annotated[
    int | None,
    typer.Option(min=1, rich_help_panel=_PAIRS, help="Take only the first pairs, this many."),
]
InputPalette = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        rich_help_panel=_KINDS,
        help=f"Inputs are label maps of this palette: {', '.join(BUILT_IN)}, or a file: CSV "
        "(index,name,r,g,b), CVAT's labelmap.txt, Roboflow's _classes.csv, JSON (id2label), a name "
        "a line.",
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
Channels = Annotated[
    int | None,
    typer.Option(
        min=1, rich_help_panel=_KINDS, help="Inputs are photos of so many channels, not of 3."
    ),
]
White = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=65535,
        rich_help_panel=_KINDS,
        help="The largest number of a pixel of the inputs, which is shown white: 65535, or 4095 "
        "where 12 bits are used. Default: 255.",
    ),
]
Shown = Annotated[
    str | None,
    typer.Option(
        metavar="R,G,B",
        callback=options.parsed(options.parse_places, "R,G,B or one channel, such as 3,0,1"),
        rich_help_panel=_KINDS,
        help="The channels of the inputs, from 0, that are painted red, green and blue, or one "
        "that is painted grey. Default: the first three.",
    ),
]
TargetValues = Annotated[
    str | None,
    typer.Option(
        metavar="LO,HI",
        callback=options.parsed(options.parse_range, "LO,HI, such as 0,80"),
        rich_help_panel=_KINDS,
        help="Targets are values such as depth (16 bits, .tiff, .npy), painted black at LO and "
        "white at HI.",
    ),
]
TargetUnit = Annotated[
    str, typer.Option(rich_help_panel=_KINDS, help="Of --target-values: what they are in, as m.")
]
TargetScale = Annotated[
    float,
    typer.Option(
        rich_help_panel=_KINDS,
        help="Of --target-values: what the numbers in files are multiplied by, as 0.001.",
    ),
]
TargetInvalid = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=_KINDS,
        help="Of --target-values: the number in files where a value is not known, as 0.",
    ),
]
Instances = Annotated[
    int | None,
    typer.Option(
        metavar="FACTOR",
        rich_help_panel=_KINDS,
        help="Targets hold class * FACTOR + instance, in up to 16 bits: 256 as KITTI has it.",
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


@dataclass(frozen=True)
class PairOptions:
    """The options that say where pairs of images are, with their defaults."""

    side_by_side: SideBySide = None
    inputs: Inputs = None
    targets: Targets = None
    coco: CocoFile = None
    camvid: CamVidFolder = None
    cityscapes: CityscapesFolder = None
    voc: VocFolder = None
    ade20k: Ade20kFolder = None
    coco_stuff: CocoStuffFolder = None
    roboflow: RoboflowFolder = None
    own_dataset: OwnDataset = None
    input_half: InputHalf = "left"
    split: Split = "train"
    input_palette: InputPalette = None
    target_palette: TargetPalette = None
    names: Names = None
    input_suffix: InputSuffix = ""
    target_suffix: TargetSuffix = ""
    recursive: Recursive = False
    ignore_unpaired: IgnoreUnpaired = False
    nearest_colour: NearestColour = False
    indices: Indices = False
    reduce_zero_label: ReduceZeroLabel = False
    channels: Channels = None
    white: White = None
    shown: Shown = None
    target_values: TargetValues = None
    target_unit: TargetUnit = ""
    target_scale: TargetScale = 1.0
    target_invalid: TargetInvalid = None
    instances: Instances = None

    def dataset(
        self,
        *,
        attributes: Path | None = None,
        limit: int | None = None,
        default_kinds: tuple[Kind, Kind] = (Photo(), Photo()),
    ) -> Dataset:
        """The pairs that the options mean.

        `default_kinds`, of inputs and targets, are for layouts without kinds of their own.

        Raises
        ------
        DatasetError
            If not exactly one layout is given, options do not go with it, or there are no pairs.
        """
        self._check()
        input_kind, target_kind = self._kinds(default_kinds)
        dataset: Dataset
        if self.side_by_side is not None:
            dataset = folders.SideBySide(
                self.side_by_side,
                self.input_half,
                reduce_zero_label=self.reduce_zero_label,
                input_kind=input_kind,
                target_kind=target_kind,
                attributes=attributes,
            )
        elif self.own_dataset is not None:
            dataset = _imported(self.own_dataset)
            if attributes is not None:
                dataset = dataset.with_attributes(attributes)
        elif self.inputs is not None and self.targets is not None:
            dataset = paired = folders.PairedFolders(
                self.inputs,
                self.targets,
                names=self.names,
                input_suffix=self.input_suffix,
                target_suffix=self.target_suffix,
                recursive=self.recursive,
                ignore_unpaired=self.ignore_unpaired,
                reduce_zero_label=self.reduce_zero_label,
                instances=self.instances,
                input_kind=input_kind,
                target_kind=target_kind,
                attributes=attributes,
            )
            _say_unpaired(paired.unpaired)
        elif self.inputs is not None and self.coco is not None:
            dataset = drawn = CocoJson(
                self.coco,
                self.inputs,
                ignore_unpaired=self.ignore_unpaired,
                target_kind=target_kind if isinstance(target_kind, Labels) else None,
                attributes=attributes,
            )
            _say_unpaired(drawn.unpaired)
        else:
            dataset = self._of_layout(
                target_kind if isinstance(target_kind, Labels) else None, attributes
            )
        return dataset if limit is None else dataset.subset(dataset.names[:limit])

    @property
    def _says_photos(self) -> bool:
        """Whether an option says what photos the inputs are."""
        return (self.channels, self.white, self.shown) != (None, None, None)

    def _kinds(self, default: tuple[Kind, Kind]) -> tuple[Kind, Kind]:
        """What inputs and targets are; what the options leave open is as `default`."""
        given, wanted = (
            kind
            if palette is None
            else Labels(palette, nearest_colour=self.nearest_colour, indices=self.indices)
            for palette, kind in zip(
                (self.input_palette, self.target_palette), default, strict=True
            )
        )
        if self._says_photos:
            shown = () if self.shown is None else options.parse_places(self.shown)
            given = Photo(self.channels or 3, self.white or 255, shown)
        if self.target_values is not None:
            limits = options.parse_range(self.target_values)
            wanted = Values(self.target_unit, limits, self.target_scale, self.target_invalid)
        return given, wanted

    def _of_layout(self, target_kind: Kind | None, attributes: Path | None) -> Dataset:
        """The split of the data set whose folder is given."""
        if self.camvid is not None:
            return CamVid(self.camvid, self.split, attributes=attributes)
        if self.cityscapes is not None:
            return Cityscapes(self.cityscapes, self.split, attributes=attributes)
        if self.ade20k is not None:
            return Ade20k(
                self.ade20k,
                self.split,
                reduce_zero_label=self.reduce_zero_label,
                target_kind=target_kind,
                attributes=attributes,
            )
        for layout, folder in (
            (PascalVoc, self.voc),
            (CocoStuff, self.coco_stuff),
            (Roboflow, self.roboflow),
        ):
            if folder is not None:
                return layout(folder, self.split, target_kind=target_kind, attributes=attributes)
        raise AssertionError("no layout")

    def _check(self) -> None:
        """Refuse options that do not go together."""
        fixed = self.camvid, self.cityscapes
        public = *fixed, self.voc, self.ade20k, self.coco_stuff, self.roboflow
        sources = self.side_by_side, self.inputs, self.own_dataset, *public
        if sum(each is not None for each in sources) != 1 or (
            sum(each is not None for each in (self.targets, self.coco)) != (self.inputs is not None)
        ):
            raise DatasetError(
                "give the pairs of images once: --side-by-side, or --inputs with --targets or "
                "--coco, or --camvid, --cityscapes, --voc, --ade20k, --coco-stuff, "
                "--roboflow or --pairs MODULE:NAME"
            )
        kinds = self.input_palette, self.target_palette, self.target_values
        if self.own_dataset is not None and (
            kinds != (None, None, None) or self._says_photos or self.reduce_zero_label
        ):
            raise DatasetError("the dataset of --pairs says what its images are; leave that out")
        if any(fixed) and (self.input_palette or self.target_palette or self.reduce_zero_label):
            raise DatasetError(
                "CamVid and Cityscapes have their own palettes; leave out --input-palette, "
                "--target-palette and --reduce-zero-label"
            )
        values = self.target_values is not None
        own_kinds = any(public) or self.coco is not None
        if (self._says_photos and (self.input_palette or own_kinds)) or (
            values and (self.target_palette or self.reduce_zero_label or own_kinds)
        ):
            raise DatasetError(
                "--channels, --white and --shown are for inputs that are photos, and "
                "--target-values is for targets that are no label maps; leave out what is not so"
            )
        if not values and (self.target_unit, self.target_scale, self.target_invalid) != (
            "",
            1.0,
            None,
        ):
            raise DatasetError(
                "--target-unit, --target-scale and --target-invalid are for --target-values LO,HI"
            )
        if any(public) and (self.input_palette or (self.reduce_zero_label and not self.ade20k)):
            raise DatasetError(
                "inputs of public data sets are photos, and their targets are read as they are "
                "stored; leave out --input-palette and --reduce-zero-label, or give the folders by "
                "--inputs and --targets"
            )
        if self.coco and (self.input_palette or self.reduce_zero_label):
            raise DatasetError(
                "inputs of --coco are photos, and its categories are ids of their palette; leave "
                "out --input-palette and --reduce-zero-label"
            )
        of_folders = (
            *(self.names, self.input_suffix, self.target_suffix),
            *(self.recursive, self.instances is not None),
        )
        if any(of_folders) and self.targets is None:
            raise DatasetError(
                "--names, --input-suffix, --target-suffix, --recursive and --instances are for "
                "--inputs with --targets"
            )
        if self.ignore_unpaired and self.inputs is None:
            raise DatasetError("--ignore-unpaired is for --inputs")


def _imported(place: str) -> Dataset:
    """The dataset at "module:name".

    Raises
    ------
    DatasetError
        If there is none.
    """
    module, _, name = place.rpartition(":")
    if not module:
        raise DatasetError(
            f"--pairs takes a module and a name in it, such as my:train, not {place!r}"
        )
    folder = os.getcwd()
    if module.endswith(".py"):
        file = Path(module).resolve()
        folder, module = str(file.parent), file.stem
    # It stays there, as with `python -m`: reading a pair may import more.
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: object = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        found = found if isinstance(found, Dataset) or not callable(found) else found()
    except CompnnError:
        raise
    except (Exception, SystemExit) as error:  # whatever the code of users raises
        raise DatasetError(
            f"--pairs {place} cannot be had from {folder}: {type(error).__name__}: {error}; "
            f"correct the module or the name"
        ) from error
    if not isinstance(found, Dataset):
        raise DatasetError(
            f"--pairs {place} is a {type(found).__name__}, no dataset of compnn; make one of it "
            f"with compnn.pairs(...)"
        )
    return found


def _say_unpaired(count: int) -> None:
    if count:
        console.print_note(f"images without a partner that are left out: {count}")


def with_pairs(split: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of `PairOptions`, which it takes as its parameter `pairs`.

    `split` is the default of that option.
    """
    hints = get_type_hints(PairOptions, include_extras=True)
    defaults = {each.name: each.default for each in fields(PairOptions)} | {"split": split}
    added = [
        inspect.Parameter(
            name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=hints[name]
        )
        for name, default in defaults.items()
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def call(**values: object) -> None:
            pairs = PairOptions(**{name: values.pop(name) for name in defaults})  # type: ignore[arg-type]
            command(pairs=pairs, **values)

        given = inspect.signature(command, eval_str=True).parameters.values()
        parameters = [p for each in given for p in (added if each.name == "pairs" else [each])]
        # Typer reads these, not the code.
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {each.name: each.annotation for each in parameters}
        return call

    return decorate
