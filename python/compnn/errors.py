"""The exceptions compnn raises for bad input: messages name the file, the value and the fix."""

from __future__ import annotations


class CompnnError(Exception):
    """Base of every error that compnn raises on purpose; exit code 2 on the command line."""


class NetworkError(CompnnError):
    """The network's file is missing, is not ONNX, or has no image input."""


class LayerError(CompnnError):
    """A layer (tap) does not exist, or cannot take the hyperpatch that was asked for."""


class ImageError(CompnnError):
    """An image is missing, unreadable, or of the wrong size or channels."""


class DatasetError(CompnnError):
    """A folder of training pairs is missing, empty, or its parts do not match."""


class PaletteError(CompnnError):
    """A palette is unknown or its file cannot be read."""


class ActivationError(CompnnError):
    """A network produced NaN or infinite activations, or some too large for the bank's dtype."""


class BankError(CompnnError):
    """A bank is missing, incomplete, damaged, of a newer format, or of another network."""


class SearchError(CompnnError):
    """A search was asked for with arguments that no bank can answer."""


class OutputError(CompnnError):
    """A result cannot be written where it was asked for."""


class EvaluationError(CompnnError):
    """An evaluation cannot go on in its folder, or has nothing to compare."""
