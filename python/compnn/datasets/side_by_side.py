"""Pairs stored as one image, input and target side by side (the Pix2Pix layout)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from compnn.datasets.dataset import Dataset, Pair
from compnn.datasets.listing import list_images
from compnn.datasets.roles import as_input, as_target
from compnn.errors import DatasetError
from compnn.images import StoredImage
from compnn.palette import Palette


class SideBySide(Dataset):
    """One image for each pair: one half is the input, the other the target.

    Parameters
    ----------
    folder
        Folder of the images; a pair is named after its file's stem.
    input
        The half that is the input: "left" or "right".
    input_palette, target_palette, attributes
        As in `Dataset`.

    Raises
    ------
    DatasetError
        If the folder is missing or empty, or `input` is neither half.
    """

    def __init__(
        self,
        folder: str | Path,
        input: Literal["left", "right"] = "left",
        *,
        input_palette: str | Path | Palette | None = None,
        target_palette: str | Path | Palette | None = None,
        attributes: str | Path | Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        if input not in ("left", "right"):
            raise DatasetError(f'the input is the "left" or the "right" half, not {input!r}')
        self._files = list_images(Path(folder))
        self._input_is_left = input == "left"
        super().__init__(
            self._files,
            input_palette=input_palette,
            target_palette=target_palette,
            attributes=attributes,
        )

    def _read(self, name: str) -> Pair:
        left, right = StoredImage.read(self._files[name]).halves()
        given, wanted = (left, right) if self._input_is_left else (right, left)
        return Pair(
            name, as_input(given, self.input_palette), as_target(wanted, self.target_palette)
        )
