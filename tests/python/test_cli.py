"""The command line: what it prints and writes, and how every kind of bad input ends it."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import compnn
from command_line import call_main, one_line
from compnn.bank.bank import Bank
from compnn.data import SideBySide
from compnn.images.files import read_image, write_image
from compnn.network.onnx import Model
from memory_dataset import MemoryDataset, contents
from tiny_networks import UNET_LAYERS, nan_network, tiny_unet

COUNT = 5
START = Path.cwd()  # from where compnn can be imported
PICTURES = {"query.png", "network_output.png", "input.png", "output.png", "sources.png"}
TABLES = {"images.csv", "attributes.csv"}


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """Standard error as one line, without the frame that usage errors have."""
        return one_line(self.err)


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("info", bank)` calls the program in this process, in the way of a shell."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> Result:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            code = call_main(monkeypatch, *arguments)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


def run_process(*arguments: object, before: str = "") -> Result:
    """The program in a process of its own; `before` is run first."""
    program = f"{before}\nfrom compnn.cli import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=START,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def write_pairs(folder: Path, count: int = COUNT, *, seed: int = 0) -> Path:
    """Images of 32x64 that hold input and target side by side."""
    folder.mkdir(parents=True)
    for pair in MemoryDataset(count, seed=seed):
        write_image(folder / f"{pair.name}.png", np.hstack([pair.input, pair.target]))
    return folder


@dataclass
class World:
    """A network, training pairs, a bank of them, and a query."""

    model: Path
    pairs: Path
    bank: Path
    query: Path


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pristine")
    model = tiny_unet(folder / "unet.onnx")
    pairs = write_pairs(folder / "pairs")
    network = Model(model, ["encoder_2", "decoder_2"], "encoder_3")
    Bank.build(folder / "tiny.bank", network, SideBySide(pairs))
    write_image(folder / "query.png", MemoryDataset(1, seed=1)[0].input)
    return folder


@pytest.fixture
def world(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A copy that a test may change; the working folder is beside it."""
    folder = Path(shutil.copytree(pristine, tmp_path / "world"))
    manifest = folder / "tiny.bank" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(str(pristine), str(folder)))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return World(*(folder / name for name in ("unet.onnx", "pairs", "tiny.bank", "query.png")))


@pytest.fixture
def refused(run: Run, tmp_path: Path) -> Callable[..., str]:
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


# What the commands do


def test_version(run: Run) -> None:
    result = run("--version")
    assert result.code == 0
    assert result.out.startswith(f"compnn {compnn.__version__}, kernels: ")


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("", "layers build info reconstruct evaluate control match demo --version"),
        ("layers", "--all --hyperpatch --size --input-range --mean --std --channel-order --json"),
        (
            "build",
            "--side-by-side --inputs --targets --camvid --cityscapes --input --split --limit "
            "--input-palette --target-palette --attributes --layer --descriptor --hyperpatch "
            "--dtype --size --input-range --mean --std --channel-order --resize --skip-bad "
            "--overwrite --restart --threads --json",
        ),
        ("info", "--verify --json"),
        (
            "reconstruct",
            "--layer --output --input --target --only --exclude --where --classes --top-k --method "
            "--iterations --seed --matches --hyperpatch --compose --map --no-map --threads "
            "--resize --model --json",
        ),
        (
            "control",
            "--layer --by --where --classes --region --output --input --target --top-k --method "
            "--seed --compose --threads --resize --model --json",
        ),
        ("demo", "--output --json"),
    ],
)
def test_help(run: Run, command: str, options: str) -> None:
    result = run(*command.split(), "--help")
    assert result.code == 0
    words = set(re.findall(r"[\w-]+", result.out))
    assert set(options.split()) <= words
    assert "Usage: " in result.out


def test_layers(run: Run, world: World) -> None:
    named = run("layers", world.model)
    every = run("layers", world.model, "--all")
    assert named.code == every.code == 0
    for layer in UNET_LAYERS:
        assert layer in named.out
    assert re.search(r"encoder_2 +8x8x6 +4x4 +2x2x6 +4x4", named.out)
    assert "leaky_1" in every.out
    assert "leaky_1" not in named.out


def test_layers_as_json(run: Run, world: World) -> None:
    listed = json.loads(run("layers", world.model, "--json", "--hyperpatch", "3x1").out)
    assert [layer["name"] for layer in listed] == list(UNET_LAYERS)
    assert listed[1] == {
        "name": "encoder_2",
        "activation": [8, 8, 6],
        "stride": [4, 4],
        "hyperpatch": [3, 1, 6],
        "patch": [4, 4],
        "grid": [6, 8],
    }


def test_layers_of_pix2pix_are_table_3(run: Run, shared: Path) -> None:
    """Paper, Table 3: hyperpatch and patch of each layer, from the input to the output."""
    result = run("layers", shared / "models" / "pix2pix-facades-labels-to-photo.onnx", "--json")
    depths = [64, 128, 256, 512, 512, 512, 512, 512, 1024, 1024, 1024, 1024, 512, 256, 128]
    patches = [2, 4, 8, 16, 32, 64, 128, 256, 128, 64, 32, 16, 8, 4, 2]
    names = [f"encoder_{k}" for k in range(1, 9)] + [f"decoder_{k}" for k in range(8, 1, -1)]
    found = [(row["name"], row["hyperpatch"], row["patch"]) for row in json.loads(result.out)]
    assert found == [
        (name, [1, 1, depth] if patch == 256 else [2, 2, depth], [patch, patch])
        for name, depth, patch in zip(names, depths, patches, strict=True)
    ]


def test_build_info_verify(run: Run, world: World, tmp_path: Path) -> None:
    bank = tmp_path / "new.bank"
    common = (bank, world.model, "--side-by-side", world.pairs, "--layer", "encoder_2")
    result = run("build", *common, "--descriptor", "encoder_3", "--limit", 3)
    assert result.code == 0
    assert "3 pairs of 32x32, float16" in result.out
    assert "global descriptor: encoder_3" in result.out
    shown, verified = run("info", bank), run("info", bank, "--verify")
    assert shown.out == result.out
    assert verified.out == result.out + "all checksums are right\n"
    assert run("build", *common).code == 2
    replaced = run("build", *common, "--input", "right", "--overwrite", "--dtype", "float32")
    assert replaced.code == 0
    assert "5 pairs of 32x32, float32" in replaced.out
    np.testing.assert_array_equal(Bank(bank).pair(2)[0], MemoryDataset(COUNT)[2].target)


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_dtype_is_built_and_shown(run: Run, world: World, tmp_path: Path, dtype: str) -> None:
    bank = tmp_path / "new.bank"
    common = (bank, world.model, "--side-by-side", world.pairs, "--layer", "encoder_2")
    built = run("build", *common, "--dtype", dtype)
    assert built.code == 0
    shown = run("info", bank, "--verify")
    assert f"{COUNT} pairs of 32x32, {dtype}, " in shown.out
    assert "all checksums are right" in shown.out
    assert json.loads(run("info", bank, "--json").out)["dtype"] == dtype
    stored = np.load(bank / "activations" / "encoder_2.npy", mmap_mode="r")
    assert stored.dtype == {"bfloat16": np.uint16, "int8": np.int8}[dtype]


def test_build_and_info_as_json(run: Run, world: World, tmp_path: Path) -> None:
    bank = tmp_path / "new.bank"
    built = run("build", bank, world.model, "--side-by-side", world.pairs, "--json")
    document = json.loads(built.out)
    assert built.err == ""
    assert document["images"] == COUNT
    assert [layer["name"] for layer in document["layers"]] == list(UNET_LAYERS)
    assert document["descriptor"] is None
    assert document["skipped"] == []
    assert document["verified"] is False
    assert json.loads(run("info", bank, "--json").out) == document
    assert json.loads(run("info", bank, "--verify", "--json").out) == {**document, "verified": True}


def test_build_from_two_folders(run: Run, world: World, tmp_path: Path) -> None:
    for side in ("inputs", "targets"):
        (tmp_path / side).mkdir()
        for pair in MemoryDataset(2):
            image = pair.input if side == "inputs" else pair.target
            write_image(tmp_path / side / f"{pair.name}.png", image)
    (tmp_path / "attributes.csv").write_text("img_1,wall=red\n")
    folders = ("--inputs", tmp_path / "inputs", "--targets", tmp_path / "targets")
    bank = tmp_path / "new.bank"
    attributes = ("--attributes", tmp_path / "attributes.csv")
    assert run("build", bank, world.model, *folders, *attributes).code == 0
    assert Bank(bank).attributes == {"img_1": {"wall": "red"}}


def test_reconstruct(run: Run, world: World, tmp_path: Path) -> None:
    result = run("reconstruct", world.bank, world.query, "-o", tmp_path / "out", "--top-k", 2)
    assert result.code == 0
    assert result.err == ""
    assert "query.png, hyperpatch-match" in result.out
    assert result.out.endswith(f"pictures: {tmp_path / 'out'}\n")
    found = contents(tmp_path / "out")
    assert set(found) == {"contact_sheet.png"} | {
        f"{layer}/{name}"
        for layer in ("encoder_2", "decoder_2")
        for name in {*PICTURES, *TABLES, "field.npz"}
    }
    expected = Bank(world.bank).explain(world.query, "decoder_2", top_k=2)
    for name in ("input", "output", "query", "network_output"):
        picture = read_image(tmp_path / "out" / "decoder_2" / f"{name}.png")
        np.testing.assert_array_equal(picture, getattr(expected, name))
    with np.load(tmp_path / "out" / "decoder_2" / "field.npz") as field:
        np.testing.assert_array_equal(field["image"], expected.field.image)
        np.testing.assert_array_equal(field["similarity"], expected.field.similarity)


def test_reconstruct_as_json(run: Run, world: World) -> None:
    result = run(
        "reconstruct", world.bank, world.pairs / "img_3.png", "--input", "left", "--json",
        "--layer", "encoder_2", "--method", "exhaustive", "--threads", 1,
    )  # fmt: skip
    assert result.err == ""
    (document,) = json.loads(result.out)
    assert document["layer"]["name"] == "encoder_2"
    assert document["folder"] == "img_3-compnn/encoder_2"
    assert document["similarity"] == pytest.approx(1, abs=1e-4)
    assert document["sources"] == [
        {"index": 3, "name": "img_3", "pixels": 1024, "share": 1, "attributes": {}}
    ]
    assert document["candidates"][0]["index"] == 3
    assert document["candidates"][0]["similarity"] == pytest.approx(1, abs=1e-4)
    assert document["output_to_target"]["value"] > 100  # dB: it is the target itself
    np.testing.assert_array_equal(
        read_image("img_3-compnn/encoder_2/output.png"), MemoryDataset(COUNT)[3].target
    )


def test_options_of_the_search(run: Run, world: World, tmp_path: Path) -> None:
    options = ("--layer", "encoder_2", "--matches", 2, "--iterations", 3, "--seed", 9)
    out = tmp_path / "out"
    assert run("reconstruct", world.bank, world.query, "-o", out, *options).code == 0
    expected = Bank(world.bank).explain(world.query, "encoder_2", matches=2, iterations=3, seed=9)
    with np.load(out / "encoder_2" / "field.npz") as field:
        np.testing.assert_array_equal(field["image"], expected.field.image)


WALLS = {"img_0": "red", "img_1": "red", "img_2": "grey", "img_3": "grey"}


@pytest.fixture
def walls(world: World) -> Path:
    """A bank whose images have the attribute `wall`, but for the last."""
    attributes = {name: {"wall": wall} for name, wall in WALLS.items()}
    network = Model(world.model, ["encoder_2", "decoder_2"], "encoder_3")
    pairs = SideBySide(world.pairs, attributes=attributes)
    return Bank.build(world.bank.with_name("walls.bank"), network, pairs).path


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        (("--where", "wall=red"), {0, 1}),
        (("--where", "wall!=red", "--exclude", "img_4"), {2, 3}),
        (("--only", "img_[0-2]", "--only", "img_4.png"), {0, 1, 2, 4}),
        (("--only", "@names.txt", "--where", "wall=grey"), {3}),
    ],
)
def test_only_some_training_images(
    run: Run, world: World, walls: Path, options: tuple[str, ...], allowed: set[int]
) -> None:
    Path("names.txt").write_text("# some\nimg_3.png\nimg_1\n")
    result = run("reconstruct", walls, world.query, *options, "--json")
    assert (result.code, result.err) == (0, "")
    for layer in json.loads(result.out):
        assert {each["index"] for each in layer["candidates"]} == allowed
        assert {each["index"] for each in layer["sources"]} <= allowed
    expected = Bank(walls).explain(world.query, "decoder_2", candidates=sorted(allowed))
    np.testing.assert_array_equal(read_image("query-compnn/decoder_2/output.png"), expected.output)


def test_use_of_attributes_beside_the_bank(run: Run, world: World, walls: Path) -> None:
    command = ("reconstruct", walls, world.query, "--layer", "decoder_2", "--top-k", 3)
    result, printed = run(*command, "--json"), run(*command)
    (layer,) = json.loads(result.out)
    pixels = {"red": 0, "grey": 0, "": 0}
    for source in layer["sources"]:
        pixels[source["attributes"].get("wall", "")] += source["pixels"]
    bank = {"red": 2 / 5, "grey": 2 / 5, "": 1 / 5}
    assert {row["value"]: row["pixels"] for row in layer["attributes"]} == pixels
    for row in layer["attributes"]:
        share = pixels[row["value"]] / 1024
        assert row["key"] == "wall"
        assert row["share"] == pytest.approx(share)
        assert row["bank_share"] == pytest.approx(bank[row["value"]])
        assert row["ratio"] == pytest.approx(share / bank[row["value"]])
        name = f"wall={row['value']}" if row["value"] else "no wall"
        shown = f"{share:.0%} ({share / bank[row['value']]:.1f}x)"
        expected = rf" {name} +{bank[row['value']]:.0%} +{re.escape(shown)}"
        assert re.search(expected, printed.out)
    table = Path("query-compnn/decoder_2/attributes.csv").read_text().splitlines()
    assert table[0] == "key,value,pixels,share,bank_share,ratio"
    assert [line.split(",")[:3] for line in table[1:]] == [
        ["wall", row["value"], str(row["pixels"])] for row in layer["attributes"]
    ]


def test_without_attributes_there_is_no_table_of_them(run: Run, world: World) -> None:
    result = run("reconstruct", world.bank, world.query, "--layer", "encoder_2")
    assert "where the pixels come from" not in result.out
    images = Path("query-compnn/encoder_2/images.csv").read_text().splitlines()
    assert len(images) == 1 + COUNT


def test_overlapping_patches_and_no_map(run: Run, world: World) -> None:
    options = ("--layer", "encoder_2", "--compose", "overlap", "--no-map")
    assert run("reconstruct", world.bank, world.query, *options).code == 0
    assert not Path("query-compnn/encoder_2/sources.png").exists()
    explain = Bank(world.bank).explain
    expected = explain(world.query, "encoder_2", composition="overlap").output
    assert (expected != explain(world.query, "encoder_2").output).any()
    np.testing.assert_array_equal(read_image("query-compnn/encoder_2/output.png"), expected)


def test_names_that_look_like_markup(run: Run, world: World, tmp_path: Path) -> None:
    query = world.query.rename(world.query.with_name("[bold]a[red].png"))
    for path in world.pairs.iterdir():
        path.rename(path.with_name(f"[green]{path.stem}.png"))
    bank = tmp_path / "[" / "x].bank"
    assert run("build", bank, world.model, "--side-by-side", world.pairs).code == 0
    result = run("reconstruct", bank, query, "--iterations", 2)
    assert result.code == 0
    assert "[bold]a[red].png" in result.out
    assert "[green]img_" in result.out
    assert "[/x].bank" in run("info", bank).out


# Images that need a thought, but are no errors


def test_grey_and_alpha_images(run: Run, world: World, tmp_path: Path) -> None:
    rgb = read_image(world.query)
    cv2.imwrite(str(tmp_path / "grey.png"), rgb[..., 0])
    cv2.imwrite(str(tmp_path / "alpha.png"), np.dstack([rgb[..., ::-1], rgb[..., 0]]))
    for name, expected in (("grey", np.repeat(rgb[..., :1], 3, axis=2)), ("alpha", rgb)):
        result = run(
            "reconstruct", world.bank, tmp_path / f"{name}.png", "-o", tmp_path / name,
            "--layer", "encoder_2", "--iterations", 1,
        )  # fmt: skip
        assert result.code == 0, result
        found = read_image(tmp_path / name / "encoder_2" / "query.png")
        np.testing.assert_array_equal(found, expected)


def test_resize(run: Run, world: World, tmp_path: Path) -> None:
    large = cv2.resize(read_image(world.query), (50, 40))
    write_image(tmp_path / "large.png", large)
    arguments = ("reconstruct", world.bank, tmp_path / "large.png", "--layer", "encoder_2")
    target = ("--target", tmp_path / "large.png", "--iterations", 1)
    assert run(*arguments, *target, "--resize", "-o", tmp_path / "out").code == 0
    assert read_image(tmp_path / "out" / "encoder_2" / "query.png").shape == (32, 32, 3)


def test_more_nearest_images_than_there_are(run: Run, world: World, tmp_path: Path) -> None:
    result = run(
        "reconstruct", world.bank, world.query, "--top-k", 99, "--json", "-o", tmp_path / "out"
    )
    assert result.code == 0
    assert result.message.startswith("note: 99 nearest images were asked for; there are only 5")
    assert len(json.loads(result.out)[0]["candidates"]) == COUNT


def test_unreadable_image_in_the_middle(run: Run, world: World, tmp_path: Path) -> None:
    bad = world.pairs / "img_2.png"
    bad.write_bytes(bad.read_bytes()[:300])
    bank = tmp_path / "new.bank"
    build = ("build", bank, world.model, "--side-by-side", world.pairs)
    stopped = run(*build)
    assert stopped.code == 2
    assert str(bad) in stopped.message
    assert "--skip-bad" in stopped.message
    assert not bank.exists()
    went_on = run(*build, "--skip-bad", "--json")
    assert went_on.code == 0
    document = json.loads(went_on.out)
    assert document["images"] == COUNT - 1
    assert [skipped["name"] for skipped in document["skipped"]] == ["img_2"]
    assert f"left out: img_2 (image {bad} " in run("info", bank).out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "new.bank", "world"]


# Bad input: networks


def test_missing_network(refused: Callable[..., str], world: World, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere.onnx"
    for command in (
        ("layers", nowhere),
        ("build", tmp_path / "new.bank", nowhere, "--side-by-side", world.pairs),
        ("reconstruct", world.bank, world.query, "--model", nowhere),
    ):
        message = refused(*command)
        assert f"no such network: {nowhere}" in message
    world.model.rename(tmp_path / "moved.onnx")
    message = refused("reconstruct", world.bank, world.query)
    assert f"no longer at {world.model}" in message
    assert "--model" in message


def test_network_that_is_not_onnx(refused: Callable[..., str], world: World) -> None:
    for data in (b"", b"not a network", world.model.read_bytes()[:500]):
        world.model.write_bytes(data)
        assert "unet.onnx is not an ONNX file" in refused("layers", world.model)


def test_unknown_layer(refused: Callable[..., str], world: World, tmp_path: Path) -> None:
    build = ("build", tmp_path / "new.bank", world.model, "--side-by-side", world.pairs)
    for option in ("--layer", "--descriptor"):
        message = refused(*build, option, "encodr_1")
        assert "unknown layer 'encodr_1'" in message
        assert "nearest: encoder_1" in message
    message = refused("reconstruct", world.bank, world.query, "--layer", "encoder_1")
    assert "no layer 'encoder_1', only encoder_2, decoder_2" in message


def test_another_network(refused: Callable[..., str], world: World, tmp_path: Path) -> None:
    same_layers = tiny_unet(tmp_path / "same.onnx", seed=1)
    another_size = tiny_unet(tmp_path / "size.onnx", size=(16, 16))
    without_layers = nan_network(tmp_path / "nan.onnx")
    for other in (same_layers, another_size, without_layers):
        message = refused("reconstruct", world.bank, world.query, "--model", other)
        assert "was built with" in message
        assert str(world.model) in message
        assert str(other) in message


def test_nan_activations(run: Run, refused: Callable[..., str], tmp_path: Path) -> None:
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
    assert "nan.onnx gives NaN or infinite values in its output 'output'" in message


# Bad input: images


def test_images_of_the_wrong_size(
    refused: Callable[..., str], world: World, tmp_path: Path
) -> None:
    small = tmp_path / "small.png"
    write_image(small, np.zeros((16, 20, 3), np.uint8))
    message = refused("reconstruct", world.bank, small)
    assert f"{small} is 16x20 (height x width), but unet.onnx takes 32x32" in message
    assert "--resize" in message
    message = refused("reconstruct", world.bank, world.query, "--target", small)
    assert f"{world.query} is 32x32 but {small} is 16x20" in message
    write_image(world.pairs / "img_0.png", np.zeros((16, 40, 3), np.uint8))
    build = ("build", tmp_path / "new.bank", world.model, "--side-by-side", world.pairs)
    message = refused(*build)
    assert "'img_0'" in message
    assert "16x20" in message
    assert "--skip-bad" in message


def test_unreadable_query(refused: Callable[..., str], world: World, tmp_path: Path) -> None:
    assert "nowhere.png does not exist" in refused(
        "reconstruct", world.bank, tmp_path / "nowhere.png"
    )
    world.query.write_bytes(world.query.read_bytes()[:300])
    assert str(world.query) in refused("reconstruct", world.bank, world.query)
    assert str(tmp_path) in refused("reconstruct", world.bank, tmp_path)


def test_pair_of_two_sizes(refused: Callable[..., str], world: World, tmp_path: Path) -> None:
    for folder, size in (("inputs", (32, 32)), ("targets", (32, 30))):
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / "a.png", np.zeros((*size, 3), np.uint8))
    folders = ("--inputs", tmp_path / "inputs", "--targets", tmp_path / "targets")
    message = refused("build", tmp_path / "new.bank", world.model, *folders)
    assert f"{tmp_path / 'inputs' / 'a.png'} is 32x32" in message
    assert f"{tmp_path / 'targets' / 'a.png'} is 32x30" in message


# Bad input: banks


def test_no_bank(refused: Callable[..., str], world: World, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    for command in (("info", nowhere), ("reconstruct", nowhere, world.query)):
        assert f"there is no bank at {nowhere}" in refused(*command)
    assert f"{world.pairs} is not a bank" in refused("info", world.pairs)
    assert "is not a bank" in refused("info", world.query)


@pytest.mark.parametrize(("version", "advice"), [(1, "Rebuild the bank"), (3, "Upgrade compnn")])
def test_bank_of_another_format(
    refused: Callable[..., str], world: World, version: int, advice: str
) -> None:
    manifest = world.bank / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": version}))
    message = refused("reconstruct", world.bank, world.query)
    assert str(manifest) in message
    assert f"format {version}, this one reads 2" in message
    assert advice in message


def test_damaged_bank(refused: Callable[..., str], run: Run, world: World) -> None:
    file = world.bank / "activations" / "encoder_2.npy"
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
    for command in (("info", world.bank), ("reconstruct", world.bank, world.query)):
        assert f"{file} is damaged: it has {len(whole) - 1} bytes" in refused(*command)


def test_full_disk_at_the_build(world: World, tmp_path: Path) -> None:
    """In a process of its own, whose files may not become larger than 10 kB."""
    before = contents(tmp_path)
    result = run_process(
        "build", tmp_path / "new.bank", world.model, "--side-by-side", world.pairs,
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
    refused: Callable[..., str], world: World, tmp_path: Path, command: str
) -> None:
    file = tmp_path / "out"
    file.write_text("mine")
    arguments = (world.bank, world.query) if command == "reconstruct" else ()
    for folder in (file, file / "below"):
        message = refused(command, *arguments, "-o", folder)
        assert f"cannot write {file}" in message


def test_results_without_a_place_are_refused_before_the_search(
    refused: Callable[..., str],
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def explain(*_: object, **__: object) -> None:
        pytest.fail("searched although the results cannot be written")

    monkeypatch.setattr(Bank, "explain", explain)
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


def test_folder_in_the_way_of_the_bank(
    refused: Callable[..., str], world: World, tmp_path: Path
) -> None:
    build = ("build", world.pairs, world.model, "--side-by-side", world.pairs)
    message = refused(*build)
    assert f"{world.pairs} exists" in message
    assert "--overwrite" in message
    assert "is not a bank, so it is not overwritten" in refused(*build, "--overwrite")
    below_a_file = ("build", world.query / "new.bank", *build[2:])
    assert str(world.query) in refused(*below_a_file)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_folder_that_cannot_be_made(
    refused: Callable[..., str],
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
    build = ("build", new, world.model, "--side-by-side", world.pairs)
    for command in (("reconstruct", world.bank, world.query, "-o", new), build):
        message = refused(*command)
        assert str(new) in message
        assert reason in message


def test_paths_that_the_system_refuses(refused: Callable[..., str], world: World) -> None:
    """What nothing else foresees still ends with the path and the system's reason."""
    long = Path("x" * 300)
    pairs = ("--side-by-side", world.pairs)
    for command in (
        ("layers", long),
        ("info", long),
        ("build", long, world.model, *pairs),
        ("build", "new.bank", world.model, "--side-by-side", long),
        ("build", "new.bank", world.model, *pairs, "--attributes", long),
        ("build", "new.bank", world.model, *pairs, "--input-palette", long),
        ("reconstruct", world.bank, long),
        ("reconstruct", world.bank, world.query, "--model", long),
        ("reconstruct", world.bank, world.query, "--output", long),
    ):
        message = refused(*command)
        assert str(long) in message.replace(" ", "")
        assert "too long" in message


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
def test_pairs_are_given_once(
    refused: Callable[..., str], world: World, options: tuple[str, ...]
) -> None:
    message = refused("build", "new.bank", world.model, *options)
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
        (("--matches", "100000"), "100000"),
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
    refused: Callable[..., str], world: World, options: tuple[str, ...], expected: str
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
    refused: Callable[..., str], world: World, options: tuple[str, ...], expected: str
) -> None:
    pairs = ("--side-by-side", world.pairs)
    assert expected in refused("build", "new.bank", world.model, *pairs, *options)
