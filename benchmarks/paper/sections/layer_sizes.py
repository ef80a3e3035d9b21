"""Table 3: the layers, their hyperpatches and patches."""

from __future__ import annotations

from benchmarks.common import shared
from benchmarks.paper.setting import CAMVID, PHOTO_TO_LABELS, Setting
from benchmarks.paper.text import commands, paragraphs, table
from compnn import Layer, OnnxNetwork
from compnn.network.layer import maps_text


def write(setting: Setting) -> str:
    """Pix2Pix, whose two directions have the same layers, and SegNet."""
    parts = []
    for name, subject in (("Pix2Pix", PHOTO_TO_LABELS), ("SegNet-Basic", CAMVID)):
        network = shared() / "models" / subject.network
        parts += [
            f"{name}:",
            commands(f"compnn layers $MODELS/{network.name}"),
            table(
                ("layer", "activation", "looks", "paints", "hyperpatch", "patch"),
                (_row(layer) for layer in OnnxNetwork(network).named_layers()),
            ),
        ]
    return paragraphs(*parts)


def _row(layer: Layer) -> tuple[str, ...]:
    hyperpatch = (*layer.hyperpatch, layer.shape[2])
    return (
        layer.name,
        "x".join(map(str, layer.shape)),
        maps_text(layer.geometry.looks),
        maps_text(layer.geometry.paints),
        "x".join(map(str, hyperpatch)),
        layer.patch_text,
    )
