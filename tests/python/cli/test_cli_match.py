"""`compnn match`: what it prints and writes, and how bad input ends it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from command_line import Run, runner
from compnn.explanation.query import read_query
from compnn.images.files import read_image, write_image
from compnn.images.palette import Palette
from compnn.network.onnx import OnnxNetwork
from compnn.search.search import HyperPatchMatch
from compnn.studies.matching import match
from tiny_networks import tiny_segnet, tiny_unet

FILES = {"matches.png", "a_from_b.png", "b_from_a.png", "forward.npz", "backward.npz"}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run(a, b, ...)` calls `compnn match`: exit code, standard output, error in one line."""
    return runner(monkeypatch, capsys, "match", columns=200)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a.png, b.png, pair.png, segnet.onnx, unet.onnx and palette.csv."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(1)
    for name, size in (("a", (24, 32)), ("b", (24, 32)), ("pair", (32, 64))):
        write_image(tmp_path / f"{name}.png", random.integers(0, 256, (*size, 3), np.uint8))
    tiny_segnet(tmp_path / "segnet.onnx")
    tiny_unet(tmp_path / "unet.onnx")
    names = ["rose", "lily", "fern", "moss", "reed"]
    rows = [f"{index},{name},{40 * index},9,9" for index, name in enumerate(names)]
    (tmp_path / "palette.csv").write_text("\n".join(["index,name,r,g,b", *rows]))
    return tmp_path


def test_pictures_fields_and_a_table_of_classes(run: Run, place: Path) -> None:
    code, out, error = run(
        "a.png",
        "b.png",
        "--network",
        "segnet.onnx",
        "--layer",
        "decoder_1",
        "--palette",
        "palette.csv",
        "--points",
        "3,4 20,30",
        "--points",
        "11,7",
    )
    assert (code, error) == (0, "")
    assert {path.name for path in (place / "a-b-match").iterdir()} == FILES
    expected = match(
        OnnxNetwork("segnet.onnx"),
        "a.png",
        "b.png",
        "decoder_1",
        palette=Palette.load("palette.csv"),
    )
    in_a, in_b = expected.class_counts()
    for name, count_a, count_b in zip(expected.class_names, in_a, in_b, strict=True):
        line = re.search(rf"^ *{name} +(\d+) +(\d+)", out, re.MULTILINE)
        if count_a or count_b:
            assert line is not None
            assert line.groups() == (str(count_a), str(count_b))
        else:
            assert line is None
    for y, x in ((3, 4), (20, 30), (11, 7)):
        found = expected.point(y, x)
        assert re.search(rf"{y},{x} +{found.y},{found.x} +{found.similarity:.4f}", out)
    assert f"{expected.same_class:.1%}" in out
    assert f"by chance: {expected.chance:.1%}" in out
    np.testing.assert_array_equal(read_image("a-b-match/a_from_b.png"), expected.a_from_b)
    with np.load("a-b-match/forward.npz") as arrays:
        np.testing.assert_array_equal(arrays["row"], expected.forward.row)


def test_json_is_all_that_is_printed(run: Run, place: Path) -> None:
    code, out, error = run(
        "a.png",
        "b.png",
        "--network",
        "segnet.onnx",
        "--layer",
        "encoder_2",
        "--points",
        "5,6",
        "-o",
        "found",
        "--json",
    )
    assert (code, error) == (0, "")
    document = json.loads(out)
    expected = match(OnnxNetwork("segnet.onnx"), "a.png", "b.png", "encoder_2")
    assert document["layer"]["grid"] == list(expected.layer.grid)
    assert document["classes"]["agreement"] == expected.agreement.tolist()
    assert document["classes"]["same_class"] == pytest.approx(expected.same_class)
    assert document["classes"]["chance"] == pytest.approx(expected.chance)
    assert document["classes"]["names"][0] == "class 0"
    assert document["cycle_consistency"] == pytest.approx(expected.cycle_consistency())
    assert document["similarity_b_to_a"] == pytest.approx(expected.backward.mean_similarity)
    (point,) = document["points"]
    assert point["a"] == [5, 6]
    assert point["b"] == list(expected.point(5, 6)[:2])
    assert point["classes"] == list(expected.point_classes(5, 6))
    assert (place / "found" / "matches.png").is_file()


def test_side_by_side_files_of_a_network_that_paints(run: Run, place: Path) -> None:
    code, out, error = run(
        "pair.png",
        "pair.png",
        "--input",
        "right",
        "--network",
        "unet.onnx",
        "--layer",
        "decoder_2",
        "--method",
        "hyperpatch-match",
        "--seed",
        "3",
        "-o",
        "found",
        "--json",
    )
    assert (code, error) == (0, "")
    document = json.loads(out)
    assert document["classes"] is None
    query = read_query("pair.png", half="right")
    search = HyperPatchMatch(seed=3)
    expected = match(OnnxNetwork("unet.onnx"), query, query, "decoder_2", search)
    assert document["search"]["seed"] == 3
    assert document["similarity_a_to_b"] == pytest.approx(expected.forward.mean_similarity)
    np.testing.assert_array_equal(read_image("found/a_from_b.png"), expected.a_from_b)
    code, out, _ = run(
        "pair.png",
        "pair.png",
        "--input",
        "left",
        "--network",
        "unet.onnx",
        "--layer",
        "decoder_2",
        "--points",
        "0,0",
    )
    assert code == 0
    assert "same class" not in out
    assert re.search(r"0,0 +0,0 +1\.0000", out)


def test_index_images_are_painted_with_the_input_palette(run: Run, place: Path) -> None:
    labels = np.random.default_rng(2).integers(0, 5, (24, 32), np.uint8)
    write_image(place / "labels.png", labels)
    painted = Palette.load(place / "palette.csv").colourise(labels)
    code, _, _ = run(
        "labels.png",
        "labels.png",
        "--input-palette",
        "palette.csv",
        "--network",
        "segnet.onnx",
        "--layer",
        "encoder_1",
        "-o",
        "found",
        "--json",
    )
    assert code == 0
    # Matched to itself; equal neighbourhoods may be exchanged.
    found = read_image("found/a_from_b.png")
    assert set(map(tuple, found.reshape(-1, 3))) <= set(map(tuple, painted.reshape(-1, 3)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--points", "3;4"], "'3;4' is not of the form"),
        (["--points", "24,0"], "no pixel 24,0 in an image of 24x32"),
        (["--layer", "decoder_9"], "unknown layer 'decoder_9'"),
        (["--palette", "camvid"], "5 classes apart, but the palette is palette 'camvid'"),
        (["--palette", "nowhere.csv"], "nowhere.csv"),
        (["--network", "none.onnx"], "none.onnx"),
        (["--hyperpatch", "99x99"], "99x99"),
        (["--method", "guess"], "guess"),
        (["-o", "a.png"], "cannot write"),
        (["--input", "left"], "--resize"),
    ],
)
def test_bad_input_ends_with_code_2_and_says_why(
    run: Run, place: Path, change: list[str], words: str
) -> None:
    before = set(place.iterdir())
    code, out, error = run(
        "a.png", "b.png", "--network", "segnet.onnx", "--layer", "encoder_1", *change
    )
    assert code == 2
    assert words in error
    assert out == ""
    assert set(place.iterdir()) == before


def test_missing_image_is_named(run: Run, place: Path) -> None:
    code, _, error = run("no.png", "b.png", "--network", "segnet.onnx", "--layer", "encoder_1")
    assert code == 2
    assert "no.png" in error
