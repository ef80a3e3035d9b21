"""Exported files: tensors named after layers, metadata, and the numbers of the module."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import compnn
from compnn.errors import LayerError, NetworkError, OutputError

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'compnn[torch]'")
nn = torch.nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(True))
        self.deep = nn.Sequential(nn.Conv2d(6, 8, 3, 2, 1), nn.Dropout(0.5))
        self.head = nn.Conv2d(8, 5, 1)

    def forward(self, image: Any) -> Any:
        deep = self.deep(self.down(image))
        maps = self.head(nn.functional.interpolate(deep, scale_factor=4.0, mode="bilinear"))
        return {"aux": maps[:, :2], "out": maps}


def picture(size: tuple[int, int]) -> Any:
    return np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)


@pytest.mark.parametrize("newer", [True, False])
def test_a_file_has_the_layers_and_numbers_of_the_module(
    tmp_path: Path, newer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not newer:
        plain = torch.onnx.export

        def older(*args: Any, dynamo: bool, **options: Any) -> None:
            if dynamo:
                raise RuntimeError("not today")
            plain(*args, dynamo=dynamo, **options)

        monkeypatch.setattr(torch.onnx, "export", older)
    module = Net().train()
    flags = [each.training for each in module.modules()]
    layers = {"fine": "down.1", "coarse": "deep"}
    scale: dict[str, Any] = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.2)}
    file = compnn.export(
        module,
        tmp_path / "net.onnx",
        layers=layers,
        descriptor="deep",
        size=(32, 48),
        channel_order="BGR",
        output="out",
        output_kind="logits",
        **scale,
    )
    assert [each.training for each in module.modules()] == flags
    assert [each.name for each in tmp_path.iterdir()] == ["net.onnx"]
    model = onnx.load(file)
    assert [each.name for each in model.graph.output] == ["out"]
    facts = {each.key: each.value for each in model.metadata_props}
    assert json.loads(facts["layers"]) == ["fine", "coarse"]
    assert (facts["descriptor"], facts["channel_order"]) == ("coarse", "BGR")
    assert (facts["output"], facts["output_kind"]) == ("out", "logits")
    opened = compnn.OnnxNetwork(file)
    live = compnn.TorchNetwork(
        module, layers, size=(32, 48), channel_order="BGR", output="out", **scale
    )
    assert opened.layers == live.layers
    assert opened.descriptor == "coarse"
    ours, theirs = (each.read(picture((32, 48)), [*layers], output=True) for each in (live, opened))
    for name in layers:
        np.testing.assert_allclose(ours.tap(name), theirs.tap(name), atol=1e-5)
    np.testing.assert_allclose(ours.output, theirs.output, atol=1e-5)


def test_a_file_takes_other_sizes_where_they_are_free(tmp_path: Path) -> None:
    file = compnn.export(
        Net(), tmp_path / "net.onnx", layers=["deep"], size=(32, 48), free_size=True, range=(0, 1)
    )
    opened = compnn.OnnxNetwork(file)
    live = compnn.TorchNetwork(Net(), ["deep"], range=(0, 1))
    assert opened.input_size is None
    size = (40, 36)
    ours, theirs = (each.read(picture(size), ["deep"]).tap("deep") for each in (live, opened))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_half_precision_is_written_in_single(tmp_path: Path) -> None:
    module = Net().half()
    file = compnn.export(
        module, tmp_path / "net.onnx", layers=["deep"], size=(32, 32), range=(0, 1)
    )
    assert next(module.parameters()).dtype == torch.float16
    opened = compnn.OnnxNetwork(file).read(picture((32, 32)), ["deep"]).tap("deep")
    live = compnn.TorchNetwork(module, ["deep"], size=(32, 32), range=(0, 1))
    np.testing.assert_allclose(
        opened, live.read(picture((32, 32)), ["deep"]).tap("deep"), atol=0.01
    )


def test_a_file_that_is_not_the_module_is_not_written(tmp_path: Path) -> None:
    class Exported(Net):
        def forward(self, image: Any) -> Any:
            exporting = torch.jit.is_tracing() or torch.compiler.is_exporting()
            return super().forward(image * (1.1 if exporting else 1))

    (tmp_path / "net.onnx").write_text("older")
    with pytest.raises(NetworkError, match=r"file of Exported is not that module.* 'deep' differs"):
        compnn.export(
            Exported(), tmp_path / "net.onnx", layers=["deep"], size=(32, 32), range=(0, 1)
        )
    assert [each.read_text() for each in tmp_path.iterdir()] == ["older"]


def test_layers_need_tensors_and_names_of_their_own(tmp_path: Path) -> None:
    options: dict[str, Any] = {"size": (32, 32), "range": (0, 1)}
    with pytest.raises(LayerError, match="'a' and 'b' are one tensor of Net; leave one out"):
        compnn.export(Net(), tmp_path / "x", layers={"a": "deep", "b": "deep.0"}, **options)
    with pytest.raises(LayerError, match=r"'out' .*give it another"):
        compnn.export(Net(), tmp_path / "x", layers={"out": "deep"}, **options)
    with pytest.raises(OutputError, match="cannot be written"):
        compnn.export(Net(), tmp_path / "no" / "x", layers=["deep"], **options)
    assert not list(tmp_path.iterdir())


def test_large_weights_are_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is said of 2 GB is tried on a few bytes.
    monkeypatch.setattr("compnn.network.export._MOST_INLINE", 100)
    net = nn.Sequential(nn.Conv2d(3, 16, 5, 2, 2), nn.Conv2d(16, 4, 3, 1, 1))
    file = compnn.export(net, tmp_path / "net.onnx", layers=["0"], size=(32, 32), range=(0, 1))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["net.onnx", "net.onnx.data"]
    live = compnn.TorchNetwork(net, ["0"], size=(32, 32), range=(0, 1))
    ours, theirs = (
        each.read(picture((32, 32)), ["0"]).tap("0") for each in (live, compnn.OnnxNetwork(file))
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
