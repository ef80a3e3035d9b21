"""Attributes of training images (wall=red, style=modern), read from a CSV file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from compnn.errors import DatasetError
from compnn.files import read_file
from compnn.images.files import IMAGE_EXTENSIONS
from compnn.names import csv_rows

Attributes = dict[str, dict[str, str]]


def resolve_attributes(
    source: str | Path | Mapping[str, Mapping[str, str]] | None, names: Collection[str]
) -> Attributes:
    """Return the attributes of the images `names`, from a CSV file or a mapping.

    The file begins with a header, `name,wall,style`, or has none and cells `key=value`:
    `1.jpg,wall=red,style=modern`. Its names are those of the images, with or without extension.
    Empty cells are left out, and images without a row have no attributes.

    Parameters
    ----------
    source
        Path of the CSV file, or {name: {key: value}}; None means no attributes.
    names
        Names of the images that may have attributes.

    Returns
    -------
    {name: {key: value}}, for the images that have attributes.

    Raises
    ------
    DatasetError
        If the file cannot be read or is malformed, or names an image twice or one not in `names`.
    """
    if source is None:
        return {}
    if isinstance(source, Mapping):
        origin = "attributes"
        rows = [(name, dict(values)) for name, values in source.items()]
        _check_texts(rows)
    else:
        origin = f"attributes file {source}"
        rows = _read_rows(Path(source), origin)
    known = frozenset(names)
    attributes: Attributes = {}
    unknown: list[str] = []
    for written, values in rows:
        name = _match(written, known)
        if name is None:
            unknown.append(written)
        elif name in attributes:
            raise DatasetError(f"{origin} names the image {name!r} twice; keep one row")
        else:
            attributes[name] = values
    if unknown:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise DatasetError(
            f"{origin} names images that the dataset does not have: "
            f"{', '.join(unknown[:5])}{more}; correct or remove these rows"
        )
    return attributes


def _match(written: str, known: Collection[str]) -> str | None:
    """Return the image that `written` names, with or without its extension."""
    if written in known:
        return written
    path = Path(written)
    if path.suffix.lower() in IMAGE_EXTENSIONS and path.stem in known:
        return path.stem
    return None


def _check_texts(rows: list[tuple[str, dict[str, str]]]) -> None:
    for name, values in rows:
        for text in (name, *values, *values.values()):
            if not isinstance(text, str):
                raise DatasetError(f"attributes of {name!r} hold {text!r}; give texts only")


def _read_rows(path: Path, origin: str) -> list[tuple[str, dict[str, str]]]:
    try:
        lines = csv_rows(read_file(path))
    except OSError as error:
        raise DatasetError(f"{origin} cannot be read: {error.strerror}; check the path") from error
    except ValueError as error:
        raise DatasetError(f"{origin} cannot be read: {error}; save it as UTF-8") from error
    if not lines:
        raise DatasetError(f"{origin} is empty; begin it with a header such as name,wall,style")
    header = lines[0][1]
    if header[0].lower() == "name" and not any("=" in cell for cell in header):
        return _with_header(header[1:], lines[1:], origin)
    return _without_header(lines, origin)


def _with_header(
    keys: list[str], lines: list[tuple[int, list[str]]], origin: str
) -> list[tuple[str, dict[str, str]]]:
    if not keys or "" in keys or len(set(keys)) != len(keys):
        raise DatasetError(
            f"{origin} has the header name,{','.join(keys)}; "
            f"give each column after name its own name"
        )
    rows = []
    for number, (name, *cells) in lines:
        if len(cells) != len(keys):
            raise DatasetError(
                f"{origin}, line {number}: has {len(cells) + 1} cells, "
                f"but the header has {len(keys) + 1}"
            )
        values = {key: cell for key, cell in zip(keys, cells, strict=True) if cell}
        rows.append((name, values))
    return rows


def _without_header(
    lines: list[tuple[int, list[str]]], origin: str
) -> list[tuple[str, dict[str, str]]]:
    rows = []
    for number, (name, *cells) in lines:
        values: dict[str, str] = {}
        for cell in filter(None, cells):
            key, equals, value = (part.strip() for part in cell.partition("="))
            if not (equals and key and value):
                raise DatasetError(
                    f"{origin}, line {number}: {cell!r} is not key=value; "
                    f"write wall=red, or begin the file with a header such as name,wall,style"
                )
            if key in values:
                raise DatasetError(f"{origin}, line {number}: {key!r} is given twice; keep one")
            values[key] = value
        rows.append((name, values))
    return rows
