"""Pairs in folders of images: two folders whose files share their stems, or one of both halves."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from compnn.data.dataset import Dataset, Pair, check_not_turned, natural_key
from compnn.data.instances import read_instances
from compnn.errors import DatasetError
from compnn.files import read_file
from compnn.images.files import IMAGE_EXTENSIONS, StoredImage
from compnn.images.kinds import Kind, Labels, Picture
from compnn.images.palette import Palette

_MOST_NAMES_BYTES = 1 << 28


class PairedFolders(Dataset):
    """A folder of inputs and a folder of targets; files with one stem make a pair of that name.

    Parameters
    ----------
    inputs, targets
        The two folders.
    names
        A text file that chooses pairs: a line has one name (with or without extension), or the
        paths of input and target in their folders. Default: all.
    input_suffix, target_suffix
        What follows the common name in the stems of the files: "_leftImg8bit", "_mask". Both
        folders may be the same then.
    recursive
        Look into subfolders; names are then paths from the folder.
    ignore_unpaired
        Leave out images without a partner; `unpaired` counts them.
    reduce_zero_label
        Targets are label maps in which 0 is no class: it becomes void, and k the label k - 1.
    instances
        Targets are files of up to 16 bits that hold class * `instances` + instance: 256 as KITTI
        has it. The classes are the palette's indices.
    input_kind, target_kind, attributes
        As in `Dataset`.

    Attributes
    ----------
    unpaired : int
        Images that were left out.

    Raises
    ------
    DatasetError
        If a folder is missing or empty, an image has no partner, or is its own; if the file of
        names cannot be read, or names what is not there; if the targets are no label maps, but
        should hold instances, or have a class that is none.
    """

    # What the names of files end with that are no targets, although they lie among them.
    _no_targets: ClassVar[str] = ""

    def __init__(
        self,
        inputs: str | Path,
        targets: str | Path,
        *,
        names: str | Path | None = None,
        input_suffix: str = "",
        target_suffix: str = "",
        recursive: bool = False,
        ignore_unpaired: bool = False,
        reduce_zero_label: bool = False,
        instances: int | None = None,
        input_kind: Kind | None = None,
        target_kind: Kind | None = None,
        attributes: str | Path | Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        if instances is not None and not 1 < instances < 1 << 16:
            raise DatasetError(
                f"instances are counted from class * {instances} on; give a factor in 2..65535, "
                f"such as 256 or 1000"
            )
        self._instances = instances
        folders = Path(inputs), Path(targets)
        self._inputs = _without_suffix(
            list_images(folders[0], recursive=recursive), input_suffix, target_suffix, folders[0]
        )
        self._targets = _without_suffix(
            list_images(folders[1], recursive=recursive),
            target_suffix,
            input_suffix or self._no_targets,
            folders[1],
        )
        self.unpaired = 0
        if names is not None:
            self._choose(_listed_names(Path(names)), folders, Path(names))
        lonely = [str(path) for stem, path in self._inputs.items() if stem not in self._targets]
        lonely += [str(path) for stem, path in self._targets.items() if stem not in self._inputs]
        paired = self._inputs.keys() & self._targets.keys()
        if lonely and not (ignore_unpaired and paired):
            more = f" and {len(lonely) - 3} more" if len(lonely) > 3 else ""
            raise DatasetError(
                f"{', '.join(lonely[:3])}{more} without a partner of the same name in the other "
                f"folder ({inputs}, {targets}); add or remove files until both match, give what "
                f"the names of one side end with (`--target-suffix _mask`), or leave them out "
                f"(`--ignore-unpaired`)"
            )
        self.unpaired = len(lonely)
        self._inputs = {stem: path for stem, path in self._inputs.items() if stem in paired}
        same = next((p for s, p in self._inputs.items() if p.samefile(self._targets[s])), None)
        if same is not None:
            raise DatasetError(
                f"{same} is input and target of its pair: nothing would be explained. Give the "
                f"folder of the targets, or what their names end with (`--target-suffix _mask`); "
                f"where a file holds both side by side, give it once (`--side-by-side`)"
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
        if instances is not None:
            self._palette_of_instances()

    def _choose(
        self, lines: Sequence[tuple[int, list[str]]], folders: tuple[Path, Path], file: Path
    ) -> None:
        """Keep the pairs that a file of names lists."""
        chosen: tuple[dict[str, Path], dict[str, Path]] = {}, {}
        for line, words in lines:
            if len(words) == 1:
                found = [_named(words[0], side) for side in (self._inputs, self._targets)]
            else:
                paths = [folder / word for folder, word in zip(folders, words, strict=True)]
                found = [path if path.is_file() else None for path in paths]
            one, other = found
            if one is None or other is None:
                side = folders[0] if one is None else folders[1]
                raise DatasetError(
                    f"{file}, line {line}: {' '.join(words)} is not in {side}; correct the line, "
                    f"or give the folders that the file is of"
                )
            name = os.path.splitext(words[0])[0]
            if name in chosen[0]:
                raise DatasetError(f"{file}, line {line}: {name} is listed twice; keep one")
            chosen[0][name], chosen[1][name] = one, other
        if not chosen[0]:
            raise DatasetError(f"{file} lists no names; give one a line")
        self._inputs, self._targets = chosen

    def swapped(self) -> PairedFolders:
        """As `Dataset.swapped`."""
        other = copy.copy(self)
        other._inputs, other._targets = self._targets, self._inputs
        return other

    def read(self, name: str) -> Pair:
        """As `Dataset.read`."""
        given, file = StoredImage.read(self._inputs[name]), self._targets[name]
        if self._instances is None:
            wanted = self._target(StoredImage.read(file))
        else:
            palette, ids = self._palette_of_instances()
            wanted = read_instances(file, palette, self._instances, ids)
        check_not_turned(given.path, given.pixels.shape, file, wanted.shape)
        return Pair(name, self.input_kind.input_of(given), wanted)

    def _palette_of_instances(self) -> tuple[Palette, dict[int, int] | None]:
        """The palette of files of instances, and the label of each class in them."""
        if not isinstance(self.target_kind, Labels):
            raise DatasetError(
                f"targets are {self.target_kind.describe()}: instances are of classes; give their "
                f"palette (`--target-palette`)"
            )
        ids = reduced_ids(self.target_kind) if self._reduce_zero_label else None
        return self.target_kind.palette, ids

    def _target(self, stored: StoredImage) -> Picture:
        """The target in a file, for data sets whose files need more than their kind knows."""
        ids = reduced_ids(self.target_kind) if self._reduce_zero_label else None
        return self.target_kind.target_of(stored, ids)


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


def _without_suffix(
    images: dict[str, Path], suffix: str, other: str, folder: Path
) -> dict[str, Path]:
    """The images whose names end with a suffix, by the rest; not those of the other suffix."""
    found = {
        stem.removesuffix(suffix): path
        for stem, path in images.items()
        if stem.endswith(suffix)
        and stem != suffix
        and not (len(other) > len(suffix) and stem.endswith(other))
    }
    if not found:
        raise DatasetError(f"folder {folder} holds no images whose names end with {suffix!r}")
    return found


def _listed_names(file: Path) -> list[tuple[int, list[str]]]:
    """The lines of a file of names, with their numbers: one or two words each."""
    try:
        lines = read_file(file, _MOST_NAMES_BYTES).decode("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"the file of names {file} cannot be read: {reason}") from error
    found = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
    for number, words in found:
        if len(words) > 2:
            raise DatasetError(
                f"{file}, line {number}: has {len(words)} words, not a name, or the paths of input "
                f"and target"
            )
    return found


def _named(word: str, images: Mapping[str, Path]) -> Path | None:
    """The image of a name with or without its extension."""
    return images.get(word) or images.get(os.path.splitext(word)[0])


def list_images(folder: Path, *, recursive: bool = False) -> dict[str, Path]:
    """Return the image files of a folder by stem, in natural order; hidden files are left out.

    With `recursive` those of its subfolders, too, by their paths from it, without extension.

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
        found = folder.rglob("*") if recursive else folder.iterdir()
        paths = sorted(found, key=lambda path: natural_key(str(path)))
    except OSError as error:
        raise DatasetError(
            f"folder {folder} cannot be read: {error.strerror}; check its permissions"
        ) from error
    images: dict[str, Path] = {}
    for path in paths:
        inside = path.relative_to(folder)
        if (
            any(part.startswith(".") for part in inside.parts)
            or path.suffix.lower() not in IMAGE_EXTENSIONS
        ):
            continue
        # What is neither (a FIFO, a broken link) is refused when it is read, not left out unseen.
        if os.path.isdir(path):
            continue
        name = inside.with_suffix("").as_posix()
        if name in images:
            raise DatasetError(
                f"folder {folder} has both {images[name].name} and {path.name}; "
                f"a name must belong to one image, so remove or rename one"
            )
        images[name] = path
    if not images:
        raise DatasetError(f"folder {folder} holds no images; looked for {extensions}")
    return dict(sorted(images.items(), key=lambda item: natural_key(item[0])))
