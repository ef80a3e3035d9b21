"""Pictures of explanations: the contact sheet and the correspondence map."""

from compnn.report.sheets.contact_sheet import contact_sheet
from compnn.report.sheets.correspondence_map import correspondence_map

__all__ = ["contact_sheet", "correspondence_map"]
