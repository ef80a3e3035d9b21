"""A small world in which the commands are called."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import pytest

from command_line import Call, Refused, Result, World, call_main, write_pairs
from compnn.bank.bank import build
from compnn.data.folders import SideBySide
from compnn.images.files import write_image
from compnn.network.onnx import OnnxNetwork
from memory_dataset import MemoryDataset, contents
from tiny_networks import tiny_unet


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """`run("info", bank)` calls the program in this process, in the way of a shell."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> Result:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            code = call_main(monkeypatch, *arguments)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pristine")
    network = OnnxNetwork(tiny_unet(folder / "unet.onnx"), ["encoder_2", "decoder_2"], "encoder_3")
    build(folder / "tiny.bank", network, SideBySide(write_pairs(folder / "pairs")))
    write_image(folder / "query.png", MemoryDataset(1, seed=1)[0].input)
    return folder


@pytest.fixture
def world(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A copy that a test may change; the working folder is beside it."""
    folder = Path(shutil.copytree(pristine, tmp_path / "world"))
    for document in (folder / "tiny.bank").rglob("*.json"):
        document.write_text(document.read_text().replace(str(pristine), str(folder)))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return World(*(folder / name for name in ("unet.onnx", "pairs", "tiny.bank", "query.png")))


@pytest.fixture
def refused(run: Call, tmp_path: Path) -> Refused:
    """Run a command that must end with exit code 2, an error, and every file as it was."""

    def call(*arguments: object) -> str:
        before, folders = contents(tmp_path), sorted(tmp_path.rglob("*"))
        result = run(*arguments)
        assert result.code == 2, result
        assert result.out == ""
        assert "error" in result.err.lower()
        assert "Traceback" not in result.err
        assert contents(tmp_path) == before
        assert sorted(tmp_path.rglob("*")) == folders
        return result.message

    return call
