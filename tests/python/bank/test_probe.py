"""Other forms of a bank's network: known by what they make of one image."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from compnn.bank.bank import Bank, build, merge
from compnn.bank.probe import disagreement, probe
from compnn.errors import BankError
from compnn.explanation.explainer import Explainer
from compnn.network.geometry import AxisMap, Size
from compnn.network.layer import Layer
from compnn.network.onnx import OnnxNetwork
from memory_dataset import MemoryDataset
from numpy_network import NumpyNetwork
from tiny_networks import tiny_unet

LAYERS = ["encoder_2", "decoder_3"]
DATASET = MemoryDataset(3)


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    network = OnnxNetwork(tiny_unet(tmp_path / "unet.onnx"), LAYERS, "encoder_3")
    return build(tmp_path / "unet.bank", network, DATASET)


def changed(path: Path, change: Callable[[onnx.ModelProto], object]) -> OnnxNetwork:
    """The network of the bank, in another file that `change` has changed."""
    model = onnx.load(tiny_unet(path))
    change(model)
    onnx.save(model, path)
    return OnnxNetwork(path, LAYERS, "encoder_3")


def scaled(factor: float) -> Callable[[onnx.ModelProto], object]:
    """The weights of encoder_3, all by the same factor."""

    def change(model: onnx.ModelProto) -> None:
        node = next(each for each in model.graph.node if each.output[0] == "encoder_3")
        tensor = next(each for each in model.graph.initializer if each.name == node.input[1])
        array = numpy_helper.to_array(tensor) * np.float32(factor)
        tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float32), tensor.name))

    return change


def test_another_file_of_the_same_network_is_taken_with_a_word(bank: Bank, tmp_path: Path) -> None:
    other = changed(tmp_path / "again.onnx", lambda model: setattr(model, "doc_string", "again"))
    assert other.fingerprint != bank.network.fingerprint
    with pytest.warns(UserWarning, match=r"again\.onnx is another form .* to the last bit"):
        explainer = Explainer(bank, other)
    result = explainer.explain(DATASET[1].input, "decoder_3")
    assert result.field.matched.all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once
        bank.check_network(other)
    with pytest.warns(UserWarning, match="another form"):
        assert Bank(bank.path).open_network(other.path).path == other.path
    with pytest.warns(UserWarning, match="another form"):
        Bank(bank.path).append(other, MemoryDataset(1, prefix="more_"))


def test_numbers_may_differ_a_little(bank: Bank, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"within [1-5]e-04 of the largest"):
        bank.check_network(changed(tmp_path / "near.onnx", scaled(1.0003)))
    with pytest.raises(BankError, match=r"near\.onnx .*: tap .* differs by 1\.0% of its largest"):
        bank.check_network(changed(tmp_path / "near.onnx", scaled(1.01)))
    with pytest.raises(BankError, match=r"differs by (nan|inf)%"):
        bank.check_network(changed(tmp_path / "near.onnx", scaled(np.nan)))


def test_another_runtime_is_taken_where_it_agrees(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "__version__", "9.9.9")
    with pytest.warns(UserWarning, match=r"ONNX Runtime 9\.9\.9, gives its activations"):
        network = bank.open_network()
    read = network.read

    def other(*arguments, **options):  # type: ignore[no-untyped-def]
        found = read(*arguments, **options)
        return replace(found, taps={tap: 1.1 * each for tap, each in found.taps.items()})

    monkeypatch.setattr(network, "read", other)
    with pytest.raises(BankError, match=r"not with ONNX Runtime 9\.9\.9 in .*unet\.onnx: tap "):
        Bank(bank.path).check_network(network)


def test_one_that_cannot_be_run_is_another(bank: Bank, tmp_path: Path) -> None:
    small = OnnxNetwork(tiny_unet(tmp_path / "small.onnx", size=(16, 16)), LAYERS, "encoder_3")
    with pytest.raises(BankError, match=r"not with .*small\.onnx .*16x16"):
        bank.check_network(small)

    def cut(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            for names in (node.input, node.output):
                names[:] = ["other" if name == "decoder_3" else name for name in names]

    path = tmp_path / "renamed.onnx"
    model = onnx.load(tiny_unet(path))
    cut(model)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {"input_range": "[-1, 1]"})
    onnx.save(model, path)
    with pytest.raises(BankError, match=r"renamed\.onnx .*unknown layer 'decoder_3'"):
        bank.check_network(OnnxNetwork(path, ["encoder_2"], "encoder_3"))


class Moved(NumpyNetwork):
    """Gives what `NumpyNetwork` gives; its cells are said to lie a pixel further."""

    def layer(self, name: str, size: Size | None = None) -> Layer:
        layer = super().layer(name, size)
        rows, cols = layer.geometry.looks
        moved = AxisMap(rows.scale, rows.offset + Fraction(1))
        return replace(layer, geometry=replace(layer.geometry, looks=(moved, cols)))

    def identity(self):  # type: ignore[no-untyped-def]
        return replace(super().identity(), fingerprint="sha256:" + "2" * 64)


def test_cells_that_lie_elsewhere_are_another_network(tmp_path: Path) -> None:
    bank = build(tmp_path / "bank", NumpyNetwork(), MemoryDataset(2, (16, 16)))
    with pytest.raises(BankError, match="wide lies elsewhere over the image"):
        bank.check_network(Moved())


def test_it_stays_while_the_bank_changes(bank: Bank, tmp_path: Path) -> None:
    other = changed(tmp_path / "again.onnx", lambda model: setattr(model, "doc_string", "again"))
    bank.drop(["img_0"])
    bank.compact()
    bank.set_attributes({"img_1": {"wall": "red"}})
    for each in (bank, merge([bank.path], tmp_path / "merged.bank")):
        each.verify()
        with pytest.warns(UserWarning, match="another form"):
            each.check_network(other)


def test_damage_is_found(bank: Bank, tmp_path: Path) -> None:
    (file,) = bank.path.glob("probes/*/input.npy")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(BankError, match=r"input\.npy is damaged"):
        bank.verify()
    other = changed(tmp_path / "again.onnx", lambda model: setattr(model, "doc_string", "again"))
    with pytest.raises(BankError, match=r"input\.npy is damaged"):
        bank.check_network(other)


def test_of_a_large_tap_some_cells_are_kept() -> None:
    network, image = NumpyNetwork((40, 64)), MemoryDataset(1, (40, 64))[0].input
    kept = probe(network, image, ["wide", "half"])
    assert kept["tap wide"].shape == (256, 48)
    assert kept["tap half"].shape == (256, 3)
    wide = network.read(image, ["wide"]).taps["wide"].reshape(48, -1)
    np.testing.assert_array_equal(kept["tap wide"][[0, -1]], wide[:, [0, -1]].T)
    assert disagreement(kept, network, ["wide", "half"]) == (0, "tap wide")
    assert disagreement(kept, network, ["wide"]) == (np.inf, "tap half")
