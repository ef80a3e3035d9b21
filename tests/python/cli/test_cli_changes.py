"""Commands that change a bank: append, merge, drop, compact, attributes; where its network is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import Call, Refused, World, write_pairs
from compnn.bank.bank import Bank
from compnn.explanation.explainer import Explainer
from compnn.images.files import write_image
from compnn.search.search import Exhaustive
from memory_dataset import MemoryDataset
from tiny_networks import tiny_unet

COUNT = 5


def write_more(folder: Path, count: int = 3) -> Path:
    """Pairs more_0, more_1, ... side by side."""
    write_pairs(folder, count, seed=5)
    for path in list(folder.iterdir()):
        path.rename(path.with_name(path.name.replace("img", "more")))
    return folder


@pytest.fixture
def more(tmp_path: Path) -> Path:
    return write_more(tmp_path / "more")


def test_append(run: Call, world: World, more: Path) -> None:
    Path("walls.csv").write_text("more_1,wall=red\n")
    result = run("append", world.bank, "--side-by-side", more, "--attributes", "walls.csv")
    assert (result.code, result.err) == (0, "")
    assert f"{COUNT + 3} pairs of 32x32, float16" in result.out
    assert "generation 2, 2 shards" in result.out
    assert result.out == run("info", world.bank).out
    with Bank(world.bank) as bank:
        assert bank.names[COUNT:] == ("more_0", "more_1", "more_2")
        assert bank.attributes == {"more_1": {"wall": "red"}}
        pair = MemoryDataset(3, seed=5)[2]
        found = Explainer(bank).explain(pair.input, "decoder_2", Exhaustive())
        assert [source.name for source in found.sources()] == ["more_2"]
        np.testing.assert_array_equal(found.output, pair.target)


def test_append_takes_the_banks_kinds_and_the_network_that_is_given(
    run: Call, world: World, tmp_path: Path
) -> None:
    rows = [f"{index},class {index},{60 * index},9,9" for index in range(4)]
    Path("palette.csv").write_text("\n".join(["index,name,r,g,b", *rows]))
    for folder, seed in (("one", 1), ("two", 2)):
        for side in ("inputs", "labels"):
            (tmp_path / folder / side).mkdir(parents=True)
        image = MemoryDataset(1, seed=seed)[0].input
        labels = np.random.default_rng(seed).integers(0, 4, (32, 32), np.uint8)
        write_image(tmp_path / folder / "inputs" / f"{folder}.png", image)
        write_image(tmp_path / folder / "labels" / f"{folder}.png", labels)

    def pairs(folder: str) -> tuple[object, ...]:
        both = tmp_path / folder
        return ("--inputs", both / "inputs", "--targets", both / "labels")

    build = ("build", "l.bank", world.network, *pairs("one"), "--target-palette", "palette.csv")
    assert run(*build).code == 0
    moved = world.network.rename(tmp_path / "elsewhere.onnx")
    gone = run("append", "l.bank", *pairs("two"))
    assert gone.code == 2
    assert "--network" in gone.message
    assert run("append", "l.bank", *pairs("two"), "--network", moved).code == 0
    with Bank("l.bank") as bank:
        assert bank.names == ("one", "two")
        labels = np.random.default_rng(2).integers(0, 4, (32, 32), np.uint8)
        np.testing.assert_array_equal(bank.pair(1)[1], labels)


def test_append_as_json_of_some_with_one_left_out(run: Call, world: World, more: Path) -> None:
    bad = more / "more_0.png"
    bad.write_bytes(bad.read_bytes()[:100])
    command = ("append", world.bank, "--side-by-side", more, "--limit", 2)
    stopped = run(*command)
    assert stopped.code == 2
    assert str(bad) in stopped.message
    assert "--skip-bad" in stopped.message
    # The bank is as it was, and the append can be given up.
    assert f"{COUNT} pairs of" in run("info", world.bank).out
    result = run(*command, "--skip-bad", "--restart", "--json")
    assert (result.code, result.err) == (0, "")
    document = json.loads(result.out)
    assert document["images"] == COUNT + 1
    assert [each["name"] for each in document["skipped"]] == ["more_0"]
    assert json.loads(run("info", world.bank, "--json").out) == document


def test_drop_and_compact(run: Call, world: World, more: Path) -> None:
    assert run("append", world.bank, "--side-by-side", more).code == 0
    Path("names.txt").write_text("# these\nimg_3.png\n")
    whole = json.loads(run("info", world.bank, "--json").out)
    result = run("drop", world.bank, "img_1", "more_[01]", "@names.txt")
    assert (result.code, result.err) == (0, "")
    dropped = ["img_1", "img_3", "more_0", "more_1"]
    assert result.out.splitlines() == [
        *(f"dropped: {name}" for name in dropped),
        f"{world.bank}: 4 pairs are left",
    ]
    assert Bank(world.bank).names == ("img_0", "img_2", "img_4", "more_2")
    result = run("compact", world.bank)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"{world.bank}: 4 pairs, ")
    document = json.loads(run("compact", world.bank, "--json").out)
    assert document["images"] == 4
    assert document["bytes"] < whole["bytes"]
    assert run("info", world.bank, "--verify").code == 0
    document = json.loads(run("drop", world.bank, "img_0", "--json").out)
    assert (document["images"], document["dropped"]) == (3, ["img_0"])


def test_merge(run: Call, world: World, more: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.bank"
    layers = ("--layer", "encoder_2", "--layer", "decoder_2", "--descriptor", "encoder_3")
    assert run("build", other, world.network, "--side-by-side", more, *layers).code == 0
    both = tmp_path / "both.bank"
    result = run("merge", both, world.bank, other)
    assert (result.code, result.err) == (0, "")
    assert f"{COUNT + 3} pairs of 32x32" in result.out
    names = Bank(world.bank).names + Bank(other).names
    assert Bank(both).names == names
    again = run("merge", both, other, world.bank)
    assert again.code == 2
    assert "--overwrite" in again.message
    document = json.loads(run("merge", both, other, world.bank, "--overwrite", "--json").out)
    assert document["images"] == COUNT + 3
    assert set(Bank(both).names) == set(names)
    assert run("info", both, "--verify").code == 0
    # Those that were merged stay as they were, and are not needed.
    assert len(Bank(world.bank)) == COUNT
    shutil.rmtree(world.bank)
    assert run("reconstruct", both, world.query, "--layer", "encoder_2").code == 0


def test_attributes(run: Call, world: World) -> None:
    Path("walls.csv").write_text("name,wall,age\nimg_0,red,old\nimg_3,blue,\nimg_4.png,red,new\n")
    result = run("attributes", world.bank, "walls.csv")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        f"{world.bank}: 3 of 5 pairs have attributes",
        "wall: 3",
        "age: 2",
    ]
    assert Bank(world.bank).attributes["img_4"] == {"wall": "red", "age": "new"}
    found = json.loads(
        run("reconstruct", world.bank, world.query, "--where", "wall=red", "--json").out
    )
    assert {each["name"] for each in found[0]["candidates"]} == {"img_0", "img_4"}
    Path("walls.csv").write_text("img_2,roof=flat\n")
    document = json.loads(run("attributes", world.bank, "walls.csv", "--json").out)
    assert document["attributes"] == {"roof": 1}
    assert Bank(world.bank).attributes == {"img_2": {"roof": "flat"}}


def test_a_bank_with_its_network_needs_no_other_file(
    run: Call, world: World, tmp_path: Path
) -> None:
    bank = tmp_path / "whole.bank"
    build = ("build", bank, world.network, "--side-by-side", world.pairs, "--copy-network")
    assert run(*build, "--layer", "encoder_2").code == 0
    world.network.unlink()
    moved = bank.rename(tmp_path / "here" / "moved.bank")
    assert run("reconstruct", moved, world.query).code == 0
    assert run("reconstruct", world.bank, world.query).code == 2


def test_the_network_is_found_beside_the_bank(run: Call, world: World, tmp_path: Path) -> None:
    (tmp_path / "both").mkdir()
    world.network.rename(tmp_path / "both" / world.network.name)
    moved = world.bank.rename(tmp_path / "both" / "moved.bank")
    assert run("reconstruct", moved, world.query, "--layer", "encoder_2").code == 0


def test_info_names_fields_of_a_later_version(run: Call, world: World) -> None:
    for path in (world.bank / "manifest.json", *(world.bank / "generations").glob("*.json")):
        path.write_text(json.dumps({**json.loads(path.read_text()), "grid\x1b[31m": 7}))
    shown = run("info", world.bank)
    assert shown.code == 0
    assert "not known to this version of compnn: grid\\x1B[31m; it is kept" in shown.out
    document = json.loads(run("info", world.bank, "--json").out)
    assert document["unknown_fields"] == ["grid\x1b[31m"]
    assert (document["generation"], document["shards"]) == (1, 1)


# What is refused


Change = Callable[[World, Path], tuple[Any, ...]]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (lambda w, _: ("drop", w.bank, "img_7"), "no image that matches 'img_7'"),
        (lambda w, _: ("drop", w.bank, "*"), "would be left"),
        (lambda w, _: ("drop", w.bank, "@nowhere.txt"), "nowhere.txt"),
        (lambda w, _: ("drop", w.bank), "Missing argument"),
        (lambda w, _: ("attributes", w.bank, "nowhere.csv"), "nowhere.csv"),
        (lambda w, _: ("compact", "nowhere.bank"), "nowhere.bank. Check the path"),
        (lambda w, _: ("append", "nowhere.bank"), "nowhere.bank. Check the path"),
        (lambda w, _: ("append", w.bank), "give the pairs of images once"),
        (lambda w, _: ("append", w.bank, "--side-by-side", w.pairs), "img_0"),
        (
            lambda w, more: (
                *("append", w.bank, "--side-by-side", more),
                *("--target-palette", "camvid"),
            ),
            "kind, classes and colours must be the same",
        ),
        (
            lambda w, more: (
                *("append", w.bank, "--side-by-side", more),
                *("--network", w.network.with_name("other.onnx")),
            ),
            "was built with",
        ),
        (lambda w, _: ("merge", "new.bank", w.bank, "nowhere.bank"), "nowhere.bank"),
        (lambda w, _: ("merge", "new.bank", w.bank, w.bank), "img_0"),
        (lambda w, _: ("merge", "new.bank"), "Missing argument"),
    ],
)
def test_changes_that_make_no_sense(
    refused: Refused, world: World, more: Path, command: Change, message: str
) -> None:
    tiny_unet(world.network.with_name("other.onnx"), seed=3)
    assert message in refused(*command(world, more))
