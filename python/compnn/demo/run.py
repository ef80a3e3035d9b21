"""The demo: a bank of made-up facades, and what it says about a facade the network never saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from compnn.bank.bank import Bank, build
from compnn.demo.facades import DemoFacades
from compnn.explanation.explainer import Explainer
from compnn.explanation.explanation import Explanation
from compnn.explanation.query import Query
from compnn.files import make_folder
from compnn.network.onnx import OnnxNetwork
from compnn.search.search import Exhaustive

LAYERS = ("encoder_1", "encoder_3", "encoder_5", "decoder_6", "decoder_4", "decoder_2")
"""The layers that the demo explains, from the input to the output."""
DESCRIPTOR = "decoder_7"
MAP_LAYER = "decoder_4"
"""The layer whose correspondence map is shown: its patches are large enough to be seen."""
TOP_K = 16
HELD_OUT = 0
"""The held-out facade that is explained."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo found.

    Attributes
    ----------
    bank
        The bank of training facades.
    query
        The held-out facade, with its true photo.
    explanations
        One for each of `LAYERS`.
    """

    bank: Bank
    query: Query
    explanations: dict[str, Explanation]


def run_demo(
    folder: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> DemoResult:
    """Build the demo's bank as `folder`/demo.bank, replacing an older one, and explain a facade."""
    with resources.as_file(resources.files("compnn.demo") / "unet.onnx") as path:
        network = OnnxNetwork(path, LAYERS, DESCRIPTOR)
    make_folder(folder)
    bank = build(
        folder / "demo.bank",
        network,
        DemoFacades("train"),
        overwrite=True,
        restart=True,
        progress=progress,
    )
    pair = DemoFacades("held-out")[HELD_OUT]
    query = Query(pair.name, pair.input, pair.target)
    (explanations,) = Explainer(bank, network).explain_all(
        [query], LAYERS, Exhaustive(), top_k=TOP_K
    )
    return DemoResult(bank, query, explanations)
