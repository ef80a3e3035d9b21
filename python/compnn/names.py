r"""Names and texts of strangers made safe: the one place for it.

Names come from files and folders, and may hold anything: bytes that are no UTF-8 (which Python
keeps as lone surrogates), control characters, escape sequences that a terminal obeys, formulas that
a spreadsheet computes. Inside compnn a name stays as it is; it passes here on its way to

- a terminal or a picture: `shown`; of a message of several lines, `shown(message, keep="\n")`
- the name of a file: `file_name`
- a CSV table: `csv_table` (and back: `csv_rows`)
- JSON that is printed or written: `json_text`
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real

import numpy as np

# Categories of characters that are not shown: controls, formats (right-to-left marks and their
# like), surrogates, private ones, line and paragraph separators.
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"
_NOT_ASCII = re.compile("[^ -~]")  # or not printable
# What a spreadsheet takes for the beginning of a formula; the wide ones where Japanese is written.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# Bytes; a file system takes 255, of which an extension or a temporary name needs some.
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

    def shown_character(match: re.Match[str]) -> str:
        character = match[0]
        return character if character in keep or _is_shown(character) else escaped(character)

    return _NOT_ASCII.sub(shown_character, text)


def _is_shown(character: str) -> bool:
    return unicodedata.category(character) not in _HIDDEN or character in _JOINERS


def escaped(character: str) -> str:
    """Return the escape that stands for a character, as in `shown`."""
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02X}"
    if code <= 0xFF:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def file_name(name: str) -> str:
    """Return a name as the name of a file or folder, without its extension.

    Names of letters, digits, `-`, `_` and `.` stay. In others, `_` stands for all else; what is too
    long is cut in the middle, and what would be hidden, or an option on a command line, loses its
    beginning. A few digits of a hash then tell it from other names.

    Examples
    --------
    >>> file_name("decoder_2"), file_name("/up/Conv")
    ('decoder_2', '_up_Conv~2ef2502d')
    """
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in shown(name))
    safe = safe.lstrip("-.").rstrip(".")
    if safe == name and len(safe.encode()) <= _LONGEST_FILE_NAME and name:
        return safe
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_cut(safe or 'unnamed', _LONGEST_FILE_NAME - 9)}~{digest}"


def _cut(text: str, longest: int) -> str:
    data, half = text.encode(), (longest - 1) // 2
    if len(data) <= longest:
        return text
    return "_".join(part.decode(errors="ignore") for part in (data[:half], data[-half:]))


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


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Integral):
        return str(value)
    if isinstance(value, Real):
        return "" if math.isnan(value) else f"{float(value):.6g}"
    safe = shown(str(value))
    return f"'{safe}" if safe.lstrip().startswith(_FORMULA) else safe


def csv_rows(data: bytes) -> list[tuple[int, list[str]]]:
    """Return the rows of a CSV file, each with the number of its (last) line; blank ones left out.

    The file is UTF-8, with or without a byte order mark; blanks around cells are taken away.

    Raises
    ------
    ValueError
        If it is not UTF-8, or no table.
    """
    # Not `splitlines`, which splits at more characters than a table does, in quoted cells too.
    lines = io.StringIO(data.decode("utf-8-sig"), newline="")
    reader = csv.reader(lines, skipinitialspace=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error
    return [(number, cells) for number, cells in rows if any(cells)]


def json_text(document: object, indent: int | None = 2) -> str:
    r"""Return a JSON document as text that may be printed, and written as UTF-8.

    Names stay readable; what cannot be shown is written as an escape of JSON (`\udce7`), so that
    a program reads the names as they are. Numbers that are nan or infinite become null.

    Parameters
    ----------
    document
        Mappings, sequences, texts, numbers (NumPy's too), booleans, None.
    indent
        Blanks a level; None: all in one line.
    """
    text = json.dumps(_plain(document), ensure_ascii=False, indent=indent, allow_nan=False)
    # Line breaks are those between the parts: those in texts are escapes already.
    return _NOT_ASCII.sub(lambda match: _json_character(match[0]), text)


def _json_character(character: str) -> str:
    return character if character == "\n" or _is_shown(character) else json.dumps(character)[1:-1]


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value
