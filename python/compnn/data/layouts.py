"""Public data sets, and exports of tools, in the folders that they come in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from compnn.data.folders import PairedFolders
from compnn.errors import DatasetError
from compnn.images.kinds import Kind, Labels
from compnn.images.palette import Palette
from compnn.images.palette_files import classes_file

_Attributes = str | Path | Mapping[str, Mapping[str, str]] | None


class PascalVoc(PairedFolders):
    """Pascal VOC: `JPEGImages`, `SegmentationClass`, and `ImageSets/Segmentation/<split>.txt`.

    Label maps are PNG files with a colour table, of which the indices count: 21 classes, void 255.
    Exports of other classes in this layout list them in `dataset_meta.json` or CVAT's
    `labelmap.txt`, which are read where they are there.

    Parameters
    ----------
    root
        The folder that holds these, such as `VOCdevkit/VOC2012`.
    split
        "train", "val", "trainval", or another file of names that is there.
    target_kind
        What the label maps are. Default: `Labels("voc")`, or of the classes that are listed.
    attributes
        As in `Dataset`.

    Raises
    ------
    DatasetError
        If a folder or the file of names is missing, or a name that it lists.
    PaletteError
        If the file that lists the classes is malformed.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        *,
        target_kind: Kind | None = None,
        attributes: _Attributes = None,
    ) -> None:
        hint = "JPEGImages, SegmentationClass and ImageSets, such as VOCdevkit/VOC2012"
        inputs, targets, sets = (
            _folder(Path(root), hint, part)
            for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")
        )
        names = sets / f"{split}.txt"
        if not os.path.isfile(names):
            there = ", ".join(sorted(path.stem for path in sets.glob("*.txt"))) or "none"
            raise DatasetError(
                f"Pascal VOC's split {split!r} is not in {root}: {names} does not exist; give a "
                f"split that is there ({there})"
            )
        if isinstance(target_kind, Labels):
            palette, nearest = target_kind.palette, target_kind.nearest_colour
            target_kind = Labels(palette, nearest_colour=nearest, indices=True)
        super().__init__(
            inputs,
            targets,
            names=names,
            target_kind=target_kind or Labels(classes_file(Path(root)) or "voc", indices=True),
            attributes=attributes,
        )


class Ade20k(PairedFolders):
    """ADE20K's scene parsing: `images/<split>`, `annotations/<split>`; 150 classes, 0 is of none.

    The classes are those that `objectInfo150.txt` of the folder names, where it names others than
    `Labels("ade20k")` has.

    Parameters
    ----------
    root
        The folder that holds these, `ADEChallengeData2016`.
    split
        "training" or "train", "validation" or "val".
    reduce_zero_label
        As in `PairedFolders`: for a palette that counts classes from 0.
    target_kind
        What the label maps are. Default: as above.
    attributes
        As in `Dataset`.

    Raises
    ------
    DatasetError
        If a folder is missing or empty, or an image has no partner.
    PaletteError
        If `objectInfo150.txt` is malformed.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "training",
        *,
        reduce_zero_label: bool = False,
        target_kind: Kind | None = None,
        attributes: _Attributes = None,
    ) -> None:
        split = {"train": "training", "val": "validation"}.get(split, split)
        hint = "images and annotations (ADEChallengeData2016), and a split that is there"
        super().__init__(
            _folder(Path(root), hint, f"images/{split}"),
            _folder(Path(root), hint, f"annotations/{split}"),
            reduce_zero_label=reduce_zero_label,
            target_kind=target_kind or Labels(_ade_palette(Path(root) / "objectInfo150.txt")),
            attributes=attributes,
        )


class CocoStuff(PairedFolders):
    """COCO-Stuff: `images/<split>`, and `annotations/<split>` with the PNGs of stuffthingmaps.

    171 classes of indices 0 to 181 (COCO's category less 1), 255 void. `stuffthingmaps/<split>` is
    read where `annotations/<split>` is missing, and `*_labelTrainIds.png` beside them left out.

    Parameters
    ----------
    root
        The folder that holds these.
    split
        "train2017" or "train", "val2017" or "val".
    target_kind
        What the label maps are. Default: `Labels("coco-stuff")`.
    attributes
        As in `Dataset`.

    Raises
    ------
    DatasetError
        If a folder is missing or empty, or an image has no partner.
    """

    _no_targets: ClassVar[str] = "_labelTrainIds"

    def __init__(
        self,
        root: str | Path,
        split: str = "train2017",
        *,
        target_kind: Kind | None = None,
        attributes: _Attributes = None,
    ) -> None:
        split = {"train": "train2017", "val": "val2017"}.get(split, split)
        hint = "images and annotations (stuffthingmaps), and a split that is there"
        maps = [f"{folder}/{split}" for folder in ("annotations", "stuffthingmaps")]
        super().__init__(
            _folder(Path(root), hint, f"images/{split}"),
            _folder(Path(root), hint, *maps),
            target_kind=target_kind or Labels("coco-stuff"),
            attributes=attributes,
        )


class Roboflow(PairedFolders):
    """An export of Roboflow, "Semantic Segmentation Masks": `a.jpg` beside `a_mask.png`.

    Parameters
    ----------
    root
        The folder that holds the splits, or one split itself.
    split
        "train", "valid" or "val", or "test". Not heeded where the folder has no splits.
    target_kind
        What the masks are. Default: label maps of the classes that `_classes.csv` lists.
    attributes
        As in `Dataset`.

    Raises
    ------
    DatasetError
        If the split or `_classes.csv` is missing, or an image has no partner.
    PaletteError
        If `_classes.csv` is malformed.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        *,
        target_kind: Kind | None = None,
        attributes: _Attributes = None,
    ) -> None:
        folder = Path(root)
        words = (split, {"val": "valid", "valid": "val"}.get(split, split))
        if any(os.path.isdir(folder / each) for each in ("train", "valid", "val", "test")):
            folder = _folder(folder, "the splits, and a split that is there", *words)
        elif not os.path.isdir(folder):
            raise DatasetError(f"folder {folder} does not exist; give the export of Roboflow")
        classes = folder / "_classes.csv"
        if target_kind is None and not os.path.isfile(classes):
            raise DatasetError(
                f"{classes}, which names the classes of Roboflow's masks, does not exist; export "
                f'as "Semantic Segmentation Masks", or give a palette (`--target-palette`)'
            )
        super().__init__(
            folder,
            folder,
            target_suffix="_mask",
            target_kind=target_kind or Labels(classes),
            attributes=attributes,
        )


def _folder(root: Path, hint: str, *parts: str) -> Path:
    """The first of the folders in `root` that is there; `hint` is what the root should hold."""
    for part in parts:
        if os.path.isdir(root / part):
            return root / part
    named = " nor ".join(str(root / part) for part in dict.fromkeys(parts))
    raise DatasetError(f"folder {named} does not exist; give the folder that holds {hint}")


def _ade_palette(file: Path) -> Palette:
    """The classes that a folder's `objectInfo150.txt` lists, unless they are the built-in ones."""
    built_in = Palette.named("ade20k")
    if not os.path.isfile(file):
        return built_in
    listed = Palette.load(file)
    # The file gives synonyms: "building, edifice".
    first = tuple(name.split(",")[0].strip() for name in listed.classes)
    return built_in if (first, listed.indices) == (built_in.classes, built_in.indices) else listed
