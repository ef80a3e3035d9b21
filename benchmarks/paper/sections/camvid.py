"""Table 1: output reconstructions of SegNet."""

from __future__ import annotations

from benchmarks.paper.setting import CAMVID, SEARCH, SEED, Setting
from benchmarks.paper.text import commands, evaluation_table, paragraphs
from compnn import Exhaustive
from compnn.studies.evaluation.tables import output_table

LAYER = "decoder_4"
TOP_K = (1, 16)


def write(setting: Setting) -> str:
    """HyperPatch-Match over all images, and the paper's exhaustive top 1."""
    found = setting.evaluation(CAMVID, "copy", layers=[LAYER], top_k=TOP_K)
    exact = setting.evaluation(CAMVID, "exhaustive", Exhaustive(), layers=[LAYER], top_k=(1,))
    layer = setting.explainer(CAMVID).bank.layers[LAYER]
    if layer.hyperpatch == (1, 1):
        overlap = (
            f"At {LAYER} a hyperpatch is one cell, so that no two windows overlap: composition "
            f"overlap gives the same pictures, and is not measured."
        )
    else:
        merged = setting.evaluation(
            CAMVID, "overlap", layers=[LAYER], top_k=TOP_K, composition="overlap"
        )
        overlap = paragraphs("Composition overlap:", evaluation_table(output_table(merged)))
    return paragraphs(
        f"{len(found.records)} validation images, layer {LAYER}, seed {SEED}.",
        commands(CAMVID.command("evaluate", f"--layer {LAYER} {SEARCH} --top-k 1,16")),
        evaluation_table(output_table(found)),
        overlap,
        "Exhaustive search of the nearest image, as in the paper:",
        commands(CAMVID.command("evaluate", f"--layer {LAYER} --method exhaustive --top-k 1")),
        evaluation_table(output_table(exact)),
    )
