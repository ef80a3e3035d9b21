"""Names of modules in files that PyTorch wrote, by either exporter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from command_line import call_main
from compnn.bank.bank import Bank
from compnn.errors import LayerError
from compnn.images.files import write_image
from compnn.network.onnx import OnnxNetwork
from compnn.network.onnx_names import ModuleNames
from compnn.network.preprocessing import Preprocessing

RANGE = Preprocessing(range=(0, 1))
SIZE = (16, 24)
SCOPES = "pkg.torch.onnx.name_scopes"
SHARED = Path(__file__).parents[4] / "shared" / "models"

Step = tuple[str, list[str], str, str]
"""Operator, inputs, output, and the path of its module ("" outside of all)."""

# A block of two functions that is joined with its input; a head.
STEPS: list[Step] = [
    ("Conv", ["image", "enc.0.weight"], "t0", "enc.0"),
    ("Relu", ["t0"], "t1", "enc.1"),
    ("Conv", ["t1", "mid.c.0.weight"], "t2", "mid.c.0"),
    ("Relu", ["t2"], "t3", "mid.c.1"),
    ("Add", ["t3", "t1"], "t4", "mid"),
    ("Sigmoid", ["t4"], "t5", ""),
    ("Conv", ["t5", "head.weight"], "out", "head"),
]
RESULTS = {
    "enc": "t1",
    "enc.0": "t0",
    "enc.1": "t1",
    "mid": "t4",
    "mid.c": "t3",
    "mid.c.0": "t2",
    "mid.c.1": "t3",
    "head": "out",
}


def written(steps: Sequence[Step], exporter: str) -> onnx.ModelProto:
    """The network as an exporter writes it: convolutions 3x3 of 3 channels."""
    nodes, weights = [], {}
    counts: dict[str, int] = {}
    for operator, inputs, output, path in steps:
        parts = path.split(".") if path else []
        paths = [".".join(parts[: end + 1]) for end in range(len(parts))]
        count = counts[operator] = counts.get(operator, -1) + 1
        last = operator + (f"_{count}" if count else "")
        if exporter == "newer":
            node = helper.make_node(operator, inputs, [output], name=f"node_{output}")
            node.metadata_props.add(key=SCOPES, value=repr(["", *paths, last.lower()]))
        else:
            # A child of a sequence, which has a number, has the name of that before it.
            pairs = zip(["", *parts], parts, strict=False)
            segments = [f"{outer}.{own}" if own.isdigit() else own for outer, own in pairs]
            name = "/" + "/".join([*segments, last])
            node = helper.make_node(operator, inputs, [output], name=name)
        if operator == "Conv":
            node.attribute.append(helper.make_attribute("pads", [1, 1, 1, 1]))
            weights[inputs[1]] = np.random.default_rng(len(weights)).normal(size=(3, 3, 3, 3))
        nodes.append(node)
    shaped = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "net",
        [shaped("image", TensorProto.FLOAT, (1, 3, *SIZE))],
        [shaped(steps[-1][2], TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.float32(each), name) for name, each in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def names_of(model: onnx.ModelProto) -> ModuleNames:
    return ModuleNames(model.graph, {node.output[0] for node in model.graph.node})


def opened(
    model: onnx.ModelProto, folder: Path, layers: Sequence[str] | None = None
) -> OnnxNetwork:
    onnx.save(model, folder / "net.onnx")
    return OnnxNetwork(folder / "net.onnx", layers, preprocessing=RANGE)


@pytest.mark.parametrize("exporter", ["newer", "older"])
def test_a_module_is_its_result(tmp_path: Path, exporter: str) -> None:
    model = written(STEPS, exporter)
    assert names_of(model).results == RESULTS
    network = opened(model, tmp_path)
    assert [layer.name for layer in network.taps()] == [
        *("enc.0", "enc", "mid.c.0", "mid.c", "mid", "t5", "head")
    ]
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    found = network.activations(pixels, [*RESULTS, *RESULTS.values()])
    for path, tensor in RESULTS.items():
        np.testing.assert_array_equal(found[path], found[tensor])
        assert network.tensor(path) == network.tensor(tensor) == tensor
        assert network.layer(path).name == path
        assert network.layer(path).geometry == network.layer(tensor).geometry
        assert network.tap_shape(path) == network.tap_shape(tensor)
    assert network.check("mid") == network.check("t4")
    for name in ("mid.c.2", "encc"):
        with pytest.raises(LayerError, match=rf"unknown layer '{name}' .*nearest: .*(mid\.c|enc)"):
            network.layer(name)


@pytest.mark.parametrize("exporter", ["newer", "older"])
def test_a_tensors_own_name_wins(tmp_path: Path, exporter: str) -> None:
    """Here `mid` is a tensor of the encoder."""
    renamed = {"t1": "mid"}
    steps = [
        (operator, [renamed.get(name, name) for name in inputs], renamed.get(output, output), path)
        for operator, inputs, output, path in STEPS
    ]
    network = opened(written(steps, exporter), tmp_path)
    assert network.tensor("mid") == network.tensor("enc") == "mid"
    assert [layer.name for layer in network.taps()][1] == "enc"
    assert "t4" in [layer.name for layer in network.taps()]


def test_a_module_that_runs_again_is_no_name(tmp_path: Path) -> None:
    """An activation function that a block uses twice, and a block that is used twice."""
    steps: list[Step] = [
        ("Conv", ["image", "w0"], "t0", "block.conv"),
        ("Relu", ["t0"], "t1", "block.act"),
        ("Conv", ["t1", "w1"], "t2", "block.conv2"),
        ("Relu", ["t2"], "t3", "block.act"),
        ("Sigmoid", ["t3"], "t4", ""),
        ("Conv", ["t4", "w0"], "t5", "block.conv"),
        ("Conv", ["t5", "w2"], "out", "head"),
    ]
    names = names_of(written(steps, "newer"))
    assert names.results == {"block.conv2": "t2", "head": "out"}
    assert names.repeated == {
        "block": ["t3", "t5"],
        "block.act": ["t1", "t3"],
        "block.conv": ["t0", "t5"],
    }
    with pytest.raises(LayerError, match=r"module 'block\.act' .* several times.*'t1', 't3'"):
        opened(written(steps, "newer"), tmp_path).layer("block.act")


def test_branches_that_are_computed_in_turn_do_not_run_again() -> None:
    """The order of nodes is not that of modules: nothing comes back here."""
    steps: list[Step] = [
        ("Conv", ["image", "w0"], "a0", "a"),
        ("Conv", ["image", "w1"], "b0", "b"),
        ("Relu", ["a0"], "a1", "a"),
        ("Relu", ["b0"], "b1", "b"),
        ("Add", ["a1", "b1"], "out", ""),
    ]
    assert names_of(written(steps, "newer")).results == {"a": "a1", "b": "b1"}


def test_of_a_tuple_it_is_the_last() -> None:
    steps: list[Step] = [
        ("Conv", ["image", "w0"], "t0", "pair"),
        ("Relu", ["t0"], "t1", "pair"),
        ("Add", ["t0", "t1"], "out", ""),
    ]
    assert names_of(written(steps, "newer")).results == {"pair": "t1"}


def test_a_convolution_that_took_the_normalisation_in_has_no_name_of_its_own() -> None:
    """The older exporter calls what comes out by the convolution, whose result it is not."""
    steps: list[Step] = [
        ("Conv", ["image", "onnx::Conv_12"], "t0", "block.0"),
        ("Relu", ["t0"], "t1", "block.2"),
        ("Conv", ["t1", "head.weight"], "out", "head"),
    ]
    assert names_of(written(steps, "older")).results == {
        "block": "t1",
        "block.2": "t1",
        "head": "out",
    }


def test_names_that_are_no_paths_are_left_alone() -> None:
    model = written(STEPS, "older")
    for node, name in zip(
        model.graph.node,
        ["StatefulPartitionedCall/a/Conv", "/", "//", "/Conv", "/a/b/Other", "/a/", "Conv_7"],
        strict=True,
    ):
        node.name = name
    names = names_of(model)
    assert names.results == names.repeated == {}


@pytest.mark.parametrize(
    "text",
    [
        *("", "[", "None", "3", "['', 3, 'x']", "{'a': 1}", "['', 'a'", "open('x')", "[" * 9000),
        *("\0", "['', 'a', 'b']" * 2000, "'a.b'", "b'ab'", "[['a']]"),
    ],
)
def test_odd_scopes_give_no_names(text: str) -> None:
    model = written(STEPS, "newer")
    for node in model.graph.node:
        del node.metadata_props[:]
        node.metadata_props.add(key=SCOPES, value=text)
    assert names_of(model).results == {}


@given(st.lists(st.text(max_size=6), max_size=6), st.text(max_size=30))
def test_any_scopes_and_names_are_read(scopes: list[str], name: str) -> None:
    for exporter in ("newer", "older"):
        model = written(STEPS, exporter)
        for node in model.graph.node:
            if exporter == "newer":
                node.metadata_props[0].value = repr(scopes)
            node.name = name
        found = names_of(model)
        tensors = {node.output[0] for node in model.graph.node}
        assert set(found.results.values()) <= tensors
        assert not found.results.keys() & found.repeated.keys()


def test_a_bank_and_its_pictures_have_the_name_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(written(STEPS, "newer"), tmp_path)
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
        for index in range(2):
            pixels = np.random.default_rng(index).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
            write_image(tmp_path / folder / f"{index}.png", pixels)
    monkeypatch.chdir(tmp_path)
    pairs = ("--inputs", "in", "--targets", "out", "--input-range", "0,1")
    build = ("build", "net.bank", "net.onnx", *pairs, "--layer", "mid", "--descriptor", "enc")
    assert call_main(monkeypatch, *build) == 0
    bank = Bank("net.bank")
    assert list(bank.layers) == list(bank.open_network().layers) == ["mid"]
    assert bank.descriptor == "enc"
    assert call_main(monkeypatch, "reconstruct", "net.bank", "in/1.png", "--top-k", "1") == 0
    assert Path("1-compnn/mid/output.png").is_file()
    capsys.readouterr()
    assert call_main(monkeypatch, "layers", "net.onnx", "--all", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["name"]: row["tensor"] for row in rows}["mid"] == "t4"


@pytest.mark.parametrize("file", ["unet-camvid-128.onnx", "unet-camvid-128-dynamo.onnx"])
def test_a_trained_network_by_both_exporters(file: str) -> None:
    path = SHARED / file
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    network = OnnxNetwork(path, preprocessing=RANGE)
    assert network.suggestion().layers == ("d4", "bottleneck", "u3", "u2", "u1", "u0")
    assert network.suggestion().descriptor == "bottleneck"
    assert network.tensor("u2") == network.tensor("u2.c") == network.tensor("u2.c.5")
    assert network.tensor("u2.c.2") != network.tensor("u2.c")
    with pytest.raises(LayerError, match=r"unknown layer 'u2\.c\.0'"):
        network.layer("u2.c.0")  # its normalisation is in it
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    by_path = network.activations(pixels, ["u2.c.5"])["u2.c.5"]
    tensor = network.tensor("u2")
    np.testing.assert_array_equal(by_path, network.activations(pixels, [tensor])[tensor])
