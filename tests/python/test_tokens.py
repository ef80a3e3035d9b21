"""Explanations at layers whose tensors are tokens, or have their channels last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from compnn.bank.bank import build
from compnn.explanation.explainer import Explainer
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
