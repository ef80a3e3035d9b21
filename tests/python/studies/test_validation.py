"""Validation images that are training images, too."""

from __future__ import annotations

import numpy as np
import pytest

from compnn.data.dataset import Dataset, Pair
from compnn.explanation.explainer import Explainer
from compnn.studies.validation import images_of_both
from evaluation_cases import COUNT, LABELS, TRAIN_LABELS


class Copies(Dataset):
    """A training image, larger and with some noise, among others."""

    def __init__(self, shade: int = 0) -> None:
        self.shade = shade
        super().__init__(["copy", *LABELS.names], target_kind=LABELS.target_kind)

    def read(self, name: str) -> Pair:
        if name != "copy":
            return LABELS.read(name)
        larger = np.kron(TRAIN_LABELS[2].input, np.ones((2, 2, 1), np.uint8)).astype(int)
        noise = np.random.default_rng(0).integers(-3, 4, larger.shape)
        found = larger + noise + self.shade
        return Pair(name, found.clip(0, 255).astype(np.uint8), LABELS[0].target)


def test_copies_are_found(label_explainer: Explainer) -> None:
    """At another size and slightly changed; not where they are not searched, or are others."""
    bank, images = label_explainer.bank, range(COUNT)
    assert images_of_both(bank, LABELS, images) == ([], 3)
    assert images_of_both(bank, TRAIN_LABELS, images)[0] == [(n, n) for n in TRAIN_LABELS.names]
    assert images_of_both(bank, Copies(), images) == ([("copy", bank.names[2])], 4)
    assert images_of_both(bank, Copies(), [0, 1, 3]) == ([], 4)
    assert images_of_both(bank, Copies(shade=30), images) == ([], 4)


def test_of_many_images_some_are_looked_at(
    label_explainer: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compnn.studies.validation._MOST_PAIRS", 4)
    found, looked_at = images_of_both(label_explainer.bank, TRAIN_LABELS, range(COUNT))
    assert looked_at == 3
    assert [name for name, _ in found] == list(TRAIN_LABELS.names[::2])
