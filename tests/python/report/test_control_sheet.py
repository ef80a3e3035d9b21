"""The sheet of property control: every picture, and the numbers beside them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from compnn.bank.selection import Selection
from compnn.explanation.explainer import Explainer
from compnn.explanation.scores import score
from compnn.images.kinds import Values
from compnn.report.facts import most_changed, signed
from compnn.report.sheets.control_sheet import control_sheet
from compnn.search.search import Exhaustive
from compnn.studies.control import UNRESTRICTED, Control, control, subsets_by
from control_cases import explainer_of_labels, explainer_of_photos, query_of
from explanation_cases import explain
from pixels import holds

Image = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Explainer:
    return explainer_of_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Explainer:
    return explainer_of_labels(tmp_path_factory.mktemp("labels"))


def enlarged(picture: Image, factor: int) -> Image:
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def test_sheet_shows_every_picture(photos: Explainer) -> None:
    query = query_of()
    found = control(photos, query, "encoder_2", subsets_by(photos.bank, "kind"))
    sheet = control_sheet(found, title="a query")
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] <= 2400
    assert query.target is not None
    pictures = [query.image, query.target, found.unrestricted.network_output]
    for explanation in found.explanations.values():
        pictures += [explanation.input, explanation.output]
    for picture in pictures:
        assert holds(sheet, enlarged(picture, 12))


def test_sheet_paints_label_maps(labels: Explainer) -> None:
    query = query_of((24, 32), classes=5)
    found = control(labels, query, "decoder_1", {"first": Selection(only="img_0")})
    kind = labels.bank.target_kind
    sheet = control_sheet(found)
    for explanation in found.explanations.values():
        assert holds(sheet, enlarged(kind.paint(explanation.output), 12))


def test_the_classes_that_change_most(labels: Explainer) -> None:
    without = {"without": Selection(classes=("not class 4",))}
    found = control(labels, query_of((24, 32), classes=5), "decoder_1", without, Exhaustive())
    assert 4 in most_changed(found, 2)
    assert most_changed(found, 2) == sorted(
        np.argsort(-np.abs(found.change("without")), kind="stable")[:2]
    )


def test_many_subsets_take_several_rows(photos: Explainer) -> None:
    subsets = {f"number {index}": Selection(only=f"img_{index % 6}") for index in range(9)}
    found = control(photos, query_of().image, "encoder_2", subsets)
    sheet = control_sheet(found)
    assert sheet.shape[1] <= 2400
    few = dict(list(subsets.items())[:4])
    one_row = control_sheet(control(photos, query_of().image, "encoder_2", few))
    assert sheet.shape[1] == one_row.shape[1], "ten columns are two rows of five"
    assert sheet.shape[0] > 1.5 * one_row.shape[0]


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (12.34, 1, "+12.3"),
        (-0.05, 2, "\N{MINUS SIGN}0.05"),
        (-0.004, 2, "±0"),
        (0.0, 0, "±0"),
        (0.6, 0, "+1"),
    ],
)
def test_signed(value: float, digits: int, text: str) -> None:
    assert signed(value, digits) == text


def control_of_values(unit: str, mean: float) -> Control:
    """Two subsets; `mean` is that of the second."""
    kind = Values(unit, (0, 80))
    explanations = {
        title: explain([[0, 1]], size=(256, 256), kind=kind) for title in (UNRESTRICTED, "near")
    }
    return Control(
        explanations,
        {title: score(each) for title, each in explanations.items()},
        {UNRESTRICTED: 2, "near": 1},
        {UNRESTRICTED: np.array([20.0]), "near": np.array([mean])},
        np.array([30.0]),
        ("mean",),
    )


def test_sheet_of_values_shows_their_mean_in_their_unit() -> None:
    found = control_of_values("m", 24.5)
    sheet = control_sheet(found)
    kind = found.unrestricted.target_kind
    for explanation in found.explanations.values():
        assert holds(sheet, kind.paint(explanation.output))
    assert (control_sheet(control_of_values("m", 24.51)) == sheet).all(), "one decimal of 80"
    for other in (control_of_values("m", 24.6), control_of_values("feet", 24.5)):
        assert (control_sheet(other) != sheet).any()
