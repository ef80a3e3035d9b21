"""Training pairs: what a network was shown, and what it should have painted."""

from __future__ import annotations

from compnn.datasets.camvid import CamVid
from compnn.datasets.cityscapes import Cityscapes
from compnn.datasets.dataset import Dataset, Pair
from compnn.datasets.paired_folders import PairedFolders
from compnn.datasets.side_by_side import SideBySide

__all__ = ["CamVid", "Cityscapes", "Dataset", "Pair", "PairedFolders", "SideBySide"]
