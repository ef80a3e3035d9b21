"""Table 1: output reconstructions of SegNet."""

from __future__ import annotations

from dataclasses import replace

from compnn.evaluation.tables import output_table
from sections.setting import CAMVID, SEED, Setting, spread
from sections.text import commands, evaluation_table, paragraphs

LAYER = "decoder_4"
TOP_K = (1, 16)


def write(setting: Setting) -> str:
    """HyperPatch-Match over all images, and the paper's exhaustive top 1."""
    found = setting.evaluation(CAMVID, "copy", layers=[LAYER], top_k=TOP_K)
    # Exhaustive search at the full resolution takes some 20 s an image.
    names = spread([record.image for record in found.records], setting.exhaustive_images)
    exact = setting.evaluation(
        CAMVID,
        f"exhaustive-{len(names)}",
        layers=[LAYER],
        top_k=(1,),
        method="exhaustive",
        images=names,
    )
    same = tuple(record for record in found.records if record.image in names)
    searches = {"Exhaustive": exact, "HyperPatch-Match": replace(found, records=same)}
    layer = setting.bank(CAMVID).layers[LAYER]
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
        commands(CAMVID.command("evaluate", f"--layer {LAYER} --seed {SEED} --top-k 1,16")),
        evaluation_table(output_table(found)),
        overlap,
        f"Exhaustive search of the nearest image, as in the paper, for {len(names)} of these "
        f"images evenly spread (the script's `--exhaustive-images`; the command takes all), and "
        f"HyperPatch-Match for the same images:",
        commands(CAMVID.command("evaluate", f"--layer {LAYER} --method exhaustive --top-k 1")),
        *(
            paragraphs(f"{method}:", evaluation_table(output_table(each)))
            for method, each in searches.items()
        ),
    )
