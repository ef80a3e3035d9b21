"""What `Auto` chooses beside what is quicker, for the layers of Pix2Pix, few and many images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.speed.markdown import seconds, table
from benchmarks.speed.ours import BankSearch
from benchmarks.speed.verdict import Verdict
from benchmarks.speed.worker import Job, Worker, best_of
from compnn import Auto, Exhaustive, Explainer, HyperPatchMatch

_IMAGES, _MATCHES = (16, 400), (1, 8)
# Seconds after which a search is not repeated.
_PATIENCE = 10.0
# Of the time that the quicker ones take in all.
_MOST_RATIO = 1.25


@dataclass(frozen=True)
class Choice:
    """A search of a layer, exhaustive and by HyperPatch-Match.

    Attributes
    ----------
    images, matches
        Number of training images, and of matches of each hyperpatch.
    products
        Products of numbers of all pairs of hyperpatches: query x candidates x stored channels.
    exact_seconds, match_seconds
        Of both.
    exact, match
        Mean similarity of their best matches.
    chosen
        The method that `Auto` takes.
    """

    layer: str
    images: int
    matches: int
    products: int
    exact_seconds: float
    match_seconds: float
    exact: float
    match: float
    chosen: str

    @property
    def seconds(self) -> float:
        """Of the method that `Auto` takes."""
        exactly = self.chosen == Exhaustive.method
        return self.exact_seconds if exactly else self.match_seconds

    @property
    def quicker(self) -> float:
        """Of the quicker method."""
        return min(self.exact_seconds, self.match_seconds)


def measure(explainer: Explainer, threads: int, repeat: int, quick: bool) -> list[Choice]:
    """Both methods at all layers of a bank."""
    bank = explainer.bank
    layers = list(bank.layers)[:2] if quick else list(bank.layers)
    counts = [k for k in ((1, 2) if quick else _IMAGES) if k <= len(bank)]
    cases = [(name, k, matches) for name in layers for k in counts for matches in _MATCHES]
    with Worker(BankSearch, bank.path, threads, threads=threads) as worker:
        worker.call("build", layers)
        jobs = [
            Job(worker, "search", (name, search, k), _PATIENCE)
            for name, k, matches in cases
            for search in (Exhaustive(matches), HyperPatchMatch(matches))
        ]
        answers = best_of(jobs, repeat)
    choices = []
    for number, (name, k, matches) in enumerate(cases):
        exact, match = answers[2 * number : 2 * number + 2]
        tap, cells = bank.layer(name), bank.cells(name, [])
        pairs = math.prod(tap.grid) * cells.places(range(k), tap.hyperpatch)
        chosen = Auto(matches).resolved(pairs, cells.channels).method
        times = exact.seconds, match.seconds
        products = pairs * cells.channels
        choices.append(Choice(name, k, matches, products, *times, exact.value, match.value, chosen))
    return choices


def verdicts(choices: Sequence[Choice]) -> list[Verdict]:
    """What the choices cost in all."""
    if not choices:
        return []

    def total(time: Callable[[Choice], float]) -> float:
        return sum(map(time, choices))

    chosen, quicker = total(lambda one: one.seconds), total(lambda one: one.quicker)
    exact, match = total(lambda one: one.exact_seconds), total(lambda one: one.match_seconds)
    return [
        Verdict(
            f"what `Auto` takes is in all at most {_MOST_RATIO} times as slow as the quicker",
            f"{chosen / quicker:.2f} times ({chosen:.1f} s, {quicker:.1f} s; always exhaustive "
            f"{exact:.1f} s, always HyperPatch-Match {match:.1f} s)",
            chosen <= _MOST_RATIO * quicker,
        )
    ]


def section(choices: Sequence[Choice]) -> str:
    """The section of the document."""
    rows = [
        (
            each.layer,
            str(each.images),
            str(each.matches),
            f"{each.products:.1e}",
            seconds(each.exact_seconds),
            seconds(each.match_seconds),
            f"{each.exact_seconds / each.match_seconds:.2f}",
            f"{each.match / each.exact:.4f}",
            each.chosen,
        )
        for each in sorted(choices, key=lambda one: (one.matches, one.products))
    ]
    head = (
        "layer",
        "images",
        "matches",
        "products",
        "exhaustive, s",
        "HyperPatch-Match, s",
        "ratio",
        "similarity, HyperPatch-Match of exhaustive",
        "Auto",
    )
    return f"""## What Auto chooses

All layers of the photo-to-labels Pix2Pix, Facades val image 1 among its nearest training images:
`Explainer.explain` by both methods. Products are those of all pairs of hyperpatches of query and
candidates, one for each number of a stored cell; by these and the number of matches alone `Auto`
decides. The ratio of the times is below 1 where the exhaustive search is quicker.

{table(head, rows)}"""
