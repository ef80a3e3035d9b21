"""Showing sheets: in a notebook, or with the system's viewer."""

from __future__ import annotations

import base64
import html
import sys
import tempfile
import webbrowser
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compnn.errors import OutputError
from compnn.images.files import encode_png, write_image
from compnn.names import shown


class SheetViewer:
    """Shows sheets as pictures: `compnn.views.Viewer`."""

    def show(self, sheet: npt.NDArray[np.uint8], name: str) -> None:
        """As `Viewer.show`.

        Raises
        ------
        OutputError
            If there is neither a notebook nor a viewer for pictures.
        """
        # In a notebook IPython has been imported, by the notebook itself.
        display = sys.modules.get("IPython.display")
        shell = sys.modules.get("IPython")
        if display is not None and shell is not None and shell.get_ipython() is not None:
            display.display(display.HTML(self.html(sheet, name)))
            return
        folder = Path(tempfile.mkdtemp(prefix="compnn-"))
        write_image(folder / "sheet.png", sheet)
        if not webbrowser.open((folder / "sheet.png").as_uri()):
            raise OutputError(
                f"there is no notebook and no viewer for pictures here; the sheet is in "
                f"{folder / 'sheet.png'}"
            )

    def html(self, sheet: npt.NDArray[np.uint8], name: str) -> str:
        """As `Viewer.html`: a picture with its data."""
        data = base64.b64encode(encode_png(sheet)).decode("ascii")
        title = html.escape(shown(name), quote=True)
        return f'<img alt="{title}" style="max-width: 100%" src="data:image/png;base64,{data}">'
