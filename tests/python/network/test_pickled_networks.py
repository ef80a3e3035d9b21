"""A network goes to another process, and is there the same or none."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from compnn.errors import NetworkError
from compnn.network.network import Identity, Network
from compnn.network.onnx import OnnxNetwork
from compnn.network.preprocessing import Preprocessing
from compnn.network.reading import Reading
from network_readers import read_output
from tiny_networks import nan_network, tiny_unet

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def output_of(network: OnnxNetwork) -> np.ndarray:
    return read_output(network, IMAGE)[1]


def test_a_network_works_in_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened by a relative path, and pickled from another folder than it was opened from."""
    monkeypatch.chdir(tmp_path)
    network = OnnxNetwork(
        tiny_unet(Path("unet.onnx")),
        ["encoder_2", "decoder_3"],
        "encoder_3",
        preprocessing=Preprocessing(channel_order="BGR", resize=True),
        hyperpatch=(3, 1),
        num_threads=2,
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        there, output = pool.submit(read_output, network, IMAGE).result()
    np.testing.assert_array_equal(output, output_of(network))
    for name in ("layers", "descriptor", "preprocessing", "num_threads", "fingerprint", "name"):
        assert getattr(there, name) == getattr(network, name), name
    assert there.identity() == network.identity()
    assert there.identity().path == str(tmp_path / "unet.onnx")


def test_a_file_that_changed_is_refused(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    pickled = pickle.dumps(OnnxNetwork(path, ["encoder_2"]))
    np.testing.assert_array_equal(output_of(pickle.loads(pickled)), output_of(OnnxNetwork(path)))
    tiny_unet(path, seed=1)
    with pytest.raises(NetworkError, match=r"unet\.onnx is no longer the network that was pickled"):
        pickle.loads(pickled)
    path.write_bytes(b"")
    with pytest.raises(NetworkError, match=r"unet\.onnx is not an ONNX file"):
        pickle.loads(pickled)
    path.unlink()
    with pytest.raises(NetworkError, match=r"no such network: .*unet\.onnx"):
        pickle.loads(pickled)


def test_a_file_that_has_lost_a_layer_is_refused(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    pickled = pickle.dumps(OnnxNetwork(path, ["encoder_2"]))
    nan_network(path)
    with pytest.raises(NetworkError, match=r"unet\.onnx is no longer the network that was pickled"):
        pickle.loads(pickled)


def test_a_network_is_what_the_protocol_says(tmp_path: Path) -> None:
    network: Network = OnnxNetwork(tiny_unet(tmp_path / "unet.onnx"), descriptor="encoder_3")
    members = [name for name in vars(Network) if not name.startswith("_")]
    assert {"name", "layers", "layer", "taps", "read", "identity"} <= set(members)
    for name in members:
        assert hasattr(network, name), name


def test_an_identity_goes_through_json(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    network = OnnxNetwork(path)
    identity = network.identity()
    assert identity == Identity(
        "onnx", network.fingerprint, str(path), f"ONNX Runtime {onnxruntime.__version__}"
    )
    assert network.fingerprint.startswith(f"sha256:{identity.short}")
    assert len(identity.short) == 12
    for each in (identity, Identity("module", "sha256:00")):
        document = json.loads(json.dumps(each.to_json()))
        assert Identity.from_json(document | {"of_a_later_version": 1}) == each


@pytest.mark.parametrize(
    "change", [{"kind": 1}, {"fingerprint": None}, {"path": ["a"]}, {"path": 0}, {"runtime": 1}]
)
def test_fields_that_are_no_identity_are_refused(change: dict[str, object]) -> None:
    document = Identity("onnx", "sha256:00", "/a.onnx").to_json()
    with pytest.raises(NetworkError, match="identity has other fields"):
        Identity.from_json(document | change)
    (key,) = change
    with pytest.raises(NetworkError, match="identity has other fields"):
        Identity.from_json({each: part for each, part in document.items() if each != key})


def test_a_reading_goes_through_pickle(tmp_path: Path) -> None:
    network = OnnxNetwork(tiny_unet(tmp_path / "unet.onnx"))
    reading = network.read(IMAGE, ["encoder_1", "encoder_2"], output=True, name="a.png")
    again: Reading = pickle.loads(pickle.dumps(reading))
    assert again.name == "a.png"
    assert list(again.taps) == ["encoder_1", "encoder_2"]
    np.testing.assert_array_equal(again.tap("encoder_2"), reading.tap("encoder_2"))
    np.testing.assert_array_equal(again.image, IMAGE)
