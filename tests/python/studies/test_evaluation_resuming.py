"""How an evaluation resumes, only itself, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from compnn.bank.bank import Bank, build
from compnn.bank.selection import Selection
from compnn.data.dataset import Dataset, Pair
from compnn.errors import DatasetError, EvaluationError, ImageError, LayerError, SearchError
from compnn.explanation.explainer import Explainer
from compnn.images.kinds import Labels
from compnn.network.onnx import OnnxNetwork
from compnn.network.preprocessing import Preprocessing
from compnn.search.search import Exhaustive, HyperPatchMatch
from compnn.studies.evaluation import evaluate
from compnn.studies.evaluation.journal import FILE as JOURNAL
from compnn.studies.evaluation.journal import EvaluationJournal
from evaluation_cases import ATTRIBUTES, CLASSES, COUNT, LABELS, SIZE, numbers
from memory_dataset import MemoryDataset, contents, grey_palette, patch_call

SEARCH = HyperPatchMatch(iterations=2)


def run_until(count: int, *arguments: Any, **options: Any) -> None:
    """Evaluate, and interrupt when `count` images are finished."""

    def progress(done: int, total: int) -> None:
        if done == count:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(*arguments, **options, progress=progress)


def test_an_interrupted_evaluation_resumes_to_the_same_numbers(
    label_explainer: Explainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = HyperPatchMatch(iterations=8)
    options: dict[str, Any] = {"layers": ["decoder_2"], "top_k": [2, None]}
    whole = evaluate(label_explainer, LABELS, tmp_path / "whole", search, **options)
    folder = tmp_path / "resumed"
    run_until(1, label_explainer, LABELS, folder, search, **options)
    assert [path.name for path in folder.iterdir()] == [JOURNAL]
    run_until(2, label_explainer, LABELS, folder, search, **options)
    runs = patch_call(monkeypatch, OnnxNetwork, "read", lambda original, *a, **k: original(*a, **k))
    steps: list[tuple[int, int]] = []
    found = evaluate(
        label_explainer,
        LABELS,
        folder,
        search,
        **options,
        progress=lambda *step: steps.append(step),
    )
    assert len(runs) == 1
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert numbers(found) == numbers(whole)
    for name in ("images.csv", "attributes.csv"):
        path = Path("usage", "decoder_2-all", name)
        assert (folder / path).read_bytes() == (tmp_path / "whole" / path).read_bytes()
    single = Explainer(label_explainer.bank, label_explainer.network, num_threads=1)
    again = evaluate(single, LABELS, folder, search, **options)
    assert len(runs) == 1
    assert again.to_json() == found.to_json()


@pytest.fixture(scope="module")
def finished(
    label_explainer: Explainer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("finished")
    found = evaluate(label_explainer, LABELS, folder, SEARCH, layers=["encoder_1"], top_k=[1])
    return folder, numbers(found)


@pytest.mark.parametrize("kept", [0, 0.001, 0.01, 0.3, 0.5, 0.9, 0.9999])
def test_a_journal_that_was_cut_short(
    label_explainer: Explainer, tmp_path: Path, finished: tuple[Path, Any], kept: float
) -> None:
    data = (finished[0] / JOURNAL).read_bytes()
    cut = data[: int(kept * len(data))]
    (tmp_path / JOURNAL).write_bytes(cut)
    found = evaluate(label_explainer, LABELS, tmp_path, SEARCH, layers=["encoder_1"], top_k=[1])
    assert numbers(found) == finished[1]
    whole_lines = cut[: cut.rfind(b"\n") + 1]
    written = (tmp_path / JOURNAL).read_bytes()
    assert written.startswith(whole_lines)
    assert len(written.splitlines()) == 1 + len(LABELS)


@pytest.mark.parametrize(
    "line",
    [
        b'{"image": "img_1", "rows": {"network": 3}}\n',
        b'{"image": "img_1", "rows": {"network": {"observations": {}, "similarity": null, '
        b'"seconds": null, "used": [[[1], 2]]}}}\n',
        b"{}\n",
        b"nonsense\n",
        b"\xff\n",
    ],
)
def test_a_damaged_line_is_measured_again(
    label_explainer: Explainer, tmp_path: Path, finished: tuple[Path, Any], line: bytes
) -> None:
    lines = (finished[0] / JOURNAL).read_bytes().splitlines(keepends=True)
    lines[2] = line
    (tmp_path / JOURNAL).write_bytes(b"".join(lines))
    found = evaluate(label_explainer, LABELS, tmp_path, SEARCH, layers=["encoder_1"], top_k=[1])
    assert numbers(found) == finished[1]
    assert (tmp_path / JOURNAL).read_bytes().startswith(b"".join(lines[:2]))
    assert len((tmp_path / JOURNAL).read_bytes().splitlines()) == 1 + len(LABELS)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("layers", {"layers": ["decoder_2"]}),
        ("top_k", {"top_k": [2]}),
        ("seed", {"search": HyperPatchMatch(iterations=2, seed=5)}),
        ("iterations", {"search": HyperPatchMatch(iterations=3)}),
        ("matches", {"search": HyperPatchMatch(iterations=2, matches=2)}),
        ("effort", {"search": HyperPatchMatch(iterations=2, effort=5)}),
        ("effort, schedule", {"search": HyperPatchMatch(iterations=2, schedule="paper")}),
        (
            "effort, iterations, method, schedule, seed, stop_when_unchanged",
            {"search": Exhaustive()},
        ),
        ("composition", {"composition": "overlap"}),
        ("validation pairs", {"limit": 2}),
        ("training images that may be used", {"among": Selection(exclude=("img_0",))}),
    ],
)
def test_other_options_are_refused(
    label_explainer: Explainer,
    tmp_path: Path,
    finished: tuple[Path, Any],
    part: str,
    change: dict[str, Any],
) -> None:
    folder = Path(shutil.copytree(finished[0], tmp_path / "out"))
    before = contents(folder)
    options: dict[str, Any] = {"search": SEARCH, "layers": ["encoder_1"], "top_k": [1], **change}
    with pytest.raises(EvaluationError, match=f"differs in: {part}; use another folder"):
        evaluate(label_explainer, LABELS, folder, **options)
    assert contents(folder) == before
    if part == "layers":
        evaluate(label_explainer, LABELS, folder, **options, restart=True)
        # Nothing of the other evaluation is left over.
        assert not (folder / "usage" / "encoder_1-top1" / "images.csv").exists()
        assert "encoder_1" not in (folder / "results.csv").read_text()


def test_other_images_of_the_same_names_are_refused(
    label_explainer: Explainer, tmp_path: Path, finished: tuple[Path, Any]
) -> None:
    folder = Path(shutil.copytree(finished[0], tmp_path / "out"))
    others = MemoryDataset(3, SIZE, classes=CLASSES, seed=2)
    with pytest.raises(EvaluationError, match="differs in: validation pairs"):
        evaluate(label_explainer, others, folder, SEARCH, layers=["encoder_1"], top_k=[1])


def test_another_bank_is_refused(
    label_explainer: Explainer, tmp_path: Path, finished: tuple[Path, Any]
) -> None:
    folder = Path(shutil.copytree(finished[0], tmp_path / "out"))
    network = label_explainer.network
    other = MemoryDataset(COUNT, SIZE, classes=CLASSES, seed=4, attributes=ATTRIBUTES)
    explainer = Explainer(build(tmp_path / "bank", network, other), network)
    with pytest.raises(EvaluationError, match="differs in: bank;"):
        evaluate(explainer, LABELS, folder, SEARCH, layers=["encoder_1"], top_k=[1])


def test_the_same_bank_elsewhere_with_other_attributes_resumes(
    label_explainer: Explainer, tmp_path: Path, finished: tuple[Path, Any]
) -> None:
    folder = Path(shutil.copytree(finished[0], tmp_path / "out"))
    network = label_explainer.network
    moved = Bank(shutil.copytree(label_explainer.bank.path, tmp_path / "moved"))
    moved.set_attributes({name: {"wall": "green"} for name in moved.names})
    found = evaluate(
        Explainer(moved, network), LABELS, folder, SEARCH, layers=["encoder_1"], top_k=[1]
    )
    assert numbers(found) == finished[1]


@pytest.mark.parametrize("text", ["notes of mine\n", '{"format": "other"}\n', "notes of mine"])
def test_a_file_that_is_no_journal_is_kept(
    label_explainer: Explainer, tmp_path: Path, text: str
) -> None:
    (tmp_path / JOURNAL).write_text(text)
    with pytest.raises(EvaluationError, match="is not the journal of any evaluation"):
        evaluate(label_explainer, LABELS, tmp_path)
    assert (tmp_path / JOURNAL).read_text() == text


def test_two_evaluations_do_not_share_a_folder(label_explainer: Explainer, tmp_path: Path) -> None:
    journal = EvaluationJournal(tmp_path, {}, restart=False)
    with pytest.raises(EvaluationError, match="another evaluation is writing"):
        evaluate(label_explainer, LABELS, tmp_path, restart=True)
    journal.close()
    search = HyperPatchMatch(iterations=0)
    evaluate(label_explainer, LABELS, tmp_path, search, restart=True, limit=1, top_k=[1])


# Bad input


class Empty(Dataset):
    def __init__(self) -> None:
        super().__init__([], target_kind=Labels(grey_palette(CLASSES)))

    def read(self, name: str) -> Pair:
        raise AssertionError


def test_bad_input_is_refused_before_anything_is_written(
    label_explainer: Explainer, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    with pytest.raises(EvaluationError, match="no validation pairs"):
        evaluate(label_explainer, Empty(), folder)
    with pytest.raises(DatasetError, match=r"targets are label maps .*labels 0\.\.4.* photos"):
        evaluate(label_explainer, MemoryDataset(1, SIZE), folder)
    with pytest.raises(DatasetError, match=r"targets are label maps .*values in m"):
        evaluate(label_explainer, MemoryDataset(1, SIZE, unit="m"), folder)
    with pytest.raises(DatasetError, match=r"0\.\.4.*0\.\.3.*must be the same"):
        evaluate(label_explainer, MemoryDataset(1, SIZE, classes=4), folder)
    with pytest.raises(ImageError, match="img_0 is 32x32"):
        evaluate(label_explainer, MemoryDataset(1, classes=CLASSES), folder)
    with pytest.raises(EvaluationError, match="limit must be at least 1"):
        evaluate(label_explainer, LABELS, folder, limit=0)
    with pytest.raises(EvaluationError, match="top_k must be at least 1"):
        evaluate(label_explainer, LABELS, folder, top_k=[0])
    with pytest.raises(EvaluationError, match="top_k is empty"):
        evaluate(label_explainer, LABELS, folder, top_k=[])
    with pytest.raises(LayerError, match="no layer 'decoder_9'"):
        evaluate(label_explainer, LABELS, folder, layers=["decoder_9"])
    with pytest.raises(SearchError, match="no composition"):
        evaluate(label_explainer, LABELS, folder, composition="paste")  # type: ignore[arg-type]
    assert not folder.exists()


def test_an_unreadable_image_keeps_what_was_measured(
    label_explainer: Explainer, tmp_path: Path
) -> None:
    broken = MemoryDataset(3, SIZE, classes=CLASSES, seed=1, bad=[2])
    options: dict[str, Any] = {"layers": ["encoder_1"], "top_k": [1]}
    with pytest.raises(ImageError, match=r"img_2\.png is cut short"):
        evaluate(label_explainer, broken, tmp_path, SEARCH, **options)
    assert len((tmp_path / JOURNAL).read_bytes().splitlines()) == 1 + 2
    evaluate(label_explainer, LABELS, tmp_path, SEARCH, **options)
    assert len((tmp_path / JOURNAL).read_bytes().splitlines()) == 1 + 3


def test_images_of_another_size_are_resized_when_asked(
    label_explainer: Explainer, tmp_path: Path
) -> None:
    bank, network = label_explainer.bank, label_explainer.network
    assert isinstance(network, OnnxNetwork)
    resizing = OnnxNetwork(
        network.path, list(bank.layers), bank.descriptor, preprocessing=Preprocessing(resize=True)
    )
    large = MemoryDataset(1, (48, 64), classes=CLASSES, seed=1)
    found = evaluate(
        Explainer(bank, resizing),
        large,
        tmp_path,
        HyperPatchMatch(iterations=0),
        layers=["encoder_1"],
        top_k=[1],
    )
    target = large.target_kind.fit(large[0].target, SIZE)
    truths = sum(found.records[0].rows["network"].observations["target"])
    assert truths == target.size
    # The network's own output, resized to the pair's true labels: counted by hand.
    painted = resizing.read(large[0].input, [], output=True).output
    assert painted is not None
    right = (painted.argmax(axis=0) == target).mean()
    assert found.lines[0].values["pixel_accuracy"] == pytest.approx(right)
