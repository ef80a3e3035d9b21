"""Which training images may be used: by name, by attribute, by the classes in their label maps."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from compnn.errors import SearchError
from compnn.files import read_file
from compnn.images.files import IMAGE_EXTENSIONS
from compnn.images.kinds import Labels

if TYPE_CHECKING:
    from compnn.bank.bank import Bank

Mask = npt.NDArray[np.bool_]

LEAST_SHARE = 0.001
"""A class occurs in a label map when blocks of 2x2 pixels of it cover this share of the pixels.

Speckle is no class, nor are the lines that JPEG leaves between two classes, whose mixed colour is
that of a third: without the blocks nearly every map of CMP Facades would have shops.
"""

_CONDITION = re.compile(r"\s*(?P<key>.+?)\s*(?P<operator>!?=)\s*(?P<value>.*?)\s*")
_LISTED = 8


@dataclass(frozen=True)
class Selection:
    """A choice of training images, to be given to an `Explainer` as `among`.

    An image is chosen when it passes all four filters; an empty filter passes every image.

    Parameters
    ----------
    only
        Names, patterns (`cmp_*`, as in the shell, case-sensitive), or `@names.txt`, a file with a
        name or pattern in each line (`#` begins a comment): images that match any of them. Names
        are with or without extension.
    exclude
        The same: images that match none of them.
    where
        Conditions on attributes, all of which must hold: `wall=red`, `wall!=red`; the value may be
        a pattern. An image without the attribute does not fulfil `=`, and fulfils `!=`.
    classes
        Classes that must all occur in the image's label map (of the target; of the input where
        targets are photos), or `not NAME`, which must not. What JPEG leaves of a class where there
        is none does not count, see `LEAST_SHARE`.

    Examples
    --------
    >>> red = Selection(where=("wall=red",), classes=("window", "not shop"))
    >>> print(red)
    where wall=red, classes window and not shop
    >>> explainer.explain(image, "decoder_2", among=red)
    """

    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            entries = getattr(self, field.name)
            entries = (entries,) if isinstance(entries, str) else tuple(entries)
            object.__setattr__(self, field.name, entries)

    def __str__(self) -> str:
        parts = [
            f"{name} {joint.join(entries)}"
            for name, joint, entries in (
                ("only", " or ", _shortened(self.only)),
                ("exclude", " or ", _shortened(self.exclude)),
                ("where", " and ", self.where),
                ("classes", " and ", self.classes),
            )
            if entries
        ]
        return ", ".join(parts) or "all images"

    @property
    def is_everything(self) -> bool:
        """Whether no filter is set, so that every image is chosen."""
        return not (self.only or self.exclude or self.where or self.classes)

    def select(self, bank: Bank) -> list[int]:
        """Return the indices, ascending, of the images of `bank` that are chosen.

        Raises
        ------
        SearchError
            If a name, attribute, value or class occurs nowhere in the bank, a file of names cannot
            be read, or no image is left.
        BankError
            If a label map that is looked at is damaged.
        """
        chosen = np.ones(len(bank), np.bool_)
        steps = []
        for words, passed in self._filters(bank):
            chosen &= passed
            steps.append(f"{words} leaves {int(chosen.sum())}")
        if not chosen.any():
            raise SearchError(
                f"no training image is left of {len(bank)}: {', then '.join(steps)}; "
                f"drop or loosen one of these"
            )
        return [int(index) for index in np.flatnonzero(chosen)]

    def _filters(self, bank: Bank) -> list[tuple[str, Mask]]:
        """Each filter in words, with the images that pass it."""
        filters = []
        if self.only:
            named = _named(self.only, bank.names)
            filters.append((str(Selection(only=self.only)), named))
        if self.exclude:
            named = _named(self.exclude, bank.names)
            filters.append((str(Selection(exclude=self.exclude)), ~named))
        filters += [(f"where {each}", _fulfilling(each, bank)) for each in self.where]
        if self.classes:
            occurring = _Occurrence(bank)
            filters += [(f"classes {each}", occurring.passing(each)) for each in self.classes]
        return filters


def _shortened(names: Sequence[str]) -> Sequence[str]:
    return names if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more"]


# Names


def _named(entries: Sequence[str], names: Sequence[str]) -> Mask:
    """The images that match any of the names, patterns and files of them."""
    places = {name: index for index, name in enumerate(names)}
    found = np.zeros(len(names), np.bool_)
    for entry in entries:
        if entry.startswith("@") and entry not in places:
            for line in _listed(Path(entry[1:])):
                found[_matching(line, places, f" (of {entry[1:]})")] = True
        else:
            found[_matching(entry, places, "")] = True
    return found


def _matching(entry: str, places: dict[str, int], origin: str) -> list[int]:
    """The images that one name or pattern matches, as it is or else without its extension."""
    stem, extension = os.path.splitext(entry)
    for tried in (entry, stem) if extension.lower() in IMAGE_EXTENSIONS else (entry,):
        # A name is itself before it is a pattern: it may have brackets.
        if tried in places:
            return [places[tried]]
        matching = [index for name, index in places.items() if fnmatchcase(name, tried)]
        if matching:
            return matching
    lower_case = {name.lower(): name for name in places}
    near = [lower_case[each] for each in difflib.get_close_matches(entry.lower(), lower_case, n=3)]
    hint = f"near names are {', '.join(near)}" if near else f"its names are {_some(places)}"
    raise SearchError(f"the bank has no image that matches {entry!r}{origin}; {hint}")


def _listed(path: Path) -> list[str]:
    """The names and patterns in a file."""
    try:
        text = read_file(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SearchError(f"the file of names {path} cannot be read: {error}") from error
    lines = [line.strip() for line in text.splitlines()]
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise SearchError(f"the file of names {path} is empty; write one name or pattern a line")
    return names


# Attributes


def _fulfilling(condition: str, bank: Bank) -> Mask:
    """The images that fulfil `key=value` or `key!=value`."""
    parts = _CONDITION.fullmatch(condition)
    if parts is None or not parts["value"]:
        raise SearchError(
            f"the condition {condition!r} is not of the form key=value or key!=value; "
            f"write for example wall=red"
        )
    key, pattern = parts["key"], parts["value"]
    found = [bank.attributes.get(name, {}).get(key) for name in bank.names]
    values = sorted({value for value in found if value is not None})
    if not values:
        raise SearchError(_no_such_key(key, bank))
    # A value is itself before it is a pattern.
    meant = {pattern} & set(values) or {each for each in values if fnmatchcase(each, pattern)}
    if not meant:
        raise SearchError(
            f"no training image has {key}={pattern}; the values of {key} are {', '.join(values)}"
        )
    equal = np.array([value in meant for value in found], np.bool_)
    return equal if parts["operator"] == "=" else ~equal


def _no_such_key(key: str, bank: Bank) -> str:
    keys = sorted({key for name in bank.names for key in bank.attributes.get(name, {})})
    if not keys:
        return (
            f"no training image has the attribute {key!r}, or any other: the bank was built "
            f"without; build it with a file of attributes (`--attributes`)"
        )
    return f"no training image has the attribute {key!r}; the bank's are {', '.join(keys)}"


# Classes


class _Occurrence:
    """Which classes occur in which images of a bank."""

    def __init__(self, bank: Bank) -> None:
        everything = range(len(bank))
        kind, pictures = bank.target_kind, bank.targets
        if not isinstance(kind, Labels):
            kind, pictures = bank.input_kind, bank.inputs
        if not isinstance(kind, Labels):
            raise SearchError(
                f"the bank {bank.path} cannot be filtered by class: its images are no label maps; "
                f"build it with the palette of its label maps, or filter by name or attribute"
            )
        pictures.check(everything)
        self._classes = kind.palette.classes
        self._occurs = np.array(
            [
                _occurring(kind.labels(pictures.picture(image)), len(kind.palette))
                for image in everything
            ]
        )

    def passing(self, entry: str) -> Mask:
        """The images that pass `NAME` or `not NAME`."""
        wanted, name = True, entry
        if name not in self._classes and name.startswith("not "):
            wanted, name = False, name[len("not ") :].strip()
        if name not in self._classes:
            raise SearchError(
                f"there is no class {name!r}; the classes are {', '.join(self._classes)}"
            )
        passing: Mask = self._occurs[:, self._classes.index(name)] == wanted
        return passing


def _occurring(labels: npt.NDArray[np.uint8], classes: int) -> Mask:
    """Which of the classes occur in a label map: bool (C,)."""
    first, right = labels[:-1, :-1], labels[:-1, 1:]
    below, across = labels[1:, :-1], labels[1:, 1:]
    block = (first == right) & (first == below) & (first == across)
    covered = np.zeros(labels.shape, np.bool_)
    for corner in np.ndindex(2, 2):
        rows, cols = (
            slice(each, each + size) for each, size in zip(corner, block.shape, strict=True)
        )
        covered[rows, cols] |= block
    counts = np.bincount(labels[covered], minlength=256)[:classes]
    occurring: Mask = counts >= LEAST_SHARE * labels.size
    return occurring


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return f"{', '.join(listed[:_LISTED])}{more}"
