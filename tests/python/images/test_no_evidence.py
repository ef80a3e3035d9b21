"""Pictures in which nothing is shown somewhere: painted, and compared with the truth."""

from __future__ import annotations

import numpy as np
import pytest

from compnn.images.kinds import Labels, Values

HALF = np.zeros((8, 16), bool)
HALF[:4] = True


@pytest.mark.parametrize("palette", ["facades", "camvid"])  # without and with void
def test_labels_without_evidence_are_wrong(palette: str) -> None:
    kind = Labels(palette)
    truth = np.full((8, 16), 2, np.uint8)
    shown = kind.unmatched(truth, HALF)
    assert kind.compare(truth, shown).value == 0.5
    comparison = kind.comparison()
    found = comparison.summarise([comparison.observe(truth, shown)])
    assert found == dict.fromkeys(comparison.measures, 0.5)


def test_void_that_a_palette_lacks_is_hatched() -> None:
    kind = Labels("facades")
    truth = np.full((8, 16), 2, np.uint8)
    painted = kind.paint(kind.unmatched(truth, HALF))
    np.testing.assert_array_equal(painted[4:], kind.paint(truth)[4:])
    assert set(np.unique(painted[:4])) == {96, 160}


def test_other_labels_that_a_palette_lacks_are_still_errors() -> None:
    kind = Labels("facades")
    with pytest.raises(Exception, match="label 200 is not in palette 'facades'"):
        kind.paint(np.full((2, 2), 200, np.uint8))


def test_values_without_evidence_are_left_out_and_hatched() -> None:
    kind = Values("m", (0, 10))
    truth = np.full((8, 16), 5, np.float32)
    shown = kind.unmatched(truth + 1, HALF)
    assert kind.compare(truth, shown).value == 1
    # RMSE, MAE, AbsRel, and delta < 1.25, of 5 m that are said to be 6.
    assert kind.comparison().observe(truth, shown) == pytest.approx([1, 1, 0.2, 1])
    assert np.isnan(kind.compare(truth, kind.unmatched(truth, np.ones_like(HALF))).value)
    painted = kind.paint(shown)
    np.testing.assert_array_equal(painted[4:], kind.paint(truth + 1)[4:])
    assert set(np.unique(painted[:4])) == {96, 160}
