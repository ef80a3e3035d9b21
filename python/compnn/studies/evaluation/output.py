"""The files that an evaluation leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from compnn.files import write_file
from compnn.names import csv_table, file_name, json_text
from compnn.studies.evaluation.markdown import markdown
from compnn.studies.evaluation.result import Evaluation, line_json
from compnn.studies.evaluation.rows import Row

_TABLES = ("results.md", "results.csv", "results.json", "images.csv")
_USAGE = "usage"
_USAGE_TABLES = ("images.csv", "attributes.csv")


def save(found: Evaluation, folder: Path) -> None:
    """Write all files into an existing folder, each whole or not at all.

    Raises
    ------
    OutputError
        If that fails.
    """
    for row, usage in found.usage.items():
        usage.save_csv(folder / _USAGE / usage_folder(row))
    lines = [line_json(line) for line in found.lines]
    images = [
        {"image": name, **line_json(line)}
        for name, lines_of_image in found.image_lines.items()
        for line in lines_of_image
    ]
    document = json_text(found.to_json()) + "\n"
    texts = (markdown(found), _csv(lines), document, _csv(images))
    for name, text in zip(_TABLES, texts, strict=True):
        write_file(folder / name, text.encode())


def remove(folder: Path) -> None:
    """Remove the files that an evaluation left, so that they are not taken for the next one's."""
    usage = [path for name in _USAGE_TABLES for path in (folder / _USAGE).glob(f"*/{name}")]
    for path in (*(folder / name for name in _TABLES), *usage):
        path.unlink(missing_ok=True)


def usage_folder(row: Row) -> str:
    """The folder of the usage of a row, in the folder `usage`."""
    return f"{file_name(str(row.layer))}-{'' if row.top_k is None else 'top'}{row.searched}"


def _csv(rows: Iterable[Mapping[str, object]]) -> str:
    """A CSV table; the columns are the keys of all rows, in the order of the first with most."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in sorted(rows, key=len, reverse=True) for key in row))
    return csv_table(columns, ([row.get(column) for column in columns] for row in rows))
