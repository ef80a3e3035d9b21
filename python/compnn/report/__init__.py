"""What explanations and studies look like: pictures of them, and what is told about them.

To import it says how explanations, matchings and property controls are drawn and shown.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from compnn import views
from compnn.explanation.explanation import Explanation
from compnn.report.folder import global_output
from compnn.report.sheets.contact_sheet import contact_sheet
from compnn.report.sheets.control_sheet import control_sheet
from compnn.report.sheets.correspondence_map import correspondence_map
from compnn.report.sheets.matches import match_sheet
from compnn.report.viewer import SheetViewer
from compnn.studies.control import Control
from compnn.studies.matching import Matching

__all__ = ["contact_sheet", "control_sheet", "correspondence_map", "match_sheet"]


def _sheet_of_one(explanation: Explanation) -> npt.NDArray[np.uint8]:
    return contact_sheet([explanation], global_output=global_output(explanation))


views.register(Explanation, _sheet_of_one)
views.register(Matching, match_sheet)
views.register(Control, control_sheet)
views.use(SheetViewer())
