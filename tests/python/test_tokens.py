"""Explanations at layers whose tensors are tokens, or have their channels last."""

from __future__ import annotations

import json
import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from command_line import call_main
from compnn.bank.bank import build
from compnn.errors import BankError, LayerError, NetworkError
from compnn.explanation.explainer import Explainer
from compnn.network.geometry import AxisMap, TokenGrid
from compnn.network.network import Network
from compnn.network.onnx import OnnxNetwork
from compnn.network.output import OutputChoice
from compnn.network.preprocessing import Preprocessing
from compnn.network.reading import Reading
from compnn.search.search import Exhaustive
from memory_dataset import MemoryDataset
from numpy_network import NumpyNetwork

PATCH, ROWS, COLS, DEPTH = 8, 4, 6, 16
SIZE = (PATCH * ROWS, PATCH * COLS)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patches of 8x8 pixels: `block`, tokens after a class token; `last`, a map, channels last."""
    random = np.random.default_rng(0)
    constants = {
        "patch": random.normal(size=(DEPTH, 3, PATCH, PATCH)),
        "mix": random.normal(size=(DEPTH, DEPTH)),
        "class": random.normal(size=(1, 1, DEPTH)),
    }
    tensors = [numpy_helper.from_array(np.float32(value), key) for key, value in constants.items()]
    tensors.append(numpy_helper.from_array(np.array([1, DEPTH, ROWS * COLS]), "flat"))
    nodes = [
        helper.make_node("Conv", ["image", "patch"], ["cells"], strides=[PATCH, PATCH]),
        helper.make_node("Transpose", ["cells"], ["turned"], perm=[0, 2, 3, 1]),
        helper.make_node("MatMul", ["turned", "mix"], ["last"]),
        helper.make_node("Reshape", ["cells", "flat"], ["row"]),
        helper.make_node("Transpose", ["row"], ["tokens"], perm=[0, 2, 1]),
        helper.make_node("Concat", ["class", "tokens"], ["with_class"], axis=1),
        helper.make_node("MatMul", ["with_class", "mix"], ["block"]),
    ]
    shaped = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "vit",
        [shaped("image", TensorProto.FLOAT, (1, 3, *SIZE))],
        [shaped("block", TensorProto.FLOAT, None), shaped("last", TensorProto.FLOAT, None)],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("tokens") / "vit.onnx"
    onnx.save(model, path)
    return path


def cells(file: Path, image: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[Any]]:
    """Unit vectors (rows, columns, channels) of both layers, by ONNX Runtime alone."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    pixels = np.float32(image).transpose(2, 0, 1)[None] / 255
    block, last = session.run(["block", "last"], {"image": pixels})
    found = {"block": block[0, 1:].reshape(ROWS, COLS, DEPTH), "last": last[0]}
    return {name: each / np.linalg.norm(each, axis=-1)[..., None] for name, each in found.items()}


@pytest.mark.parametrize("layer", ["block", "last"])
def test_matches_are_those_of_brute_force(file: Path, tmp_path: Path, layer: str) -> None:
    pairs, query = MemoryDataset(4, SIZE), MemoryDataset(1, SIZE, seed=9)[0].input
    network = OnnxNetwork(
        file,
        [layer],
        hyperpatch=(1, 1),
        preprocessing=Preprocessing(range=(0, 1)),
        output=OutputChoice(kind="none"),
    )
    bank = build(tmp_path / "vit.bank", network, pairs, dtype="float32")
    result = Explainer(bank, network).explain(query, layer, Exhaustive())
    training = np.stack([cells(file, pair.input)[layer] for pair in pairs])
    cosine = np.einsum("rcd,nijd->rcnij", cells(file, query)[layer], training)
    best = cosine.reshape(ROWS, COLS, -1)
    np.testing.assert_allclose(result.field.similarity[0], best.max(axis=-1), atol=1e-5)
    at = np.stack([result.field.image[0], result.field.row[0], result.field.col[0]], -1)
    chosen = np.ravel_multi_index(at.reshape(-1, 3).T, training.shape[:3])
    np.testing.assert_array_equal(chosen, best.argmax(axis=-1).reshape(-1))
    # Each cell owns the pixels that it looks at.
    for row, col in np.ndindex(ROWS, COLS):
        image, y, x = at[row, col]
        copied = result.input[row * PATCH :, col * PATCH :][:PATCH, :PATCH]
        source = pairs[int(image)].input[y * PATCH :, x * PATCH :][:PATCH, :PATCH]
        np.testing.assert_array_equal(copied, source)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """`mixed`: 3 tokens without place, then 4x6 of patches, all mixed, so that none has a place."""
    random = np.random.default_rng(1)
    tokens = 3 + ROWS * COLS
    constants = {
        "patch": random.normal(size=(DEPTH, 3, PATCH, PATCH)),
        "first": random.normal(size=(1, 3, DEPTH)),
        "mix": random.normal(size=(tokens, tokens)) / 50 + np.eye(tokens),
    }
    tensors = [numpy_helper.from_array(np.float32(value), key) for key, value in constants.items()]
    tensors.append(numpy_helper.from_array(np.array([1, DEPTH, ROWS * COLS]), "flat"))
    nodes = [
        helper.make_node("Conv", ["image", "patch"], ["cells"], strides=[PATCH, PATCH]),
        helper.make_node("Reshape", ["cells", "flat"], ["row"]),
        helper.make_node("Transpose", ["row"], ["tokens"], perm=[0, 2, 1]),
        helper.make_node("Concat", ["first", "tokens"], ["all"], axis=1),
        helper.make_node("MatMul", ["mix", "all"], ["mixed"]),
        helper.make_node("Relu", ["mixed"], ["after"]),
    ]
    shaped = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "mixer",
        [shaped("image", TensorProto.FLOAT, (1, 3, *SIZE))],
        [shaped("after", TensorProto.FLOAT, None)],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "mixer.onnx"
    onnx.save(model, path)
    return path


def opened(path: Path, layers: list[str], **options: Any) -> OnnxNetwork:
    return OnnxNetwork(path, layers, preprocessing=Preprocessing(range=(0, 1)), **options)


def test_a_grid_can_be_given(mixed: Path, tmp_path: Path) -> None:
    with pytest.raises(LayerError, match="'mixed' is no layer"):
        opened(mixed, ["mixed"])
    grids = {"mixed": "4x6+3"}
    network = opened(mixed, ["mixed", "after"], grids=grids)
    for layer in network.layers.values():  # what follows it is on the grid as well
        assert layer.shape == (ROWS, COLS, DEPTH)
        assert layer.hyperpatch == (1, 1)
        assert layer.geometry.looks == layer.geometry.paints == (AxisMap(Fraction(PATCH)),) * 2
        assert "the grid 4x6+3 was given" in layer.geometry.note
    image = MemoryDataset(1, SIZE)[0].input
    session = onnxruntime.InferenceSession(mixed, providers=["CPUExecutionProvider"])
    (after,) = session.run(["after"], {"image": np.float32(image).transpose(2, 0, 1)[None] / 255})
    np.testing.assert_allclose(
        network.activations(image)["after"], after[0, 3:].reshape(ROWS, COLS, DEPTH), atol=1e-4
    )
    with build(tmp_path / "mixer.bank", network, MemoryDataset(2, SIZE)) as bank:
        again = bank.open_network()
        assert again.grids == network.grids == {"mixed": TokenGrid(4, 6, 3)}
        bank.check_network(pickle.loads(pickle.dumps(again)))
        with pytest.raises(BankError, match=r"grids mixed=4x6\+3, but .* given mixed=6x4\+3"):
            bank.check_network(opened(mixed, [], grids={"mixed": "6x4+3"}))


@pytest.mark.parametrize(
    ("grids", "message"),
    [
        ({"mixed": "4x6"}, "'mixed' has 27 tokens, not the 24 of the grid 4x6; give rows"),
        ({"mixed": "5x5+3"}, r"'mixed' has 27 tokens, not the 28 of the grid 5x5\+3"),
        ({"cells": "4x6"}, r"of tokens \(1, T, C\), but its shape is \(1, 16, 4, 6\)"),
        ({"mixes": "4x6+3"}, r"given for 'mixes', which mixer\.onnx does not have"),
        ({"mixed": "4x6-3"}, "grid of 'mixed': '4x6-3' is not of the form HxW"),
        ({"mixed": "0x6"}, "grid of 'mixed': '0x6' is not of the form HxW"),
    ],
)
def test_grids_that_do_not_fit_are_refused(
    mixed: Path, grids: dict[str, str], message: str
) -> None:
    with pytest.raises(LayerError, match=message):
        opened(mixed, [], grids=grids)


def test_the_file_and_the_command_line_say_grids(
    mixed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = ("layers", mixed, "--all", "--json")
    for more, code in (
        ((), 0),
        (("--grid", "mixed=4x6+3"), 0),
        (("--grid", "mixed"), 2),
        (("--grid", "mixed=1x1"), 2),
    ):
        assert call_main(monkeypatch, *layers, *more) == code
        out, error = capsys.readouterr()
        assert code or ("the grid 4x6+3 was given" in out) == bool(more)
        listed = [row["name"] for row in json.loads(out)] if code == 0 else []
        assert ("mixed" in listed) == (len(more) == 2 and code == 0)
        assert code == 0 or "HxW" in error or "27 tokens" in error
    model = onnx.load(mixed)
    helper.set_model_props(model, {"grids": '{"mixed": "4x6+3"}'})
    onnx.save(model, mixed)
    assert opened(mixed, ["after"]).layers["after"].shape == (ROWS, COLS, DEPTH)
    assert opened(mixed, ["after"], grids={"mixed": "2x12+3"}).layers["after"].shape[1] == 12
    helper.set_model_props(model, {"grids": "[1]"})
    onnx.save(model, mixed)
    with pytest.raises(NetworkError, match=r"metadata grids is .* JSON object"):
        opened(mixed, [])


def test_a_network_of_ones_own_may_give_any_order(tmp_path: Path) -> None:
    """Views that are transposed, and float64, explain as what they hold."""

    class Turned(NumpyNetwork):
        def read(self, *arguments: Any, **options: Any) -> Reading:
            found = super().read(*arguments, **options)
            taps = {
                tap: np.float64(each).transpose(1, 2, 0).copy().transpose(2, 0, 1)
                for tap, each in found.taps.items()
            }
            return Reading(found.image, taps, found.output, found.painted, found.name)

    pairs, query = MemoryDataset(3, (16, 16)), MemoryDataset(1, (16, 16), seed=9)[0].input
    fields = []
    networks: list[Network] = [NumpyNetwork(), Turned()]
    for index, network in enumerate(networks):
        with build(tmp_path / f"{index}.bank", network, pairs) as bank:
            fields.append(Explainer(bank, network).explain(query, "wide", Exhaustive()).field)
    np.testing.assert_array_equal(fields[0].image, fields[1].image)
    np.testing.assert_array_equal(fields[0].similarity, fields[1].similarity)


def test_what_is_uncertain_about_a_layer_is_said(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    said = "mixed, after: the grid 4x6+3 was given"
    assert call_main(monkeypatch, "layers", mixed, "--all", "--grid", "mixed=4x6+3") == 0
    assert said in capsys.readouterr().out
    network = opened(mixed, ["mixed", "after"], grids={"mixed": "4x6+3"})
    lines: list[str] = []
    build(tmp_path / "mixer.bank", network, MemoryDataset(2, SIZE), say=lines.append).close()
    assert any(line.startswith(said) for line in lines)
    assert call_main(monkeypatch, "info", tmp_path / "mixer.bank") == 0
    assert said in capsys.readouterr().out
