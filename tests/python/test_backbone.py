"""Networks without a per-pixel output: all works that needs none, and nothing is made up for it."""

from __future__ import annotations

import csv
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from command_line import runner
from compnn.bank.bank import Bank, build
from compnn.bank.selection import Selection
from compnn.errors import PaletteError
from compnn.explanation.explainer import Explainer
from compnn.explanation.explanation import Explanation
from compnn.explanation.scores import score
from compnn.images.files import write_image
from compnn.network.onnx import OnnxNetwork
from compnn.network.output import OutputChoice
from compnn.report.sheets.contact_sheet import contact_sheet
from compnn.report.sheets.control_sheet import control_sheet
from compnn.report.sheets.correspondence_map import correspondence_map
from compnn.report.sheets.matches import match_sheet
from compnn.report.sheets.reconstruction_grid import GridRow, reconstruction_grid
from compnn.search.search import Exhaustive
from compnn.studies.control import control
from compnn.studies.evaluation import Row, evaluate
from compnn.studies.matching import match
from memory_dataset import MemoryDataset
from tiny_networks import tiny_segnet

SIZE = (24, 32)
WALLS = {f"img_{i}": {"wall": "red" if i % 2 else "grey"} for i in range(4)}
TRAIN = MemoryDataset(4, SIZE, classes=5, attributes=WALLS)
PAIR = MemoryDataset(1, SIZE, classes=5, seed=1)[0]


@dataclass
class Both:
    """The same weights with a per-pixel output, and without; the banks of both."""

    painter: Explainer
    backbone: Explainer


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp("backbone")
    found = []
    for name, choice in (("painter", OutputChoice()), ("backbone", OutputChoice(kind="none"))):
        path = tiny_segnet(folder / f"{name}.onnx")
        network = OnnxNetwork(path, descriptor="encoder_2", output=choice)
        found.append(Explainer(build(folder / f"{name}.bank", network, TRAIN)))
    return Both(*found)


def explained(explainer: Explainer) -> Explanation:
    return explainer.explain(PAIR.input, "decoder_1", Exhaustive(), top_k=3)


def test_explanations_are_those_of_the_network_with_an_output(both: Both, tmp_path: Path) -> None:
    with_output, without = explained(both.painter), explained(both.backbone)
    assert both.backbone.network.output_name is None  # which the bank remembers
    assert without.network_output is None
    for one in (without, pickle.loads(pickle.dumps(without))):
        np.testing.assert_array_equal(one.field.image, with_output.field.image)
        np.testing.assert_array_equal(one.input, with_output.input)
        np.testing.assert_array_equal(one.output, with_output.output)
    scores, others = score(without, PAIR.target), score(with_output, PAIR.target)
    assert (scores.input, scores.output_to_target) == (others.input, others.output_to_target)
    assert scores.output_to_network is None
    assert scores.network_to_target is None
    assert scores.output == others.output_to_target
    assert score(without).output is None

    written = without.save(tmp_path)
    assert not (tmp_path / "network_output.png").exists()
    assert all(each.is_file() for each in written)
    loaded = Explanation.load(tmp_path)
    assert loaded.network_output is None
    np.testing.assert_array_equal(loaded.output, without.output)


def test_readings_serve_without_an_output(both: Both) -> None:
    reading = both.backbone.read(PAIR.input)
    assert reading.output is None
    assert reading.painted is None
    found = both.backbone.explain(reading, "decoder_1", Exhaustive(), top_k=3)
    np.testing.assert_array_equal(found.field.image, explained(both.backbone).field.image)


def test_sheets_leave_the_networks_output_out(both: Both) -> None:
    """They are narrower, or have room where it stood."""
    sheets = []
    for explainer in (both.painter, both.backbone):
        found = explained(explainer)
        row = GridRow("q", [found], [score(found)])
        sheets.append(
            (
                contact_sheet([found], target=PAIR.target),
                correspondence_map(found),
                reconstruction_grid([row], "output"),
                reconstruction_grid([row], "input"),
            )
        )
    with_output, without = sheets
    for one, other in zip(with_output[:3], without[:3], strict=True):
        assert one.shape != other.shape or (one != other).any()
    np.testing.assert_array_equal(with_output[3], without[3])


def test_control_and_matching_need_no_output(both: Both) -> None:
    subsets = {"red": Selection(where=("wall=red",))}
    found = control(both.backbone, PAIR.input, "decoder_1", subsets, Exhaustive())
    expected = control(both.painter, PAIR.input, "decoder_1", subsets, Exhaustive())
    assert found.network_statistics is None
    assert found.to_json()["network_output"] is None
    np.testing.assert_array_equal(found.change("red"), expected.change("red"))
    assert control_sheet(found).shape[2] == 3

    images = PAIR.input, TRAIN[0].input
    matched = match(both.backbone.network, *images, "decoder_1")
    other = match(both.painter.network, *images, "decoder_1")
    np.testing.assert_array_equal(matched.forward.row, other.forward.row)
    assert (matched.output_a, matched.class_names) == (None, ())
    assert match_sheet(matched, points=[(3, 4)]).shape[2] == 3
    with pytest.raises(PaletteError, match="no output"):
        _ = matched.classes_a
    with pytest.raises(PaletteError, match="leave the palette out"):
        match(both.backbone.network, *images, "decoder_1", palette="camvid")


def test_evaluations_leave_the_network_out(both: Both, tmp_path: Path) -> None:
    pairs = MemoryDataset(2, SIZE, classes=5, seed=2)
    found, expected = (
        evaluate(each, pairs, tmp_path / name, Exhaustive(), top_k=[2], layers=["decoder_1"])
        for name, each in (("without", both.backbone), ("with", both.painter))
    )
    row = Row("OR", "decoder_1", 2)
    assert found.line(row).values == expected.line(row).values
    assert found.line(row).changes == {}
    assert {(line.row.kind, line.against) for line in found.lines} == {
        ("GR", "target"),
        ("OR", "target"),
        ("IR", "input"),
    }
    assert "the network itself is left out: it has no output" in found.plan.notes
    text = (tmp_path / "without" / "results.md").read_text()
    assert "As network" not in text
    assert "as network" not in text
    with open(tmp_path / "without" / "results.csv", newline="") as file:
        assert "network" not in {line["reconstruction"] for line in csv.DictReader(file)}


def test_the_command_line_works_without_an_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for index, name in enumerate(TRAIN.names):
        for part, picture in (("in", TRAIN[index].input), ("out", TRAIN[index].input[::-1])):
            (tmp_path / part).mkdir(exist_ok=True)
            write_image(tmp_path / part / f"{name}.png", picture)
    network, bank = tiny_segnet(tmp_path / "net.onnx"), tmp_path / "my.bank"
    folders = ("--inputs", tmp_path / "in", "--targets", tmp_path / "out")
    query, layer = tmp_path / "in" / "img_0.png", ("--layer", "decoder_1")

    def run(command: str, *arguments: object) -> str:
        code, out, error = runner(monkeypatch, capsys, command, columns=200)(*arguments)
        assert code == 0, error
        return out + error

    code, _, error = runner(monkeypatch, capsys, "build")(bank, network, *folders, *layer)
    assert code == 2
    assert "such as none where it is no picture" in error
    described = run(
        "build",
        bank,
        network,
        *folders,
        *layer,
        "--descriptor",
        "encoder_2",
        "--output-kind",
        "none",
    )
    assert "no output: it is said to be none" in described
    assert Bank(bank).open_network().output_name is None
    told = run(
        "reconstruct", bank, query, "--target", tmp_path / "out" / "img_0.png", "-o", tmp_path / "r"
    )
    assert "true target" in told
    assert "network's" not in told
    assert (tmp_path / "r" / "contact_sheet.png").is_file()
    assert "network" not in run(
        "evaluate", bank, *folders, "--top-k", "2", "-o", tmp_path / "e"
    ).replace("the network itself is left out: it has no output", "")
