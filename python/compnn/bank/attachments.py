"""Arrays that are kept with a bank for whoever computed them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn.bank.layout import NUMBERS, encode_name
from compnn.bank.manifest import AttachedArray
from compnn.bank.records import map_array
from compnn.bank.writing import fresh_folder, save_array, sync_tree
from compnn.errors import BankError


def write_attached(
    folder: Path, arrays: Mapping[str, npt.NDArray[Any]]
) -> dict[str, AttachedArray]:
    """Write arrays into a new folder; return what the manifest says of them.

    Raises
    ------
    BankError
        If that fails, or an array is not one of numbers.
    """
    for key, array in arrays.items():
        if array.dtype.name not in NUMBERS or array.ndim == 0:
            raise BankError(
                f"the array {key!r} that is to be attached is {array.dtype} {array.shape}. "
                f"Attach arrays of numbers, with an axis at least."
            )
    fresh_folder(folder)
    attached = {}
    for key, given in arrays.items():
        array = np.ascontiguousarray(given, given.dtype.newbyteorder("<"))
        file = f"{encode_name(key)}.npy"
        save_array(folder / file, array)
        attached[key] = AttachedArray(file, array.shape, array.dtype.name, _crc32(array))
    sync_tree(folder)
    return attached


def read_attached(file: Path, entry: AttachedArray) -> npt.NDArray[Any]:
    """Map an attached array, read-only.

    Raises
    ------
    BankError
        If it is missing or damaged.
    """
    array = map_array(file, entry.shape, entry.dtype)
    if _crc32(array) != entry.crc32:
        raise BankError(f"{file} is damaged: its checksum differs. Rebuild the bank.")
    return array


def _crc32(array: npt.NDArray[Any]) -> int:
    return zlib.crc32(array.reshape(-1).view(np.uint8).data)
