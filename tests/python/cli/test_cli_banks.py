"""Commands of banks: layers, build, info."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import compnn
from command_line import Call, World
from compnn.bank.bank import Bank
from compnn.images.files import write_image
from memory_dataset import MemoryDataset
from tiny_networks import UNET_LAYERS, tiny_segnet

COUNT = 5


def test_version(run: Call) -> None:
    result = run("--version")
    assert result.code == 0
    assert result.out.startswith(f"compnn {compnn.__version__}, kernels: ")


def test_layers(run: Call, world: World) -> None:
    named = run("layers", world.network)
    every = run("layers", world.network, "--all")
    assert named.code == every.code == 0
    for layer in UNET_LAYERS:
        assert layer in named.out
    assert re.search(r"encoder_2 +8x8x6 +4u +4u +2x2x6 +4x4", named.out)
    assert "leaky_1" in every.out
    assert "leaky_1" not in named.out


def test_layers_as_json(run: Call, world: World) -> None:
    listed = json.loads(run("layers", world.network, "--json", "--hyperpatch", "3x1").out)
    assert [layer["name"] for layer in listed] == list(UNET_LAYERS)
    assert listed[1] == {
        "name": "encoder_2",
        "activation": [8, 8, 6],
        "looks": ["4u", "4u"],
        "paints": ["4u", "4u"],
        "hyperpatch": [3, 1, 6],
        "patch": [4, 4],
        "grid": [6, 8],
        "note": "",
        "tensor": "encoder_2",
    }


def test_layers_are_checked_by_perturbing(run: Call, tmp_path: Path) -> None:
    path = tiny_segnet(tmp_path / "segnet.onnx", size=(64, 64))
    rows = json.loads(run("layers", path, "--check", "--json").out)
    assert rows
    for row in rows:
        for verdict in row["check"].values():
            assert verdict == "agrees" or verdict.startswith("cannot be seen at this size")
    assert any(row["check"]["looks"] == "agrees" for row in rows)
    assert "held" in run("layers", path, "--check").out


def test_layers_of_pix2pix_are_table_3(run: Call, shared: Path) -> None:
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


def test_build_info_verify(run: Call, world: World, tmp_path: Path) -> None:
    bank = tmp_path / "new.bank"
    common = (bank, world.network, "--side-by-side", world.pairs, "--layer", "encoder_2")
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
def test_dtype_is_built_and_shown(run: Call, world: World, tmp_path: Path, dtype: str) -> None:
    bank = tmp_path / "new.bank"
    common = (bank, world.network, "--side-by-side", world.pairs, "--layer", "encoder_2")
    built = run("build", *common, "--dtype", dtype)
    assert built.code == 0
    shown = run("info", bank, "--verify")
    assert f"{COUNT} pairs of 32x32, {dtype}, " in shown.out
    assert "all checksums are right" in shown.out
    assert json.loads(run("info", bank, "--json").out)["dtype"] == dtype
    (file,) = bank.glob("shards/*/activations/encoder_2.npy")
    stored = np.load(file, mmap_mode="r")
    assert stored.dtype == {"bfloat16": np.uint16, "int8": np.int8}[dtype]


def test_build_and_info_as_json(run: Call, world: World, tmp_path: Path) -> None:
    bank = tmp_path / "new.bank"
    built = run("build", bank, world.network, "--side-by-side", world.pairs, "--json")
    document = json.loads(built.out)
    assert built.err == ""
    assert document["images"] == COUNT
    assert [layer["name"] for layer in document["layers"]] == list(UNET_LAYERS)
    assert document["descriptor"] is None
    assert document["skipped"] == []
    assert document["verified"] is False
    assert json.loads(run("info", bank, "--json").out) == document
    assert json.loads(run("info", bank, "--verify", "--json").out) == {**document, "verified": True}


def test_build_from_two_folders(run: Call, world: World, tmp_path: Path) -> None:
    for side in ("inputs", "targets"):
        (tmp_path / side).mkdir()
        for pair in MemoryDataset(2):
            image = pair.input if side == "inputs" else pair.target
            write_image(tmp_path / side / f"{pair.name}.png", image)
    (tmp_path / "attributes.csv").write_text("img_1,wall=red\n")
    folders = ("--inputs", tmp_path / "inputs", "--targets", tmp_path / "targets")
    bank = tmp_path / "new.bank"
    attributes = ("--attributes", tmp_path / "attributes.csv")
    assert run("build", bank, world.network, *folders, *attributes).code == 0
    assert Bank(bank).attributes == {"img_1": {"wall": "red"}}


def test_unreadable_image_in_the_middle(run: Call, world: World, tmp_path: Path) -> None:
    bad = world.pairs / "img_2.png"
    bad.write_bytes(bad.read_bytes()[:300])
    bank = tmp_path / "new.bank"
    build = ("build", bank, world.network, "--side-by-side", world.pairs)
    stopped = run(*build)
    assert stopped.code == 2
    assert str(bad) in stopped.message
    assert "--skip-bad" in stopped.message
    unfinished = run("info", bank)
    assert unfinished.code == 2
    assert "Run the same build again to resume it" in unfinished.message
    went_on = run(*build, "--skip-bad", "--json")
    assert went_on.code == 0
    document = json.loads(went_on.out)
    assert document["images"] == COUNT - 1
    assert [skipped["name"] for skipped in document["skipped"]] == ["img_2"]
    assert f"left out: img_2 (image {bad} " in run("info", bank).out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "new.bank", "world"]
