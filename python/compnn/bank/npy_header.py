"""Whether a .npy file is the array that a bank says it is, from its header and its size."""

from __future__ import annotations

import os
import tokenize
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.lib.format as npy

from compnn.errors import BankError

# What NumPy raises for headers that are damaged in one way or another.
_UNREADABLE = (OSError, ValueError, SyntaxError, tokenize.TokenError)


def check_npy(path: Path, shape: tuple[int, ...], dtype: str) -> None:
    """Check that a file is a complete .npy file, in C order, of an array of that shape and dtype.

    Raises
    ------
    BankError
        If it is missing, damaged, cut short, or another array.
    """
    try:
        with open(path, "rb") as file:
            found = _read_header(file)
            size, header_size = os.fstat(file.fileno()).st_size, file.tell()
    except FileNotFoundError:
        raise BankError(f"{path} is missing. Rebuild the bank, or copy it again.") from None
    except _UNREADABLE as error:
        raise BankError(
            f"{path} is not a readable array ({error}). Rebuild the bank, or copy it again."
        ) from error
    expected = (shape, False, np.dtype(dtype))
    if found != expected:
        raise BankError(
            f"{path} is not the array of the manifest: it is {_describe(*found)}, "
            f"not {_describe(*expected)}. Rebuild the bank."
        )
    expected_size = header_size + int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if size != expected_size:
        raise BankError(
            f"{path} is damaged: it has {size} bytes, not {expected_size}. "
            f"Rebuild the bank, or copy it again."
        )


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return (shape, whether in Fortran order, dtype), and leave the file at its data."""
    version = npy.read_magic(file)
    if version != (1, 0):
        raise ValueError(f".npy version {version[0]}.{version[1]}")
    return npy.read_array_header_1_0(file)


def _describe(shape: tuple[int, ...], fortran_order: bool, dtype: np.dtype[Any]) -> str:
    return f"{dtype} {shape}{' in Fortran order' if fortran_order else ''}"
