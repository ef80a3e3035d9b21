"""Builds that compute several images at a time, of layers that are kept along directions."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compnn.bank import layout
from compnn.bank.bank import Bank, build
from compnn.bank.directions import sampled_images
from compnn.bank.layout import ACTIVATION_DTYPES
from compnn.data.dataset import Pair
from compnn.errors import BankError, ImageError
from compnn.network.onnx import OnnxNetwork
from memory_dataset import MemoryDataset, StoppedError, contents, patch_call, stop_at
from reference import stored
from stores import activation, check_pairs, check_that_images_find_themselves, load
from tiny_networks import wide_network

COUNT = 10
SIZE = (16, 16)
SAMPLED = {0, 1, 2, 3, 5, 6, 7, 8}
PROBED = Counter([0])
THREADS = [1, 2, 5]


def dataset(count: int = COUNT, **options: Any) -> MemoryDataset:
    return MemoryDataset(count, SIZE, **options)


class SlowDataset(MemoryDataset):
    """Takes its time to read some of the images."""

    def __init__(self, seconds: Mapping[int, float], **options: Any) -> None:
        super().__init__(COUNT, SIZE, **options)
        self._seconds = {f"img_{index}": each for index, each in seconds.items()}

    def read(self, name: str) -> Pair:
        time.sleep(self._seconds.get(name, 0))
        return super().read(name)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wide_network(tmp_path_factory.mktemp("network") / "wide.onnx")


@pytest.fixture(scope="module")
def networks(network: Path) -> dict[int, OnnxNetwork]:
    """The same network with different numbers of threads."""
    return {threads: OnnxNetwork(network, None, "deep", num_threads=threads) for threads in THREADS}


@pytest.fixture(scope="module")
def references(
    networks: dict[int, OnnxNetwork], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, bytes]]:
    """The files of a bank in each dtype, built by one worker without interruption."""
    folder = tmp_path_factory.mktemp("references")
    for dtype in ACTIVATION_DTYPES:
        build(folder / dtype, networks[1], dataset(), dtype=dtype)
    return {dtype: contents(folder / dtype) for dtype in ACTIVATION_DTYPES}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "wide.bank"


def journal_entries(path: Path) -> int:
    """How many images an interrupted build has done: less header, plan, and layers kept whole."""
    entries = (path / "journal.jsonl").read_text().splitlines()[2:]
    return sum("whole" not in json.loads(entry) for entry in entries)


def count_runs(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Counter[int]]:
    """How often the network has run over each image of `dataset()` since."""
    calls = patch_call(monkeypatch, OnnxNetwork, "read", lambda read, *a, **k: read(*a, **k))
    indices = {pair.input.tobytes(): index for index, pair in enumerate(dataset())}
    return lambda: Counter(indices[images.tobytes()] for _, images, *_ in calls)


# Order


@pytest.mark.parametrize("dtype", ACTIVATION_DTYPES)
@pytest.mark.parametrize("threads", THREADS[1:])
def test_threads_do_not_change_the_bank(
    path: Path,
    networks: dict[int, OnnxNetwork],
    references: dict[str, dict[str, bytes]],
    dtype: str,
    threads: int,
) -> None:
    build(path, networks[threads], dataset(), dtype=dtype)
    found = contents(path)
    assert found.keys() == references[dtype].keys()
    assert ("shards/0/directions/wide.npy" in found) == (dtype != "float32")
    assert found == references[dtype]


@pytest.mark.parametrize("slow", [{0: 0.1}, {1: 0.1, 4: 0.05}, {8: 0.1}])
def test_slow_images_keep_their_place(
    path: Path,
    networks: dict[int, OnnxNetwork],
    references: dict[str, dict[str, bytes]],
    slow: dict[int, float],
) -> None:
    seen: list[int] = []
    build(path, networks[5], SlowDataset(slow), progress=lambda done, total: seen.append(done))
    assert contents(path) == references["float16"]
    assert list(dict.fromkeys(seen)) == list(range(COUNT + 1))
    assert seen == sorted(seen)


def test_later_images_do_not_wait_for_earlier_ones(
    path: Path, networks: dict[int, OnnxNetwork], references: dict[str, dict[str, bytes]]
) -> None:
    later = threading.Event()
    rehearsed = threading.Event()

    class Waiting(MemoryDataset):
        """The first image is read, but for the dry run, only when the second one has been."""

        def read(self, name: str) -> Pair:
            if name == "img_0" and rehearsed.is_set():
                assert later.wait(20)
            rehearsed.set()
            if name == "img_1":
                later.set()
            return super().read(name)

    build(path, networks[2], Waiting(COUNT, SIZE), dtype="float32")
    assert contents(path) == references["float32"]


@pytest.mark.parametrize(
    ("threads", "at_once", "each"), [(1, 1, 1), (2, 2, 1), (5, 4, 1), (8, 4, 2)]
)
def test_workers_share_the_threads(
    path: Path,
    network: Path,
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
    at_once: int,
    each: int,
) -> None:
    lock, running, most, of_a_run = threading.Lock(), [0], [0], set()

    def run(original: Any, network: OnnxNetwork, *arguments: Any, **options: Any) -> Any:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
            of_a_run.add(network.num_threads)
        time.sleep(0.02)
        try:
            return original(network, *arguments, **options)
        finally:
            with lock:
                running[0] -= 1

    patch_call(monkeypatch, OnnxNetwork, "read", run)
    network = OnnxNetwork(network, None, "deep", num_threads=threads)
    build(path, network, dataset())
    assert most[0] == at_once
    assert of_a_run == {each}
    assert network.num_threads == threads


def test_progress_is_reported_by_the_thread_that_builds(
    path: Path, networks: dict[int, OnnxNetwork]
) -> None:
    threads = set()
    build(path, networks[5], dataset(), progress=lambda *_: threads.add(threading.current_thread()))
    assert threads == {threading.current_thread()}


# Interruption


@pytest.mark.parametrize("dtype", ["float16", "int8", "float32"])
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize(("done", "error"), [(1, KeyboardInterrupt), (6, StoppedError)])
def test_interrupted_build_resumes(
    path: Path,
    networks: dict[int, OnnxNetwork],
    references: dict[str, dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    done: int,
    error: type[BaseException],
    threads: int,
    dtype: str,
) -> None:
    network = networks[threads]
    with pytest.raises(error):
        build(path, network, dataset(), dtype=dtype, progress=stop_at(done, error))
    assert not (path / "manifest.json").exists()
    assert journal_entries(path) == done
    runs = count_runs(monkeypatch)
    build(path, network, dataset(), dtype=dtype)
    assert contents(path) == references[dtype]
    # Once for each image that is left, and those of the sample that had been done; for the probe
    # once more for the first.
    sampled = set() if dtype == "float32" else SAMPLED
    assert runs() == Counter({*range(done, COUNT), *sampled}) + PROBED


def test_the_sample_is_that_of_the_tests() -> None:
    assert set(sampled_images(COUNT)) == SAMPLED


def test_build_that_was_interrupted_twice_with_other_threads(
    path: Path, networks: dict[int, OnnxNetwork], references: dict[str, dict[str, bytes]]
) -> None:
    for threads, done in ((5, 3), (1, 4), (2, 8)):
        with pytest.raises(StoppedError):
            build(path, networks[threads], dataset(), progress=stop_at(done))
        assert journal_entries(path) == done
    build(path, networks[5], dataset())
    assert contents(path) == references["float16"]


def test_interruption_while_workers_are_slow_ends_soon(
    path: Path,
    networks: dict[int, OnnxNetwork],
    references: dict[str, dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = SlowDataset(dict.fromkeys(range(2, COUNT), 0.1))
    reads = patch_call(monkeypatch, slow, "read", lambda read, name: read(name))
    stopped = stop_at(1, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        build(path, networks[2], slow, dtype="float32", check=False, progress=stopped)
    # Images that are being computed come to their end; none is begun after that.
    assert {name for (name,) in reads} <= {"img_0", "img_1", "img_2"}
    build(path, networks[2], dataset(), dtype="float32")
    assert contents(path) == references["float32"]


# Directions of an interrupted build


def test_other_images_in_the_sample_are_refused(
    path: Path, networks: dict[int, OnnxNetwork]
) -> None:
    with pytest.raises(StoppedError):
        build(path, networks[2], dataset(), progress=stop_at(4))
    partial = path
    before = contents(partial)
    changed = dataset()
    changed.pairs["img_7"] = replace(dataset(1, seed=9).pairs["img_0"], name="img_7")
    with pytest.raises(BankError, match=r"with different main directions\..*--restart") as caught:
        build(path, networks[2], changed)
    assert str(partial) in str(caught.value)
    assert contents(partial) == before
    build(path, networks[2], changed, restart=True)
    check_pairs(Bank(path), changed)


def test_images_outside_of_the_sample_that_changed_are_built_again(
    path: Path, networks: dict[int, OnnxNetwork], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoppedError):
        build(path, networks[2], dataset(), progress=stop_at(8))
    changed = dataset()
    changed.pairs["img_4"] = replace(dataset(1, seed=9).pairs["img_0"], name="img_4")
    build(path, networks[2], changed)
    build(tmp_path / "at once", networks[1], changed)
    assert contents(path) == contents(tmp_path / "at once")


def test_damaged_directions_of_an_interrupted_build_are_written_again(
    path: Path, networks: dict[int, OnnxNetwork], references: dict[str, dict[str, bytes]]
) -> None:
    with pytest.raises(StoppedError):
        build(path, networks[2], dataset(), progress=stop_at(4))
    file = path / "directions" / "0" / "wide.npy"
    file.write_bytes(b"nonsense")
    build(path, networks[2], dataset())
    assert contents(path) == references["float16"]


# A sample that misleads


def misleading(dark: int = 4) -> MemoryDataset:
    """Light images, but for one that is not in the sample: dark pixels give it more directions."""
    pairs = dataset(darkest=128)
    pairs.pairs[f"img_{dark}"] = dataset().pairs[f"img_{dark}"]
    return pairs


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8"])
@pytest.mark.parametrize("threads", THREADS)
def test_layer_whose_sample_misleads_is_kept_whole(
    path: Path, networks: dict[int, OnnxNetwork], threads: int, dtype: str
) -> None:
    seen: list[int] = []
    build(
        path,
        networks[threads],
        misleading(),
        dtype=dtype,
        progress=lambda done, total: seen.append(done),
    )
    bank = Bank(path)
    assert bank.kept("wide") == (48,)
    assert not (path / "shards/0/directions").exists()
    assert bank.names == misleading().names
    raw = [networks[1].activations(pair.input, ["wide"])["wide"] for pair in misleading()]
    np.testing.assert_array_equal(
        load(path, "activations/wide.npy", SIZE), stored(np.stack(raw), dtype)
    )
    bank.verify()
    assert list(path.parent.iterdir()) == [path]
    # It came to the fourth image, and then started over.
    assert list(dict.fromkeys(seen)) == list(range(COUNT + 1))
    assert seen[-COUNT - 1 :] == list(range(COUNT + 1))
    assert seen.index(4) < len(seen) - COUNT


@pytest.mark.parametrize("threads", THREADS)
def test_only_the_shard_with_a_cell_outside_keeps_the_layer_whole(
    path: Path,
    networks: dict[int, OnnxNetwork],
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
) -> None:
    monkeypatch.setattr(layout, "SHARD_IMAGES", 3)
    seen: list[int] = []
    bank = build(
        path, networks[threads], misleading(), progress=lambda done, total: seen.append(done)
    )
    assert [(path / f"shards/{shard}/directions").exists() for shard in range(4)] == [
        True,
        False,
        True,
        True,
    ]
    assert bank.kept("wide") == (16, 48)
    # The second shard was begun again, the first one not.
    assert min(seen[seen.index(3) :]) == 3
    assert 3 in seen[seen.index(4) :]
    for index, pair in enumerate(misleading()):
        for layer in ("wide", "full"):
            raw = networks[1].activations(pair.input, [layer])[layer]
            kept = activation(bank, layer, index)
            np.testing.assert_allclose(kept, raw, atol=2e-3 * np.abs(raw).max())
    check_that_images_find_themselves(bank, networks[1], misleading(), "wide", (2, 2))
    bank.verify()


def test_light_images_alone_are_kept_along_directions(
    path: Path, networks: dict[int, OnnxNetwork]
) -> None:
    build(path, networks[2], dataset(darkest=128))
    assert Bank(path).kept("wide") == (16,)


@pytest.mark.parametrize("time_of_it", ["before", "after"])
def test_build_with_a_misleading_sample_resumes(
    path: Path,
    networks: dict[int, OnnxNetwork],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    time_of_it: str,
) -> None:
    """Interrupted before it comes to the image that shows it, or after it has started over."""
    build(tmp_path / "at once", networks[1], misleading())
    times = Counter[int]()

    def progress(done: int, total: int) -> None:
        times[done] += 1
        if done == 3 and times[3] == (1 if time_of_it == "before" else 2):
            raise StoppedError

    with pytest.raises(StoppedError):
        build(path, networks[2], misleading(), progress=progress)
    assert journal_entries(path) == 3
    runs = patch_call(monkeypatch, OnnxNetwork, "read", lambda read, *a, **k: read(*a, **k))
    build(path, networks[5], misleading())
    assert contents(path) == contents(tmp_path / "at once")
    if time_of_it == "after":  # it has been noted, so nothing is done again
        assert len(runs) == len({*range(3, COUNT), *SAMPLED}) + PROBED.total()


# Bad images


@pytest.mark.parametrize("threads", THREADS)
def test_bad_image_keeps_the_images_before_it(
    path: Path,
    networks: dict[int, OnnxNetwork],
    references: dict[str, dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
) -> None:
    """Also when those are slower, so that the error comes first."""
    slow = SlowDataset({2: 0.1, 3: 0.1}, bad=[4])
    with pytest.raises(ImageError, match=r"'img_4'.*cut short.*kept in .*again to resume"):
        build(path, networks[threads], slow)
    assert journal_entries(path) == 4
    runs = count_runs(monkeypatch)
    build(path, networks[threads], dataset())
    assert contents(path) == references["float16"]
    assert runs() == Counter({*range(4, COUNT), *SAMPLED}) + PROBED


def check_bank(path: Path, network: OnnxNetwork, indices: list[int]) -> None:
    """The bank holds these images of `dataset()`, in this order."""
    pairs = [dataset()[index] for index in indices]
    bank = Bank(path)
    check_pairs(bank, pairs)
    for layer in network.layers:
        raw = np.stack([network.activations(each.input, [layer])[layer] for each in pairs])
        kept = [activation(bank, layer, image) for image in range(len(pairs))]
        np.testing.assert_allclose(kept, raw, atol=2e-3 * np.abs(raw).max())
    bank.verify()


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("done", [None, 3, 7])
def test_skipped_images_leave_no_gap(
    path: Path, networks: dict[int, OnnxNetwork], threads: int, done: int | None
) -> None:
    slow = SlowDataset({1: 0.05}, bad=[0, 4, 5, 9])
    if done is not None:
        with pytest.raises(StoppedError):
            build(path, networks[threads], slow, skip_bad=True, progress=stop_at(done))
        assert journal_entries(path) == done
    build(path, networks[threads], slow, skip_bad=True)
    check_bank(path, networks[threads], [1, 2, 3, 6, 7, 8])
    bank = Bank(path)
    assert [each.name for each in bank.skipped] == ["img_0", "img_4", "img_5", "img_9"]
    assert bank.kept("wide") == (16,)


def test_bad_image_of_the_sample(path: Path, networks: dict[int, OnnxNetwork]) -> None:
    """The error is that of the pair, once the build has come to it; or it is left out."""
    bad = dataset(bad=[7])
    with pytest.raises(ImageError, match=r"training pair 'img_7': img_7\.png is cut short"):
        build(path, networks[2], bad)
    assert journal_entries(path) == 7
    build(path, networks[2], bad, skip_bad=True)
    check_bank(path, networks[2], [0, 1, 2, 3, 4, 5, 6, 8, 9])


def test_bad_first_image_of_the_sample_leaves_nothing(
    path: Path, networks: dict[int, OnnxNetwork]
) -> None:
    with pytest.raises(ImageError, match=r"training pair 'img_0': img_0\.png is cut short"):
        build(path, networks[2], dataset(bad=[0]))
    assert list(path.parent.iterdir()) == []


def test_sample_of_which_nothing_can_be_read(path: Path, networks: dict[int, OnnxNetwork]) -> None:
    bad = dataset(bad=sorted(SAMPLED))
    build(path, networks[2], bad, skip_bad=True)
    assert Bank(path).kept("wide") == (48,)
    check_bank(path, networks[2], [4, 9])


def test_too_few_images_for_directions(path: Path, networks: dict[int, OnnxNetwork]) -> None:
    """Two images have 512 cells; 48 channels need 768."""
    build(path, networks[2], dataset(2))
    assert Bank(path).kept("wide") == (48,)
    check_bank(path, networks[2], [0, 1])
    build(path, networks[2], dataset(3), overwrite=True)
    assert Bank(path).kept("wide") == (16,)
    check_bank(path, networks[2], [0, 1, 2])
