"""CamVid street scenes with the 11 classes of SegNet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from compnn.data.folders import PairedFolders
from compnn.errors import DatasetError
from compnn.images.kinds import Labels


class CamVid(PairedFolders):
    """Photos and label maps of CamVid, 11 classes, void 11.

    Both layouts are read: `<split>` beside `<split>annot` (SegNet tutorial), and `<split>/images`
    beside `<split>/labels`.

    Parameters
    ----------
    root
        Folder that holds the splits.
    split
        "train", "val" or "test".
    attributes
        As in `Dataset`.

    Raises
    ------
    DatasetError
        If the split is found in neither layout, is empty, or has images without a partner.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        *,
        attributes: str | Path | Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        folder, annotations = Path(root) / split, Path(root) / f"{split}annot"
        if os.path.isdir(folder / "images"):
            inputs, targets = folder / "images", folder / "labels"
        elif os.path.isdir(annotations):
            inputs, targets = folder, annotations
        else:
            raise DatasetError(
                f"CamVid's split {split!r} is not in {root}: neither {folder / 'images'} "
                f"nor {annotations} exists; give the folder that holds the splits"
            )
        super().__init__(inputs, targets, target_kind=Labels("camvid"), attributes=attributes)
