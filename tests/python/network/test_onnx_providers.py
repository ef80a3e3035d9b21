"""Execution providers: those that ONNX Runtime has are used, others are refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from compnn.errors import NetworkError
from compnn.network.onnx import OnnxNetwork
from compnn.network.onnx_sessions import execution_providers
from tiny_networks import tiny_unet


def test_names_are_short_or_full_and_the_cpu_is_last(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, cpu = "CUDAExecutionProvider", "CPUExecutionProvider"
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [cuda, cpu])
    assert execution_providers(["cuda"]) == (cuda, cpu)
    assert execution_providers(["cpu", "CUDA"]) == (cuda, cpu)
    assert execution_providers([cuda, cpu]) == (cuda, cpu)
    assert execution_providers([]) == (cpu,)
    with pytest.raises(NetworkError, match=r"'rocm' is not available .* has cuda, cpu$"):
        execution_providers(["rocm"])


def test_one_that_is_not_there_says_what_to_install(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("ONNX Runtime has CUDA here")
    with pytest.raises(NetworkError, match=r"'cuda' is not .* cpu; .*pip install onnxruntime-gpu"):
        OnnxNetwork(path, providers=["cuda"])


def test_one_that_does_not_start_is_no_silent_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny_unet(tmp_path / "unet.onnx")
    image = np.zeros((32, 32, 3), np.uint8)
    network = OnnxNetwork(path, providers=["cpu"])
    again: OnnxNetwork = pickle.loads(pickle.dumps(network))
    expected = network.read(image, ["encoder_1"]).taps["encoder_1"]
    np.testing.assert_array_equal(again.read(image, ["encoder_1"]).taps["encoder_1"], expected)
    session = onnxruntime.InferenceSession

    def without(*arguments: object, **options: object) -> onnxruntime.InferenceSession:
        return session(*arguments, **{**options, "providers": ["CPUExecutionProvider"]})

    monkeypatch.setattr(
        onnxruntime,
        "get_available_providers",
        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    monkeypatch.setattr(onnxruntime, "InferenceSession", without)
    broken = OnnxNetwork(path, providers=["cuda"])
    with pytest.raises(NetworkError, match="CUDAExecutionProvider: its libraries or its device"):
        broken.read(image, ["encoder_1"])
    with pytest.raises(NetworkError, match="CUDAExecutionProvider: its libraries or its device"):
        pickle.loads(pickle.dumps(broken)).with_threads(1).read(image, ["encoder_1"])
