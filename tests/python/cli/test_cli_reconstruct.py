"""`compnn reconstruct`: what it prints and writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import Call, World
from compnn.bank.bank import build
from compnn.data.folders import SideBySide
from compnn.explanation.explainer import Explainer
from compnn.images.files import read_image
from compnn.network.onnx import OnnxNetwork
from compnn.search.search import HyperPatchMatch
from memory_dataset import MemoryDataset, contents

COUNT = 5
PICTURES = {"query.png", "network_output.png", "input.png", "output.png", "sources.png"}
TABLES = {"images.csv", "attributes.csv"}
SAVED = {"field.npz", "explanation.json"}


def test_reconstruct(run: Call, world: World, tmp_path: Path) -> None:
    result = run("reconstruct", world.bank, world.query, "-o", tmp_path / "out", "--top-k", 2)
    assert result.code == 0
    assert result.err == ""
    assert "query.png, exhaustive" in result.out
    assert result.out.endswith(f"pictures: {tmp_path / 'out'}\n")
    found = contents(tmp_path / "out")
    assert set(found) == {"contact_sheet.png"} | {
        f"{layer}/{name}"
        for layer in ("encoder_2", "decoder_2")
        for name in {*PICTURES, *TABLES, *SAVED}
    }
    expected = Explainer(world.bank).explain(world.query, "decoder_2", top_k=2)
    for name in ("input", "output", "query", "network_output"):
        picture = read_image(tmp_path / "out" / "decoder_2" / f"{name}.png")
        np.testing.assert_array_equal(picture, getattr(expected, name))
    with np.load(tmp_path / "out" / "decoder_2" / "field.npz") as field:
        np.testing.assert_array_equal(field["image"], expected.field.image)
        np.testing.assert_array_equal(field["similarity"], expected.field.similarity)


def test_reconstruct_as_json(run: Call, world: World) -> None:
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


def test_options_of_the_search(run: Call, world: World, tmp_path: Path) -> None:
    options = ("--layer", "encoder_2", "--method", "hyperpatch-match", "--matches", 2)
    options += ("--iterations", 3, "--seed", 9)
    out = tmp_path / "out"
    assert run("reconstruct", world.bank, world.query, "-o", out, *options).code == 0
    search = HyperPatchMatch(matches=2, iterations=3, seed=9)
    expected = Explainer(world.bank).explain(world.query, "encoder_2", search)
    with np.load(out / "encoder_2" / "field.npz") as field:
        np.testing.assert_array_equal(field["image"], expected.field.image)


WALLS = {"img_0": "red", "img_1": "red", "img_2": "grey", "img_3": "grey"}


@pytest.fixture
def walls(world: World) -> Path:
    """A bank whose images have the attribute `wall`, but for the last."""
    attributes = {name: {"wall": wall} for name, wall in WALLS.items()}
    network = OnnxNetwork(world.network, ["encoder_2", "decoder_2"], "encoder_3")
    pairs = SideBySide(world.pairs, attributes=attributes)
    return build(world.bank.with_name("walls.bank"), network, pairs).path


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
    run: Call,
    world: World,
    walls: Path,
    options: tuple[str, ...],
    allowed: set[int],
) -> None:
    Path("names.txt").write_text("# some\nimg_3.png\nimg_1\n")
    result = run("reconstruct", walls, world.query, *options, "--json")
    assert (result.code, result.err) == (0, "")
    for layer in json.loads(result.out):
        assert {each["index"] for each in layer["candidates"]} == allowed
        assert {each["index"] for each in layer["sources"]} <= allowed
    expected = Explainer(walls).explain(world.query, "decoder_2", among=sorted(allowed))
    np.testing.assert_array_equal(read_image("query-compnn/decoder_2/output.png"), expected.output)


def test_use_of_attributes_beside_the_bank(run: Call, world: World, walls: Path) -> None:
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


def test_without_attributes_there_is_no_table_of_them(run: Call, world: World) -> None:
    result = run("reconstruct", world.bank, world.query, "--layer", "encoder_2")
    assert "where the pixels come from" not in result.out
    images = Path("query-compnn/encoder_2/images.csv").read_text().splitlines()
    assert len(images) == 1 + COUNT


def test_overlapping_patches_and_no_map(run: Call, world: World) -> None:
    options = ("--layer", "encoder_2", "--compose", "overlap", "--no-map")
    assert run("reconstruct", world.bank, world.query, *options).code == 0
    assert not Path("query-compnn/encoder_2/sources.png").exists()
    explain = Explainer(world.bank).explain
    expected = explain(world.query, "encoder_2", composition="overlap").output
    assert (expected != explain(world.query, "encoder_2").output).any()
    np.testing.assert_array_equal(read_image("query-compnn/encoder_2/output.png"), expected)


def test_names_that_look_like_markup(run: Call, world: World, tmp_path: Path) -> None:
    query = world.query.rename(world.query.with_name("[bold]a[red].png"))
    for path in world.pairs.iterdir():
        path.rename(path.with_name(f"[green]{path.stem}.png"))
    bank = tmp_path / "[" / "x].bank"
    assert run("build", bank, world.network, "--side-by-side", world.pairs).code == 0
    result = run("reconstruct", bank, query)
    assert result.code == 0
    assert "[bold]a[red].png" in result.out
    assert "[green]img_" in result.out
    assert "[/x].bank" in run("info", bank).out


def test_grey_and_alpha_images(run: Call, world: World, tmp_path: Path) -> None:
    rgb = read_image(world.query)
    Image.fromarray(rgb[..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(np.dstack([rgb, rgb[..., 0]])).save(tmp_path / "alpha.png")
    for name, expected in (("grey", np.repeat(rgb[..., :1], 3, axis=2)), ("alpha", rgb)):
        result = run(
            "reconstruct", world.bank, tmp_path / f"{name}.png", "-o", tmp_path / name,
            "--layer", "encoder_2",
        )  # fmt: skip
        assert result.code == 0, result
        found = read_image(tmp_path / name / "encoder_2" / "query.png")
        np.testing.assert_array_equal(found, expected)


def test_resize(run: Call, world: World, tmp_path: Path) -> None:
    large = Image.fromarray(read_image(world.query)).resize((50, 40))
    large.save(tmp_path / "large.png")
    arguments = ("reconstruct", world.bank, tmp_path / "large.png", "--layer", "encoder_2")
    target = ("--target", tmp_path / "large.png")
    assert run(*arguments, *target, "--resize", "-o", tmp_path / "out").code == 0
    assert read_image(tmp_path / "out" / "encoder_2" / "query.png").shape == (32, 32, 3)


def test_more_nearest_images_than_there_are(run: Call, world: World, tmp_path: Path) -> None:
    result = run(
        "reconstruct", world.bank, world.query, "--top-k", 99, "--json", "-o", tmp_path / "out"
    )
    assert result.code == 0
    assert result.message.startswith("note: 99 nearest images were asked for; there are only 5")
    assert len(json.loads(result.out)[0]["candidates"]) == COUNT
