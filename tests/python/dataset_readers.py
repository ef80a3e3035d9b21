"""What tests of datasets run in other processes, which import it by name."""

from __future__ import annotations

from compnn.data.dataset import Dataset, Pair


def read_pair(dataset: Dataset, index: int) -> tuple[Dataset, Pair]:
    """The dataset, and one of its pairs."""
    return dataset, dataset[index]
