"""The measurements: each section returns what it found, and nothing is printed but progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np

from benchmarks.common import cores
from benchmarks.speed import machine, ours, peers
from benchmarks.speed.case import LAYER, Case, Reference
from benchmarks.speed.engine import Engine, Found
from benchmarks.speed.worker import Job, Worker, best_of
from compnn import Exhaustive, Explainer, HyperPatchMatch, _core

EXHAUSTIVE = "compnn exhaustive"
EXHAUSTIVE_AVX2 = "compnn exhaustive, AVX2 only"
MATCH = "compnn HyperPatch-Match"
PAPER = "compnn HyperPatch-Match, paper's schedule"
INDEPENDENT = "independent matrix products"
FLAT = "FAISS Flat"
GRAPHS = ("FAISS HNSW16", "hnswlib", "usearch")

EFFORT = 4
# Over many images, as for the extrapolated times that they are held against.
IMAGES_PATIENCE = 45.0
_AVX2 = {"COMPNN_SIMD": "avx2"}
# Seconds after which a measurement is not repeated: those that a requirement is about, others.
PATIENCE, LESS_PATIENCE = 60.0, 10.0
# A match this near to the exact one counts as it: equal hyperpatches, and rounding.
_HIT = 1e-6


@dataclass(frozen=True)
class Contender:
    """An engine, the package that it needs, and the settings to try."""

    name: str
    make: type[Engine]
    package: str = "compnn"
    parameter: str = ""
    settings: tuple[int, ...] = (1,)
    environment: Mapping[str, str] | None = None
    patience: float = PATIENCE


def contenders(quick: bool) -> list[Contender]:
    """All that are compared; those whose package is missing are left out, saying so."""
    efforts = (1, 4) if quick else tuple(range(1, 9))
    probes = (1, 64) if quick else (1, 4, 16, 64)
    beams = (16, 64) if quick else (16, 64, 256)
    blas = machine.fastest_blas()
    everyone = [
        Contender(EXHAUSTIVE, ours.ExhaustiveSearch),
        Contender(MATCH, ours.FastSchedule, parameter="effort", settings=efforts),
        Contender(
            PAPER,
            ours.PaperSchedule,
            parameter="rounds",
            settings=(16,) if quick else (1024,),
            patience=LESS_PATIENCE,
        ),
        Contender(FLAT, peers.Faiss, "faiss", environment=blas),
        Contender(
            f"FAISS IVF{peers.LISTS}",
            peers.FaissIvf,
            "faiss",
            "nprobe",
            probes,
            blas,
            LESS_PATIENCE,
        ),
        Contender(GRAPHS[0], peers.FaissHnsw, "faiss", "efSearch", beams, blas),
        Contender(GRAPHS[1], peers.Hnswlib, "hnswlib", "ef", beams),
        Contender(GRAPHS[2], peers.Usearch, "usearch", "expansion_search", beams),
        Contender("PyTorch", peers.PyTorch, "torch", patience=LESS_PATIENCE),
        Contender("NumPy", peers.NumPy, "numpy", environment=blas, patience=LESS_PATIENCE),
    ]
    if "avx2" in _core.supported_simd_levels():
        everyone.insert(1, Contender(EXHAUSTIVE_AVX2, ours.ExhaustiveSearch, environment=_AVX2))
    present = []
    for one in everyone:
        if find_spec(one.package) is None:
            print(f"{one.name} is left out: {one.package} is not installed", flush=True)
        else:
            present.append(one)
    return present


@dataclass(frozen=True)
class Row:
    """An engine at one setting.

    Attributes
    ----------
    seconds, build
        To search, and to build before that.
    size
        Bytes of what is searched, per candidate.
    similarity, hits
        Mean similarity of the matches, in double precision, and the share of them that are as
        good as the exact ones.
    accuracy
        Pixel accuracy of the output reconstruction.
    difference
        The largest between the similarities that it gives and those of FAISS Flat.
    """

    engine: str
    parameter: str
    setting: int
    seconds: float
    build: float
    size: float
    similarity: float
    hits: float
    accuracy: float
    difference: float


def compare_engines(
    reference: Reference, everyone: Sequence[Contender], threads: int, repeat: int
) -> list[Row]:
    """All engines on the reference case."""
    case = reference.case
    with ExitStack() as stack:
        builds, sizes, jobs, owners = [], [], [], []
        for one in everyone:
            print(f"building {one.name}", flush=True)
            worker = stack.enter_context(
                Worker(one.make, case, threads, threads=threads, environment=one.environment)
            )
            builds.append(worker.call("build").seconds)
            sizes.append(worker.call("size").value / case.candidates)
            worker.call("warm_up")
            for setting in one.settings:
                jobs.append(Job(worker, "search", (setting,), one.patience))
                owners.append((len(builds) - 1, setting))
        print("searching", flush=True)
        answers = best_of(jobs, repeat)
    found: list[Found] = [answer.value for answer in answers]
    names = [everyone[owner].name for owner, _ in owners]
    exact = found[names.index(FLAT if FLAT in names else EXHAUSTIVE)]
    best = case.similarities(exact.place)
    rows = []
    for (owner, setting), answer, each in zip(owners, answers, found, strict=True):
        one = everyone[owner]
        similarity = case.similarities(each.place)
        rows.append(
            Row(
                one.name,
                one.parameter,
                setting,
                answer.seconds,
                # What compnn takes in are the bank's own arrays: there is nothing to build.
                0.0 if one.package == "compnn" else builds[owner],
                sizes[owner],
                float(similarity.mean()),
                float((similarity >= best - _HIT).mean()),
                reference.accuracy(each.place),
                float(np.abs(each.similarity - exact.similarity).max()),
            )
        )
    return rows


@dataclass(frozen=True)
class Point:
    """Seconds of an engine at some number of images, channels or threads."""

    engine: str
    at: int
    seconds: float
    similarity: float = 0.0
    memory: int = 0


def _time_cases(
    cases: Mapping[int, tuple[Case, int]],
    repeat: int,
    *,
    flat: bool = False,
    products: bool = False,
) -> list[Point]:
    """Exhaustive search and HyperPatch-Match on cases, (case, threads).

    Perhaps FAISS Flat as well, and independent matrix products on as many threads.
    """
    engines: list[tuple[str, type[Engine], int]] = [
        (EXHAUSTIVE, ours.ExhaustiveSearch, 1),
        (MATCH, ours.FastSchedule, EFFORT),
    ]
    if flat and find_spec("faiss") is not None:
        engines.append((FLAT, peers.Faiss, 1))
    with ExitStack() as stack:
        jobs, points = [], []
        for name, make, setting in engines:
            for at, (case, threads) in cases.items():
                worker = stack.enter_context(
                    Worker(
                        make,
                        case,
                        threads,
                        threads=threads,
                        environment=machine.fastest_blas() if make is peers.Faiss else None,
                    )
                )
                worker.call("build")
                worker.call("warm_up")
                jobs.append(Job(worker, "search", (setting,), PATIENCE))
                points.append(Point(name, at, 0.0))
        for at, (_, threads) in cases.items() if products else ():
            worker = stack.enter_context(
                Worker(
                    machine.IndependentProducts,
                    threads,
                    threads=1,
                    environment=machine.fastest_blas(),
                )
            )
            worker.call("multiply")
            jobs.append(Job(worker, "multiply", (), PATIENCE))
            points.append(Point(INDEPENDENT, at, 0.0))
        answers = best_of(jobs, repeat)
    return [
        replace(point, seconds=answer.seconds)
        for point, answer in zip(points, answers, strict=True)
    ]


def against_channels(case: Case, threads: int, repeat: int, quick: bool) -> list[Point]:
    """Time against D: the first channels of the first images."""
    images = 1 if quick else 2
    channels = [d for d in ((32, 128) if quick else (16, 32, 64, 96, 128)) if d <= case.channels]
    return _time_cases({d: (case.part(images, d), threads) for d in channels}, repeat, flat=True)


def against_threads(case: Case, threads: int, repeat: int) -> list[Point]:
    """Time against threads: 1, 2, 4, ..., and as many as were asked for."""
    most = max(cores(), threads)
    counts = {1, threads} | {2**n for n in range(1, 10) if 2**n <= most}
    cases = {count: (case, count) for count in sorted(counts)}
    # These are short, and it is their ratio that counts.
    return _time_cases(cases, 5 * repeat, products=True)


@dataclass(frozen=True)
class ManyImages:
    """Time against the number of images, over a bank; `flat` are FAISS's times at a few."""

    points: list[Point]
    flat: list[Point]
    images: int
    hyperpatches: int
    dtype: str

    @property
    def flat_per_image(self) -> float:
        """Seconds of FAISS Flat for an image, from the largest number measured; nan without."""
        if not self.flat:
            return float("nan")
        last = max(self.flat, key=lambda point: point.at)
        return last.seconds / last.at


def against_images(
    explainer: Explainer, case: Case, threads: int, repeat: int, quick: bool
) -> ManyImages:
    """Time against k, both methods over the bank, FAISS Flat over the case."""
    bank = explainer.bank
    counts = [k for k in ((1, 2) if quick else (1, 4, 16, 64, 400)) if k <= len(bank)]
    points, flat = [], []
    with ExitStack() as stack:
        jobs = []
        for name, search in ((MATCH, HyperPatchMatch(effort=EFFORT)), (EXHAUSTIVE, Exhaustive())):
            worker = stack.enter_context(
                Worker(ours.BankSearch, bank.path, threads, threads=threads)
            )
            worker.call("build", [LAYER])
            for k in counts:
                jobs.append(Job(worker, "search", (LAYER, search, k), IMAGES_PATIENCE))
                points.append(Point(name, k, 0.0))
        if find_spec("faiss") is not None:
            for k in counts:
                if k <= case.images:
                    part = case if k == case.images else case.part(k, case.channels)
                    worker = stack.enter_context(
                        Worker(
                            peers.Faiss,
                            part,
                            threads,
                            threads=threads,
                            environment=machine.fastest_blas(),
                        )
                    )
                    worker.call("build")
                    worker.call("warm_up")
                    jobs.append(Job(worker, "search", (1,), IMAGES_PATIENCE))
                    flat.append(Point(FLAT, k, 0.0))
        answers = best_of(jobs, repeat)
    seconds = [answer.seconds for answer in answers]
    done = len(points)
    layer = bank.layers[LAYER]
    gh, gw = layer.grid
    return ManyImages(
        [
            replace(p, seconds=a.seconds, similarity=a.value, memory=a.memory)
            for p, a in zip(points, answers[:done], strict=True)
        ],
        [replace(p, seconds=s) for p, s in zip(flat, seconds[done:], strict=True)],
        len(bank),
        len(bank) * gh * gw,
        bank.dtype,
    )


@dataclass(frozen=True)
class Roof:
    """Exhaustive search at one instruction set, and what matrix products reach with it.

    Speeds are multiply-adds per second: what multiplying all pairs of cells in full would need to
    take as long, and that of products of matrices, of numbers of a `kind`.
    """

    level: str
    seconds: float
    full: float
    peak: float
    kind: str


def roofline(case: Case, threads: int, repeat: int) -> list[Roof]:
    """Exhaustive search against the machine's peak, from AVX2 upwards."""
    # OpenBLAS is told to use the same instructions.
    blas = machine.BLAS_KERNELS
    levels = [level for level in _core.supported_simd_levels() if level in blas]
    with ExitStack() as stack:
        jobs = []
        for level in levels:
            search = stack.enter_context(
                Worker(
                    ours.ExhaustiveSearch,
                    case,
                    threads,
                    threads=threads,
                    environment={"COMPNN_SIMD": level},
                )
            )
            search.call("build")
            search.call("warm_up")
            product = stack.enter_context(
                Worker(
                    machine.MatrixProducts,
                    threads,
                    threads=threads,
                    environment={"OPENBLAS_CORETYPE": blas[level]},
                )
            )
            method = "bytes" if level == "avx512vnni" else "floats"
            product.call(method)
            jobs += [Job(search, "search", (1,), PATIENCE), Job(product, method, (), PATIENCE)]
        answers = best_of(jobs, max(repeat, 3))
    roofs = []
    for number, level in enumerate(levels):
        seconds, product_seconds = (answers[2 * number + k].seconds for k in (0, 1))
        full = case.cell_products / seconds
        kind = "8 bits, ONNX Runtime" if level == "avx512vnni" else "float32, OpenBLAS"
        peak = machine.PRODUCTS / product_seconds
        roofs.append(Roof(level, seconds, full, peak, kind))
    return roofs
