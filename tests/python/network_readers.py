"""What tests run in other processes, which import it by name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from compnn.network.onnx import OnnxNetwork


def read_output(
    network: OnnxNetwork, image: npt.NDArray[np.uint8]
) -> tuple[OnnxNetwork, npt.NDArray[np.float32]]:
    """The network, and its output for an image."""
    output = network.read(image, [], output=True).output
    assert output is not None
    return network, output
