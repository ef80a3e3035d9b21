"""The sections of docs/results.md, in their order: title, and what writes the text."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.paper.sections import (
    acceptance,
    camvid,
    correspondences,
    facades_inputs,
    facades_outputs,
    figures,
    layer_curve,
    layer_sizes,
    property_control,
    provenance,
)
from benchmarks.paper.setting import Setting

Writer = Callable[[Setting], str]

SECTIONS: tuple[tuple[str, Writer], ...] = (
    ("Table 1: output reconstructions, Facades photo to labels", facades_outputs.write),
    ("Table 1: output reconstructions, CamVid", camvid.write),
    ("Table 2: input reconstructions, Facades labels to photo", facades_inputs.write),
    ("Table 3: layers", layer_sizes.write),
    ("Layer by layer", layer_curve.write),
    ("Semantic correspondences (Figure 8a)", correspondences.write),
    ("Property control (Figure 8b)", property_control.write),
    ("Bias and provenance", provenance.write),
    ("Figures", figures.write),
    ("Acceptance", acceptance.write),
)
