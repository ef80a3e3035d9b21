"""The one slot for drawing: what is shown of a value is put in by `compnn.report`, which draws.

Explanations and the results of studies do not draw themselves, and do not know who does. They ask
here; `compnn` fills the slot when it is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

_Value = TypeVar("_Value")

_sheets: dict[type, Callable[[Any], npt.NDArray[np.uint8]]] = {}
_viewers: list[Viewer] = []


class Viewer(Protocol):
    """How a sheet gets before people's eyes."""

    def show(self, sheet: npt.NDArray[np.uint8], name: str) -> None:
        """Show a sheet, uint8 (height, width, 3) RGB, in a notebook or a window."""

    def html(self, sheet: npt.NDArray[np.uint8], name: str) -> str:
        """The sheet as HTML that needs no other file."""


def register(kind: type[_Value], sheet: Callable[[_Value], npt.NDArray[np.uint8]]) -> None:
    """Draw values of a class with `sheet`: uint8 (height, width, 3) RGB."""
    _sheets[kind] = sheet


def use(viewer: Viewer) -> None:
    """Show sheets with `viewer`."""
    _viewers[:] = [viewer]


class Shown:
    """What can be shown: classes that are drawn inherit this."""

    def sheet(self) -> npt.NDArray[np.uint8]:
        """The sheet that is drawn of this: uint8 (height, width, 3) RGB."""
        for kind in type(self).__mro__:
            if kind in _sheets:
                return _sheets[kind](self)
        raise TypeError(f"no sheet is drawn of a {type(self).__name__}; import compnn first")

    def show(self) -> None:
        """Show the sheet: in the output of a notebook's cell, else in a window.

        Raises
        ------
        OutputError
            If there is neither.
        """
        sheet = self.sheet()
        for viewer in _viewers:
            viewer.show(sheet, repr(self))

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        sheet = self.sheet()
        return "".join(viewer.html(sheet, repr(self)) for viewer in _viewers)
