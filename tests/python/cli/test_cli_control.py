"""`compnn control`: what it prints and writes, and how bad input ends it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from command_line import Run, runner
from compnn.bank.bank import build
from compnn.explanation.explainer import Explainer
from compnn.images.files import read_image, write_image
from compnn.network.onnx import OnnxNetwork
from compnn.search.search import Exhaustive
from memory_dataset import MemoryDataset, contents
from tiny_networks import tiny_segnet, tiny_unet

WALLS = {"img_0": "red", "img_1": "grey", "img_2": "grey"}
SAVED = {"field.npz", "explanation.json"}
PICTURES = {
    "query.png",
    "network_output.png",
    "input.png",
    "output.png",
    "field.npz",
    "explanation.json",
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run(bank, image, ...)` calls `compnn control`: exit code, standard output, error."""
    return runner(monkeypatch, capsys, "control")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with photos.bank, labels.bank, q.png, and pair.png with its target."""
    monkeypatch.chdir(tmp_path)
    attributes = {name: {"wall": wall, "age": "old"} for name, wall in WALLS.items()}
    unet = OnnxNetwork(tiny_unet(tmp_path / "unet.onnx"), ["encoder_2", "decoder_2"], "encoder_3")
    build("photos.bank", unet, MemoryDataset(4, attributes=attributes))
    segnet = OnnxNetwork(tiny_segnet(tmp_path / "segnet.onnx"), ["decoder_1"])
    dataset = MemoryDataset(3, (24, 32), classes=5)
    for number, pair in enumerate(dataset.pairs.values()):
        pair.target[:, :20], pair.target[:, 20:] = 1, (2, 0, 2)[number]
    build("labels.bank", segnet, dataset)
    query = MemoryDataset(1, seed=1)[0]
    write_image("q.png", query.input)
    write_image("pair.png", np.hstack([query.input, query.target]))
    write_image("street.png", MemoryDataset(1, (24, 32), seed=1)[0].input)
    return tmp_path


def row(out: str, title: str) -> list[str]:
    """The numbers of the first row of a table that begins with the title."""
    return next(line for line in out.splitlines() if line.startswith(f" {title} ")).split()


def test_a_subset_for_each_value(run: Run, place: Path) -> None:
    code, out, error = run("photos.bank", "pair.png", "--input", "left", "--by", "wall")
    assert (code, error) == (0, "")
    assert "pair.png, decoder_2, exhaustive" in out
    assert row(out, "all images")[2:3] == ["4"]
    assert row(out, "wall=grey")[1:2] == ["2"]
    assert row(out, "wall=red")[1:2] == ["1"]
    assert out.index("all images") < out.index("wall=grey") < out.index("wall=red")
    assert "to target" in out
    assert max(len(line) for line in out.splitlines() if "target:" not in line) <= 80
    assert out.endswith("picture: pair-control/control.png\n")
    folders = ("0-all_images", "1-wall_grey", "2-wall_red")
    assert set(contents(place / "pair-control")) == {"control.png"} | {
        f"{folder}/{name}" for folder in folders for name in PICTURES | SAVED
    }
    assert read_image("pair-control/control.png").shape[1] > 3 * 256
    red = Explainer("photos.bank").explain("q.png", "decoder_2", among=["img_0"])
    np.testing.assert_array_equal(read_image("pair-control/2-wall_red/output.png"), red.output)
    means = red.output.reshape(-1, 3).mean(axis=0)
    colours = out[out.index("mean colour") :]
    assert f"{means[0]:.0f}" in row(colours, "wall=red")
    assert "network output" in colours


def test_options_as_json(run: Run, place: Path) -> None:
    code, out, error = run(
        "photos.bank", "q.png", "--layer", "encoder_2", "--where", "wall=grey,age=old",
        "--where", "wall!=grey", "--by", "age", "--top-k", 2, "--method", "exhaustive",
        "--compose", "overlap", "-o", "out", "--json",
    )  # fmt: skip
    assert (code, error) == (0, "")
    document = json.loads(out)
    assert document["folder"] == "out"
    assert document["layer"] == "encoder_2"
    assert [(each["subset"], each["images"]) for each in document["subsets"]] == [
        ("all images", 4),
        ("age=old", 3),
        ("wall=grey, age=old", 2),
        ("wall!=grey", 2),
    ]
    assert [each["candidates"] for each in document["subsets"]] == [2, 2, 2, 2]
    everything, *_, not_grey = document["subsets"]
    assert document["search"] == {"method": "exhaustive", "matches": 1}
    alone = Explainer("photos.bank").explain(
        "q.png", "encoder_2", Exhaustive(), among=[0, 3], composition="overlap"
    )
    means = alone.output.reshape(-1, 3).mean(axis=0)
    assert list(not_grey["statistics"].values()) == pytest.approx(means)
    for key, change in not_grey["change"].items():
        before = everything["statistics"][key]
        assert change == pytest.approx(not_grey["statistics"][key] - before)
    assert (place / "out" / "3-wall__grey" / "output.png").is_file()


def test_class_shares(run: Run, place: Path) -> None:
    code, out, error = run(
        "labels.bank", "street.png", "--classes", "not class 2", "--classes", "class 1, class 2"
    )
    assert (code, error) == (0, "")
    shares = out[out.index("share of the pixels") :]
    assert "class 2" in shares
    assert re.search(r" not class 2 .* 0\.0 \(", shares)
    assert re.search(r" class 1, class 2 ", shares)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "give the subsets of the training images: --by KEY, --where KEY=VALUE or --classes"),
        (("--by", "roof"), "no training image has the attribute 'roof'; the bank's are age, wall"),
        (("--where", "wall=blue"), "no training image has wall=blue"),
        (("--where", "wall"), "'wall' is not of the form key=value"),
        (("--where", "wall=red,wall=grey"), "no training image is left of 4"),
        (("--classes", "door"), "cannot be filtered by class"),
        (("--by", "wall", "--layer", "encoder_3"), "no layer 'encoder_3'"),
        (("--by", "wall", "--region", "sky"), "the region 'sky' cannot be found in the query"),
        (("--by", "wall", "--top-k", "0"), "--top-k"),
        (("--by", "wall", "--compose", "blend"), "'blend'"),
        (("--by", "wall", "--target", "street.png"), "q.png is 24x32, but for its input of 32x32"),
        (("--by", "wall", "-o", "q.png"), "cannot write"),
    ],
)
def test_bad_options(run: Run, place: Path, options: tuple[str, ...], expected: str) -> None:
    before = contents(place)
    code, out, error = run("photos.bank", "q.png", *options)
    assert (code, out) == (2, "")
    assert expected in error
    assert "Traceback" not in error
    assert contents(place) == before
