"""Whether validation pairs can be compared with what a bank reconstructs."""

from __future__ import annotations

from compnn.bank.bank import Bank
from compnn.data.dataset import Dataset
from compnn.errors import DatasetError


def check_kinds(bank: Bank, dataset: Dataset) -> None:
    """Refuse validation pairs whose pictures are of another kind than the bank's.

    Raises
    ------
    DatasetError
        If the inputs or the targets are of another kind, or the classes or colours of their label
        maps differ; names of palettes may.
    """
    for what, ours, theirs in (
        ("inputs", bank.input_kind, dataset.input_kind),
        ("targets", bank.target_kind, dataset.target_kind),
    ):
        if not ours.is_like(theirs):
            raise DatasetError(
                f"the bank's {what} are {ours.describe()}, the validation {what} "
                f"{theirs.describe()}: kind, classes and colours must be the same. Give the "
                f"validation pairs the bank's kinds of pictures (palettes)."
            )
