"""Evaluating reconstructions over a validation set (paper, section 4 and Table 1)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

from compnn.data.dataset import Dataset
from compnn.errors import EvaluationError
from compnn.explanation.composition import Composition, check_composition
from compnn.explanation.explainer import Among, Explainer
from compnn.files import make_folder
from compnn.search.search import Auto, Search
from compnn.studies.evaluation import output
from compnn.studies.evaluation.identity import digests_of
from compnn.studies.evaluation.journal import EvaluationJournal
from compnn.studies.evaluation.measuring import Measuring
from compnn.studies.evaluation.plan import Plan
from compnn.studies.evaluation.result import Evaluation, selection_words
from compnn.studies.validation import check_kinds

TOP_K: tuple[int | None, ...] = (1, 16, 32, 64, None)
"""The numbers of nearest images that the paper's Table 1 searches; None for all."""


def evaluate(
    explainer: Explainer,
    dataset: Dataset,
    folder: str | Path,
    search: Search | None = None,
    *,
    layers: Sequence[str] | None = None,
    top_k: Sequence[int | None] = TOP_K,
    among: Among = None,
    composition: Composition = "copy",
    limit: int | None = None,
    restart: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Measure reconstructions of the pairs of a validation set, and write the tables.

    Rows are the network itself (the baseline; not where it has no output), global reconstructions
    (by the descriptor, and by the whole activation of the bank's layer nearest to the network's
    output), and for each layer and k the output and the input reconstruction. Pictures are compared
    at the network's size.

    The folder gets results.md, results.csv, results.json, images.csv (every image alone) and
    usage/<layer>-<k>/ (see `compnn.studies.usage.Usage`). Finished images are kept in
    journal.jsonl, from which the same call goes on after an interruption.

    Parameters
    ----------
    explainer
        The bank that is searched, and its network.
    dataset
        The validation pairs, of the bank's kinds of pictures.
    folder
        Where results are written.
    search
        How to search, alike for the whole table. Default: what `Auto()` chooses for its largest
        search.
    layers
        Layers of the bank. Default: all.
    top_k
        Numbers of nearest images to search, None for all. One that the bank cannot answer is left
        out, which a note says.
    among
        Which training images may be used, as in `Explainer.explain`. Default: all.
    composition
        As in `Explainer.explain`.
    limit
        Take only the first pairs, this many.
    restart
        Discard what the folder holds of an evaluation instead of resuming it.
    progress
        Called as `progress(done, total)`, counting images.

    Raises
    ------
    EvaluationError
        If there are no pairs, nothing can be searched, or the folder holds another evaluation or
        one that is running.
    DatasetError
        If the pairs are of other kinds than the bank's.
    CompnnError
        What `Explainer.explain` and `Dataset` raise; what has been measured before is kept.

    Examples
    --------
    >>> val = SideBySide("facades/val", "left", target_kind=Labels("facades"))
    >>> found = evaluate(explainer, val, "out")
    >>> found.lines[0].values["pixel_accuracy"]  # of the network itself
    """
    check_composition(composition)
    # Whatever is put into the bank or dropped meanwhile, indices stay those of the same images.
    bank = copy.copy(explainer.bank)
    explainer = Explainer(bank, explainer.network, num_threads=explainer.num_threads)
    check_kinds(bank, dataset)
    if limit is not None and limit < 1:
        raise EvaluationError(f"limit must be at least 1 image, not {limit}")
    names = dataset.names[:limit]
    if not names:
        raise EvaluationError("there are no validation pairs; give a dataset with some")
    dataset = dataset.subset(names)
    plan = Plan.of(explainer, layers, top_k, explainer.indices(among))
    how = explainer.resolved(search or Auto(), plan.layers, plan.allowed, plan.most_images)
    measuring = Measuring(explainer, plan, how, composition)
    first = measuring.fit(dataset[0])
    digests = digests_of(explainer, plan, how, composition, dataset, first)
    folder = make_folder(folder)
    journal = EvaluationJournal(folder, digests, restart=restart)
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
        measured = tuple(journal.records[name] for name in names)
        found = Evaluation(plan, measured, selection_words(among), composition, how)
        output.save(found, folder)
    finally:
        journal.close()
    return found
