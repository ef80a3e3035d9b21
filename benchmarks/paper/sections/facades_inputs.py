"""Table 2: input reconstructions of the network that paints photos from label maps."""

from __future__ import annotations

from benchmarks.paper.setting import LABELS_TO_PHOTO, LAST, SEARCH, SEED, TOP_K, Setting
from benchmarks.paper.text import commands, evaluation_table, paragraphs
from compnn import Evaluation
from compnn.studies.evaluation.tables import input_table

OVERLAP_TOP_K = (1, 16)


def evaluation(setting: Setting) -> Evaluation:
    """HyperPatch-Match, composition copy: the main table."""
    return setting.evaluation(LABELS_TO_PHOTO, "copy", layers=[LAST], top_k=TOP_K)


def write(setting: Setting) -> str:
    """Copy and overlap."""
    copied = evaluation(setting)
    overlapping = setting.evaluation(
        LABELS_TO_PHOTO, "overlap", layers=[LAST], top_k=OVERLAP_TOP_K, composition="overlap"
    )
    return paragraphs(
        f"{len(copied.records)} validation images, layer {LAST}, seed {SEED}; the label map that "
        f"the reconstruction shows against the query.",
        commands(LABELS_TO_PHOTO.command("evaluate", f"--layer {LAST} {SEARCH}")),
        evaluation_table(input_table(copied)),
        "Composition overlap:",
        commands(
            LABELS_TO_PHOTO.command(
                "evaluate", f"--layer {LAST} {SEARCH} --compose overlap --top-k 1,16"
            )
        ),
        evaluation_table(input_table(overlapping)),
    )
