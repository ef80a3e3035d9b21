"""Evaluating reconstructions over a validation set (paper, section 4 and Table 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from compnn.bank.bank import Bank
from compnn.bank.selection import Selection
from compnn.data.dataset import Dataset
from compnn.errors import EvaluationError
from compnn.explanation.composition import Composition, check_composition
from compnn.files import make_folder
from compnn.search.search import Search
from compnn.studies.evaluation import output
from compnn.studies.evaluation.identity import digests_of
from compnn.studies.evaluation.journal import Journal
from compnn.studies.evaluation.measuring import Measuring
from compnn.studies.evaluation.plan import Plan
from compnn.studies.evaluation.result import Evaluation
from compnn.studies.validation import check_palettes

TOP_K: tuple[int | None, ...] = (1, 16, 32, 64, None)
"""The numbers of nearest images that the paper's Table 1 searches; None for all."""


def evaluate(
    bank: Bank,
    dataset: Dataset,
    folder: str | Path,
    *,
    layers: Sequence[str] | None = None,
    top_k: Sequence[int | None] = TOP_K,
    selection: Selection | None = None,
    composition: Composition = "copy",
    limit: int | None = None,
    restart: bool = False,
    progress: Callable[[int, int], None] | None = None,
    **search: Any,
) -> Evaluation:
    """Measure reconstructions of the pairs of a validation set, and write the tables.

    Rows are the network itself (the baseline), global reconstructions (by the descriptor, and by
    the whole activation of the bank's layer nearest to the network's output), and for each layer
    and k the output and the input reconstruction. Pictures are compared at the network's size.

    The folder gets results.md, results.csv, results.json, images.csv (every image alone) and
    usage/<layer>-<k>/ (see `compnn.studies.usage.Usage`). Finished images are kept in journal.jsonl, from
    which the same call goes on after an interruption.

    Parameters
    ----------
    bank
        The bank that is searched.
    dataset
        The validation pairs, with the bank's palettes.
    folder
        Where results are written.
    layers
        Layers of the bank. Default: all.
    top_k
        Numbers of nearest images to search, None for all. One that the bank cannot answer is left
        out, which a note says.
    selection
        Which training images may be used. Default: all.
    composition
        As in `Bank.explain`.
    limit
        Take only the first pairs, this many.
    restart
        Discard what the folder holds of an evaluation instead of resuming it.
    progress
        Called as `progress(done, total)`, counting images.
    **search
        As in `Bank.explain`.

    Raises
    ------
    EvaluationError
        If there are no pairs, nothing can be searched, or the folder holds another evaluation or
        one that is running.
    DatasetError
        If the palettes of the pairs are not the bank's.
    CompnnError
        What `Bank.explain` and `Dataset` raise; what has been measured before is kept.

    Examples
    --------
    >>> found = evaluate(bank, SideBySide("facades/val", "left", target_palette="facades"), "out")
    >>> found.lines[0].values["pixel_accuracy"]  # of the network itself
    """
    how = Search(**search)
    check_composition(composition)
    check_palettes(bank, dataset)
    if limit is not None and limit < 1:
        raise EvaluationError(f"limit must be at least 1 image, not {limit}")
    names = dataset.names[:limit]
    if not names:
        raise EvaluationError("there are no validation pairs; give a dataset with some")
    dataset = dataset.subset(names)
    chosen = selection or Selection()
    plan = Plan.of(bank, layers, top_k, chosen.select(bank))
    measuring = Measuring(plan, composition, search)
    digests = digests_of(plan, composition, how, dataset, measuring.fit(dataset[0]))
    folder = make_folder(folder)
    journal = Journal(folder, digests, restart=restart)
    try:
        if restart:
            output.remove(folder)
        for done, name in enumerate(names):
            if progress is not None:
                progress(done, len(names))
            if name not in journal.records:
                journal.append(measuring.measure(measuring.fit(dataset[done])))
        if progress is not None:
            progress(len(names), len(names))
        records = [journal.records[name] for name in names]
        found = Evaluation(plan, tuple(records), chosen, composition, how)
        output.save(found, folder)
    finally:
        journal.close()
    return found
