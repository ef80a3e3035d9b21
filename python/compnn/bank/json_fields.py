"""Reading JSON documents with errors that name the malformed field."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from compnn.bank.writing import disk_errors
from compnn.errors import BankError
from compnn.files import read_file, replace_file

_T = TypeVar("_T")

# No document of a bank grows with the number of its images.
_MOST_BYTES = 1 << 24
# Sizes and counts are int64 everywhere else.
_LARGEST = (1 << 63) - 1


def read_document(path: Path) -> Field:
    """Return the JSON document in a file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    BankError
        If it cannot be read, is too large for a document of a bank, or is not JSON.
    """
    try:
        return Field(json.loads(read_file(path, _MOST_BYTES)), str(path))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BankError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise BankError(f"{path} is malformed: not JSON ({error}). Rebuild the bank.") from error


def write_document(path: Path, document: Mapping[str, object]) -> None:
    """Write a JSON object to a file, which appears at once and complete: one line per field.

    Raises
    ------
    BankError
        If it cannot be written.
    """
    fields = (f"{json.dumps(key)}: {json.dumps(part)}" for key, part in document.items())
    with disk_errors(path):
        replace_file(path, ("{\n" + ",\n".join(fields) + "\n}\n").encode("ascii"))


class Field:
    """A value in a JSON document that knows its place, e.g. `layers[2].stride`.

    Each `as_...` method returns the value in that type, or raises BankError naming the field, what
    was expected and what was found.
    """

    def __init__(self, value: object, document: str, place: str = "") -> None:
        self.value = value
        self.document = document
        self._place = place

    def malformed(self, expected: str) -> BankError:
        """Return the error that says what this field should be."""
        found = repr(self.value)
        if len(found) > 60:
            found = found[:57] + "..."
        field = f"field {self._place!r}" if self._place else "the document"
        return BankError(
            f"{self.document} is malformed: {field} should be {expected}, but is {found}. "
            f"Rebuild the bank."
        )

    def child(self, key: str) -> Field:
        """Return a field of an object; it must be present."""
        place = f"{self._place}.{key}" if self._place else key
        if not isinstance(self.value, dict):
            raise self.malformed("an object")
        if key not in self.value:
            raise BankError(
                f"{self.document} is malformed: field {place!r} is missing. Rebuild the bank."
            )
        return Field(self.value[key], self.document, place)

    def optional(self, key: str, read: Callable[[Field], _T]) -> _T | None:
        """Return a field of an object that may be null, read by `read`."""
        field = self.child(key)
        return None if field.value is None else read(field)

    def items(self) -> dict[str, Field]:
        """Return the fields of an object by key."""
        if not isinstance(self.value, dict):
            raise self.malformed("an object")
        return {key: self.child(key) for key in self.value}

    def elements(self) -> list[Field]:
        """Return the elements of an array."""
        if not isinstance(self.value, list):
            raise self.malformed("an array")
        return [
            Field(value, self.document, f"{self._place}[{index}]")
            for index, value in enumerate(self.value)
        ]

    def as_str(self) -> str:
        """Return a string."""
        if not isinstance(self.value, str):
            raise self.malformed("a string")
        return self.value

    def as_int(self, minimum: int = 0) -> int:
        """Return an integer that is at least `minimum`."""
        if type(self.value) is not int or not minimum <= self.value <= _LARGEST:
            raise self.malformed(f"an integer, {minimum} or more")
        return self.value

    def as_crc32(self) -> int:
        """Return a CRC-32."""
        if type(self.value) is not int or not 0 <= self.value < 1 << 32:
            raise self.malformed("a CRC-32, an integer below 2**32")
        return self.value

    def as_sizes(self, length: int) -> tuple[int, ...]:
        """Return an array of `length` positive integers."""
        values = self.value
        if (
            not isinstance(values, list)
            or len(values) != length
            or not all(type(value) is int and 0 < value <= _LARGEST for value in values)
        ):
            raise self.malformed(f"an array of {length} positive integers")
        return tuple(values)

    def as_choice(self, choices: tuple[str, ...]) -> str:
        """Return one of some strings."""
        if self.value not in choices:
            raise self.malformed(" or ".join(repr(choice) for choice in choices))
        return str(self.value)
