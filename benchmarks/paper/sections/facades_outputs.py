"""Table 1: output reconstructions of the network that paints label maps from photos."""

from __future__ import annotations

from benchmarks.paper.setting import LAST, PHOTO_TO_LABELS, SEARCH, SEED, TOP_K, Setting
from benchmarks.paper.text import commands, evaluation_table, paragraphs
from compnn import Evaluation, Exhaustive, HyperPatchMatch
from compnn.studies.evaluation.tables import output_table

OVERLAP_TOP_K = (1, 16)
EXHAUSTIVE_TOP_K = (1, 16)
VOTES = 8
"""Matches of each hyperpatch that vote together."""


def evaluation(setting: Setting) -> Evaluation:
    """HyperPatch-Match, composition copy: the main table."""
    return setting.evaluation(PHOTO_TO_LABELS, "copy", layers=[LAST], top_k=TOP_K)


def overlapping(setting: Setting) -> Evaluation:
    """HyperPatch-Match, composition overlap."""
    return setting.evaluation(
        PHOTO_TO_LABELS, "overlap", layers=[LAST], top_k=OVERLAP_TOP_K, composition="overlap"
    )


def voting(setting: Setting) -> Evaluation:
    """HyperPatch-Match with several matches, composition overlap."""
    return setting.evaluation(
        PHOTO_TO_LABELS,
        "votes",
        HyperPatchMatch(matches=VOTES, seed=SEED),
        layers=[LAST],
        top_k=OVERLAP_TOP_K,
        composition="overlap",
    )


def write(setting: Setting) -> str:
    """Copy, overlap and votes by HyperPatch-Match, and copy by exhaustive search."""
    copied = evaluation(setting)
    exact = setting.evaluation(
        PHOTO_TO_LABELS, "exhaustive", Exhaustive(), layers=[LAST], top_k=EXHAUSTIVE_TOP_K
    )
    return paragraphs(
        f"{len(copied.records)} validation images, layer {LAST}, seed {SEED}.",
        commands(PHOTO_TO_LABELS.command("evaluate", f"--layer {LAST} {SEARCH}")),
        evaluation_table(output_table(copied)),
        "Composition overlap: each hyperpatch pastes its whole window, and pixels vote.",
        commands(
            PHOTO_TO_LABELS.command(
                "evaluate", f"--layer {LAST} {SEARCH} --compose overlap --top-k 1,16"
            )
        ),
        evaluation_table(output_table(overlapping(setting))),
        f"The same with {VOTES} matches of each hyperpatch, which all paste their windows: a vote "
        f"of nearest neighbours where the paper has the single nearest one.",
        commands(
            PHOTO_TO_LABELS.command(
                "evaluate",
                f"--layer {LAST} {SEARCH} --compose overlap --matches {VOTES} --top-k 1,16",
            )
        ),
        evaluation_table(output_table(voting(setting))),
        "Exhaustive search, which is exact:",
        commands(
            PHOTO_TO_LABELS.command("evaluate", f"--layer {LAST} --method exhaustive --top-k 1,16")
        ),
        evaluation_table(output_table(exact)),
    )
