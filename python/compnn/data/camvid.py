"""CamVid street scenes with the 11 classes of SegNet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compnn.data.folders import PairedFolders, list_images
from compnn.errors import DatasetError
from compnn.images.files import StoredImage
from compnn.images.kinds import Labels, Picture
from compnn.images.palette import Palette

# CamVid's own names, of the palette camvid-32, of what each of the 11 classes is made of.
_GROUPS = {
    "sky": ("Sky",),
    "building": ("Bridge", "Building", "Wall", "Tunnel", "Archway"),
    "pole": ("Column_Pole", "TrafficCone"),
    "road": ("Road", "LaneMkgsDriv", "LaneMkgsNonDriv"),
    "pavement": ("Sidewalk", "ParkingBlock", "RoadShoulder"),
    "tree": ("Tree", "VegetationMisc"),
    "sign": ("SignSymbol", "Misc_Text", "TrafficLight"),
    "fence": ("Fence",),
    "car": ("Car", "SUVPickupTruck", "Truck_Bus", "Train", "OtherMoving"),
    "pedestrian": ("Pedestrian", "Child", "CartLuggagePram", "Animal"),
    "bicyclist": ("Bicyclist", "MotorcycleScooter"),
}


class CamVid(PairedFolders):
    """Photos and label maps of CamVid, 11 classes, void 11.

    Three layouts are read: `<split>` beside `<split>annot` (SegNet tutorial) or `<split>_labels`,
    and `<split>/images` beside `<split>/labels`. Names of label maps may end with `_L`. Label maps
    hold the 11 classes, or are in the colours of CamVid's own 32, which are grouped.

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
        If the split is found in no layout, is empty, or has images without a partner.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        *,
        attributes: str | Path | Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        folder = Path(root) / split
        beside = [Path(root) / f"{split}{end}" for end in ("annot", "_labels")]
        targets = next((each for each in beside if os.path.isdir(each)), None)
        if os.path.isdir(folder / "images"):
            inputs, targets = folder / "images", folder / "labels"
        elif targets is not None:
            inputs = folder
        else:
            raise DatasetError(
                f"CamVid's split {split!r} is not in {root}: neither {folder / 'images'} "
                f"nor {beside[0]} nor {beside[1]} exists; give the folder that holds the splits"
            )
        own_names = all(stem.endswith("_L") for stem in list_images(targets))
        super().__init__(
            inputs,
            targets,
            target_suffix="_L" if own_names else "",
            target_kind=Labels("camvid"),
            attributes=attributes,
        )

    def _target(self, stored: StoredImage) -> Picture:
        if self.target_kind != Labels("camvid") or stored.pixels.ndim == 2:
            return super()._target(stored)
        # The colours of the 11 are among those of the 32.
        return grouped(stored.labels(Palette.named("camvid-32")))


def grouped(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return a label map uint8 (H, W) of the palette camvid-32 as one of the palette camvid."""
    fine, coarse = Palette.named("camvid-32"), Palette.named("camvid")
    table = np.full(256, coarse.void, np.uint8)
    for name, parts in _GROUPS.items():
        table[[fine.classes.index(part) for part in parts]] = coarse.classes.index(name)
    return table[labels]
