"""The one slot for drawing: what is shown of a value is put in by `compnn.report`, which draws.

Banks, explanations and the results of studies do not draw themselves, and do not know who does.
They ask here; `compnn` fills the slot when it is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

_Value = TypeVar("_Value")

_sheets: dict[type, Callable[[Any], npt.NDArray[np.uint8]]] = {}


def register(kind: type[_Value], sheet: Callable[[_Value], npt.NDArray[np.uint8]]) -> None:
    """Draw values of a class with `sheet`: uint8 (height, width, 3) RGB."""
    _sheets[kind] = sheet


def sheet(value: object) -> npt.NDArray[np.uint8]:
    """The sheet of a value: uint8 (height, width, 3) RGB.

    Raises
    ------
    TypeError
        If nobody has said how such values are drawn.
    """
    for kind in type(value).__mro__:
        if kind in _sheets:
            return _sheets[kind](value)
    raise TypeError(f"no sheet is drawn of a {type(value).__name__}; import compnn first")
