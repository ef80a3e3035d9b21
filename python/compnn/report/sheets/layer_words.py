"""How a layer is named in reports."""

from __future__ import annotations

from compnn.network.layer import Layer


def layer_title(layer: Layer) -> str:
    """Return the layer's name for readers: `encoder 3` for `encoder_3`; paths stay as they are."""
    return layer.name if "/" in layer.name else layer.name.replace("_", " ")


def patch_words(layer: Layer) -> str:
    """Return the size of the layer's patches, height first: "8x8 px" with a times sign."""
    height, width = layer.patch
    return f"{height}\N{MULTIPLICATION SIGN}{width} px"
