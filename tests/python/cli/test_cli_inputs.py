"""Inputs of a network beside the image, and execution providers, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

from command_line import Call, Refused, World
from compnn.bank.bank import Bank
from compnn.images.files import write_image
from compnn.network.onnx import OnnxNetwork
from compnn.network.preprocessing import Preprocessing
from input_networks import network

RANGE = ("--input-range", "0,1")
BACKBONE = (*RANGE, "--output-kind", "none")
MASK = ("m", TensorProto.FLOAT, (1, 1, 12, 16))
STEP = ("step", TensorProto.INT64, (1, 1, 1, 1))


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
        for index in range(3):
            random = np.random.default_rng(index)
            pixels = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
            write_image(tmp_path / folder / f"{index}.png", pixels)
    return tmp_path


@pytest.fixture
def pairs(folders: Path) -> tuple[object, ...]:
    return ("--inputs", folders / "in", "--targets", folders / "out")


def test_a_bank_keeps_what_they_were_set_to(
    run: Call, folders: Path, pairs: tuple[object, ...]
) -> None:
    file = network(folders / "net.onnx", others=[MASK, STEP])
    mask = np.random.default_rng(0).normal(size=(12, 16)).astype(np.float32)
    np.save(folders / "mask.npy", mask)
    given = ("--set", f"m={folders / 'mask.npy'}", "--set", "step=3")
    bank = folders / "net.bank"
    built = run("build", bank, file, *pairs, *BACKBONE, *given, "--layer", "with_step")
    assert built.code == 0, built
    (folders / "mask.npy").unlink()
    query = folders / "in" / "1.png"
    found = run("reconstruct", bank, query, "-o", folders / "found", "--json")
    assert found.code == 0, found
    for method in (found, run("append", bank, *pairs, "--limit", "1")):
        assert "Traceback" not in method.err
    with Bank(bank) as opened:
        scale = Preprocessing(range=(0, 1))
        same = OnnxNetwork(file, preprocessing=scale, values={"m": mask, "step": 3})
        opened.check_network(same)
        assert same.fingerprint == opened.open_network().fingerprint
        pixels = np.random.default_rng(5).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        np.testing.assert_array_equal(
            opened.open_network().activations(pixels)["with_step"],
            same.activations(pixels, ["e"])["e"] + mask[..., None] + 3,
        )
    # Set otherwise it is another network.
    assert run("reconstruct", bank, query, "--network", network(folders / "b.onnx")).code == 2


def test_which_input_is_the_image_is_kept(
    run: Call, folders: Path, pairs: tuple[object, ...]
) -> None:
    file = network(
        folders / "net.onnx", (1, 3, 40, 48), others=[("z", TensorProto.FLOAT, (1, 5, 40, 48))]
    )
    bank = folders / "net.bank"
    build = ("build", bank, file, *pairs, *BACKBONE, "--resize", "--layer", "e")
    assert "--image-input NAME" in run(*build).message
    built = run(*build, "--image-input", "x")
    assert built.code == 0, built
    with Bank(bank) as opened:
        assert opened.open_network().input_choice.image == "x"


def test_layers_and_match_take_them_too(run: Call, folders: Path) -> None:
    file = network(folders / "net.onnx", others=[MASK, STEP])
    without = json.loads(run("layers", file, "--all", "--json").out)
    listed = json.loads(
        run("layers", file, "--all", "--json", "--set", "m=2", "--set", "step=1").out
    )
    assert [each["name"] for each in without] == ["e"]
    assert [each["name"] for each in listed] == ["e", "with_m", "with_step", "y"]
    images = [folders / "in" / f"{index}.png" for index in range(2)]
    match = (
        "match",
        *images,
        "--network",
        file,
        "--layer",
        "with_step",
        *RANGE,
        "-o",
        folders / "m",
    )
    assert "--set step=VALUE" in run(*match).message
    assert run(*match, "--set", "m=2", "--set", "step=1").code == 0


def test_what_is_assumed_is_said(run: Call, folders: Path, pairs: tuple[object, ...]) -> None:
    file = network(folders / "net.onnx", (4, 3, 12, 16))
    said = "input 'x' takes 4 images a run: one is repeated"
    assert said in run("layers", file).out
    assert said in run("build", folders / "net.bank", file, *pairs, *BACKBONE).err
    images = [folders / "in" / f"{index}.png" for index in range(2)]
    match = ("match", *images, "--network", file, "--layer", "e", *RANGE, "-o", folders / "m")
    assert said in run(*match).err
    assert said not in run(*match, "--json").err


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("m",), "--set m: give NAME=VALUE"),
        (("=1",), "--set =1: give NAME=VALUE"),
        (("m=",), "--set m=: give NAME=VALUE"),
        (("m=1", "m=2"), "input 'm' is set twice"),
        (("m=one",), "'one' is neither a number, nor numbers a,b,c, nor a .npy file"),
        (("m=1,2",), "value of shape (2,)"),
        (("n=1",), "no input 'n' beside the image"),
        (("m=nowhere.npy",), "nowhere.npy cannot be read: No such file"),
        (("m=text.npy",), "text.npy is no array of numpy.save"),
        (("m=objects.npy",), "objects.npy is no array of numpy.save"),
    ],
)
def test_bad_settings(
    refused: Refused, tmp_path: Path, world: World, given: tuple[str, ...], expected: str
) -> None:
    Path("text.npy").write_text("1 2 3")
    np.save("objects.npy", np.array([{}]), allow_pickle=True)
    file = network(tmp_path / "net.onnx", others=[MASK])
    options = [part for text in given for part in ("--set", text)]
    assert expected in refused("layers", file, *options)


def test_execution_providers(run: Call, refused: Refused, world: World, tmp_path: Path) -> None:
    explain = ("reconstruct", world.bank, world.query, "--layer", "encoder_2", "-o", tmp_path / "o")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        assert "onnxruntime-gpu" in refused(*explain, "--provider", "cuda")
        build = ("build", tmp_path / "new.bank", world.network, "--side-by-side", world.pairs)
        assert "'cuda' is not available" in refused(*build, "--provider", "cuda")
    assert "'abacus' is not available" in refused(*explain, "--provider", "abacus")
    assert run(*explain, "--provider", "CPUExecutionProvider").code == 0
