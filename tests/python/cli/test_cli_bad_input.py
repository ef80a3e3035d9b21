"""How bad input ends a command: exit code 2, a message, and every file as it was."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import Call, Refused, World, run_process
from compnn.explanation.explainer import Explainer
from compnn.images.files import write_image
from memory_dataset import contents
from tiny_networks import nan_network, tiny_unet

# Bad input: networks


def test_missing_network(refused: Refused, world: World, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere.onnx"
    for command in (
        ("layers", nowhere),
        ("build", tmp_path / "new.bank", nowhere, "--side-by-side", world.pairs),
        ("reconstruct", world.bank, world.query, "--network", nowhere),
    ):
        message = refused(*command)
        assert f"no such network: {nowhere}" in message
    world.network.rename(tmp_path / "moved.onnx")
    message = refused("reconstruct", world.bank, world.query)
    assert f"no longer at {world.network}" in message
    assert "--network" in message


def test_network_that_is_not_onnx(refused: Refused, world: World) -> None:
    for data in (b"", b"not a network", world.network.read_bytes()[:500]):
        world.network.write_bytes(data)
        assert "unet.onnx is not an ONNX file" in refused("layers", world.network)


def test_unknown_layer(refused: Refused, world: World, tmp_path: Path) -> None:
    build = ("build", tmp_path / "new.bank", world.network, "--side-by-side", world.pairs)
    for option in ("--layer", "--descriptor"):
        message = refused(*build, option, "encodr_1")
        assert "unknown layer 'encodr_1'" in message
        assert "nearest: encoder_1" in message
    message = refused("reconstruct", world.bank, world.query, "--layer", "encoder_1")
    assert "no layer 'encoder_1', only encoder_2, decoder_2" in message


def test_another_network(refused: Refused, world: World, tmp_path: Path) -> None:
    same_layers = tiny_unet(tmp_path / "same.onnx", seed=1)
    another_size = tiny_unet(tmp_path / "size.onnx", size=(16, 16))
    without_layers = nan_network(tmp_path / "nan.onnx")
    for other in (same_layers, another_size, without_layers):
        message = refused("reconstruct", world.bank, world.query, "--network", other)
        assert "was built with" in message
        assert str(world.network) in message
        assert str(other) in message


def test_nan_activations(run: Call, refused: Refused, tmp_path: Path) -> None:
    model = nan_network(tmp_path / "nan.onnx")
    for folder, brightness in (("bright", 200), ("mixed", 200)):
        (tmp_path / folder).mkdir()
        for index in range(3):
            image = np.full((16, 32, 3), brightness + index, np.uint8)
            if folder == "mixed" and index == 1:
                image[:] = 0
            write_image(tmp_path / folder / f"{index}.png", image)
    build = ("build", tmp_path / "new.bank", model, "--side-by-side")
    message = refused(*build, tmp_path / "mixed")
    assert "layer 'encoder_1' for image '1' holds NaN" in message
    assert run(*build, tmp_path / "bright").code == 0
    dark = tmp_path / "dark.png"
    write_image(dark, np.zeros((16, 16, 3), np.uint8))
    message = refused("reconstruct", tmp_path / "new.bank", dark)
    assert "NaN or infinite values in the output 'output'" in message


# Bad input: images


def test_images_of_the_wrong_size(refused: Refused, world: World, tmp_path: Path) -> None:
    small = tmp_path / "small.png"
    write_image(small, np.zeros((16, 20, 3), np.uint8))
    message = refused("reconstruct", world.bank, small)
    assert f"{small} is 16x20 (height x width), but unet.onnx takes 32x32" in message
    assert "--resize" in message
    message = refused("reconstruct", world.bank, world.query, "--target", small)
    assert f"the target of {world.query} is 16x20, but for its input of 32x32" in message
    assert "--resize" in message
    write_image(world.pairs / "img_0.png", np.zeros((16, 40, 3), np.uint8))
    build = ("build", tmp_path / "new.bank", world.network, "--side-by-side", world.pairs)
    message = refused(*build)
    assert "'img_0'" in message
    assert "16x20" in message
    assert "--skip-bad" in message


def test_unreadable_query(refused: Refused, world: World, tmp_path: Path) -> None:
    assert "nowhere.png does not exist" in refused(
        "reconstruct", world.bank, tmp_path / "nowhere.png"
    )
    world.query.write_bytes(world.query.read_bytes()[:300])
    assert str(world.query) in refused("reconstruct", world.bank, world.query)
    assert str(tmp_path) in refused("reconstruct", world.bank, tmp_path)


def test_pair_of_two_sizes(refused: Refused, world: World, tmp_path: Path) -> None:
    for folder, size in (("inputs", (32, 32)), ("targets", (32, 30))):
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / "a.png", np.zeros((*size, 3), np.uint8))
    folders = ("--inputs", tmp_path / "inputs", "--targets", tmp_path / "targets")
    message = refused("build", tmp_path / "new.bank", world.network, *folders)
    assert "the target of a is 32x30, but for its input of 32x32" in message
    assert "paints 32x32" in message


# Bad input: banks


def test_no_bank(refused: Refused, world: World, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    for command in (("info", nowhere), ("reconstruct", nowhere, world.query)):
        assert f"there is no bank at {nowhere}" in refused(*command)
    assert f"{world.pairs} is not a bank" in refused("info", world.pairs)
    assert "is not a bank" in refused("info", world.query)


@pytest.mark.parametrize(("version", "advice"), [(2, "Rebuild the bank"), (8, "Upgrade compnn")])
def test_bank_of_another_format(refused: Refused, world: World, version: int, advice: str) -> None:
    manifest = world.bank / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": version}))
    message = refused("reconstruct", world.bank, world.query)
    assert str(manifest) in message
    assert f"format {version}, this one reads 7" in message
    assert advice in message


def test_damaged_bank(refused: Refused, run: Call, world: World) -> None:
    (file,) = world.bank.glob("shards/*/activations/encoder_2.npy")
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[-7] ^= 1
    file.write_bytes(flipped)
    assert run("info", world.bank).code == 0
    for command in (("info", world.bank, "--verify"), ("reconstruct", world.bank, world.query)):
        message = refused(*command)
        assert f"{file} is damaged" in message
        assert "'img_4'" in message
        assert "Rebuild the bank" in message
    file.write_bytes(whole[:-1])
    for command in (("info", world.bank, "--verify"), ("reconstruct", world.bank, world.query)):
        assert f"{file} is damaged: it has {len(whole) - 129} bytes" in refused(*command)


def test_full_disk_at_the_build(world: World, tmp_path: Path) -> None:
    """In a process of its own, whose files may not become larger than 10 kB."""
    before = contents(tmp_path)
    result = run_process(
        "build", tmp_path / "new.bank", world.network, "--side-by-side", world.pairs,
        before="import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))",
    )  # fmt: skip
    assert result.code == 2, result
    assert result.out == ""
    assert "error: the bank needs" in result.message
    assert "Traceback" not in result.err
    assert contents(tmp_path) == before
    assert not (tmp_path / "new.bank.partial").exists()


# Bad input: where results go


@pytest.mark.parametrize("command", ["reconstruct", "demo"])
def test_file_in_the_way_of_the_results(
    refused: Refused, world: World, tmp_path: Path, command: str
) -> None:
    file = tmp_path / "out"
    file.write_text("mine")
    arguments = (world.bank, world.query) if command == "reconstruct" else ()
    for folder in (file, file / "below"):
        message = refused(command, *arguments, "-o", folder)
        assert f"cannot write {file}" in message


def test_results_without_a_place_are_refused_before_the_search(
    refused: Refused,
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def explain(*_: object, **__: object) -> None:
        pytest.fail("searched although the results cannot be written")

    monkeypatch.setattr(Explainer, "_explain", explain)
    file = tmp_path / "out"
    file.write_text("mine")
    assert "choose another folder" in refused("reconstruct", world.bank, world.query, "-o", file)


def test_full_disk_at_the_results(world: World, tmp_path: Path) -> None:
    result = run_process(
        "reconstruct", world.bank, world.query, "-o", tmp_path / "out",
        before="import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))",
    )  # fmt: skip
    assert result.code == 2, result
    assert f"cannot write {tmp_path / 'out'}" in result.message
    assert "File too large" in result.message
    assert "Traceback" not in result.err
    assert contents(tmp_path / "out") == {}


def test_folder_in_the_way_of_the_bank(refused: Refused, world: World, tmp_path: Path) -> None:
    build = ("build", world.pairs, world.network, "--side-by-side", world.pairs)
    message = refused(*build)
    assert f"{world.pairs} is in the way: it is not empty" in message
    assert f"{world.pairs} is in the way: it is not empty" in refused(*build, "--overwrite")
    there = ("build", world.bank, world.network, "--side-by-side", world.pairs)
    message = refused(*there)
    assert str(world.bank) in message
    assert "--overwrite" in message
    below_a_file = ("build", world.query / "new.bank", *build[2:])
    assert str(world.query) in refused(*below_a_file)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_folder_that_cannot_be_made(
    refused: Refused,
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
) -> None:
    def fail(self: Path, *args: Any, **kwargs: Any) -> None:
        raise OSError(code, os.strerror(code), str(self))

    monkeypatch.setattr(Path, "mkdir", fail)
    reason = os.strerror(code)
    new = tmp_path / "new"
    build = ("build", new, world.network, "--side-by-side", world.pairs)
    for command in (("reconstruct", world.bank, world.query, "-o", new), build):
        message = refused(*command)
        assert str(new) in message
        assert reason in message


def test_paths_that_the_system_refuses(refused: Refused, world: World) -> None:
    """What nothing else foresees still ends with the path and the system's reason."""
    long = Path("x" * 300)
    pairs = ("--side-by-side", world.pairs)
    for command in (
        ("layers", long),
        ("info", long),
        ("build", long, world.network, *pairs),
        ("build", "new.bank", world.network, *pairs, "--attributes", long),
        ("reconstruct", world.bank, long),
        ("reconstruct", world.bank, world.query, "--network", long),
        ("reconstruct", world.bank, world.query, "--output", long),
    ):
        message = refused(*command)
        assert str(long) in message.replace(" ", "")
        assert "too long" in message
    message = refused("build", "new.bank", world.network, "--side-by-side", long)
    assert f"folder {long} does not exist" in message
    message = refused("build", "new.bank", world.network, *pairs, "--input-palette", long)
    assert f"'{long}' is neither a built-in palette" in message


# Bad input: options


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--side-by-side", "pairs", "--camvid", "pairs"),
        ("--inputs", "pairs"),
        ("--targets", "pairs"),
        ("--side-by-side", "pairs", "--targets", "pairs"),
    ],
)
def test_pairs_are_given_once(refused: Refused, world: World, options: tuple[str, ...]) -> None:
    message = refused("build", "new.bank", world.network, *options)
    assert "give the pairs of images once: --side-by-side, or --inputs with --targets" in message


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--hyperpatch", "2by2"), "'2by2' is not of the form HxW, such as 2x2"),
        (("--hyperpatch", "0x2"), "'0x2' is not of the form HxW"),
        (("--hyperpatch", "9x9"), "hyperpatch of 9x9 cells does not fit"),
        (("--threads", "0"), "num_threads must be -1 (all) or at least 1, not 0"),
        (("--threads", "-2"), "--threads"),
        (("--top-k", "0"), "--top-k"),
        (("--matches", "0"), "--matches"),
        (("--iterations", "-1"), "--iterations"),
        (("--seed", "-1"), "--seed"),
        (("--seed", str(2**64)), f"not {2**64}"),
        (("--method", "guess"), "'guess'"),
        (("--compose", "blend"), "'blend'"),
        (("--only", "img_7"), "no image that matches 'img_7'"),
        (("--exclude", "*"), "no training image is left of 5"),
        (("--where", "wall=red"), "has the attribute 'wall', or any other"),
        (("--classes", "door"), "cannot be filtered by class"),
        (("--no-such-option",), "--no-such-option"),
    ],
)
def test_bad_options_of_reconstruct(
    refused: Refused, world: World, options: tuple[str, ...], expected: str
) -> None:
    message = refused("reconstruct", world.bank, world.query, "--layer", "encoder_2", *options)
    assert expected in message


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--hyperpatch", "2"), "'2' is not of the form HxW"),
        (("--hyperpatch", "99x1", "--layer", "encoder_2"), "hyperpatch of 99x1 cells does not fit"),
        (("--size", "64x64"), "takes images of 32x32, not 64x64"),
        (("--size", "big"), "'big' is not of the form HxW, such as 256x256"),
        (("--input-range", "1"), "'1' is not of the form LO,HI"),
        (("--input-range", "1,0"), "range must be (lo, hi) with lo < hi"),
        (("--mean", "0,0,0"), "mean and std must be given together"),
        (("--channel-order", "GBR"), "channel_order must be RGB or BGR, not 'GBR'"),
        (("--threads", "0"), "num_threads must be -1 (all) or at least 1, not 0"),
        (("--limit", "0"), "--limit"),
        (("--dtype", "uint16"), "'uint16'"),
        (("--input-palette", "nothing"), "nothing"),
        (("--attributes", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_bad_options_of_build(
    refused: Refused, world: World, options: tuple[str, ...], expected: str
) -> None:
    pairs = ("--side-by-side", world.pairs)
    assert expected in refused("build", "new.bank", world.network, *pairs, *options)
