"""`compnn evaluate`: what it prints and writes, how it stops and resumes, and bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import Run, runner
from compnn.bank.bank import build
from compnn.data.folders import SideBySide
from compnn.explanation.explainer import Explainer
from compnn.images.files import write_image
from compnn.network.onnx import OnnxNetwork
from compnn.search.search import HyperPatchMatch
from compnn.studies.evaluation import Row, evaluate
from compnn.studies.evaluation.measuring import Measuring
from memory_dataset import MemoryDataset, grey_palette, patch_call
from tiny_networks import tiny_segnet, tiny_unet

QUICK = ("--method", "hyperpatch-match", "--iterations", 2, "--top-k", "1,all")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run(bank, ...)` calls `compnn evaluate`: exit code, standard output, error in one line."""
    return runner(monkeypatch, capsys, "evaluate")


def write_pairs(folder: Path, pairs: MemoryDataset) -> Path:
    folder.mkdir(parents=True)
    for pair in pairs:
        sides = np.hstack([pair.input, pairs.target_kind.paint(pair.target)])
        write_image(folder / f"{pair.name}.png", sides)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos.bank and labels.bank, and validation pairs for each."""
    folder = tmp_path_factory.mktemp("evaluate")
    train = SideBySide(
        write_pairs(folder / "train", MemoryDataset(4)),
        attributes={"img_0": {"wall": "red"}, "img_3": {"wall": "red"}, "img_1": {"wall": "blue"}},
    )
    unet = OnnxNetwork(tiny_unet(folder / "unet.onnx"), ["encoder_2", "decoder_2"], "encoder_3")
    build(folder / "photos.bank", unet, train)
    segnet = OnnxNetwork(tiny_segnet(folder / "segnet.onnx"), ["decoder_1"])
    build(folder / "labels.bank", segnet, MemoryDataset(3, (24, 32), classes=5))
    write_pairs(folder / "val-photos", MemoryDataset(3, seed=1))
    write_pairs(folder / "val-labels", MemoryDataset(2, (24, 32), classes=5, seed=1))
    return folder


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_tables_and_files(run: Run, place: Path) -> None:
    pairs = place / "val-photos"
    code, out, error = run(place / "photos.bank", "--side-by-side", pairs, *QUICK)
    assert (code, error) == (0, "")
    folder = Path("photos-evaluation")
    found = json.loads((folder / "results.json").read_text())
    search = HyperPatchMatch(iterations=2)
    explainer = Explainer(place / "photos.bank")
    expected = evaluate(explainer, SideBySide(pairs), "api", search, top_k=[1, None])
    for line, wanted in zip(found["lines"], expected.to_json()["lines"], strict=True):
        assert {**line, "seconds": 0} == {**wanted, "seconds": 0}
    title = f"3 validation images, 4 training images (all images), {search}"
    assert title in out
    line = expected.line(Row("OR", "decoder_2", 1))
    psnr, change, ssim = line.values["psnr"], line.changes["psnr"], line.values["ssim"]
    row = f"OR decoder_2 top 1 {psnr:.2f} dB ({change:+.2f}) {ssim:.3f}"
    assert row in " ".join(out.split())
    assert f"{expected.line(Row('IR', 'decoder_2')).similarity:.4f}" in out
    assert "all measures: photos-evaluation/results.md" in out


def test_json_and_filters(run: Run, place: Path) -> None:
    code, out, _ = run(
        *(place / "photos.bank", "--side-by-side", place / "val-photos", "--json", "-o", "out"),
        *("--layer", "encoder_2", "--where", "wall=red", "--limit", 2, "--compose", "overlap"),
        *("--top-k", "1, 2,3,all", "--method", "exhaustive", "--matches", 2),
    )
    assert code == 0
    found = json.loads(out)
    settings = found["settings"]
    assert (settings["training_images"], settings["validation_images"]) == (2, 2)
    assert (settings["selection"], settings["composition"]) == ("where wall=red", "overlap")
    assert settings["search"] == {"method": "exhaustive", "matches": 2}
    assert settings["search_words"] == "exhaustive, 2 matches"
    assert found["notes"] == ["top 3 is left out: only 2 training images may be used"]
    assert found["folder"] == "out"
    searched = [each["top_k"] for each in found["lines"] if each["reconstruction"] == "IR"]
    assert searched == ["1", "2", "all"]


def test_palettes_are_those_of_the_bank_unless_told(run: Run, place: Path) -> None:
    arguments = (place / "labels.bank", "--side-by-side", place / "val-labels", "-o", "out")
    assert run(*arguments, "--top-k", "all")[0] == 0
    found = json.loads(Path("out", "results.json").read_text())
    assert 0 < found["lines"][0]["mean_iou"] < 1
    other = grey_palette(5)
    rows = [f"{i},{name},{9 * i},0,0" for i, name in enumerate(other.classes)]
    Path("other.csv").write_text("\n".join(["index,name,r,g,b", *rows]))
    code, _, error = run(*arguments, "--target-palette", "other.csv", "--restart")
    assert code == 2
    assert "palette 'greys' (labels 0..4), the validation targets label maps of palette" in error


def test_without_a_descriptor_only_all_images_are_searched(run: Run, place: Path) -> None:
    arguments = (place / "labels.bank", "--side-by-side", place / "val-labels", "-o", "out")
    code, out, _ = run(*arguments)
    assert code == 0
    assert "top 16 is left out: the bank has no descriptor" in out
    code, _, error = run(*arguments, "--top-k", "16")
    assert code == 2
    assert "nothing to search: top 16 is left out" in error


def test_interruption_keeps_the_journal_and_says_so(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (place / "photos.bank", "--side-by-side", place / "val-photos", *QUICK, "-o", "out")
    seen: list[Any] = []

    def interrupt(original: Callable[..., Any], *rest: Any) -> Any:
        seen.append(rest)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return original(*rest)

    with monkeypatch.context() as patched:
        patch_call(patched, Measuring, "measure", interrupt)
        code, out, error = run(*arguments)
    assert (code, out) == (130, "")
    assert "interrupted; 2 of 3 images are kept in out/journal.jsonl, and the same command" in error
    code, _, error = run(*arguments, "--seed", 1)
    assert code == 2
    assert "differs in: seed; use another folder, or --restart" in error
    measured = patch_call(monkeypatch, Measuring, "measure", lambda original, *a: original(*a))
    assert run(*arguments)[0] == 0
    assert len(measured) == 1
    assert run(*arguments, "--seed", 1, "--restart")[0] == 0
    assert len(measured) == 1 + 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give the pairs of images once"),
        (["--camvid", "val", "--side-by-side", "val"], "give the pairs of images once"),
        (["--side-by-side", "nowhere"], "nowhere"),
        (["--side-by-side", "empty"], "empty"),
        (["--side-by-side", "PAIRS", "--top-k", "0,all"], "not of the form K,K,..."),
        (["--side-by-side", "PAIRS", "--top-k", "1,,2"], "not of the form K,K,..."),
        (["--side-by-side", "PAIRS", "--layer", "decoder_9"], "no layer 'decoder_9'"),
        (["--side-by-side", "PAIRS", "--only", "cmp_7"], "cmp_7"),
        (["--side-by-side", "PAIRS", "--where", "roof=flat"], "roof"),
        (["--side-by-side", "PAIRS", "--compose", "paste"], "paste"),
        (["--side-by-side", "LABELS"], "img_0 is 24x32"),
        (["--side-by-side", "PAIRS", "--target-palette", "facades"], "must be the same"),
        (["--side-by-side", "PAIRS", "-o", "taken"], "it is not a folder"),
    ],
)
def test_bad_input(run: Run, place: Path, arguments: list[str], message: str) -> None:
    Path("empty").mkdir()
    Path("taken").write_text("")
    before = sorted(Path.cwd().rglob("*"))
    folders = {"PAIRS": place / "val-photos", "LABELS": place / "val-labels"}
    given = [folders.get(argument, argument) for argument in arguments]
    code, out, error = run(place / "photos.bank", *given)
    assert (code, out) == (2, "")
    assert message in error
    assert sorted(Path.cwd().rglob("*")) == before


def test_training_images_among_the_validation_images_are_told(run: Run, place: Path) -> None:
    pairs = ("--side-by-side", place / "train", "--limit", 2, *QUICK)
    code, _, error = run(place / "photos.bank", *pairs)
    assert code == 0
    assert "2 of 2 validation images are training images, too (img_0 is img_0)" in error
    code, _, error = run(place / "photos.bank", *pairs, "--exclude", "img_[01]", "--restart")
    assert "training images, too" not in error
