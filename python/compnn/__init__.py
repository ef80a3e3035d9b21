"""compnn: why did this pixel-level network paint that?

It answers with the pieces of the training set that the network's answer is made of, after Fragoso,
Liu, Bansal, Ramanan, "Patch Correspondences for Interpreting Pixel-level CNNs".
"""

from __future__ import annotations

from importlib.metadata import version

from compnn.data.camvid import CamVid
from compnn.data.cityscapes import Cityscapes
from compnn.data.dataset import Dataset, Pair
from compnn.data.folders import PairedFolders, SideBySide
from compnn.errors import CompnnError
from compnn.images.kinds import Kind, Labels, Photo, Values
from compnn.images.palette import Palette
from compnn.network.layer import Layer
from compnn.network.network import Network
from compnn.network.onnx import OnnxNetwork
from compnn.network.preprocessing import Preprocessing
from compnn.network.reading import Reading

__version__ = version("compnn")

__all__ = [
    "CamVid",
    "Cityscapes",
    "CompnnError",
    "Dataset",
    "Kind",
    "Labels",
    "Layer",
    "Network",
    "OnnxNetwork",
    "Pair",
    "PairedFolders",
    "Palette",
    "Photo",
    "Preprocessing",
    "Reading",
    "SideBySide",
    "Values",
    "__version__",
]
