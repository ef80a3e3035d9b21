"""Cityscapes street scenes with the 19 evaluation classes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from compnn.data.dataset import Dataset, Pair, check_same_size
from compnn.data.instances import read_instances
from compnn.errors import DatasetError
from compnn.images.files import StoredImage
from compnn.images.kinds import Labels, Picture
from compnn.images.palette import Palette

_PHOTO = "_leftImg8bit.png"
_IDS = "_gtFine_labelIds.png"
_TRAIN_IDS = "_gtFine_labelTrainIds.png"
_INSTANCES = "_gtFine_instanceIds.png"

# A number in an instanceIds file is id * 1000 + instance, or the id of what is not counted singly.
_FACTOR = 1000

# The id in a labelIds file of each of the 19 evaluation classes, in the order of their train ids.
_EVALUATED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
TRAIN_ID_OF_ID = {stored: train_id for train_id, stored in enumerate(_EVALUATED)}


class Cityscapes(Dataset):
    """Photos and fine label maps of Cityscapes, 19 classes, all other pixels void (255).

    Reads `leftImg8bit/<split>/<city>/*_leftImg8bit.png` and, of the same frame,
    `gtFine/<split>/<city>/*_gtFine_labelIds.png`; where that is missing `labelTrainIds` (void 255
    or 19), and where that is missing, too, `instanceIds`.
    A pair is named after its frame: `aachen_000000_000019`.

    Parameters
    ----------
    root
        Folder that holds `leftImg8bit` and `gtFine`.
    split
        "train" or "val".
    attributes
        As in `Dataset`.

    Raises
    ------
    DatasetError
        If a folder is missing, holds no photos, or a photo has no label map.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        *,
        attributes: str | Path | Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        photos, fine = Path(root) / "leftImg8bit" / split, Path(root) / "gtFine" / split
        for folder in (photos, fine):
            if not os.path.isdir(folder):
                raise DatasetError(
                    f"folder {folder} does not exist; give the folder that holds leftImg8bit and "
                    f"gtFine, and a split that is there"
                )
        self._inputs = {
            path.name.removesuffix(_PHOTO): path
            for path in sorted(photos.glob(f"*/*{_PHOTO}"))
            if not path.name.startswith(".")
        }
        if not self._inputs:
            raise DatasetError(f"folder {photos} holds no photos; looked for <city>/*{_PHOTO}")
        self._targets = {
            name: _label_map(fine / path.parent.name, name) for name, path in self._inputs.items()
        }
        super().__init__(self._inputs, target_kind=Labels("cityscapes"), attributes=attributes)

    def read(self, name: str) -> Pair:
        """As `Dataset.read`."""
        given, file = StoredImage.read(self._inputs[name]), self._targets[name]
        if file.name.endswith(_INSTANCES) and isinstance(self.target_kind, Labels):
            palette = self.target_kind.palette
            target = read_instances(file, palette, _FACTOR, TRAIN_ID_OF_ID, plain=True)
            check_same_size(given.path, given.pixels.shape, file, target.shape)
            return Pair(name, self.input_kind.input_of(given), target)
        wanted = StoredImage.read(file)
        check_same_size(given.path, given.pixels.shape, file, wanted.pixels.shape)
        return Pair(name, self.input_kind.input_of(given), self._target(wanted))

    def _target(self, stored: StoredImage) -> Picture:
        if stored.path.name.endswith(_IDS):
            return self.target_kind.target_of(stored, TRAIN_ID_OF_ID)
        if self.target_kind == Labels("cityscapes"):
            # Some tools number void after the 19 classes.
            with_19 = replace(Palette.named("cityscapes"), more_void_indices=(19,))
            return Labels(with_19).target_of(stored)
        return self.target_kind.target_of(stored)


def _label_map(folder: Path, name: str) -> Path:
    suffixes = _IDS, _TRAIN_IDS, _INSTANCES
    for suffix in suffixes:
        path = folder / f"{name}{suffix}"
        if os.path.exists(path):
            return path
    raise DatasetError(
        f"photo {name}{_PHOTO} has no label map: neither "
        f"{' nor '.join(name + suffix for suffix in suffixes)} is in {folder}; unpack gtFine there"
    )
