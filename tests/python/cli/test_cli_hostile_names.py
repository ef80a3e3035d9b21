"""Names that strangers give files, classes and layers do no harm, from the build to the tables.

Bytes that are no UTF-8, control characters, escape sequences that a terminal obeys, line breaks,
formulas of spreadsheets: nothing of them reaches a terminal, a table or a picture as it is, and a
program that reads the JSON gets the names as they are.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import subprocess
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from command_line import START, Call, Refused, run_process
from compnn.bank.bank import Bank
from compnn.explanation.explanation import Explanation
from compnn.images.files import read_image, write_image
from compnn.names import shown
from memory_dataset import MemoryDataset
from tiny_networks import tiny_unet

NAMES = (
    "caf\udce9",
    "\x1b[31mred\x1b]0;title\x07",
    "bare\rreturn",
    "line\nbreak",
    "=HYPERLINK(A1)",
    "+1",
    "@SUM(A1)",
    "right\u202eleft",
    "-o",
    "[bold]markup",
)
LAYER = "enc\x1b[31m/\r2"
WALL = "wall\x1b[32m"


def is_safe(text: str) -> bool:
    """Whether a terminal shows a text, and does nothing else."""
    hidden = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
    return all(c == "\n" or unicodedata.category(c) not in hidden for c in text)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network, train/ and val/ of pairs side by side, and attributes."""
    folder = tmp_path_factory.mktemp("hostile")
    network = onnx.load(tiny_unet(folder / "unet.onnx"))
    for node in network.graph.node:
        for names in (node.input, node.output):
            names[:] = [LAYER if name == "encoder_2" else name for name in names]
    onnx.save(network, folder / "unet.onnx")
    for split, seed in (("train", 0), ("val", 1)):
        (folder / split).mkdir()
        pairs = MemoryDataset(len(NAMES), seed=seed)
        for name, pair in zip(NAMES, pairs, strict=True):
            # Written under a plain name first, which all libraries take.
            plain = folder / split / "plain.png"
            write_image(plain, np.hstack([pair.input, pair.target]))
            plain.rename(folder / split / f"{name}.png")
    rows = [["name", WALL], ["+1", "=1+1"], ["-o", "red\rgreen"], ["right\u202eleft", "=1+1"]]
    with open(folder / "walls.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture
def bank(run: Call, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "ba\x1b[31mnk\udcff.bank"
    result = run(
        *("build", path, place / "unet.onnx", "--side-by-side", place / "train"),
        *("--layer", LAYER, "--layer", "decoder_2", "--descriptor", "encoder_3"),
        *("--attributes", place / "walls.csv"),
    )
    assert result.code == 0, result
    assert is_safe(result.out + result.err)
    return path


def check_files(folder: Path, names: Sequence[str]) -> None:
    """Nothing unsafe in the tables and documents of a folder, and the pictures are there."""
    tables = sorted(folder.rglob("*.csv"))
    assert tables
    for path in tables:
        text = path.read_text(encoding="utf-8")
        assert is_safe(text), path
        rows = list(csv.reader(io.StringIO(text)))
        assert {len(row) for row in rows} == {len(rows[0])}, path
        for cell in (cell for row in rows for cell in row):
            assert cell[:1] not in ("=", "+", "@")
            assert cell[:1] != "-" or float(cell)
    for path in (*folder.rglob("*.md"), *folder.rglob("*.json")):
        assert is_safe(path.read_text(encoding="utf-8")), path
    for path in folder.rglob("*"):
        assert is_safe(os.fsencode(path.name).decode("utf-8")), "names of files that were made"
    for path in folder.rglob("*.png"):
        assert read_image(path).size
    shown_names = {shown(name) for name in names}
    for path in folder.rglob("images.csv"):
        rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
        assert shown_names <= {cell.removeprefix("'") for row in rows for cell in row}


def test_reconstruct(run: Call, bank: Path, place: Path) -> None:
    images = [place / "val" / f"{name}.png" for name in NAMES]
    command = ("reconstruct", bank, *images, "--input", "left", "-o", "out")
    printed = run(*command, "--layer", LAYER)
    assert printed.code == 0, printed
    assert is_safe(printed.out + printed.err)
    for name in NAMES:
        assert f"{shown(name)}.png, exhaustive" in printed.out
    assert shown(LAYER) in printed.out
    documents = json.loads((result := run(*command, "--no-map", "--json")).out)
    assert is_safe(result.out)
    assert [each["image"] for each in documents[::2]] == [str(image) for image in images]
    assert {each["layer"]["name"] for each in documents} == {LAYER, "decoder_2"}
    for document in documents:
        assert {each["name"] for each in document["candidates"]} == set(NAMES)
        loaded = Explanation.load(document["folder"])
        assert loaded.layer.name == document["layer"]["name"]
        assert {each.name for each in loaded.sources()} <= set(NAMES)
    check_files(Path("out"), NAMES)
    assert len(list(Path("out").iterdir())) == len(NAMES)
    alone = ("reconstruct", bank, images[1], "--input", "left", "-o", "one", "--sources", "used")
    assert run(*alone).code == 0
    check_files(Path("one"), NAMES)


def test_evaluate(run: Call, bank: Path, place: Path) -> None:
    command = ("evaluate", bank, "--side-by-side", place / "val", "-o", "out", "--top-k", "2,all")
    result = run(*command)
    assert result.code == 0, result
    assert is_safe(result.out + result.err)
    again = run(*command, "--json")
    assert is_safe(again.out)
    found = json.loads(again.out)
    assert found["settings"]["bank"] == str(bank)
    assert {line["layer"] for line in found["lines"]} == {None, LAYER, "decoder_2", "encoder_3"}
    check_files(Path("out"), NAMES)


def test_info_and_changes(run: Call, bank: Path) -> None:
    result = run("info", bank, "--verify")
    assert result.code == 0
    assert is_safe(result.out + result.err)
    assert result.out.startswith(shown(str(bank)))
    document = json.loads((result := run("info", bank, "--json")).out)
    assert is_safe(result.out)
    assert document["bank"] == str(bank)
    assert document["layers"][0]["name"] == LAYER
    dropped = run("drop", bank, NAMES[0], NAMES[1], "--", NAMES[8])
    assert is_safe(dropped.out)
    gone = {NAMES[0], NAMES[1], NAMES[8]}
    assert set(dropped.out.splitlines()[:3]) == {f"dropped: {shown(name)}" for name in gone}
    assert set(Bank(bank).names) == set(NAMES) - gone


def test_control_figures_and_match(run: Call, bank: Path, place: Path) -> None:
    image = place / "val" / f"{NAMES[1]}.png"
    found = run("control", bank, image, "--input", "left", "--by", WALL, "-o", "out")
    assert found.code == 0, found
    assert "wall\\x1B[32m==1+1" in found.out
    figures = run(
        *("figures", bank, "--side-by-side", place / "val", "--image", NAMES[0]),
        *("--image", NAMES[3], "-o", "figures"),
    )
    assert figures.code == 0, figures
    match = run(
        *("match", image, place / "val" / f"{NAMES[0]}.png", "--input", "left"),
        *("--network", place / "unet.onnx", "--layer", LAYER, "-o", "match"),
    )
    assert match.code == 0, match
    for result in (found, figures, match):
        assert is_safe(result.out + result.err)
    for folder in ("out", "figures", "match"):
        for path in Path(folder).rglob("*"):
            assert is_safe(os.fsencode(path.name).decode("utf-8"))


def test_layers(run: Call, place: Path) -> None:
    command = ("layers", place / "unet.onnx", "--all")
    result = run(*command)
    assert result.code == 0
    assert is_safe(result.out)
    assert shown(LAYER) in result.out
    assert LAYER in [each["name"] for each in json.loads(run(*command, "--json").out)]


def test_the_file_names_a_layer_that_there_is_not(refused: Refused, place: Path) -> None:
    """It is told that `--all` lists them, which then it does (see above)."""
    message = refused("layers", place / "unet.onnx")
    assert "unknown layer 'encoder_2'" in message
    assert "--all" in message


@pytest.mark.parametrize("name", ["\x1b[31mred", "caf\udce9", "a\rb", "a\nb"])
def test_errors_show_names_as_escapes(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (
        ("info", name),
        ("layers", f"{name}.onnx"),
        ("build", "new.bank", "net.onnx", "--side-by-side", name),
        ("reconstruct", name, name),
    ):
        message = refused(*command)
        assert is_safe(message), command
        assert shown(name) in message, command
    # Arguments that the program does not take.
    for command in (
        ("info", "bank", name),
        ("info", f"--{name}"),
        ("layers", "net.onnx", "--hyperpatch", name),
        ("layers", "net.onnx", "--size", f"2x2{name}"),
        (name,),
    ):
        assert is_safe(refused(*command)), command


@pytest.mark.parametrize("language", ["C.UTF-8", "C", "POSIX"])
def test_in_a_process_of_its_own(place: Path, tmp_path: Path, language: str) -> None:
    """With bytes that are no UTF-8 on the command line, in any language."""
    bank = tmp_path / "b.bank"
    environment = {"LC_ALL": language, "COLUMNS": "200", "PYTHONUTF8": ""}
    calls = [
        (
            *("build", bank, place / "unet.onnx", "--side-by-side", place / "train"),
            *("--layer", "decoder_2", "--no-check"),
        ),
        (
            *("reconstruct", bank, place / "val" / f"{NAMES[0]}.png", "--input", "left"),
            *("-o", tmp_path / "out"),
        ),
        ("info", bank, "--json"),
    ]
    for call in calls:
        result = run_process(*call, environment=environment)
        assert result.code == 0, result
        said = "note: output 'output': colours in [-1, 1]\n"
        assert result.err == (said if call[0] == "build" else "")
        assert is_safe(result.out)
    wrong = run_process("info", bank, NAMES[0], environment=environment)
    assert wrong.code == 2
    assert "Traceback" not in wrong.err
    assert is_safe(wrong.err)


def test_bars_on_a_terminal(place: Path, bank: Path, tmp_path: Path) -> None:
    """They are drawn only there, with the names of layers."""
    terminal, program = pty.openpty()
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from compnn.cli import main; main()", "reconstruct"),
            *(str(bank), str(place / "val" / f"{NAMES[1]}.png"), "--input", "left"),
            *("--layer", LAYER, "-o", str(tmp_path / "out")),
        ],
        stdout=program,
        stderr=program,
        cwd=START,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "200"},
    )
    os.close(program)
    printed = b""
    with contextlib.suppress(OSError):  # the terminal's end
        while part := os.read(terminal, 1 << 16):
            printed += part
    os.close(terminal)
    assert process.wait() == 0
    text = printed.decode()
    assert text.count(shown(LAYER)) > 1, "in the table, and beside a bar"
    assert LAYER not in text
    assert "\x1b]0;title" not in text
