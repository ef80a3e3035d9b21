"""Pairs in folders of images: two folders whose files share their stems, or one of both halves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from compnn.data.dataset import Dataset, Pair, natural_key
from compnn.errors import DatasetError
from compnn.images.files import IMAGE_EXTENSIONS, StoredImage
from compnn.images.kinds import Kind


class PairedFolders(Dataset):
    """A folder of inputs and a folder of targets; files with one stem make a pair of that name.

    Parameters
    ----------
    inputs, targets
        The two folders.
    input_kind, target_kind, attributes
        As in `Dataset`.

    Raises
    ------
    DatasetError
        If a folder is missing or empty, or an image has no partner.
    """

    def __init__(
        self,
        inputs: str | Path,
        targets: str | Path,
        *,
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
        super().__init__(
            self._inputs,
            input_kind=input_kind,
            target_kind=target_kind,
            attributes=attributes,
        )

    def read(self, name: str) -> Pair:
        """As `Dataset.read`."""
        given = StoredImage.read(self._inputs[name])
        wanted = StoredImage.read(self._targets[name])
        return Pair(name, self.input_kind.input_of(given), self.target_kind.target_of(wanted))


class SideBySide(Dataset):
    """One image for each pair: one half is the input, the other the target.

    Parameters
    ----------
    folder
        Folder of the images; a pair is named after its file's stem.
    input
        The half that is the input: "left" or "right".
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
        input_kind: Kind | None = None,
        target_kind: Kind | None = None,
        attributes: str | Path | Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        if input not in ("left", "right"):
            raise DatasetError(f'the input is the "left" or the "right" half, not {input!r}')
        self._files = list_images(Path(folder))
        self._input_is_left = input == "left"
        super().__init__(
            self._files,
            input_kind=input_kind,
            target_kind=target_kind,
            attributes=attributes,
        )

    def read(self, name: str) -> Pair:
        """As `Dataset.read`."""
        left, right = StoredImage.read(self._files[name]).halves()
        given, wanted = (left, right) if self._input_is_left else (right, left)
        return Pair(name, self.input_kind.input_of(given), self.target_kind.target_of(wanted))


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
