"""Palettes: the classes of a label map, their colours, and the way between labels and colours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn.errors import PaletteError
from compnn.images.palette_files import (
    COLUMNS,
    ClassRow,
    classes_file,
    default_colour,
    read_classes,
)

BUILT_IN = (
    *("facades", "cmp-facades", "camvid", "camvid-32", "cityscapes"),
    *("voc", "ade20k", "coco-stuff", "mapillary"),
)
"""Names of the palettes that come with compnn."""

_FOLDER = resources.files("compnn.images") / "palettes"
_BLACK = (0, 0, 0)
_BYTES = frozenset(range(256))
_LAST = 255
# Pixels quantised at a time, so that the temporary arrays stay in the processor's cache.
_CHUNK = 1 << 15


@dataclass(frozen=True, eq=False)
class Palette:
    """The classes of a label map and the colour of each.

    Parameters
    ----------
    name
        Name of the palette, for messages and manifests.
    classes
        Names of the classes; the index in this tuple is the label.
    colours
        (C, 3) uint8 RGB, one distinct colour for each class; kept as a read-only copy.
    void
        Label in C..255 of pixels that are not counted; None if there is none.
    void_colour
        What void is painted in. In pictures of a colour that a class has, too, that is the class.
    indices
        The index of each class in files that hold indices; default: its label.
    void_index
        That of void; default: `void`.
    more_void_indices
        Others of void, of data sets that have several kinds of pixels that are not counted.

    Raises
    ------
    PaletteError
        If classes and colours do not agree, two classes share a name, colour or index, or `void` is
        the label of a class.
    """

    name: str
    classes: tuple[str, ...]
    colours: npt.NDArray[np.uint8]
    void: int | None = None
    void_colour: tuple[int, int, int] = _BLACK
    indices: tuple[int, ...] | None = None
    void_index: int | None = None
    more_void_indices: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        colours = np.array(self.colours)
        count = len(self.classes)
        if not 1 <= count <= 256 or colours.shape != (count, 3):
            raise PaletteError(
                f"palette {self.name!r} has {count} classes and colours of shape {colours.shape}: "
                f"give 1 to 256 classes and one r, g, b colour for each"
            )
        if colours.dtype.kind not in "iu" or colours.min() < 0 or colours.max() > 255:
            raise PaletteError(f"palette {self.name!r}: colours must be whole numbers in 0..255")
        if self.void is not None and not count <= self.void <= 255:
            raise PaletteError(
                f"palette {self.name!r}: void is {self.void}, but it must be a label "
                f"that no class has, in {count}..255"
            )
        indices = tuple(range(count)) if self.indices is None else tuple(self.indices)
        void_index = self.void if self.void_index is None else self.void_index
        more = tuple(self.more_void_indices)
        used = [*indices, *([] if void_index is None else [void_index]), *more]
        if len(indices) != count or len(set(used)) != len(used) or not set(used) <= _BYTES:
            raise PaletteError(
                f"palette {self.name!r}: the indices of its {count} classes are {list(indices)}, "
                f"that of void {', '.join(map(str, (void_index, *more)))}; give each one of its "
                f"own in 0..255"
            )
        if (more or void_index is not None) and self.void is None:
            raise PaletteError(f"palette {self.name!r} has an index of void, but no label for it")
        void_colour = tuple(int(value) for value in self.void_colour)
        if len(void_colour) != 3 or not set(void_colour) <= _BYTES:
            raise PaletteError(
                f"palette {self.name!r}: the colour of void is {void_colour}, not r, g, b in 0..255"
            )
        object.__setattr__(self, "indices", indices)
        object.__setattr__(self, "void_index", void_index)
        object.__setattr__(self, "more_void_indices", more)
        object.__setattr__(self, "void_colour", void_colour)
        colours = colours.astype(np.uint8)
        colours.setflags(write=False)
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "colours", colours)
        self._check_distinct()

    def _check_distinct(self) -> None:
        names: dict[str, int] = {}
        seen: dict[tuple[int, ...], str] = {}
        colours = self.colours.tolist()
        for index, (name, colour) in enumerate(zip(self.classes, colours, strict=True)):
            if name in names:
                raise PaletteError(
                    f"palette {self.name!r}: classes {names[name]} and {index} are both "
                    f"named {name!r}; rename one"
                )
            names[name] = index
            other = seen.setdefault(tuple(colour), name)
            if other != name:
                raise PaletteError(
                    f"palette {self.name!r}: {other!r} and {name!r} have the same colour "
                    f"{tuple(colour)}; change one"
                )

    def __len__(self) -> int:
        """Return the number of classes (void is not one)."""
        return len(self.classes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Palette):
            return NotImplemented
        return self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.name, self.classes, self.colours.tobytes(), self.void))

    def __reduce__(self) -> tuple[Callable[..., Palette], tuple[object, ...]]:
        # Built anew: NumPy forgets that an array was read-only.
        parts = self.void_colour, self.indices, self.void_index, self.more_void_indices
        return Palette, (self.name, self.classes, self.colours, self.void, *parts)

    def __repr__(self) -> str:
        void = "" if self.void is None else f", void {self.void}"
        return f"Palette({self.name!r}, {len(self.classes)} classes{void})"

    def is_label(self) -> npt.NDArray[np.bool_]:
        """Return (256,) bool: which byte values are a class or void."""
        known = np.zeros(256, dtype=np.bool_)
        known[: len(self.classes)] = True
        if self.void is not None:
            known[self.void] = True
        return known

    def label_of_index(self) -> npt.NDArray[np.int16]:
        """Return (256,) int16: the label that each index in a file stands for, -1 for none."""
        labels = np.full(256, -1, np.int16)
        assert self.indices is not None
        labels[list(self.indices)] = np.arange(len(self.classes))
        if self.void is not None:
            labels[self.void_index] = self.void
            labels[list(self.more_void_indices)] = self.void
        return labels

    def quantise(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the label of the nearest colour of every pixel.

        Nearest by squared RGB distance, exactly; ties go to the lowest label. Void takes part by
        its colour, unless that is a class's, too.

        Parameters
        ----------
        rgb
            (H, W, 3) uint8.

        Returns
        -------
        (H, W) uint8 labels.

        Raises
        ------
        PaletteError
            If `rgb` is not (H, W, 3) uint8.
        """
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            raise PaletteError(
                f"quantise takes an RGB image (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}"
            )
        colours, labels = self._candidates()
        # 256 (|p - c|^2 - |p|^2) + candidate: the least of these keys tells distance and candidate.
        # No matrix product: the threads of BLAS spin after each, and a network that runs at the
        # same time (a bank's build) waits for the CPUs.
        lengths = 256 * np.square(colours).sum(axis=1) + np.arange(len(colours), dtype=np.int32)
        factors = -512 * colours
        pixels = rgb.reshape(-1, 3)
        nearest = np.empty(len(pixels), dtype=np.uint8)
        for start in range(0, len(pixels), _CHUNK):
            red, green, blue = np.ascontiguousarray(pixels[start : start + _CHUNK].T, np.int32)
            best = np.full(len(red), np.iinfo(np.int32).max, np.int32)
            for length, (r, g, b) in zip(lengths, factors, strict=True):
                key = red * r
                key += green * g
                key += blue * b
                key += length
                np.minimum(best, key, out=best)
            nearest[start : start + _CHUNK] = best & 255
        return labels[nearest].reshape(rgb.shape[:2])

    def _candidates(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
        """Return the colours that a pixel can be nearest to, and their labels, ascending."""
        labels = list(range(len(self.classes)))
        colours = self.colours.tolist()
        if self.void is not None and list(self.void_colour) not in colours:
            labels.append(self.void)
            colours.append(list(self.void_colour))
        return np.array(colours, dtype=np.int32), np.array(labels, dtype=np.uint8)

    def colourise(self, labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Paint a label map: (H, W) uint8 labels to (H, W, 3) uint8 RGB.

        Raises
        ------
        PaletteError
            If `labels` is not (H, W) uint8 or holds a label that the palette does not have.
        """
        if labels.ndim != 2 or labels.dtype != np.uint8:
            raise PaletteError(
                f"colourise takes a label map (H, W) uint8, not {labels.shape} {labels.dtype}"
            )
        known = self.is_label()
        if not known[labels].all():
            stray = int(labels[~known[labels]].min())
            raise PaletteError(f"label {stray} is not in {self.describe_labels()}")
        table = np.full((256, 3), self.void_colour, dtype=np.uint8)
        table[: len(self.classes)] = self.colours
        return table[labels]

    def describe_labels(self) -> str:
        """Return the labels in words, for messages: `palette 'camvid' (labels 0..10, void 11)`."""
        void = "" if self.void is None else f", void {self.void}"
        return f"palette {self.name!r} (labels 0..{len(self.classes) - 1}{void})"

    def describe_indices(self) -> str:
        """Return what files hold in words: as `describe_labels`, or the indices where they differ.

        `palette 'mask' (indices 0, 255)`.
        """
        plain = self.indices == tuple(range(len(self.classes))) and self.void_index == self.void
        if plain and not self.more_void_indices:
            return self.describe_labels()
        voids = ", ".join(map(str, (self.void_index, *self.more_void_indices)))
        void = "" if self.void is None else f", void {voids}"
        return f"palette {self.name!r} (indices {', '.join(map(str, self.indices or ()))}{void})"

    def to_json(self) -> dict[str, object]:
        """Return a dictionary that JSON can hold and `from_json` reads."""
        # Only where there are any, so that palettes of older banks equal those of today.
        more = {"more_void_indices": list(self.more_void_indices)} if self.more_void_indices else {}
        return {
            "name": self.name,
            "classes": list(self.classes),
            "colours": self.colours.tolist(),
            "void": self.void,
            "void_colour": list(self.void_colour),
            "indices": list(self.indices or ()),
            "void_index": self.void_index,
            **more,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Palette:
        """Return the palette that `to_json` wrote.

        Raises
        ------
        PaletteError
            If a part is missing or malformed.
        """
        wrong: object = dict(data)
        match {"more_void_indices": [], **data}:
            case {
                "name": str(name),
                "classes": [*classes],
                "colours": [*colours],
                "void": int() | None as void,
                "void_colour": [int() as red, int() as green, int() as blue],
                "indices": [*indices],
                "void_index": int() | None as void_index,
                "more_void_indices": [*more],
            } if all(isinstance(each, str) for each in classes):
                try:
                    return cls(
                        name,
                        tuple(map(str, classes)),
                        _colour_array(colours),
                        void,
                        (red, green, blue),
                        tuple(index for index in indices if isinstance(index, int)),
                        void_index,
                        tuple(index for index in more if isinstance(index, int)),
                    )
                except (TypeError, ValueError) as error:
                    wrong = error
        raise PaletteError(
            f"a palette needs name, classes, colours, void, void_colour, indices and void_index; "
            f"this one is malformed: {wrong!r}"
        )

    @classmethod
    def named(cls, name: str) -> Palette:
        """Return a built-in palette.

        They are facades (12 classes; the colours in the files of the Pix2Pix layout, measured),
        cmp-facades (the same in CMP's own colours), camvid (11, void 11), camvid-32 (CamVid's own
        31, and void, of index 30), cityscapes (19, void 255), voc (21, void 255), ade20k (150 from
        index 1 on, void 0 in files), coco-stuff (171 of indices 0 to 181, void 255) and mapillary
        (65 of version 1.2, void 65): the files in `compnn/images/palettes`. The colours of ade20k
        and coco-stuff are of compnn's own choice.

        Raises
        ------
        PaletteError
            If there is no such palette.
        """
        if name not in BUILT_IN:
            raise PaletteError(f"there is no palette {name!r}; built in are {', '.join(BUILT_IN)}")
        with resources.as_file(_FOLDER / f"{name}.csv") as path:
            return cls.load(path)

    @classmethod
    def load(cls, path: str | Path) -> Palette:
        """Return the palette in a file: CSV with the header `index,name,r,g,b`, or another form.

        The forms are those of `compnn.images.palette_files.read_classes`. Classes that the file
        gives no colour have Pascal VOC's of their index.

        An index is what files of indices hold; labels are counted from 0 in the order of the
        classes' indices, which may have gaps (0 and 255 in a mask). Rows named `void` are of pixels
        that are not counted, of any index; where there are several the colour of the first counts.
        The palette is named after the file's stem.

        Raises
        ------
        PaletteError
            If the file is missing or malformed; the message gives the line.
        """
        path = Path(path)
        rows: dict[int, ClassRow] = {}
        for row in read_classes(path):
            if row.index in rows:
                raise PaletteError(
                    f"{row.where}: index {row.index} is used twice; give each row its own"
                )
            rows[row.index] = row
        voids = [row for row in rows.values() if row.void]
        classes = {index: row for index, row in rows.items() if not row.void}
        if not classes:
            raise PaletteError(f"palette file {path} has no classes; give a row for each")
        indices = tuple(sorted(classes))
        names = tuple(classes[index].name for index in indices)
        colours = _colour_array(classes[index].colour or default_colour(index) for index in indices)
        if not voids:
            return cls(path.stem, names, colours, indices=indices)
        void, *others = voids
        # The label of void is its index, where no class has that label.
        label = void.index if void.index >= len(classes) else _LAST
        void_colour = void.colour or default_colour(void.index)
        more = tuple(row.index for row in others)
        return cls(path.stem, names, colours, label, void_colour, indices, void.index, more)


def _colour_array(colours: Iterable[Any]) -> npt.NDArray[np.uint8]:
    """Return (C, 3) uint8; ValueError or TypeError unless they are whole numbers in 0..255."""
    values = bytes(value for colour in colours for value in colour)
    return np.frombuffer(values, dtype=np.uint8).reshape(-1, 3)


def resolve_palette(spec: str | Path | Palette) -> Palette:
    """Return a palette from a palette, the name of a built-in one, or the path of a palette file.

    A folder stands for the file in it that lists a data set's classes: `dataset_meta.json`,
    `labelmap.txt`, `_classes.csv` or `objectInfo150.txt`.

    Raises
    ------
    PaletteError
        If `spec` is neither a built-in name nor a readable palette file; the names are listed.
    """
    if isinstance(spec, Palette):
        return spec
    if isinstance(spec, str) and spec in BUILT_IN:
        return Palette.named(spec)
    path = Path(spec)
    if os.path.isdir(path):
        path = classes_file(path) or path
    if not os.path.isfile(path):
        raise PaletteError(
            f"{str(spec)!r} is neither a built-in palette ({', '.join(BUILT_IN)}) nor a file; "
            f"give one of these names, or a CSV file with the header {','.join(COLUMNS)}"
        )
    return Palette.load(path)
