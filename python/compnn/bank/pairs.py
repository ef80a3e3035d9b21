"""Reading the training pairs of a build at the network's size."""

from __future__ import annotations

import numpy as np

from compnn.bank.manifest import SkippedImage
from compnn.data.dataset import Dataset, Pair
from compnn.errors import ImageError
from compnn.network.onnx import Model


class PairReader:
    """Reads pairs as the bank keeps them: both images at the network's size.

    Parameters
    ----------
    dataset, model
        Where the pairs come from, and the network that fixes their size.
    skip_bad
        Whether a pair that cannot be read is returned as SkippedImage rather than raised.
    """

    def __init__(self, dataset: Dataset, model: Model, *, skip_bad: bool) -> None:
        self._dataset = dataset
        self._model = model
        self._skip_bad = skip_bad

    def read(self, index: int) -> Pair | SkippedImage:
        """Return a pair of the dataset, both images C-contiguous.

        Raises
        ------
        ImageError
            If it cannot be read or does not fit the network, unless such pairs are skipped.
        """
        name = self._dataset.names[index]
        try:
            return self._fit(self._dataset[index])
        except ImageError as error:
            if self._skip_bad:
                return SkippedImage(name, str(error))
            raise ImageError(
                f"training pair {name!r}: {error}. "
                f"To leave such pairs out, build with `--skip-bad` (skip_bad=True)."
            ) from error

    def _fit(self, pair: Pair) -> Pair:
        image, target = pair.input, pair.target
        if self._model.preprocessing.resize:
            fit = self._model.preprocessing.fit
            image, target = fit(image), fit(target)
        self._model.check_image(image, pair.name)
        photo = self._dataset.target_palette is None
        shape = (*self._model.input_size, 3) if photo else self._model.input_size
        if target.shape != shape or target.dtype != np.uint8:
            raise ImageError(
                f"the target of {pair.name} is {target.dtype} {target.shape}, but it should be a "
                f"{'photo' if photo else 'label map'}, uint8 {shape}"
            )
        # Records are the arrays' bytes as they lie in memory.
        return Pair(pair.name, np.ascontiguousarray(image), np.ascontiguousarray(target))
