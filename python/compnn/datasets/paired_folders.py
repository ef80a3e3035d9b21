"""Pairs stored as two folders whose files share their stems."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from compnn.datasets.dataset import Dataset, Pair, check_same_size
from compnn.datasets.listing import list_images
from compnn.datasets.roles import as_input, as_target
from compnn.errors import DatasetError
from compnn.images import StoredImage
from compnn.palette import Palette


class PairedFolders(Dataset):
    """A folder of inputs and a folder of targets; files with one stem make a pair of that name.

    Parameters
    ----------
    inputs, targets
        The two folders.
    input_palette, target_palette, attributes
        As in `Dataset`.

    Raises
    ------
    DatasetError
        If a folder is missing or empty, or an image has no partner.
    """

    def __init__(
        self,
        inputs: str | Path,
        targets: str | Path,
        *,
        input_palette: str | Path | Palette | None = None,
        target_palette: str | Path | Palette | None = None,
        attributes: str | Path | Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._inputs = list_images(Path(inputs))
        self._targets = list_images(Path(targets))
        lonely = [str(path) for stem, path in self._inputs.items() if stem not in self._targets]
        lonely += [str(path) for stem, path in self._targets.items() if stem not in self._inputs]
        if lonely:
            more = f" and {len(lonely) - 3} more" if len(lonely) > 3 else ""
            raise DatasetError(
                f"{', '.join(lonely[:3])}{more} without a partner of the same name in the other "
                f"folder ({inputs}, {targets}); add or remove files until both match"
            )
        super().__init__(
            self._inputs,
            input_palette=input_palette,
            target_palette=target_palette,
            attributes=attributes,
        )

    def _read(self, name: str) -> Pair:
        given = StoredImage.read(self._inputs[name])
        wanted = StoredImage.read(self._targets[name])
        check_same_size(given, wanted)
        return Pair(
            name, as_input(given, self.input_palette), as_target(wanted, self.target_palette)
        )
