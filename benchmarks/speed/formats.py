"""The dtypes of a bank: bytes, time, and what their rounding costs."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.common import facades, facades_network
from benchmarks.speed.case import LAYER, Reference
from benchmarks.speed.engine import Found
from benchmarks.speed.markdown import seconds, table
from benchmarks.speed.verdict import Verdict
from benchmarks.speed.worker import Job, Worker, best_of
from compnn import Exhaustive, Explainer, HyperPatchMatch, Search, build

DTYPES = ("float32", "float16", "bfloat16", "int8")
_PATIENCE = 30.0
# Bytes of FAISS Flat for each byte of the bank, at least; and what int8 may cost at most.
_SHARES = {"float16": 8.0, "int8": 16.0}
_LOSS = 0.001


class FormatSearch:
    """A bank of the reference case's images in one dtype, searched for Facades val image 1."""

    def __init__(self, path: Path, names: tuple[str, ...], dtype: str, threads: int) -> None:
        self._path = path
        self._names = names
        self._dtype = dtype
        self._threads = threads

    @cached_property
    def _explainer(self) -> Explainer:
        network = facades_network([LAYER], self._threads)
        pairs = facades("train").subset(self._names)
        bank = build(self._path, network, pairs, dtype=self._dtype)
        return Explainer(bank, network, num_threads=self._threads)

    def build(self) -> tuple[float, int]:
        """Build and read the bank, run the network; bytes per hyperpatch, numbers of a cell."""
        self._reading = self._explainer.read(facades("val")[0].input, [LAYER])
        self.search(HyperPatchMatch())
        bank = self._explainer.bank
        gh, gw = bank.layers[LAYER].grid
        return bank.layer_bytes(LAYER) / (len(bank) * gh * gw), max(bank.kept(LAYER))

    def search(self, search: Search) -> Found:
        """The matches."""
        found = self._explainer.explain(self._reading, LAYER, search)
        field, (gh, gw) = found.field, found.layer.grid
        place = (field.image[0].astype(np.int64) * gh + field.row[0]) * gw + field.col[0]
        return Found(place.ravel(), field.similarity[0].ravel())


@dataclass(frozen=True)
class Format:
    """A dtype.

    Attributes
    ----------
    size, kept
        Bytes per hyperpatch, and numbers of a cell.
    exact_seconds, match_seconds
        Of exhaustive search and of HyperPatch-Match.
    exact, match
        Mean similarity of their matches, in double precision, of the activations in float32.
    accuracy
        Pixel accuracy of the output reconstruction by exhaustive search.
    difference
        The largest between the similarities that exhaustive search gives and those of its matches.
    """

    dtype: str
    size: float
    kept: int
    exact_seconds: float
    match_seconds: float
    exact: float
    match: float
    accuracy: float
    difference: float


def measure(reference: Reference, folder: Path, threads: int, repeat: int) -> list[Format]:
    """Both searches in each dtype, over the images of the reference case."""
    case = reference.case
    searches: tuple[Search, ...] = (Exhaustive(), HyperPatchMatch())
    with ExitStack() as stack:
        built, jobs = [], []
        for dtype in DTYPES:
            print(f"building {dtype}", flush=True)
            worker = stack.enter_context(
                Worker(
                    FormatSearch,
                    folder / f"{dtype}.bank",
                    reference.names,
                    dtype,
                    threads,
                    threads=threads,
                )
            )
            built.append(worker.call("build").value)
            jobs += [Job(worker, "search", (search,), _PATIENCE) for search in searches]
        answers = best_of(jobs, repeat)
    found = []
    for number, (dtype, (size, kept)) in enumerate(zip(DTYPES, built, strict=True)):
        exact, match = answers[2 * number : 2 * number + 2]
        similarity = case.similarities(exact.value.place)
        found.append(
            Format(
                dtype,
                size,
                kept,
                exact.seconds,
                match.seconds,
                float(similarity.mean()),
                float(case.similarities(match.value.place).mean()),
                reference.accuracy(exact.value.place),
                float(np.abs(exact.value.similarity - similarity).max()),
            )
        )
    return found


def verdicts(formats: list[Format], flat_bytes: float) -> list[Verdict]:
    """Sizes against `flat_bytes` of FAISS Flat, and the loss by 8 bits."""
    at = {each.dtype: each for each in formats}
    if not formats:
        return []
    found = [
        Verdict(
            f"bytes of a bank in {dtype} per hyperpatch: at most 1/{share:.0f} of FAISS Flat's",
            f"1/{flat_bytes / at[dtype].size:.1f} ({at[dtype].size:.0f}, {flat_bytes:.0f})",
            at[dtype].size <= flat_bytes / share,
        )
        for dtype, share in _SHARES.items()
    ]
    loss = at["float32"].exact - at["int8"].exact
    found.append(
        Verdict(
            f"int8 loses less than {_LOSS} of mean similarity",
            f"{loss:.5f} ({at['int8'].exact:.5f}, {at['float32'].exact:.5f})",
            loss < _LOSS,
        )
    )
    return found


def section(formats: list[Format], flat_bytes: float) -> str:
    """The section of the document."""
    rows = [
        (
            each.dtype,
            str(each.kept),
            f"{each.size:.0f}",
            f"1/{flat_bytes / each.size:.1f}",
            seconds(each.exact_seconds),
            seconds(each.match_seconds),
            f"{each.exact:.5f}",
            f"{each.match:.5f}",
            f"{each.accuracy:.4f}",
            f"{each.difference:.1e}",
        )
        for each in formats
    ]
    head = (
        "dtype",
        "numbers of a cell",
        "bytes per hyperpatch",
        "of FAISS Flat's",
        "exhaustive, s",
        "HyperPatch-Match, s",
        "mean similarity, exhaustive",
        "HyperPatch-Match",
        "MPA",
        "largest error",
    )
    return f"""## Dtypes of a bank

Banks of the reference case's images, searched with `Explainer.explain`, from the activations to the
explanation. The bytes are those of activations, norms and directions. Mean similarities are those
of the matches, in double precision, of the float32 activations; the largest error is that of the
similarities that exhaustive search gives for its matches. MPA is that of exhaustive search.

{table(head, rows)}"""
