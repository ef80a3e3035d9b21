"""The inputs or the targets of a bank: pictures of many sizes, kept in its shards."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from compnn.bank.generations import Generation
from compnn.images.kinds import Picture


class Pictures:
    """The inputs or the targets of a bank's images.

    They stay readable as long as this is in use, whatever becomes of the bank.

    Parameters
    ----------
    generation
        Of the bank.
    file
        `layout.INPUTS_FILE` or `layout.TARGETS_FILE`.
    group
        Of that array.
    """

    def __init__(self, generation: Generation, file: str, group: int) -> None:
        self._generation = generation
        self._file = file
        self._group = group

    def size(self, image: int) -> tuple[int, int]:
        """Height and width of a picture."""
        _, _, height, width = self._generation.rows(self._group)[image].tolist()
        return height, width

    def sizes(
        self, images: npt.NDArray[np.integer]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Heights and widths of pictures, in the shape of `images`."""
        rows = self._generation.rows(self._group)[images]
        return rows[..., 2], rows[..., 3]

    def picture(self, image: int) -> Picture:
        """A picture, read-only, once its checksum is right.

        Raises
        ------
        BankError
            If it is damaged.
        """
        self.check([image])
        shard, first, height, width = self._generation.rows(self._group)[image].tolist()
        array = self._generation.shards[shard].array(self._file)
        pixels: Picture = array[first : first + height * width]
        return pixels.reshape(height, width, *array.shape[1:])

    def take(
        self,
        image: npt.NDArray[np.integer],
        row: npt.NDArray[np.integer],
        col: npt.NDArray[np.integer],
    ) -> Picture:
        """The pixels at rows and columns of images, three arrays of one shape; nothing is checked.

        The result has that shape, and the channels of a pixel, if any.
        """
        rows = self._generation.rows(self._group)
        places = rows[:, 1].take(image) + row * rows[:, 3].take(image) + col
        arrays = self._generation.shards
        used = np.zeros(len(rows), np.bool_)
        used[image] = True
        numbers = np.unique(rows[used, 0]).tolist()
        if len(numbers) == 1:
            found: Picture = np.take(arrays[numbers[0]].array(self._file), places, axis=0)
            return found
        example = arrays[numbers[0]].array(self._file)
        pixels = np.empty((*places.shape, *example.shape[1:]), example.dtype)
        shard = rows[:, 0].take(image)
        for number in numbers:
            chosen = shard == number
            pixels[chosen] = arrays[number].array(self._file)[places[chosen]]
        return pixels

    def blank(self, size: tuple[int, int]) -> Picture:
        """A picture of zeros of `size` (height, width), as these pictures are."""
        array = self._generation.shards[0].array(self._file)
        return np.zeros((*size, *array.shape[1:]), array.dtype)

    def check(self, images: Iterable[int]) -> None:
        """Check the pictures of images that have not been checked yet.

        Raises
        ------
        BankError
            If one is damaged, naming the file and the image.
        """
        self._generation.check(self._file, images)
