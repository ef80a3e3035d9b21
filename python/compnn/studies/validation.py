"""Whether validation pairs can be compared with what a bank reconstructs."""

from __future__ import annotations

from typing import Any

from compnn.bank.bank import Bank
from compnn.data.dataset import Dataset
from compnn.errors import DatasetError
from compnn.images.palette import Palette


def check_palettes(bank: Bank, dataset: Dataset) -> None:
    """Refuse validation pairs whose label maps mean something else than the bank's.

    Raises
    ------
    DatasetError
        If the classes or the colours of inputs or targets differ; names of palettes may.
    """
    for kind, ours, theirs in (
        ("inputs", bank.input_palette, dataset.input_palette),
        ("targets", bank.target_palette, dataset.target_palette),
    ):
        if _content(ours) != _content(theirs):
            raise DatasetError(
                f"the bank's {kind} are {_words(ours)}, the validation {kind} {_words(theirs)}: "
                f"classes and colours must be the same. Give the validation pairs the bank's "
                f"palettes."
            )


def _content(palette: Palette | None) -> dict[str, Any] | None:
    return None if palette is None else {**palette.to_json(), "name": None}


def _words(palette: Palette | None) -> str:
    return "photos" if palette is None else f"label maps of {palette.describe_labels()}"
