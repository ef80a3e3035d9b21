"""Reading photos and label maps from image files, and writing PNG files."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from compnn.errors import ImageError
from compnn.files import read_file, write_file
from compnn.images.file_bytes import find_damage, grey_step, has_colour_table, is_lossy
from compnn.images.palette import Palette

IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


@dataclass(frozen=True, eq=False)
class StoredImage:
    """The pixels of an image file, before it is known whether they are a photo or a label map.

    Attributes
    ----------
    path
        The file, for messages.
    pixels
        (H, W) uint8 if the file has one channel, else (H, W, 3) uint8 RGB.
    step
        Distance of neighbouring index values in `pixels`; more than 1 if the file has fewer than
        8 bits.
    colour_table, indices
        Of a file that stores indices into a table of its own: its colours, and the indices (H, W)
        uint8, for which `pixels` has the colours.
    lossy
        Whether the file's compression changes colours.
    """

    path: Path
    pixels: npt.NDArray[np.uint8]
    step: int
    colour_table: Sequence[tuple[int, int, int]] | None
    indices: npt.NDArray[np.uint8] | None
    lossy: bool

    @classmethod
    def read(cls, path: str | Path) -> StoredImage:
        """Read a file; alpha is dropped, and a photo's orientation (EXIF) is applied.

        Raises
        ------
        ImageError
            If the file is missing, no file (a FIFO), not an image, damaged or cut short, or has 16
            bits a channel.
        """
        path = Path(path)
        try:
            data = read_file(path)
        except FileNotFoundError:
            raise ImageError(f"image {path} does not exist; check the path") from None
        except (OSError, ValueError) as error:  # ValueError: no path can hold a null byte
            reason = getattr(error, "strerror", error)
            raise ImageError(f"image {path} cannot be read: {reason}; check the path") from error
        damage = find_damage(data)
        if damage is not None:
            raise ImageError(f"image {path} {damage}; replace or remove the file")
        pixels = _decode(data)
        if pixels is None:
            raise ImageError(
                f"image {path} cannot be decoded (looked for {' '.join(IMAGE_EXTENSIONS)}); "
                f"it is damaged or of another format, so replace or remove it"
            )
        if pixels.dtype != np.uint8:
            raise ImageError(
                f"image {path} has {pixels.dtype} pixels; convert it to 8 bits a channel"
            )
        stored = pixels.astype(np.uint8, copy=False)
        if stored.ndim == 3:
            stored = np.asarray(cv2.cvtColor(stored, cv2.COLOR_BGR2RGB), np.uint8)
        table, indices = _colour_table(data, path) if has_colour_table(data) else (None, None)
        return cls(path, stored, grey_step(data), table, indices, is_lossy(data))

    def halves(self) -> tuple[StoredImage, StoredImage]:
        """Return the left and the right half.

        Raises
        ------
        ImageError
            If the width is odd.
        """
        height, width = self.pixels.shape[:2]
        if width % 2:
            raise ImageError(
                f"image {self.path} is {height}x{width} (height x width); two images side by side "
                f"need an even width"
            )
        left, right = (
            replace(
                self,
                pixels=np.ascontiguousarray(self.pixels[:, half]),
                indices=None if self.indices is None else self.indices[:, half],
            )
            for half in (slice(0, width // 2), slice(width // 2, width))
        )
        return left, right

    def rgb(self) -> npt.NDArray[np.uint8]:
        """Return the photo as (H, W, 3) uint8 RGB; one channel is repeated three times."""
        if self.pixels.ndim == 3:
            return self.pixels
        return np.repeat(self.pixels[:, :, None], 3, axis=2)

    def labels(
        self,
        palette: Palette,
        ids: Mapping[int, int] | None = None,
        *,
        nearest_colour: bool = False,
        indices: bool = False,
    ) -> npt.NDArray[np.uint8]:
        """Return the label map as (H, W) uint8.

        One channel is an index image, taken as it is; in colours each pixel has the class of that
        colour, or of the nearest where the file's compression changes colours. A file with a colour
        table is one of indices where the table has the palette's colours.

        Parameters
        ----------
        palette
            Gives the labels and their colours.
        ids
            Label of each index of the file, if it counts otherwise; indices not in it become void.
        nearest_colour
            Whether to take the nearest colour in files of exact colours, too.
        indices
            Whether to take the indices of a file with a colour table, whatever its colours.

        Raises
        ------
        ImageError
            If an index is not one of the palette's, or a colour is not, or the file holds indices
            stored as colours.
        """
        if self.indices is not None and (indices or self._has_colours_of(palette)):
            stored = self.indices
        elif self.pixels.ndim == 3:
            return self._labels_of_colours(palette, nearest_colour)
        else:
            stored = self.pixels // np.uint8(self.step)
        table = palette.label_of_index()
        if ids is not None:
            table = np.full(256, -1 if palette.void is None else palette.void, np.int16)
            table[list(ids)] = list(ids.values())
        labels = table[stored]
        if (labels < 0).any():
            stray = int(stored[labels < 0].min())
            raise ImageError(
                f"label map {self.path} holds the label {stray}, which is not in "
                f"{palette.describe_indices()}; correct the file or choose another palette"
            )
        return labels.astype(np.uint8)

    def _has_colours_of(self, palette: Palette) -> bool:
        """Whether the file's table has the palette's colours, at its indices."""
        table = dict(enumerate(self.colour_table or ()))
        colours = zip(palette.indices or (), map(tuple, palette.colours.tolist()), strict=True)
        return all(table.get(index) == colour for index, colour in colours)

    def _labels_of_colours(self, palette: Palette, nearest_colour: bool) -> npt.NDArray[np.uint8]:
        labels = palette.quantise(self.pixels)
        red, green, blue = (self.pixels[:, :, channel] for channel in range(3))
        # Greys, or a colour table of the file's own, are often indices rather than colours: nearest
        # colours would then give wrong labels unnoticed, and so they do of another palette.
        table = self.colour_table is not None
        indices = table or (np.array_equal(red, green) and np.array_equal(green, blue))
        if indices or not (self.lossy or nearest_colour):
            wrong = (palette.colourise(labels) != self.pixels).any(axis=2)
            if wrong.any():
                colour = tuple(self.pixels[wrong][0].tolist())
                raise ImageError(
                    f"label map {self.path} holds the colour {colour}, which palette "
                    f"{palette.name!r} does not have; choose another palette"
                    + (
                        ", or take the indices of its colour table with `--indices` (indices=True)"
                        if table
                        else ", or store the indices as an 8-bit grey PNG"
                        if indices
                        else ", or take the nearest colours with `--nearest-colour` "
                        "(nearest_colour=True)"
                    )
                )
        return labels

    def painted(self, palette: Palette) -> npt.NDArray[np.uint8]:
        """Return the label map as a network sees it, (H, W, 3) uint8 RGB.

        An index image is painted with the palette; colours are left as they are.

        Raises
        ------
        ImageError
            If an index is not a label of the palette.
        """
        if self.pixels.ndim == 3:
            return self.pixels
        return palette.colourise(self.labels(palette))


def read_image(path: str | Path) -> npt.NDArray[np.uint8]:
    """Read a photo as (H, W, 3) uint8 RGB; grey is widened, alpha is dropped.

    Raises
    ------
    ImageError
        As `StoredImage.read`.
    """
    return StoredImage.read(path).rgb()


def read_labels(
    path: str | Path, palette: Palette, *, ids: Mapping[int, int] | None = None
) -> npt.NDArray[np.uint8]:
    """Read a label map as (H, W) uint8; see `StoredImage.labels`.

    Raises
    ------
    ImageError
        As `StoredImage.read` and `StoredImage.labels`.
    """
    return StoredImage.read(path).labels(palette, ids)


def write_image(path: str | Path, image: npt.NDArray[np.uint8]) -> None:
    """Write (H, W, 3) RGB, or (H, W) grey or labels, uint8, as a PNG file, whole or not at all.

    Raises
    ------
    ImageError
        If the image has another shape or dtype, or the name does not end in .png.
    OutputError
        If writing fails.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ImageError(f"images are written as PNG: give {path} the extension .png")
    is_image = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if not is_image or image.size == 0 or image.dtype != np.uint8:
        raise ImageError(
            f"cannot write {path}: an image is (H, W, 3) or (H, W) uint8, "
            f"not {image.shape} {image.dtype}"
        )
    write_file(path, encode_png(image))


def encode_png(image: npt.NDArray[np.uint8]) -> bytes:
    """Return the PNG file of (H, W, 3) RGB, or (H, W) grey or labels, uint8."""
    stored = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    return cv2.imencode(".png", np.ascontiguousarray(stored))[1].tobytes()


def write_images(folder: Path, images: Mapping[str, npt.NDArray[np.uint8]]) -> list[Path]:
    """Write images as `write_image`, each as NAME.png in the folder; return their paths."""
    paths = [folder / f"{name}.png" for name in images]
    for path, image in zip(paths, images.values(), strict=True):
        write_image(path, image)
    return paths


def _colour_table(
    data: bytes, path: Path
) -> tuple[Sequence[tuple[int, int, int]], npt.NDArray[np.uint8]]:
    """The colours and the indices in a file with a colour table: OpenCV gives what they paint."""
    from PIL import Image  # few files need it, and it takes a while to load

    try:
        with Image.open(io.BytesIO(data)) as file:
            values, indices = file.getpalette("RGB"), np.asarray(file)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(
            f"image {path}: the indices of its colour table cannot be read ({error}); store them "
            f"as an 8-bit grey PNG"
        ) from error
    assert values is not None
    return list(zip(values[0::3], values[1::3], values[2::3], strict=True)), indices


def _decode(data: bytes) -> npt.NDArray[np.generic] | None:
    """Return the pixels as OpenCV stores them (BGR), or None."""
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        return cv2.imdecode(
            np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
        )
    except cv2.error:
        return None
    finally:
        logging.setLogLevel(level)
