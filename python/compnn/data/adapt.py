"""Pairs that are tensors or arrays already, such as those of a PyTorch dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from compnn.data.dataset import Dataset, Pair
from compnn.errors import DatasetError, ImageError
from compnn.images.kinds import Kind, Labels, Photo, Picture

# Half a step of an 8-bit image: rounding in others' scaling, no other range.
_SLACK = 1 / 510
# How often the first pair is read to see that it is the same each time.
_READS = 4


class TensorSource(Protocol):
    """What has pairs (image, target) by their numbers: a PyTorch dataset, a list."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> object: ...


class TensorPairs(Dataset):
    """Pairs (image, target) of tensors, arrays or PIL images, by number.

    Images are floats in [0, 1], or in another range that is told here, or uint8 pixels: (C, H, W)
    or (H, W, C), of 1 or 3 channels in the order RGB. PyTorch is not needed.

    Parameters
    ----------
    dataset
        A `torch.utils.data.Dataset`, or anything with a length and numbered pairs. Without random
        augmentation: it must give the same pair each time.
    target
        What the targets are. `Labels`: integers (H, W) or (1, H, W). `Values`: numbers of these
        shapes. `Photo`: as the images.
    range
        (lo, hi): the floats that are black and white. Default: (0, 1).
    mean, std
        Instead: what images were normalised with, one number a channel; it is undone.
    ignore
        The label of pixels that do not count, such as -100 or 255: it becomes the palette's void.
    names
        Of the pairs. Default: their numbers.
    attributes
        As in `Dataset`.

    Raises
    ------
    DatasetError
        When the dataset has no length or no pairs, its first pair is not the same each time, names
        do not fit, or the range makes no sense.

    Examples
    --------
    >>> TensorPairs(voc, Labels("voc.csv"), mean=(0.485, 0.456, 0.406),    # doctest: +SKIP
    ...             std=(0.229, 0.224, 0.225), ignore=255)
    """

    def __init__(
        self,
        dataset: TensorSource,
        target: Kind,
        *,
        range: tuple[float, float] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        ignore: int | None = None,
        names: Sequence[str] | None = None,
        attributes: str | Path | Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise DatasetError(
                f"a {type(dataset).__name__} has no numbered pairs and length; give `list(...)` of "
                f"it, or a dataset that has"
            )
        count = len(dataset)
        given = [str(index) for index in np.arange(count)] if names is None else list(names)
        if count == 0:
            raise DatasetError(f"the {type(dataset).__name__} is empty; give one with pairs")
        if len(given) != count:
            raise DatasetError(
                f"there are {count} pairs, but {len(given)} names; give one for each"
            )
        self._scale, self._offset = _scaling(range, mean, std)
        self._void: int | None = None
        if ignore is not None:
            self._void = target.palette.void if isinstance(target, Labels) else None
            if self._void is None:
                raise DatasetError(
                    f"label {ignore} cannot be ignored: the targets are "
                    f"{target.describe()} without void; give a palette that has a void class"
                )
        self._ignore = ignore
        self._source = dataset
        self._index = {name: index for index, name in enumerate(given)}
        super().__init__(given, target_kind=target, attributes=attributes)
        self._check_repeats(given[0])

    def read(self, name: str) -> Pair:
        """As `Dataset.read`."""
        image, target = self._arrays(name)
        return Pair(name, self._photo(image, f"the image of {name}"), self._target(target, name))

    def _arrays(self, name: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        try:
            item = self._source[self._index[name]]
        except Exception as error:  # whatever the dataset raises
            raise ImageError(
                f"pair {name} cannot be read from its dataset: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(item, tuple | list) or len(item) < 2:
            raise DatasetError(
                f"pair {name} is a {type(item).__name__}, not (image, target); wrap the dataset in "
                f"one that gives these two"
            )
        return _array(item[0], f"the image of {name}"), _array(item[1], f"the target of {name}")

    def _check_repeats(self, name: str) -> None:
        first = self._arrays(name)
        for _ in np.arange(_READS - 1):
            again = self._arrays(name)
            if not all(
                one.dtype == other.dtype and one.tobytes() == other.tobytes()
                for one, other in zip(first, again, strict=True)
            ):
                raise DatasetError(
                    f"pair {name} is another one each time it is read; take random augmentation "
                    f"(crops, flips, colours) out of the dataset"
                )

    def _target(self, values: npt.NDArray[Any], name: str) -> Picture:
        what = f"the target of {name}"
        kind = self.target_kind
        if isinstance(kind, Photo):
            return self._photo(values, what)
        if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
            values = values[0] if values.shape[0] == 1 else values[..., 0]
        if values.ndim != 2:
            remedy = "; of scores a class, give the largest: `.argmax(0)`" * isinstance(
                kind, Labels
            )
            raise ImageError(f"{what} has shape {values.shape}, not (H, W){remedy}")
        if not isinstance(kind, Labels):
            return kind.check(values.astype(np.float32), what)
        if values.dtype.kind not in "iub":
            raise ImageError(f"{what} is {values.dtype}; labels are integers: `.long()`")
        if self._void is not None:
            values = np.where(values == self._ignore, self._void, values.astype(np.int64))
        stray = values[(values < 0) | (values > 255)]
        if stray.size:
            raise ImageError(
                f"{what} holds the label {stray[0]}; labels are 0 to 255. If it stands for pixels "
                f"that do not count, give `ignore={stray[0]}`"
            )
        return kind.check(values.astype(np.uint8), what)

    def _photo(self, values: npt.NDArray[Any], what: str) -> npt.NDArray[np.uint8]:
        """Pixels uint8 (H, W, 3) of an image."""
        if values.ndim == 2:
            values = values[None]
        ends = [values.ndim == 3 and values.shape[dim] in (1, 3) for dim in (0, -1)]
        if not any(ends) or not values.size:
            raise ImageError(f"{what} has shape {values.shape}, not (3, H, W) or (1, H, W)")
        if all(ends):
            raise ImageError(
                f"{what} has shape {values.shape}, of which either end may be the channels; give "
                f"images of more than 3 pixels"
            )
        pixels = values.transpose(1, 2, 0) if ends[0] else values
        if pixels.dtype.kind == "f":
            pixels = self._pixels(pixels.astype(np.float32), what)
        elif pixels.dtype != np.uint8:
            raise ImageError(
                f"{what} is {pixels.dtype}; images are uint8, or floats in [0, 1]: `image / 255`"
            )
        colours: npt.NDArray[np.uint8] = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
        return np.ascontiguousarray(colours)

    def _pixels(self, values: npt.NDArray[np.float32], what: str) -> npt.NDArray[np.uint8]:
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
        pixels: npt.NDArray[np.uint8] = np.rint(255 * unit.clip(0, 1)).astype(np.uint8)
        return pixels


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
    fine = factor.shape == offset.shape and factor.shape in ((1,), (3,))
    if not (fine and np.isfinite([factor, offset]).all() and (factor > 0).all()):
        raise DatasetError(
            f"range is (lo, hi) with lo < hi, and mean and std are 1 or 3 numbers above 0, not "
            f"range {range}, mean {mean}, std {std}"
        )
    return factor, offset


def _array(value: object, what: str) -> npt.NDArray[Any]:
    """An array, tensor or PIL image as array."""
    plain: Any = value
    if hasattr(plain, "detach"):
        plain = plain.detach().cpu()
        if "bfloat16" in str(plain.dtype):  # which NumPy does not have
            plain = plain.float()
    found = np.asarray(plain)
    if found.dtype.kind not in "iubf":
        raise ImageError(f"{what} is a {type(value).__name__}, not a tensor or an array of numbers")
    return found
