"""Cityscapes street scenes with the 19 evaluation classes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from compnn.data.dataset import Dataset, Pair, check_same_size
from compnn.errors import DatasetError
from compnn.images.files import StoredImage
from compnn.images.kinds import Labels

_PHOTO = "_leftImg8bit.png"
_IDS = "_gtFine_labelIds.png"
_TRAIN_IDS = "_gtFine_labelTrainIds.png"

# The id in a labelIds file of each of the 19 evaluation classes, in the order of their train ids.
_EVALUATED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
TRAIN_ID_OF_ID = {stored: train_id for train_id, stored in enumerate(_EVALUATED)}


class Cityscapes(Dataset):
    """Photos and fine label maps of Cityscapes, 19 classes, all other pixels void (255).

    Reads `leftImg8bit/<split>/<city>/*_leftImg8bit.png` and, of the same frame,
    `gtFine/<split>/<city>/*_gtFine_labelIds.png`, or `*_gtFine_labelTrainIds.png` where that is
    missing.
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
        given = StoredImage.read(self._inputs[name])
        wanted = StoredImage.read(self._targets[name])
        check_same_size(given, wanted)
        ids = TRAIN_ID_OF_ID if wanted.path.name.endswith(_IDS) else None
        return Pair(name, self.input_kind.input_of(given), self.target_kind.target_of(wanted, ids))


def _label_map(folder: Path, name: str) -> Path:
    for suffix in (_IDS, _TRAIN_IDS):
        path = folder / f"{name}{suffix}"
        if os.path.exists(path):
            return path
    raise DatasetError(
        f"photo {name}{_PHOTO} has no label map: neither {name}{_IDS} nor {name}{_TRAIN_IDS} "
        f"is in {folder}"
    )
