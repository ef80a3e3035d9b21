"""Reading the .npy files of a bank: they are checked before anything is allocated or mapped."""

from __future__ import annotations

import errno
import io
import math
import os
import resource
import tokenize
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
import numpy.lib.format as npy
import numpy.typing as npt

from compnn.bank.writing import save_array
from compnn.errors import BankError
from compnn.files import open_file, read_file

# What NumPy raises for headers that are damaged in one way or another.
_UNREADABLE = (OSError, ValueError, SyntaxError, tokenize.TokenError)
# compnn writes headers of 128 bytes, NumPy not many more.
_LONGEST_HEADER = 1024


def map_array(path: Path, shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
    """Map a .npy file, read-only, once it is known to be a complete array of shape and dtype.

    Raises
    ------
    BankError
        If it is missing, damaged, cut short, no regular file, or another array.
    """
    try:
        with open_file(path) as file:
            found = _read_header(file)
            size, offset = os.fstat(file.fileno()).st_size, file.tell()
            _check(path, found, (shape, False, np.dtype(dtype)), size - offset)
            if math.prod(shape) == 0:  # there is nothing to map
                return np.empty(shape, dtype)
            return _mapped(file, dtype, offset, shape)
    except FileNotFoundError:
        raise _missing(path) from None
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _mapped(file: BinaryIO, dtype: str, offset: int, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    try:
        return np.memmap(file, dtype, "r", offset, shape)
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        # A mapping keeps a file open; a bank of a million images has a thousand of them.
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        return np.memmap(file, dtype, "r", offset, shape)


def load_array(
    path: Path, crc32: int, dtype: str, trailing: tuple[int, ...] = ()
) -> npt.NDArray[Any]:
    """Read a small .npy file (n, *trailing) whole, once its checksum is right.

    Raises
    ------
    BankError
        If it is missing, damaged, no regular file, or another array.
    """
    try:
        data = read_file(path)
        file = io.BytesIO(data)
        if zlib.crc32(data) != crc32:
            raise BankError(
                f"{path} is damaged: its checksum differs. Rebuild the bank, or copy it again."
            )
        found = _read_header(file)
    except FileNotFoundError:
        raise _missing(path) from None
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    shape = (*(found[0][:1] or (0,)), *trailing)
    _check(path, found, (shape, False, np.dtype(dtype)), len(data) - file.tell())
    return np.frombuffer(data[file.tell() :], dtype).reshape(shape)


def save_strings(folder: Path, name: str, strings: Sequence[str]) -> dict[str, int]:
    """Write strings, one after the other, and where each ends; return the files' checksums.

    Any string comes back as it is, also the name of a file that is not UTF-8 (which Python gives
    surrogates).

    Raises
    ------
    BankError
        If that fails.
    """
    encoded = [each.encode("utf-8", "surrogatepass") for each in strings]
    text = np.frombuffer(b"".join(encoded), np.uint8)
    ends = np.cumsum([len(each) for each in encoded], dtype=np.int64)
    text_file, ends_file = _string_files(name)
    return {
        text_file: save_array(folder / text_file, text),
        ends_file: save_array(folder / ends_file, ends),
    }


def load_strings(folder: Path, name: str, crc32: Mapping[str, int]) -> tuple[str, ...]:
    """Read what `save_strings` wrote.

    Raises
    ------
    BankError
        If a file is missing or damaged.
    """
    text_file, ends_file = _string_files(name)
    text = load_array(folder / text_file, crc32[text_file], "uint8").tobytes()
    ends = load_array(folder / ends_file, crc32[ends_file], "int64")
    starts = np.concatenate([np.zeros(1, np.int64), ends])
    if (np.diff(starts) < 0).any() or starts[-1] != len(text):
        raise BankError(f"{folder / ends_file} is malformed. Rebuild the bank.")
    bounds = zip(starts[:-1].tolist(), ends.tolist(), strict=True)
    if text.isascii():  # a slice of a string is quicker than the decoding of one of bytes
        whole = text.decode("ascii")
        return tuple(whole[start:end] for start, end in bounds)
    try:
        return tuple(text[start:end].decode("utf-8", "surrogatepass") for start, end in bounds)
    except UnicodeDecodeError as error:
        raise BankError(f"{folder / text_file} is malformed ({error}). Rebuild the bank.") from None


def _string_files(name: str) -> tuple[str, str]:
    return f"{name}.npy", f"{name}_ends.npy"


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return (shape, whether in Fortran order, dtype), and leave the file at its data."""
    version = npy.read_magic(file)
    if version != (1, 0):
        raise ValueError(f".npy version {version[0]}.{version[1]}")
    return npy.read_array_header_1_0(file, max_header_size=_LONGEST_HEADER)


def _check(
    path: Path,
    found: tuple[tuple[int, ...], bool, np.dtype[Any]],
    expected: tuple[tuple[int, ...], bool, np.dtype[Any]],
    size: int,
) -> None:
    if found != expected:
        raise BankError(
            f"{path} is not the array of the bank: it is {_describe(*found)}, "
            f"not {_describe(*expected)}. Rebuild the bank."
        )
    shape, _, dtype = expected
    expected_size = math.prod(shape) * dtype.itemsize
    if size != expected_size:
        raise BankError(
            f"{path} is damaged: it has {size} bytes of numbers, not {expected_size}. "
            f"Rebuild the bank, or copy it again."
        )


def _missing(path: Path) -> BankError:
    return BankError(f"{path} is missing. Rebuild the bank, or copy it again.")


def _unreadable(path: Path, error: Exception) -> BankError:
    reason = error.strerror if isinstance(error, OSError) else error
    return BankError(
        f"{path} is not a readable array ({reason}). Rebuild the bank, or copy it again."
    )


def _describe(shape: tuple[int, ...], fortran_order: bool, dtype: np.dtype[Any]) -> str:
    return f"{dtype} {shape}{' in Fortran order' if fortran_order else ''}"
