"""Pairs in folders of images: two folders whose files share their stems, or one of both halves."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from compnn.data.dataset import Dataset, Pair, natural_key
from compnn.errors import DatasetError
from compnn.images.files import IMAGE_EXTENSIONS, StoredImage
from compnn.images.kinds import Kind, Labels


class PairedFolders(Dataset):
    """A folder of inputs and a folder of targets; files with one stem make a pair of that name.

    Parameters
    ----------
    inputs, targets
        The two folders.
    reduce_zero_label
        Targets are label maps in which 0 is no class: it becomes void, and k the label k - 1.
    input_kind, target_kind, attributes
        As in `Dataset`.

    Raises
    ------
    DatasetError
        If a folder is missing or empty, an image has no partner, or is its own.
    """

    def __init__(
        self,
        inputs: str | Path,
        targets: str | Path,
        *,
        reduce_zero_label: bool = False,
        input_kind: Kind | None = None,
        target_kind: Kind | None = None,
        attributes: str | Path | Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._inputs = list_images(Path(inputs))
        self._targets = list_images(Path(targets))
        lonely = [str(path) for stem, path in self._inputs.items() if stem not in self._targets]
        lonely += [str(path) for stem, path in self._targets.items() if stem not in self._inputs]
        if lonely:
            more = f" and {len(lonely) - 3} more" if len(lonely) > 3 else ""
            raise DatasetError(
                f"{', '.join(lonely[:3])}{more} without a partner of the same name in the other "
                f"folder ({inputs}, {targets}); add or remove files until both match"
            )
        same = next((p for s, p in self._inputs.items() if p.samefile(self._targets[s])), None)
        if same is not None:
            raise DatasetError(
                f"{same} is input and target of its pair: nothing would be explained. Give the "
                f"folder of the targets; where a file holds both side by side, give it once"
            )
        self._reduce_zero_label = reduce_zero_label
        super().__init__(
            self._inputs,
            input_kind=input_kind,
            target_kind=target_kind,
            attributes=attributes,
        )
        if reduce_zero_label:
            reduced_ids(self.target_kind)

    def swapped(self) -> PairedFolders:
        """As `Dataset.swapped`."""
        other = copy.copy(self)
        other._inputs, other._targets = self._targets, self._inputs
        return other

    def read(self, name: str) -> Pair:
        """As `Dataset.read`."""
        given = StoredImage.read(self._inputs[name])
        wanted = StoredImage.read(self._targets[name])
        ids = reduced_ids(self.target_kind) if self._reduce_zero_label else None
        return Pair(name, self.input_kind.input_of(given), self.target_kind.target_of(wanted, ids))


class SideBySide(Dataset):
    """One image for each pair: one half is the input, the other the target.

    Parameters
    ----------
    folder
        Folder of the images; a pair is named after its file's stem.
    input
        The half that is the input: "left" or "right".
    reduce_zero_label
        As in `PairedFolders`.
    input_kind, target_kind, attributes
        As in `Dataset`.

    Raises
    ------
    DatasetError
        If the folder is missing or empty, or `input` is neither half.
    """

    def __init__(
        self,
        folder: str | Path,
        input: Literal["left", "right"] = "left",
        *,
        reduce_zero_label: bool = False,
        input_kind: Kind | None = None,
        target_kind: Kind | None = None,
        attributes: str | Path | Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        if input not in ("left", "right"):
            raise DatasetError(f'the input is the "left" or the "right" half, not {input!r}')
        self._files = list_images(Path(folder))
        self._input_is_left = input == "left"
        self._reduce_zero_label = reduce_zero_label
        super().__init__(
            self._files,
            input_kind=input_kind,
            target_kind=target_kind,
            attributes=attributes,
        )
        if reduce_zero_label:
            reduced_ids(self.target_kind)

    def swapped(self) -> SideBySide:
        """As `Dataset.swapped`."""
        other = copy.copy(self)
        other._input_is_left = not self._input_is_left
        return other

    def read(self, name: str) -> Pair:
        """As `Dataset.read`."""
        left, right = StoredImage.read(self._files[name]).halves()
        given, wanted = (left, right) if self._input_is_left else (right, left)
        ids = reduced_ids(self.target_kind) if self._reduce_zero_label else None
        return Pair(name, self.input_kind.input_of(given), self.target_kind.target_of(wanted, ids))


def reduced_ids(kind: Kind) -> dict[int, int]:
    """The label of each index of files in which 0 is no class.

    Raises
    ------
    DatasetError
        If they are no label maps, or their palette has no void for it.
    """
    if not isinstance(kind, Labels) or kind.palette.void is None:
        raise DatasetError(
            f"targets are {kind.describe()}: where 0 is to be no class, give label maps, and a "
            f"palette that has a void class"
        )
    return {label + 1: label for label in range(len(kind.palette))}


def list_images(folder: Path) -> dict[str, Path]:
    """Return the image files of a folder by stem, in natural order; hidden files are left out.

    Raises
    ------
    DatasetError
        If the folder is missing or holds no images, or two of its images share a stem.
    """
    extensions = " ".join(IMAGE_EXTENSIONS)
    if not os.path.isdir(folder):
        raise DatasetError(
            f"folder {folder} does not exist; give a folder of images ({extensions})"
        )
    try:
        paths = sorted(folder.iterdir(), key=lambda path: natural_key(path.name))
    except OSError as error:
        raise DatasetError(
            f"folder {folder} cannot be read: {error.strerror}; check its permissions"
        ) from error
    images: dict[str, Path] = {}
    for path in paths:
        if path.name.startswith(".") or path.suffix.lower() not in IMAGE_EXTENSIONS:
            continue
        # What is neither (a FIFO, a broken link) is refused when it is read, not left out unseen.
        if os.path.isdir(path):
            continue
        if path.stem in images:
            raise DatasetError(
                f"folder {folder} has both {images[path.stem].name} and {path.name}; "
                f"a name must belong to one image, so remove or rename one"
            )
        images[path.stem] = path
    if not images:
        raise DatasetError(f"folder {folder} holds no images; looked for {extensions}")
    return dict(sorted(images.items(), key=lambda item: natural_key(item[0])))
