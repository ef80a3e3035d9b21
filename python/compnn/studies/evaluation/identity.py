"""What decides the numbers of an evaluation, as digests, so that it resumes only itself."""

from __future__ import annotations

import zlib
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from compnn.bank.bank import Bank
from compnn.bank.journal import digest_content
from compnn.bank.manifest import scaling_json
from compnn.data.dataset import Dataset, Pair
from compnn.explanation.composition import Composition
from compnn.search.search import Search
from compnn.studies.evaluation.plan import Plan


def digests_of(
    plan: Plan, composition: Composition, search: Search, dataset: Dataset, first: Pair
) -> dict[str, str]:
    """Return a digest of each part, by its name for messages.

    `first` is the first pair of the dataset at the network's size: it stands for the files, so
    that the other half of side-by-side images is noticed without reading them all.
    """
    how = asdict(search)
    del how["num_threads"]  # changes no field
    method = how.pop("method")
    return digest_content(
        {
            "version of compnn": version("compnn"),
            "bank": _bank_json(plan.bank),
            "preprocessing": scaling_json(plan.bank.model.preprocessing),
            "validation pairs": [
                list(dataset.names),
                [zlib.crc32(each.tobytes()) for each in (first.input, first.target)],
            ],
            "training images that may be used": list(plan.allowed),
            "layers": list(plan.layers),
            "top_k": list(plan.top_k),
            "composition": composition,
            "method": method,
            **how,
        }
    )


def _bank_json(bank: Bank) -> dict[str, Any]:
    """The manifest, less what can change while the bank stays the same."""
    document = bank.manifest.to_json()
    for key in ("compnn", "attributes", "skipped"):
        del document[key]
    document["model"] = document["model"]["fingerprint"]
    return document
