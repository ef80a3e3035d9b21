"""Reading the training pairs of a build as the bank keeps them."""

from __future__ import annotations

import dataclasses

import numpy as np

from compnn.bank.tables import SkippedImage
from compnn.data.dataset import Dataset, Pair
from compnn.errors import DatasetError, ImageError
from compnn.network.network import Network, fit_target
from compnn.network.preprocessing import image_channels


class PairReader:
    """Reads pairs as the bank keeps them: fitted to the network, both pictures C-contiguous.

    Parameters
    ----------
    dataset, network
        Where the pairs come from, and the network that they must suit.
    skip_bad
        Whether a pair that cannot be used is returned as SkippedImage rather than raised.

    Raises
    ------
    DatasetError
        If another number is white in the dataset than to the network.
    """

    def __init__(self, dataset: Dataset, network: Network, *, skip_bad: bool) -> None:
        white, taken = dataset.input_kind.seen.white, network.preprocessing.white
        if white != taken:
            raise DatasetError(
                f"white is {white} in the inputs of the dataset, but {taken} to {network.name}; "
                f"give both the same (Photo(white={white}), Preprocessing(white={white}))"
            )
        self._dataset = dataset
        self._network = network
        self._skip_bad = skip_bad

    def read(self, index: int) -> Pair | SkippedImage:
        """Return a pair of the dataset.

        Raises
        ------
        ImageError
            If it cannot be read or does not fit the network, unless such pairs are skipped.
        DatasetError
            If the network takes images of other channels than the dataset's.
        """
        try:
            return self._fit(self._dataset[index])
        except ImageError as error:
            return self.refuse(index, error)

    def refuse(self, index: int, error: ImageError) -> SkippedImage:
        """Return a pair that is to be skipped for an error.

        Raises
        ------
        ImageError
            If such pairs are not skipped.
        """
        name = self._dataset.names[index]
        if self._skip_bad:
            return SkippedImage(name, str(error))
        raise ImageError(
            f"training pair {name!r}: {error}. "
            f"To leave such pairs out, build with `--skip-bad` (skip_bad=True)."
        ) from error

    def _fit(self, pair: Pair) -> Pair:
        image, target = pair.input, pair.target
        input_kind, target_kind = self._dataset.input_kind, self._dataset.target_kind
        seen, channels = input_kind.seen, self._network.input_channels
        if seen.channels not in (channels, image_channels(channels)):
            raise DatasetError(
                f"the inputs of the dataset have {seen.channels} channels, but "
                f"{self._network.name} takes {channels}; where files have these, say so "
                f"with `--channels {channels}` (Photo(channels={channels}))"
            )
        if self._network.preprocessing.resize:
            image = self._network.fit(image, input_kind)
        self._network.check_image(image, pair.name)
        image = seen.check(image, f"the input of {pair.name}")
        target = target_kind.check(target, f"the target of {pair.name}")
        target = fit_target(self._network, target, image, target_kind, pair.name)
        # Records are the arrays' bytes as they lie in memory.
        return dataclasses.replace(
            pair, input=np.ascontiguousarray(image), target=np.ascontiguousarray(target)
        )
