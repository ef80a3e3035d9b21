"""COCO's JSON: label maps drawn from the polygons and run lengths of annotations."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compnn.data.dataset import Dataset, Pair, check_same_size
from compnn.errors import DatasetError, ImageError
from compnn.files import read_file
from compnn.images.files import StoredImage
from compnn.images.kinds import Labels
from compnn.images.palette import Palette
from compnn.images.palette_files import default_colour

_BACKGROUND = "background"
_VOID = 255
_MOST_BYTES = 1 << 32
_MOST_CLASSES = 255
# Pillow paints what a polygon's border touches; on so many times finer a grid that is little.
_FINER = 4
_FARTHEST = 1e6


class CocoJson(Dataset):
    """Photos, and label maps drawn from a file of annotations as COCO has them.

    The classes are the file's categories by id, whose ids may have gaps. Pixels without annotation
    are of the category named "background", or of a class of that name that comes first. Where
    annotations overlap the later one counts; a crowd (`iscrowd`) is void. A pair is named after
    its file, without extension. Images without annotations are all background.

    Parameters
    ----------
    annotations
        JSON with `images`, `annotations` and `categories`: polygons, or run lengths (RLE, plain or
        compressed).
    images
        The folder that `file_name` of the images counts from.
    ignore_unpaired
        Leave out images that are not in the folder; `unpaired` counts them.
    target_kind
        Label maps of other classes: ids of categories are indices of their palette, and pixels
        without annotation its class "background", or void. Default: as above, void 255.
    attributes
        As in `Dataset`.

    Attributes
    ----------
    unpaired : int
        Images that were left out.

    Raises
    ------
    DatasetError
        If the file cannot be read or is malformed, has no masks, names images that are missing, or
        categories that the palette does not have.
    PaletteError
        If two categories share a name.
    """

    def __init__(
        self,
        annotations: str | Path,
        images: str | Path,
        *,
        ignore_unpaired: bool = False,
        target_kind: Labels | None = None,
        attributes: str | Path | Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._source = Path(annotations)
        document = _read(self._source)
        ids = _categories(document, self._source)
        kind = target_kind or Labels(_palette(ids, self._source))
        self._label_of = _labels_of(ids, kind.palette, self._source, own=target_kind is None)
        self._files, self._sizes = _images(document, Path(images), self._source)
        missing = [str(path) for path, _ in self._files.values() if not os.path.exists(path)]
        if missing and not (ignore_unpaired and len(missing) < len(self._files)):
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise DatasetError(
                f"{self._source} names images that are missing: {', '.join(missing[:3])}{more}; "
                f"give the folder that its names count from (`--inputs`), or leave them out "
                f"(`--ignore-unpaired`)"
            )
        self.unpaired = len(missing)
        absent = frozenset(missing)
        self._files = {
            name: each for name, each in self._files.items() if str(each[0]) not in absent
        }
        void = self._label_of[None] if kind.palette.void is None else kind.palette.void
        self._annotations = _annotations(document, self._label_of, void, self._source)
        super().__init__(self._files, target_kind=kind, attributes=attributes)

    def read(self, name: str) -> Pair:
        """As `Dataset.read`."""
        path, number = self._files[name]
        given = StoredImage.read(path)
        size = given.pixels.shape[0], given.pixels.shape[1]
        told = self._sizes[name] or size
        check_same_size(path, size, self._source, told)
        target = np.full(size, self._label_of[None], np.uint8)
        for label, mask in self._annotations.get(number, ()):
            try:
                _paint(target, label, mask)
            except (TypeError, ValueError, OverflowError) as error:
                raise ImageError(
                    f"{self._source}: an annotation of image {name} is malformed: {error}; correct "
                    f"or remove it"
                ) from error
        return Pair(name, self.input_kind.input_of(given), target)


def mask_of_polygon(corners: Sequence[float], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels of a polygon as bool (H, W).

    Parameters
    ----------
    corners
        x, y, x, y, ...; pixel p spans [p, p + 1].
    size
        (height, width).

    Raises
    ------
    ValueError
        If these are no pairs of finite numbers.
    """
    from PIL import Image, ImageDraw  # it takes a while to load

    points = np.array(corners, np.float64)
    if points.ndim != 1 or points.size % 2 or not (abs(points) < _FARTHEST).all():
        raise ValueError(f"a polygon is x, y, x, y, ..., not {str(corners)[:60]}")
    mask = np.zeros(size, np.bool_)
    points = points.reshape(-1, 2)
    if len(points) < 3:
        return mask
    limits = np.array(size[::-1])
    first = np.clip(np.floor(points.min(axis=0)), 0, limits).astype(int)
    last = np.clip(np.ceil(points.max(axis=0)), 0, limits).astype(int)
    width, height = (last - first).tolist()
    if width and height:
        canvas = Image.new("1", (_FINER * width, _FINER * height))
        fine = (points - first) * _FINER - 0.5
        ImageDraw.Draw(canvas).polygon(list(map(tuple, fine.tolist())), fill=1)
        middle = slice(_FINER // 2 - 1, None, _FINER)
        mask[first[1] : last[1], first[0] : last[0]] = np.asarray(canvas)[middle, middle]
    return mask


def mask_of_runs(counts: Sequence[int], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels of run lengths as bool (H, W).

    Parameters
    ----------
    counts
        How many pixels in turn are outside, inside, outside, ..., column by column.
    size
        (height, width).

    Raises
    ------
    ValueError
        If they do not add up to the pixels.
    """
    runs = np.array(counts, np.int64)
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != size[0] * size[1]:
        raise ValueError(
            f"run lengths add up to {runs.sum()}, not to the {size[0] * size[1]} pixels of an "
            f"image of {size[0]}x{size[1]} (height x width)"
        )
    inside = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(inside, runs).reshape(size[::-1]).T)


def counts_of_text(text: str) -> list[int]:
    """Return the run lengths that COCO packs into a text.

    Five bits a character, from 48 on, the lowest first; the sixth bit says that more follow. From
    the fourth on a number is the difference to the one two places before.

    Raises
    ------
    ValueError
        If it is not such a text.
    """
    counts: list[int] = []
    value = place = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise ValueError(f"run lengths hold the character {character!r}")
        value |= (code & 31) << place
        place += 5
        if code & 32:
            continue
        if code & 16:  # the sign
            value -= 1 << place
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = place = 0
    if place:
        raise ValueError("run lengths end within a number")
    return counts


def _paint(target: npt.NDArray[np.uint8], label: int, segmentation: object) -> None:
    """Give the pixels of an annotation their label."""
    size = target.shape[0], target.shape[1]
    match segmentation:
        case [*polygons]:
            for polygon in polygons:
                if not isinstance(polygon, list):
                    raise ValueError(f"its polygons are no lists, but {str(polygon)[:60]}")
                target[mask_of_polygon(polygon, size)] = label
        case {"size": [int() as height, int() as width], "counts": str() | [*_] as counts}:
            if (height, width) != size:
                raise ValueError(
                    f"its run lengths are of {height}x{width}, the image of {size[0]}x{size[1]} "
                    f"(height x width)"
                )
            runs = counts_of_text(counts) if isinstance(counts, str) else counts
            target[mask_of_runs(runs, size)] = label
        case _:
            found = str(segmentation)[:60]
            raise ValueError(f"its segmentation is neither polygons nor run lengths, but {found}")


def _read(file: Path) -> Mapping[str, object]:
    try:
        document = json.loads(read_file(file, _MOST_BYTES))
    except OSError as error:
        raise DatasetError(f"annotations {file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"annotations {file} are no JSON: {error}") from error
    match document:
        case {"images": [_, *_], "annotations": [*_], "categories": [_, *_]}:
            return dict(document)
    raise DatasetError(
        f"annotations {file} need lists of images, annotations and categories; give the file of "
        f"instances in COCO's form"
    )


def _entries(document: Mapping[str, object], key: str) -> list[object]:
    entries = document[key]
    assert isinstance(entries, list)
    return entries


def _categories(document: Mapping[str, object], file: Path) -> dict[int, str]:
    """The names of the categories by their ids, ascending."""
    names: dict[int, str] = {}
    for each in _entries(document, "categories"):
        match each:
            case {"id": int() as number, "name": str() as name} if number not in names:
                names[number] = name
            case _:
                raise DatasetError(
                    f"annotations {file}: a category needs an id of its own and a name, unlike "
                    f"{str(each)[:60]}"
                )
    return dict(sorted(names.items()))


def _palette(names: Mapping[int, str], file: Path) -> Palette:
    """The categories as classes, after the background if they have none."""
    classes = list(names.values())
    if not any(map(_is_background, classes)):
        classes.insert(0, _BACKGROUND)
    if len(classes) > _MOST_CLASSES:
        raise DatasetError(
            f"annotations {file} have {len(classes)} classes, more than the {_MOST_CLASSES} that "
            f"label maps can hold"
        )
    colours = np.array([default_colour(label) for label in range(len(classes))], np.uint8)
    return Palette(file.stem, tuple(classes), colours, _VOID, default_colour(_VOID))


def _is_background(name: str) -> bool:
    return name.lower() == _BACKGROUND


def _labels_of(
    names: Mapping[int, str], palette: Palette, file: Path, *, own: bool
) -> dict[int | None, int]:
    """The label of each category's id, and for None that of pixels without annotation."""
    background = next((i for i, name in enumerate(palette.classes) if _is_background(name)), None)
    if background is None:
        background = palette.void
    if background is None:
        raise DatasetError(
            f"palette {palette.name!r} has neither a class {_BACKGROUND!r} nor void for pixels "
            f"without annotation in {file}; add a row for one"
        )
    found: dict[int | None, int] = {None: background}
    table = dict(enumerate(palette.label_of_index().tolist()))
    for number, name in names.items():
        label = palette.classes.index(name) if own else table.get(number, -1)
        if label < 0:
            raise DatasetError(
                f"annotations {file}: category {number} ({name}) is not in "
                f"{palette.describe_indices()}; give a palette with the ids of the categories"
            )
        found[number] = label
    return found


def _images(
    document: Mapping[str, object], folder: Path, file: Path
) -> tuple[dict[str, tuple[Path, int]], dict[str, tuple[int, int] | None]]:
    """The path and the id of each image by its name, and its size where that is told."""
    files: dict[str, tuple[Path, int]] = {}
    sizes: dict[str, tuple[int, int] | None] = {}
    numbers: list[int] = []
    for each in _entries(document, "images"):
        match each:
            case {"id": int() as number, "file_name": str() as written}:
                name = os.path.splitext(written)[0]
            case _:
                raise DatasetError(
                    f"annotations {file}: an image needs an id and a file_name, unlike "
                    f"{str(each)[:60]}"
                )
        if name in files:
            raise DatasetError(f"annotations {file}: two images are named {name!r}; keep one")
        files[name] = folder / written, number
        numbers.append(number)
        match each:
            case {"height": int() as height, "width": int() as width}:
                sizes[name] = height, width
            case _:
                sizes[name] = None
    for one, other in pairwise(sorted(numbers)):
        if one == other:
            raise DatasetError(f"annotations {file}: two images have the id {one}; renumber one")
    return files, sizes


def _annotations(
    document: Mapping[str, object], label_of: Mapping[int | None, int], void: int, file: Path
) -> dict[int, list[tuple[int, object]]]:
    """The label and the segmentation of each annotation, in their order, by the image's id."""
    found: defaultdict[int, list[tuple[int, object]]] = defaultdict(list)
    for each in _entries(document, "annotations"):
        match each:
            case {"image_id": int() as image, "category_id": int() as category, **others}:
                segmentation = others.get("segmentation")
            case _:
                raise DatasetError(
                    f"annotations {file}: an annotation needs image_id and category_id, unlike "
                    f"{str(each)[:60]}"
                )
        if category not in label_of:
            raise DatasetError(
                f"annotations {file}: an annotation of image {image} is of category {category}, "
                f"which the file does not list"
            )
        if segmentation:
            found[image].append(
                (void if others.get("iscrowd") else label_of[category], segmentation)
            )
    if not found:
        raise DatasetError(
            f"annotations {file} have boxes only; label maps need polygons or run lengths "
            f"(`segmentation`)"
        )
    return dict(found)
