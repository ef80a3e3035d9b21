"""Names and texts of strangers made safe: the one place for it.

Names come from files and folders, and may hold anything: bytes that are no UTF-8 (which Python
keeps as lone surrogates), control characters, escape sequences that a terminal obeys, formulas that
a spreadsheet computes. Inside compnn a name stays as it is; it passes here on its way to a
terminal, a picture, a table, a JSON document, or the name of a file.
"""

from __future__ import annotations

import csv
import io
import math
import unicodedata
from collections.abc import Iterable, Sequence

# Categories of characters that are not shown: controls, formats (right-to-left marks and their
# like), surrogates, private ones, line and paragraph separators.
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"
# What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LONGEST_FILE_NAME = 120


def shown(text: str, keep: str = "") -> str:
    r"""Return a text as people may see it: what cannot be shown is written as an escape.

    Bytes that are no UTF-8 become `\xE9`, control characters `\x1B`, others `\u202E`. Characters in
    `keep` (line breaks of a message, for example) stay.

    Examples
    --------
    >>> shown("fa\udce7ade\x1b[31m")
    'fa\\xE7ade\\x1B[31m'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or _is_shown(c) else _escaped(c) for c in text)


def _is_shown(character: str) -> bool:
    return unicodedata.category(character) not in _HIDDEN or character in _JOINERS


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02X}"
    if code <= 0xFF:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def file_name(name: str) -> str:
    """Return a name as the name of a file or folder: letters, digits, `-`, `_` and `.` stay.

    Long names are cut in the middle; what would be hidden or empty is called "unnamed".
    """
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in shown(name)).strip(".")
    if len(safe.encode()) > _LONGEST_FILE_NAME:
        half = _LONGEST_FILE_NAME // 8
        safe = f"{safe[:half]}~{safe[-half:]}"
    return safe or "unnamed"


def csv_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a CSV table that a spreadsheet shows as it is meant.

    Texts are shown as by `shown`; those that a spreadsheet would compute are quoted with `'`.
    Floats have six digits, nan and None are left empty.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_cell(column) for column in columns])
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return text.getvalue()


def _cell(value: object) -> object:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if not isinstance(value, str):
        return value
    safe = shown(value)
    return f"'{safe}" if value.startswith(_FORMULA) else safe
