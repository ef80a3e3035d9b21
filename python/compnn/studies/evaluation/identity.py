"""What decides the numbers of an evaluation, as digests, so that it resumes only itself."""

from __future__ import annotations

import zlib
from importlib.metadata import version

from compnn.bank.manifest import scaling_json
from compnn.data.dataset import Dataset, Pair
from compnn.explanation.composition import Composition
from compnn.explanation.explainer import Explainer
from compnn.journal import digest_content
from compnn.search.search import Search, search_json
from compnn.studies.evaluation.plan import Plan


def digests_of(
    explainer: Explainer,
    plan: Plan,
    search: Search,
    composition: Composition,
    dataset: Dataset,
    first: Pair,
) -> dict[str, str]:
    """Return a digest of each part, by its name for messages.

    `first` is the first pair of the dataset at the network's size: it stands for the files, so
    that the other half of side-by-side images is noticed without reading them all.
    """
    return digest_content(
        {
            "version of compnn": version("compnn"),
            "bank": explainer.bank.fingerprint,
            "preprocessing": scaling_json(explainer.network.preprocessing),
            "validation pairs": [
                list(dataset.names),
                [zlib.crc32(each.tobytes()) for each in (first.input, first.target)],
            ],
            "training images that may be used": list(plan.allowed),
            "layers": list(plan.layers),
            "top_k": list(plan.top_k),
            "composition": composition,
            **search_json(search),
        }
    )
