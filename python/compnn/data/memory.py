"""Pairs that are in memory, or that others read: lists, PyTorch datasets, rows, samples."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from compnn.data.dataset import Dataset, Pair
from compnn.errors import DatasetError, ImageError
from compnn.images.files import StoredImage
from compnn.images.kinds import Kind, Labels, Photo, Picture

Key: TypeAlias = int | str | Callable[[object], object]
"""What gives a part of an item: its place in a tuple, its name in a row, or a function."""

# Half a step of an 8-bit image: rounding in others' scaling, no other range.
_SLACK = 1 / 510
_BYTES = frozenset(np.arange(256).tolist())
# How often the first pair is read to see that it is the same each time.
_READS = 4


def pairs(
    source: Iterable[object],
    input: Key = 0,
    target: Key = 1,
    *,
    target_kind: Kind | None = None,
    input_kind: Kind | None = None,
    names: Sequence[str] | str | None = None,
    range: tuple[float, float] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    ignore: int | None = None,
    attributes: str | Path | Mapping[str, Mapping[str, str]] | None = None,
) -> MemoryPairs:
    """Training pairs from a list, a PyTorch dataset, rows of Hugging Face, samples of FiftyOne.

    Pictures are tensors, arrays, PIL images, or paths of files, which are read as those of folders.
    Arrays are (C, H, W) or (H, W, C): images are unsigned whole numbers, or floats in [0, 1] unless
    a range is told; label maps are whole numbers (H, W), the indices of their palette; values are
    numbers (H, W). Of a PIL image in mode P that is a label map the indices count. All is checked
    as files are. PyTorch is not needed.

    Parameters
    ----------
    source
        What has a length and numbered items, which are read when they are needed, one at a time;
        or another iterable (a generator, a dataset of FiftyOne), which is kept as a list, all in
        memory. Without random augmentation: an item must be the same each time.
    input, target
        Where an item has them: the place in a tuple, the name in a row or sample, or a function of
        the item.
    target_kind, input_kind
        As in `Dataset`. Default: photos.
    names
        Of the pairs; or the name of the field that has them. Default: their numbers.
    range
        (lo, hi): the floats that are black and white. Default: (0, 1).
    mean, std
        Instead: what images were normalised with, one number a channel; it is undone.
    ignore
        The label of pixels that do not count, such as -1, -100 or 255: it becomes the palette's
        void. In files it must be one of the palette's indices.
    attributes
        As in `Dataset`.

    Raises
    ------
    DatasetError
        When there are no pairs, the iterable fails, the first is not the same each time, names do
        not fit, or the range makes no sense.
    ImageError
        When the first pair cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> rows = [{"image": np.zeros((8, 8, 3), np.uint8), "annotation": np.ones((8, 8), np.int64)}]
    >>> pairs(rows, "image", "annotation", target_kind=Labels("camvid"))
    MemoryPairs(1 pairs)
    """
    return MemoryPairs(
        source,
        input,
        target,
        kinds=(input_kind, target_kind),
        names=names,
        scaling=_scaling(range, mean, std),
        ignore=ignore,
        attributes=attributes,
    )


class MemoryPairs(Dataset):
    """What `pairs` makes; its parameters are explained there."""

    def __init__(
        self,
        source: Iterable[object],
        input: Key,
        target: Key,
        *,
        kinds: tuple[Kind | None, Kind | None],
        names: Sequence[str] | str | None,
        scaling: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
        ignore: int | None,
        attributes: str | Path | Mapping[str, Mapping[str, str]] | None,
    ) -> None:
        held = _numbered(source)
        self._source = held
        self._turn = _Turn()
        self._keys = input, target
        count = len(held)
        if count == 0:
            raise DatasetError(f"the {type(source).__name__} is empty; give one with pairs")
        if isinstance(names, str):
            given = [str(self._part(index, names)) for index in np.arange(count).tolist()]
        else:
            given = [str(index) for index in np.arange(count)] if names is None else list(names)
        if len(given) != count:
            raise DatasetError(
                f"there are {count} pairs, but {len(given)} names; give one for each"
            )
        self._scale, self._offset = scaling
        self._ignore = ignore
        self._index = {name: index for index, name in enumerate(given)}
        super().__init__(given, input_kind=kinds[0], target_kind=kinds[1], attributes=attributes)
        kind = self.target_kind
        if ignore is not None and (not isinstance(kind, Labels) or kind.palette.void is None):
            raise DatasetError(
                f"label {ignore} cannot be ignored: the targets are {kind.describe()} without "
                f"void; give a palette that has a void class"
            )
        if held is not source and count > 1:
            self._check_kept()
        self._check_repeats(given[0])

    def swapped(self) -> MemoryPairs:
        """As `Dataset.swapped`."""
        other = copy.copy(self)
        other._keys = self._keys[1], self._keys[0]
        return other

    def read(self, name: str) -> Pair:
        """As `Dataset.read`."""
        given, wanted = self._arrays(name)
        what = self._what(name)
        seen = self.input_kind
        if isinstance(given, StoredImage):
            picture: Picture = seen.input_of(given)
        elif isinstance(seen, Labels) and np.ndim(given) == 2:
            picture = seen.paint(self._labels(given, seen, what[0]))
        else:
            picture = self._photo(given, seen.seen, what[0])
        kind = self.target_kind
        if isinstance(wanted, StoredImage):
            target = self._ignored(kind.target_of(wanted), kind)
        elif isinstance(kind, Photo):
            target = self._photo(wanted, kind, what[1])
        else:
            target = self._map(wanted, kind, what[1])
        return Pair(name, picture, target)

    def _item(self, index: int) -> object:
        try:
            found: object = self._source[index]
        except Exception as error:  # whatever the dataset raises
            raise ImageError(
                f"item {index} cannot be read from its {type(self._source).__name__}: "
                f"{type(error).__name__}: {error}"
            ) from error
        return found

    def _part(self, index: int, key: Key) -> object:
        item: Any = self._item(index)
        if callable(key):
            try:
                return key(item)
            except Exception as error:  # whatever functions of users raise
                raise ImageError(
                    f"item {index}: the function that gives a part of it raises "
                    f"{type(error).__name__}: {error}"
                ) from error
        try:
            found: object = item[key]
        except Exception as error:  # whatever rows of others raise
            if isinstance(key, str) and hasattr(item, key):
                return getattr(item, key)
            has = f"has {', '.join(map(repr, item))}" if isinstance(item, Mapping) else "is no pair"
            raise DatasetError(
                f"item {index} is a {type(item).__name__} that {has}, not {key!r}; say where "
                f'input and target are, as in `pairs(rows, "image", "annotation")`'
            ) from error
        return found

    def _arrays(self, name: str) -> tuple[npt.NDArray[Any] | StoredImage, ...]:
        index, kinds = self._index[name], (self.input_kind, self.target_kind)
        with self._turn:  # a build reads by several threads, which few datasets are written for
            parts = [
                part if isinstance(part, str | Path) else _array(part, kind, what)
                for part, kind, what in zip(
                    (self._part(index, key) for key in self._keys),
                    kinds,
                    self._what(name),
                    strict=True,
                )
            ]
        return tuple(
            StoredImage.read(part) if isinstance(part, str | Path) else part for part in parts
        )

    def _what(self, name: str) -> tuple[str, str]:
        """What messages call input and target of a pair."""
        index = self._index[name]
        pair = f"pair {name}" if name == str(index) else f"pair {name}, item {index}"
        return f"(the input of {pair})", f"(the target of {pair})"

    def _check_kept(self) -> None:
        """Refuse an iterable that has overwritten what it gave before."""
        one, other = (self._part(index, self._keys[0]) for index in (0, 1))
        if isinstance(one, str | Path):
            return
        if one is other or np.shares_memory(_shared(one), _shared(other)):
            raise DatasetError(
                "the inputs of items 0 and 1 are the same memory: all items would be the last; "
                "give a copy of each (`image.copy()`)"
            )

    def _check_repeats(self, name: str) -> None:
        first = [_bytes(each) for each in self._arrays(name)]
        for _ in np.arange(_READS - 1):
            if [_bytes(each) for each in self._arrays(name)] != first:
                raise DatasetError(
                    f"pair {name} is another one each time it is read; take random augmentation "
                    f"(crops, flips, colours) out of the dataset"
                )

    def _ignored(self, target: Picture, kind: Kind) -> Picture:
        """The target of a file, void where that holds what is ignored."""
        if isinstance(kind, Labels) and self._ignore in _BYTES and kind.palette.void is not None:
            target[target == kind.palette.label_of_index()[self._ignore]] = kind.palette.void
        return target

    def _map(self, values: npt.NDArray[Any], kind: Kind, what: str) -> Picture:
        """A label map or values (H, W)."""
        if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
            values = values[0] if values.shape[0] == 1 else values[..., 0]
        if values.ndim != 2:
            remedy = "; of scores a class, give the largest: `.argmax(0)`"
            raise ImageError(
                f"{what} has shape {values.shape}, not (H, W){remedy * isinstance(kind, Labels)}"
            )
        if isinstance(kind, Labels):
            return self._labels(values, kind, what)
        return kind.target_of(StoredImage(Path(what), values))

    def _labels(self, values: npt.NDArray[Any], kind: Labels, what: str) -> npt.NDArray[np.uint8]:
        """The label map of indices of the palette."""
        if values.dtype.kind not in "iub":
            raise ImageError(f"{what} is {values.dtype}; labels are integers: `.long()`")
        palette, ignored = kind.palette, None
        if self._ignore is not None and kind == self.target_kind:
            # What does not count is read as a class that does, and is void then.
            ignored = values == self._ignore
            first = np.flatnonzero(palette.label_of_index() >= 0)[0]
            values = np.where(ignored, first, values)
        try:
            labels = StoredImage(Path(what), values).labels(palette)
        except ImageError as error:
            raise ImageError(
                f"{error}. If it stands for pixels that do not count, say so: `ignore=`"
            ) from error
        if ignored is not None and palette.void is not None:
            labels[ignored] = palette.void
        return labels

    def _photo(
        self, values: npt.NDArray[Any], kind: Photo, what: str
    ) -> npt.NDArray[np.unsignedinteger[Any]]:
        """Pixels (H, W, channels) of an image."""
        if values.ndim == 2:
            values = values[None]
        allowed = {kind.channels, 1} if kind.channels == 3 else {kind.channels}
        ends = [values.ndim == 3 and values.shape[dim] in allowed for dim in (0, -1)]
        if not any(ends) or not values.size:
            raise ImageError(
                f"{what} has shape {values.shape}, not ({kind.channels}, H, W) or "
                f"(H, W, {kind.channels})"
            )
        if all(ends):
            raise ImageError(
                f"{what} has shape {values.shape}, of which either end may be the channels; give "
                f"images of more than {max(allowed)} pixels"
            )
        pixels = values.transpose(1, 2, 0) if ends[0] else values
        if pixels.dtype.kind == "f":
            pixels = self._pixels(pixels.astype(np.float32), kind, what)
        photo = StoredImage(Path(what), pixels).photo(kind.channels, kind.white)
        _check_light(float(photo.max()), what)
        return photo

    def _pixels(
        self, values: npt.NDArray[np.float32], kind: Photo, what: str
    ) -> npt.NDArray[np.unsignedinteger[Any]]:
        if len(self._scale) not in (1, values.shape[2]):
            raise ImageError(
                f"{what} has {values.shape[2]} channels, but mean and std have {len(self._scale)}"
            )
        unit = values * self._scale + self._offset
        if not (unit.min() >= -_SLACK and unit.max() <= 1 + _SLACK):  # NaN, too
            raise ImageError(
                f"{what} has values from {values.min():g} to {values.max():g}, which are not those "
                f"of an image in the range that was given (default: [0, 1]); give "
                f"`range=(lo, hi)`, or `mean=` and `std=` that it was normalised with"
            )
        _check_light(kind.white * float(unit.max()), what)
        pixels: npt.NDArray[np.unsignedinteger[Any]] = np.rint(kind.white * unit.clip(0, 1))
        return pixels.astype(kind.dtype)


class _Turn:
    """A lock that subsets share, and that can be pickled: there it is another."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *raised: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[_Turn], tuple[()]]:
        return _Turn, ()


def _numbered(source: Iterable[object]) -> Any:
    """What has a length and numbered items: the source, or a list of what it gives."""
    name = type(source).__name__
    # FiftyOne's have a length, and items by id only.
    by_number = all(hasattr(source, each) for each in ("__len__", "__getitem__"))
    by_number &= not hasattr(source, "iter_samples")
    if isinstance(source, str | Path | Mapping) or not (by_number or isinstance(source, Iterable)):
        raise DatasetError(
            f"a {name} has no numbered items; give a list of pairs, or a dataset (of one of its "
            f"splits)"
        )
    if by_number:
        return source
    held: list[object] = []
    try:
        held.extend(source)
    except Exception as error:  # whatever generators raise
        raise DatasetError(
            f"item {len(held)} of the {name} cannot be read: {type(error).__name__}: {error}"
        ) from error
    return held


def _shared(value: object) -> npt.NDArray[Any]:
    """An array or tensor as array, of the same memory where it can be; of others a copy."""
    plain: Any = value
    return np.asarray(plain.detach().cpu() if hasattr(plain, "detach") else plain)


def _check_light(brightest: float, what: str) -> None:
    """Refuse an image that is black but for one step: floats in [0, 1] or a mask, misread."""
    if 0.1 < brightest < 1.5:
        raise ImageError(
            f"{what} would be black: its brightest pixel is {brightest:.2g} steps. Give floats in "
            f"[0, 1] as they are, not as integers nor with a wider `range=`; of a mask of 0 and 1 "
            f"give `255 * mask`"
        )


def _scaling(
    range: tuple[float, float] | None, mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Factor and offset by which floats become numbers in [0, 1], one a channel or one for all."""
    if (mean is None) != (std is None) or (mean is not None and range is not None):
        raise DatasetError("give range, or mean and std, not both nor one of these")
    if mean is not None and std is not None:
        factor, offset = np.array(std, np.float32), np.array(mean, np.float32)
    else:
        low, high = range or (0.0, 1.0)
        step = high - low or np.nan
        factor, offset = np.array([1 / step], np.float32), np.array([-low / step], np.float32)
    fine = factor.shape == offset.shape and factor.ndim == 1 and factor.size > 0
    if not (fine and np.isfinite([factor, offset]).all() and (factor > 0).all()):
        raise DatasetError(
            f"range is (lo, hi) with lo < hi, mean and std are one number a channel or one for "
            f"all, those of std above 0; not range {range}, mean {mean}, std {std}"
        )
    return factor, offset


def _array(value: object, kind: Kind, what: str) -> npt.NDArray[Any] | StoredImage:
    """An array, tensor or PIL image as array; the file of a path."""
    plain: Any = value
    if isinstance(plain, str | Path):
        return StoredImage.read(plain)
    if hasattr(plain, "getpalette") and hasattr(plain, "convert"):  # a PIL image
        colours = plain.mode in ("RGBA", "CMYK", "YCbCr", "LA") or (
            plain.mode == "P" and not isinstance(kind, Labels)
        )
        plain = plain.convert("RGB") if colours else plain
    if hasattr(plain, "detach"):
        plain = plain.detach().cpu()
        if "bfloat16" in str(plain.dtype):  # which NumPy does not have
            plain = plain.float()
    found = np.asarray(plain)
    if found.dtype.kind not in "iubf":
        raise ImageError(f"{what} is a {type(value).__name__}, not a tensor or an array of numbers")
    return found


def _bytes(picture: npt.NDArray[Any] | StoredImage) -> tuple[str, bytes]:
    array = picture.pixels if isinstance(picture, StoredImage) else picture
    return f"{array.dtype} {array.shape}", array.tobytes()
