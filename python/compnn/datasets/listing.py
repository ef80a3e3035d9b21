"""Which image files a folder holds, in natural order."""

from __future__ import annotations

import re
from pathlib import Path

from compnn.errors import DatasetError
from compnn.images import IMAGE_EXTENSIONS


def natural_key(name: str) -> tuple[tuple[tuple[int, int | str], ...], str]:
    """Return a sort key in which numbers count by value (`2` before `10`), then by spelling."""
    parts = re.split(r"([0-9]+)", name)
    # re.split alternates text and digits, so that position decides which kind is compared.
    key = tuple((1, int(part)) if place % 2 else (0, part) for place, part in enumerate(parts))
    return key, name


def list_images(folder: Path) -> dict[str, Path]:
    """Return the image files of a folder by stem, in natural order; hidden files are left out.

    Raises
    ------
    DatasetError
        If the folder is missing or holds no images, or two of its images share a stem.
    """
    extensions = " ".join(IMAGE_EXTENSIONS)
    if not folder.is_dir():
        raise DatasetError(
            f"folder {folder} does not exist; give a folder of images ({extensions})"
        )
    images: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: natural_key(path.name)):
        if path.name.startswith(".") or path.suffix.lower() not in IMAGE_EXTENSIONS:
            continue
        if not path.is_file():
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
