"""Which input of a network is the image, and what its other inputs are set to."""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from compnn.errors import NetworkError

Setting: TypeAlias = float | npt.NDArray[Any]
"""What an input beside the image is set to: a number, or an array."""

MOST_NUMBERS = 1 << 28
"""A larger array is no setting."""

# A bank reads what it keeps of all inputs at each start.
_MOST_TEXT = 1 << 22


@dataclass(frozen=True, eq=False)
class InputChoice:
    """What the inputs of a network are given.

    Attributes
    ----------
    image
        Name of the input that is the image; None where that is to be found out.
    values
        What other inputs are set to, by name.
    """

    image: str | None = None
    values: Mapping[str, Setting] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        """Whether the same numbers of the same types are given."""
        return isinstance(other, InputChoice) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.image, *self.values))

    def to_json(self) -> dict[str, object]:
        """The fields as JSON values; numbers of arrays deflated, in base64.

        Raises
        ------
        NetworkError
            When a value is too large to be kept: some megabytes after it was deflated.
        """
        values = {name: _array_json(name, np.asarray(value)) for name, value in self.values.items()}
        return {"image": self.image, "values": values}

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> InputChoice:
        """The inverse of `to_json`; fields of a later version are left alone.

        Raises
        ------
        NetworkError
            When a field is missing, of another type, or not what `to_json` writes.
        """
        match fields:
            case {"image": str() | None as image, "values": dict() as values}:
                return cls(image, {str(name): _array_of(each) for name, each in values.items()})
        raise NetworkError(f"the choice of inputs has other fields than these: {sorted(fields)}")


def _array_json(name: str, array: npt.NDArray[Any]) -> dict[str, object]:
    plain = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    deflated = base64.b64encode(zlib.compress(plain.tobytes())).decode()
    if len(deflated) > _MOST_TEXT:
        raise NetworkError(
            f"input {name!r} is set to {array.size} numbers that take {len(deflated)} bytes in a "
            f"bank, of which at most {_MOST_TEXT} are kept; make it a constant of the network"
        )
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "deflated": deflated,
    }


def _array_of(fields: object) -> npt.NDArray[Any]:
    match fields:
        case {"dtype": str(name), "shape": list(shape), "deflated": str(deflated)} if all(
            type(each) is int and each >= 0 for each in shape
        ):
            count = math.prod(shape)
            try:
                dtype = np.dtype(name)
                if dtype.kind not in "biuf" or count > MOST_NUMBERS:
                    raise NetworkError(f"the value of an input is {name} of {count} numbers")
                # No more is inflated than the shape says: the text may be anybody's.
                inflate = zlib.decompressobj()
                data = inflate.decompress(
                    base64.b64decode(deflated, validate=True), count * dtype.itemsize + 1
                )
                return np.frombuffer(data, dtype.newbyteorder("<")).reshape(shape)
            except (TypeError, ValueError, binascii.Error, zlib.error) as error:
                raise NetworkError(f"the value of an input is damaged: {error}") from None
    raise NetworkError("the value of an input is not an array as compnn writes it")
