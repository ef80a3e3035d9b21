"""Reading photos, label maps and values from files, and writing PNG files."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from compnn.errors import ImageError
from compnn.files import read_file, write_file
from compnn.images.file_bytes import find_damage, grey_step, has_deep_colours, is_lossy
from compnn.images.palette import Palette

if TYPE_CHECKING:
    import tifffile

IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".npy")

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Of TIFF: pixels from black to white or RGB, and the tag of how an image is turned.
_GREY_OR_RGB, _ORIENTATION = (1, 2), 274
_NPY = b"\x93NUMPY"
# What Pillow calls pixels that are taken as they are; of 16 bits, "I" in some versions.
_PLAIN_MODES = ("L", "RGB", "RGBA", "RGBX", "F", "I")


@dataclass(frozen=True, eq=False)
class StoredImage:
    """The pixels of an image file, before it is known what it holds.

    Attributes
    ----------
    path
        The file, for messages.
    pixels
        (H, W) if the file has one channel, else (H, W, C), colours as RGB first, alpha last: uint8,
        uint16, or what a .npy or TIFF file has.
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
    pixels: npt.NDArray[Any]
    step: int = 1
    colour_table: Sequence[tuple[int, int, int]] | None = None
    indices: npt.NDArray[np.uint8] | None = None
    lossy: bool = False

    @classmethod
    def read(cls, path: str | Path) -> StoredImage:
        """Read a file; a photo's orientation (EXIF) is applied.

        Raises
        ------
        ImageError
            If the file is missing, no file (a FIFO), not an image, damaged or cut short, or of a
            format whose pixels cannot be read without loss.
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
        if data.startswith(_NPY):
            return cls(path, _array_of(data, path))
        if has_deep_colours(data):
            raise ImageError(
                f"image {path} is a PNG of colours with 16 bits a channel, half of which would be "
                f"lost; store it as TIFF or .npy"
            )
        if data.startswith(_TIFF):
            pixels = _tiff_pixels(data, path)
            if pixels is not None:
                return cls(path, pixels)
        return cls._decoded(data, path)

    @classmethod
    def _decoded(cls, data: bytes, path: Path) -> StoredImage:
        """What Pillow reads of a file."""
        try:
            with Image.open(io.BytesIO(data)) as file:
                image = ImageOps.exif_transpose(file)
                image.load()
        except Image.DecompressionBombError as error:
            raise ImageError(f"image {path} is too large ({error}); cut it into parts") from error
        except (OSError, SyntaxError, ValueError, MemoryError) as error:
            raise ImageError(
                f"image {path} cannot be decoded (looked for {' '.join(IMAGE_EXTENSIONS)}); "
                f"it is damaged or of another format, so replace or remove it"
            ) from error
        step, lossy = grey_step(data), is_lossy(data)
        if image.mode == "P":
            values = image.getpalette("RGB")
            assert values is not None
            table = list(zip(values[0::3], values[1::3], values[2::3], strict=True))
            return cls(
                path, np.array(image.convert("RGB")), step, table, np.array(image), lossy=lossy
            )
        if image.mode.startswith("I;16"):
            return cls(path, np.array(image).astype(np.uint16))
        if image.mode in ("1", "LA", "La"):
            image = image.convert("L")
        elif image.mode not in _PLAIN_MODES:
            image = image.convert("RGB")
        return cls(path, np.array(image), step, lossy=lossy)

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

    def photo(self, channels: int = 3, white: int = 255) -> npt.NDArray[np.unsignedinteger[Any]]:
        """Return the pixels as a photo (H, W, `channels`), uint8 or uint16.

        Of three channels one is repeated, and alpha is dropped.

        Parameters
        ----------
        channels
            How many the photo has.
        white
            The largest number that a pixel can have: 255, or up to 65535.

        Raises
        ------
        ImageError
            If the file has other channels, or numbers that are not whole, or larger.
        """
        pixels = self.pixels[..., None] if self.pixels.ndim == 2 else self.pixels
        found = pixels.shape[2]
        if found != channels:
            if channels != 3 or found not in (1, 4):
                raise ImageError(
                    f"image {self.path} has {found} channels, not {channels}; say how many inputs "
                    f"have with `--channels {found}` (Photo(channels={found})), or convert it"
                )
            pixels = np.repeat(pixels, 3, axis=2) if found == 1 else pixels[:, :, :3]
        if pixels.dtype == np.bool_:
            pixels = pixels.astype(np.uint8) * np.uint8(255)
        if not np.issubdtype(pixels.dtype, np.integer):
            raise ImageError(
                f"image {self.path} has {pixels.dtype} pixels; photos have whole numbers from 0 to "
                f"at most 65535: store it so"
            )
        if self.pixels.dtype == np.uint8 and white == 255:
            return np.ascontiguousarray(pixels)
        if white == 255 and pixels.dtype.itemsize > 1:
            raise ImageError(
                f"image {self.path} has {pixels.dtype} pixels, here from {pixels.min()} to "
                f"{pixels.max()}; say which number is white, as in `--white 65535` "
                f"(Photo(white=65535)), or convert it to 8 bits a channel"
            )
        if pixels.min() < 0 or pixels.max() > white:
            stray = pixels.min() if pixels.min() < 0 else pixels.max()
            raise ImageError(
                f"image {self.path} has the pixel value {stray}, but 0 is black and {white} white; "
                f"correct what is white (`--white`), or the file"
            )
        return pixels.astype(photo_dtype(white))

    def rgb(self) -> npt.NDArray[np.uint8]:
        """Return the photo as (H, W, 3) uint8 RGB; see `photo`."""
        return np.asarray(self.photo(), np.uint8)

    def numbers(self) -> npt.NDArray[np.float64]:
        """Return what a file of one channel holds, (H, W).

        Raises
        ------
        ImageError
            If it has more channels.
        """
        if self.pixels.ndim != 2:
            raise ImageError(
                f"image {self.path} has colours, but labels and values have one channel; "
                f"give a grey image"
            )
        return np.asarray(self.pixels, np.float64) / self.step

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
            stored: npt.NDArray[np.integer[Any]] = self.indices
        elif self.pixels.ndim == 3:
            return self._labels_of_colours(palette, nearest_colour)
        else:
            stored = self.whole()
        table, other = palette.label_of_index(), -1
        if ids is not None:
            other = -1 if palette.void is None else palette.void
            table = np.full(256, other, np.int16)
            table[list(ids)] = list(ids.values())
        known = (stored >= 0) & (stored < len(table))
        labels = np.where(known, table[np.where(known, stored, 0)], other)
        if (labels < 0).any():
            stray = int(stored[labels < 0].min())
            raise ImageError(
                f"label map {self.path} holds the label {stray}, which is not in "
                f"{palette.describe_indices()}; correct the file or choose another palette"
            )
        return labels.astype(np.uint8)

    def whole(self) -> npt.NDArray[np.int64]:
        """Return what a file of one channel holds as whole numbers, (H, W).

        Raises
        ------
        ImageError
            If it has more channels, or fractions.
        """
        if self.pixels.ndim == 2 and self.pixels.dtype.kind in "ui":
            return self.pixels.astype(np.int64) // self.step
        numbers = self.numbers()
        whole = numbers.astype(np.int64)
        if not np.array_equal(whole, numbers):
            stray = numbers[whole != numbers][0]
            raise ImageError(
                f"label map {self.path} holds {stray:g}, but labels are whole numbers; store it so"
            )
        return whole

    def _has_colours_of(self, palette: Palette) -> bool:
        """Whether the file's table has the palette's colours, at its indices."""
        table = dict(enumerate(self.colour_table or ()))
        colours = zip(palette.indices or (), map(tuple, palette.colours.tolist()), strict=True)
        return all(table.get(index) == colour for index, colour in colours)

    def _labels_of_colours(self, palette: Palette, nearest_colour: bool) -> npt.NDArray[np.uint8]:
        colours = self.rgb()
        labels = palette.quantise(colours)
        red, green, blue = (colours[:, :, channel] for channel in range(3))
        # Greys, or a colour table of the file's own, are often indices rather than colours: nearest
        # colours would then give wrong labels unnoticed, and so they do of another palette.
        table = self.colour_table is not None
        indices = table or (np.array_equal(red, green) and np.array_equal(green, blue))
        if indices or not (self.lossy or nearest_colour):
            wrong = (palette.colourise(labels) != colours).any(axis=2)
            if wrong.any():
                colour = tuple(colours[wrong][0].tolist())
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
            return self.rgb()
        return palette.colourise(self.labels(palette))


def photo_dtype(white: int) -> str:
    """Return the dtype of photos whose largest number is `white`: "uint8" or "uint16"."""
    return "uint8" if white <= 255 else "uint16"


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
    file = io.BytesIO()
    # Stronger compression takes twice the time, and saves a tenth.
    Image.fromarray(np.ascontiguousarray(image)).save(file, "PNG", compress_level=2)
    return file.getvalue()


def write_images(folder: Path, images: Mapping[str, npt.NDArray[np.uint8]]) -> list[Path]:
    """Write images as `write_image`, each as NAME.png in the folder; return their paths."""
    paths = [folder / f"{name}.png" for name in images]
    for path, image in zip(paths, images.values(), strict=True):
        write_image(path, image)
    return paths


def _array_of(data: bytes, path: Path) -> npt.NDArray[Any]:
    """The array (H, W) or (H, W, C) of numbers in a .npy file."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0
        shape, by_columns, dtype = (
            header if version == (1, 0) else np.lib.format.read_array_header_2_0
        )(file)
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or size != len(data) - file.tell():
            raise ValueError(f"{dtype} {shape} does not fill it")
        values = np.frombuffer(data, dtype, offset=file.tell())
    except Exception as error:
        # NumPy has as many kinds of errors as there are kinds of damage.
        raise ImageError(f"image {path} is no array of numbers ({error}); replace it") from error
    array: npt.NDArray[Any] = values.reshape(shape, order="F" if by_columns else "C")
    if shape[2:] == (1,):
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or array.size == 0 or array.dtype.kind not in "buif":
        raise ImageError(
            f"image {path} is {array.dtype} {array.shape}; an image is numbers (height, width) or "
            f"(height, width, channels)"
        )
    return np.array(array, array.dtype.newbyteorder("="))


def _tiff_pixels(data: bytes, path: Path) -> npt.NDArray[Any] | None:
    """The pixels of a TIFF file that Pillow would change or cannot read; None of others.

    Raises
    ------
    ImageError
        If it is damaged, or holds what would be read wrongly.
    """
    import tifffile  # few files need it

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            return _pages_pixels(file, path)
    except ImageError:
        raise
    except Exception as error:  # of the format, and of the codecs that it lacks
        raise ImageError(
            f"image {path} cannot be decoded ({error}); store it without compression, or as .npy"
        ) from error


def _pages_pixels(file: tifffile.TiffFile, path: Path) -> npt.NDArray[Any] | None:
    """The same, of an opened file: Pillow reads one channel, and RGB of 8 bits."""
    import tifffile

    page, *others = islice(file.pages, 2)
    assert isinstance(page, tifffile.TiffPage)  # as the first one is
    if any(each.shape == page.shape for each in others):
        raise ImageError(
            f"image {path} has several pages of one size, of which one would be read; store each "
            f"as a file, or channels as a .npy of (height, width, channels)"
        )
    deep = page.bitspersample > 8
    if page.photometric not in _GREY_OR_RGB:
        if deep:
            raise ImageError(
                f"image {path} has {page.bitspersample} bits a channel, but is neither grey from "
                f"black to white nor RGB; convert it"
            )
        return None  # such as CMYK, which Pillow converts
    if page.samplesperpixel == 1 or (page.samplesperpixel == 3 and not deep):
        return None
    if page.tags.valueof(_ORIENTATION, 1) != 1:
        raise ImageError(
            f"image {path} is stored turned (its tag Orientation); store it as it is shown, or as "
            f".npy"
        )
    pixels = np.asarray(page.asarray())
    if page.axes == "SYX":
        pixels = np.moveaxis(pixels, 0, 2)
    elif page.axes != "YXS":
        raise ImageError(
            f"image {path} has the axes {page.axes}; an image has height, width, channels"
        )
    return np.array(pixels, pixels.dtype.newbyteorder("="), order="C")
