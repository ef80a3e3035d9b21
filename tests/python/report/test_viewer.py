"""Sheets of values, shown in a notebook and outside of one."""

from __future__ import annotations

import base64
import io
import sys
import types
import webbrowser
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
from PIL import Image

import compnn
from compnn import views
from compnn.errors import OutputError
from compnn.images.files import read_image


class Square(views.Shown):
    """Something that is drawn as a red square."""

    def __repr__(self) -> str:
        return 'Square("<b>&\x1b[31m")'


RED = np.zeros((5, 4, 3), np.uint8)
RED[..., 0] = 255


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(views._sheets, Square, lambda square: RED)


def test_a_notebook_shows_the_sheet() -> None:
    html = Square()._repr_html_()
    assert html.startswith('<img alt="Square(&quot;&lt;b&gt;&amp;\\x1B[31m&quot;)"')
    data = html.partition("base64,")[2].partition('"')[0]
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        np.testing.assert_array_equal(picture, RED)


def test_show_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    display = types.ModuleType("IPython.display")
    display.display, display.HTML = shown.append, str  # type: ignore[attr-defined]
    shell = types.ModuleType("IPython")
    shell.get_ipython = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    Square().show()
    assert shown == [Square()._repr_html_()]


def test_show_outside_of_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", None)
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    Square().show()
    path = Path(unquote(urlparse(opened[0]).path))
    np.testing.assert_array_equal(read_image(path), RED)

    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    with pytest.raises(OutputError, match=r"no viewer .*sheet\.png"):
        Square().show()


def test_what_nobody_draws_cannot_be_shown() -> None:
    class Nothing(views.Shown):
        pass

    with pytest.raises(TypeError, match="no sheet is drawn of a Nothing"):
        Nothing().show()


def test_explanations_matchings_and_controls_are_drawn() -> None:
    for kind in (compnn.Explanation, compnn.Matching, compnn.Control):
        assert issubclass(kind, views.Shown)
        assert kind in views._sheets
