"""Bias and provenance: what training images gave to the reconstructions of Table 1."""

from __future__ import annotations

from benchmarks.paper.sections import facades_outputs
from benchmarks.paper.setting import LAST, SEED, Setting
from benchmarks.paper.text import paragraphs, table
from compnn import Usage
from compnn.studies.evaluation import Row

TOP_K = (16, None)
HUBS = 10


def write(setting: Setting) -> str:
    """Hubs, images that were never used, and attributes against the bank's."""
    found = facades_outputs.evaluation(setting)
    parts = [
        f"What training images gave to the output reconstructions of the first table above "
        f"({len(found.records)} validation images, {LAST}, composition copy, seed {SEED}; the same "
        f"command). Ratio: share of the pixels against the share that the image, or the images "
        f"with the attribute, have of the bank."
    ]
    for top_k in TOP_K:
        row = Row("OR", LAST, top_k)
        parts += _parts(f"{'All images' if top_k is None else f'Top {top_k}'}", found.usage[row])
    return paragraphs(*parts)


def _parts(title: str, usage: Usage) -> list[str]:
    hubs = usage.hubs(HUBS)
    attributes = (
        (f"{each.key}={each.value}", *_shares(each.share, each.bank_share, each.ratio))
        for each in usage.attributes
    )
    images = (
        (hub.name, str(hub.queries), *_shares(hub.share, hub.bank_share, hub.ratio)) for hub in hubs
    )
    return [
        f"**{title}.** {len(usage.never_used)} of {len(usage.images)} training images were never "
        f"used. The {len(hubs)} most used ones gave {sum(hub.share for hub in hubs):.1%} of the "
        f"pixels:",
        table(("image", "queries", "share", "bank", "ratio"), images),
        "By attribute:",
        table(("attribute", "share", "bank", "ratio"), attributes),
    ]


def _shares(share: float, bank_share: float, ratio: float) -> tuple[str, str, str]:
    return f"{share:.2%}", f"{bank_share:.2%}", f"{ratio:.2f}"
