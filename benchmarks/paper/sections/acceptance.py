"""Whether the reproduction behaves as the paper says, from the tables' numbers."""

from __future__ import annotations

import itertools

from benchmarks.paper.sections import facades_inputs, facades_outputs
from benchmarks.paper.setting import LAST, Setting
from benchmarks.paper.text import paragraphs, verdict
from compnn import Evaluation
from compnn.studies.evaluation import Row

SLACK = 0.005
NEAR = 0.03
GOOD = 0.80


def write(setting: Setting) -> str:
    """Order and closeness of the output reconstructions, growth of the input reconstructions."""
    outputs, inputs = facades_outputs.evaluation(setting), facades_inputs.evaluation(setting)
    network = _accuracy(outputs, Row("network"))
    best_global, nearest = max(
        (_accuracy(outputs, outputs.plan.global_row(layer)), str(outputs.plan.global_row(layer)))
        for layer in outputs.plan.nearest_by
    )
    one, sixteen, many = (_accuracy(outputs, Row("OR", LAST, k)) for k in (1, 16, 64))
    better = {
        how: _accuracy(found, Row("OR", LAST, 16))
        for how, found in (
            ("composition overlap", facades_outputs.overlapping(setting)),
            (f"overlap of {facades_outputs.VOTES} matches", facades_outputs.voting(setting)),
        )
    }
    growth = [_accuracy(inputs, Row("IR", LAST, k)) for k in inputs.plan.top_k]
    at_sixteen = _accuracy(inputs, Row("IR", LAST, 16))
    return paragraphs(
        "Of sections 1 and 3, HyperPatch-Match, composition copy, MPA:",
        "\n".join(
            (
                verdict(
                    f"GR < OR(1) < OR(16) <= OR(64) + {SLACK}",
                    best_global < one < sixteen <= many + SLACK,
                    f"{best_global:.4f} ({nearest}, the better GR), {one:.4f}, {sixteen:.4f}, "
                    f"{many:.4f}",
                ),
                verdict(
                    f"OR(16) is within {NEAR} of the network",
                    abs(sixteen - network) <= NEAR,
                    f"{sixteen:.4f} and {network:.4f}, difference {sixteen - network:+.4f}",
                ),
                *(
                    verdict(
                        f"OR(16) is within {NEAR} of the network, {how}",
                        value >= network - NEAR,
                        f"{value:.4f} and {network:.4f}, difference {value - network:+.4f}",
                    )
                    for how, value in better.items()
                ),
                verdict(
                    "IR rises with k",
                    all(a < b for a, b in itertools.pairwise(growth)),
                    ", ".join(f"{value:.4f}" for value in growth),
                ),
                verdict(
                    f"IR at top 16 is above {GOOD:.2f}", at_sixteen > GOOD, f"{at_sixteen:.4f}"
                ),
            )
        ),
    )


def _accuracy(found: Evaluation, row: Row) -> float:
    return found.line(row).values["pixel_accuracy"]
