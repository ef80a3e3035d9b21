"""Reading the image that is to be explained, and its true target where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from compnn.errors import ImageError
from compnn.images.files import StoredImage
from compnn.images.kinds import Kind, Photo, Picture


@dataclass(frozen=True)
class Query:
    """An image to explain.

    Attributes
    ----------
    name
        Stem of its file.
    image
        uint8 (H, W, 3) RGB, or of other channels (`Photo`): as the network sees it.
    target
        What the network should paint, of the targets' kind; None if not known.
    file
        What messages call it.
    """

    name: str
    image: Picture
    target: Picture | None = None
    file: str = "the query image"


def read_query(
    path: str | Path,
    input_kind: Kind | None = None,
    target_kind: Kind | None = None,
    *,
    half: Literal["left", "right"] | None = None,
    target: str | Path | None = None,
) -> Query:
    """Read a query.

    Parameters
    ----------
    path
        Image file.
    input_kind, target_kind
        What inputs and targets are, as in the bank. Default: photos.
    half
        The file holds two images side by side: this half is the input, the other the target.
    target
        File of the true target, if `path` holds only the input.

    Raises
    ------
    ImageError
        If a file cannot be read or is not of these kinds, or `half` and `target` are both given.
    """
    stored = StoredImage.read(path)
    truth = None
    if half is not None:
        if target is not None:
            raise ImageError(
                f"{path} is said to hold its target in the other half, but {target} is given as "
                f"the target too; leave out one"
            )
        left, right = stored.halves()
        stored, truth = (left, right) if half == "left" else (right, left)
    elif target is not None:
        truth = StoredImage.read(target)
    return Query(
        Path(path).stem,
        (input_kind or Photo()).input_of(stored),
        None if truth is None else (target_kind or Photo()).target_of(truth),
        str(path),
    )
