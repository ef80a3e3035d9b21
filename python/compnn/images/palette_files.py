"""Files that list the classes of label maps, in the forms that tools write."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from compnn.errors import PaletteError
from compnn.files import read_file
from compnn.names import csv_rows

COLUMNS = ("index", "name", "r", "g", "b")
"""Header of compnn's own form."""

_PIXEL_VALUES = ("pixel value", "class")
_ADE = ("idx", "ratio", "train", "val", "stuff", "name")
_CVAT = "# label:color_rgb:parts:actions"
_VOID = "void"
_NAMES = ("dataset_meta.json", "labelmap.txt", "_classes.csv", "objectInfo150.txt")
_MOST_BYTES = 1 << 22
_BYTES = range(256)

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class ClassRow:
    """A class in a file, or void.

    Attributes
    ----------
    where
        The file and the line, for messages.
    index
        What label maps hold.
    name, colour
        None where the file has no colours.
    void
        Whether its pixels are not counted.
    """

    where: str
    index: int
    name: str
    colour: Colour | None = None
    void: bool = False


def classes_file(folder: Path) -> Path | None:
    """Return the file of a data set's folder that lists its classes; None where it has none."""
    return next((folder / name for name in _NAMES if os.path.isfile(folder / name)), None)


def read_classes(path: Path) -> list[ClassRow]:
    """Return the classes in a file, in its order.

    Forms: CSV `index,name,r,g,b`, or only `index,name`; Roboflow's `Pixel Value,Class`; CVAT's
    `labelmap.txt`; JSON with `id2label` (or only that), `label_map` and `segmentation_colors`, or
    `labels` as Mapillary has them; ADE20K's `objectInfo150.txt`; a text with a name a line, counted
    from 0. A class named `void`
    is void, and one that Mapillary does not evaluate.

    Raises
    ------
    PaletteError
        If the file cannot be read or is malformed; the message gives the line.
    """
    file = f"palette file {path}"
    try:
        data = read_file(path, _MOST_BYTES)
        if path.suffix.lower() == ".json":
            return _json_classes(json.loads(data), file)
        if path.suffix.lower() == ".txt":
            return _text_classes(data.decode("utf-8-sig").splitlines(), file)
        rows = csv_rows(data)
    except OSError as error:
        raise PaletteError(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise PaletteError(f"{file} cannot be read: {error}") from error
    header = tuple(cell.lower() for cell in rows[0][1]) if rows else ()
    if header == _PIXEL_VALUES:
        return [_pixel_value(cells, f"{file}, line {line}") for line, cells in rows[1:]]
    if header == COLUMNS[:2]:
        return [_pixel_value(cells, f"{file}, line {line}") for line, cells in rows[1:]]
    if header != COLUMNS:
        raise PaletteError(
            f"{file} must begin with the header {','.join(COLUMNS)}, not {','.join(header)!r}"
        )
    return [_coloured(cells, f"{file}, line {line}") for line, cells in rows[1:]]


def default_colour(index: int) -> Colour:
    """A colour for an index that has none: Pascal VOC's, whose bits are the index's."""
    channels = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            channels[channel] |= (index >> (3 * place + channel) & 1) << (7 - place)
    return channels[0], channels[1], channels[2]


def _coloured(cells: list[str], where: str) -> ClassRow:
    if len(cells) != len(COLUMNS):
        raise PaletteError(f"{where}: has {len(cells)} cells, not the 5 of {','.join(COLUMNS)}")
    try:
        index, red, green, blue = (int(cell) for cell in (cells[0], *cells[2:]))
    except ValueError:
        raise PaletteError(
            f"{where}: index, r, g and b must be whole numbers, not {','.join(cells)!r}"
        ) from None
    if not all(value in _BYTES for value in (index, red, green, blue)):
        raise PaletteError(f"{where}: index, r, g and b must be in 0..255, not {','.join(cells)!r}")
    return ClassRow(where, index, cells[1], (red, green, blue), cells[1] == _VOID)


def _pixel_value(cells: list[str], where: str) -> ClassRow:
    if len(cells) != len(_PIXEL_VALUES):
        raise PaletteError(f"{where}: has {len(cells)} cells, not an index and a name")
    return ClassRow(where, _index(cells[0], where), cells[1], void=cells[1] == _VOID)


def _text_classes(lines: list[str], file: str) -> list[ClassRow]:
    if lines and tuple(lines[0].lower().split()) == _ADE:
        return _ade_classes(lines[1:], file)
    cvat = bool(lines) and lines[0].strip() == _CVAT
    found: list[ClassRow] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or (cvat and text.startswith("#")):
            continue
        where, name, colour = f"{file}, line {number}", text, None
        if "\t" in text:
            raise PaletteError(f"{where}: has columns; give a name a line")
        if cvat:
            name, _, rest = text.rpartition(":")[0].rpartition(":")[0].rpartition(":")
            colour = _rgb(rest.split(","), where)
        found.append(ClassRow(where, len(found), name, colour, name == _VOID))
    return found


def _ade_classes(lines: list[str], file: str) -> list[ClassRow]:
    """ADE20K's objectInfo150.txt: 0, which it does not list, is of no class."""
    found = [ClassRow(file, 0, _VOID, (0, 0, 0), void=True)]
    for number, line in enumerate(lines, 2):
        cells = line.strip().split("\t")
        where = f"{file}, line {number}"
        if line.strip() and len(cells) != len(_ADE):
            raise PaletteError(f"{where}: has {len(cells)} columns, not {len(_ADE)}")
        if line.strip():
            found.append(ClassRow(where, _index(cells[0], where), cells[-1]))
    return found


def _json_classes(document: object, file: str) -> list[ClassRow]:
    match document:
        case {"id2label": Mapping() as names}:
            return _numbered(names, lambda index: None, file)
        case {"label_map": Mapping() as names, "segmentation_colors": [*colours]}:
            # A colour for each class, in their order, or for each index.
            indices = sorted(_index(key, f"{file}, class {key!r}") for key in names)
            order = indices if len(indices) == len(colours) else range(len(colours))
            rows = dict(zip(order, colours, strict=False))
            return _numbered(names, lambda index: _rgb(rows.get(index), file), file)
        case {"label_map": Mapping() as names}:
            return _numbered(names, lambda index: None, file)
        case {"labels": [*labels]}:
            return [_mapillary(label, index, file) for index, label in enumerate(labels)]
        case Mapping() if document:
            return _numbered(document, lambda index: None, file)
    raise PaletteError(
        f"{file} is none of the JSON files that list classes: an object of index and name, "
        f"`id2label`, `label_map`, or Mapillary's `labels`"
    )


def _numbered(
    names: Mapping[str, object], colour: Callable[[int], Colour | None], file: str
) -> list[ClassRow]:
    found = []
    for key, name in names.items():
        where = f"{file}, class {key!r}"
        if not isinstance(name, str):
            raise PaletteError(f"{where}: its name is {name!r}; give a text")
        index = _index(key, where)
        found.append(ClassRow(where, index, name, colour(index), name == _VOID))
    return found


def _mapillary(label: object, index: int, file: str) -> ClassRow:
    where = f"{file}, label {index}"
    match label:
        case {"name": str(name), "color": [*colour], "evaluate": False}:
            return ClassRow(where, _index(index, where), name, _rgb(colour, where), True)
        case {"name": str(name), "color": [*colour]}:
            return ClassRow(where, _index(index, where), name, _rgb(colour, where))
    raise PaletteError(f"{where}: it needs a name and a color")


def _index(value: object, where: str) -> int:
    try:
        index = int(str(value))
    except ValueError:
        index = -1
    if index not in _BYTES:
        raise PaletteError(f"{where}: the index must be a whole number in 0..255, not {value!r}")
    return index


def _rgb(values: object, where: str) -> Colour:
    try:
        if not isinstance(values, list):
            raise TypeError
        red, green, blue = (int(str(value)) for value in values)
    except (TypeError, ValueError):
        red = green = blue = -1
    if not all(value in _BYTES for value in (red, green, blue)):
        raise PaletteError(f"{where}: a colour is r, g, b in 0..255, not {values!r}")
    return red, green, blue
