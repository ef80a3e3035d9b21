"""`compnn figures`: what it prints and writes, and how bad input ends it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from command_line import Run, runner
from compnn.images.files import read_image, write_image
from compnn.images.kinds import Labels
from compnn.report.figures import Figures
from compnn.search.search import Exhaustive
from figure_cases import STREETS, VAL, drawn, opened, write_banks
from memory_dataset import contents


@pytest.fixture(scope="module")
def banks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_banks(tmp_path_factory.mktemp("figures"))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """`run(bank, ...)` calls `compnn figures`: exit code, standard output, error in one line."""
    monkeypatch.chdir(tmp_path)
    return runner(monkeypatch, capsys, "figures")


def side_by_side(banks: Path) -> Sequence[object]:
    return banks / "photos.bank", "--side-by-side", banks


def test_files_of_all_figures(run: Run, banks: Path) -> None:
    code, out, error = run(
        *side_by_side(banks), "--count", 2, "--method", "exhaustive", "--top-k", 2
    )
    assert (code, error) == (0, "")
    names = [
        "input-reconstructions.png",
        "output-reconstructions.png",
        "correspondence-map-img_0.png",
        "correspondence-map-img_3.png",
        "semantic-matches.png",
        "property-control.png",
    ]
    assert out.splitlines() == [f"photos-figures/{name} (exhaustive)" for name in names]
    assert set(contents(Path("photos-figures"))) == set(names)  # and no temporary file
    figures = Figures(opened(banks, "photos"), VAL, Exhaustive(), count=2, top_k=2)
    for name, pixels in zip(names, drawn(figures).values(), strict=True):
        np.testing.assert_array_equal(read_image(f"photos-figures/{name}"), pixels)


def test_chosen_figures_as_json(run: Run, banks: Path) -> None:
    code, out, error = run(
        *side_by_side(banks), "--figure", "correspondence-map", "--figure", "semantic-matches",
        "--image", "img_3", "--image", "img_1", "--layer", "decoder_2", "--layer", "encoder_2",
        "--match-layer", "decoder_3", "--top-k", "all", "-o", "out", "--json",
    )  # fmt: skip
    assert (code, error) == (0, "")
    document = json.loads(out)
    assert document["images"] == ["img_3", "img_1"]
    assert document["layers"] == ["encoder_2", "decoder_2"]
    assert (document["top_k"], document["left_out"]) == (None, {})
    files = [Path(each["file"]) for each in document["figures"]]
    assert {str(file.relative_to("out")) for file in files} == set(contents(Path("out")))
    assert [each["image"] for each in document["figures"]] == ["img_3", "img_1", None]


def test_what_is_left_out_is_said(run: Run, banks: Path) -> None:
    kind = STREETS.target_kind
    assert isinstance(kind, Labels)
    Path("streets").mkdir()
    for pair in STREETS:
        sides = np.hstack([pair.input, kind.paint(pair.target)])
        write_image(f"streets/{pair.name}.png", sides)
    code, out, error = run(banks / "labels.bank", "--side-by-side", "streets")
    assert (code, error) == (0, "")  # without descriptors all images are searched
    assert out.splitlines()[-1].startswith("property-control is left out: ")
    code, _, error = run(
        banks / "labels.bank", "--side-by-side", "streets", "--figure", "property-control"
    )
    assert code == 2
    assert "property-control cannot be drawn" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--figure", "fig5"), "there is no figure 'fig5'"),
        (("--top-k", "0"), "'0' is not of the form K, such as 16, or all"),
        (("--image", "img_77"), "there is no validation image 'img_77'"),
        (("--layer", "nothing"), "nothing"),
    ],
)
def test_bad_input_ends_with_2_and_writes_nothing(
    run: Run, banks: Path, options: tuple[str, ...], message: str
) -> None:
    code, out, error = run(*side_by_side(banks), *options)
    assert (code, out) == (2, "")
    assert message in error
    assert not Path("photos-figures").exists()
