"""Reading JSON documents with errors that name the malformed field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from compnn.errors import BankError

_T = TypeVar("_T")


class Field:
    """A value in a JSON document that knows its place, e.g. `layers[2].stride`.

    Each `as_...` method returns the value in that type, or raises BankError naming the field, what
    was expected and what was found.
    """

    def __init__(self, value: Any, document: str, place: str = "") -> None:
        self.value = value
        self._document = document
        self._place = place

    def malformed(self, expected: str) -> BankError:
        """Return the error that says what this field should be."""
        found = repr(self.value)
        if len(found) > 60:
            found = found[:57] + "..."
        field = f"field {self._place!r}" if self._place else "the document"
        return BankError(
            f"{self._document} is malformed: {field} should be {expected}, but is {found}. "
            f"Rebuild the bank."
        )

    def child(self, key: str) -> Field:
        """Return a field of an object; it must be present."""
        place = f"{self._place}.{key}" if self._place else key
        if not isinstance(self.value, dict):
            raise self.malformed("an object")
        if key not in self.value:
            raise BankError(
                f"{self._document} is malformed: field {place!r} is missing. Rebuild the bank."
            )
        return Field(self.value[key], self._document, place)

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
            Field(value, self._document, f"{self._place}[{index}]")
            for index, value in enumerate(self.value)
        ]

    def as_str(self) -> str:
        """Return a string."""
        if not isinstance(self.value, str):
            raise self.malformed("a string")
        return self.value

    def as_strings(self) -> tuple[str, ...]:
        """Return an array of strings."""
        if not isinstance(self.value, list) or not all(isinstance(v, str) for v in self.value):
            raise self.malformed("an array of strings")
        return tuple(self.value)

    def as_int(self, minimum: int = 0) -> int:
        """Return an integer that is at least `minimum`."""
        if type(self.value) is not int or self.value < minimum:
            raise self.malformed(f"an integer, {minimum} or more")
        return self.value

    def as_ints(self, minimum: int, maximum: int) -> tuple[int, ...]:
        """Return an array of integers within [minimum, maximum]."""
        values = self.value
        if (
            not isinstance(values, list)
            or not all(type(value) is int for value in values)
            or (values and not minimum <= min(values) <= max(values) <= maximum)
        ):
            raise self.malformed(f"an array of integers in {minimum}..{maximum}")
        return tuple(values)

    def as_sizes(self, length: int) -> tuple[int, ...]:
        """Return an array of `length` positive integers."""
        values = self.value
        if (
            not isinstance(values, list)
            or len(values) != length
            or not all(type(value) is int and value > 0 for value in values)
        ):
            raise self.malformed(f"an array of {length} positive integers")
        return tuple(values)

    def as_choice(self, choices: tuple[str, ...]) -> str:
        """Return one of some strings."""
        if self.value not in choices:
            raise self.malformed(" or ".join(repr(choice) for choice in choices))
        return str(self.value)
