"""Building a bank: its content, interruption and resuming, replacement, and bad input."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from compnn.bank import directions, publish
from compnn.bank.builder import build_bank
from compnn.bank.layout import ACTIVATION_DTYPES
from compnn.bank.reader import Records, open_manifest
from compnn.errors import ActivationError, BankError, DatasetError, ImageError
from compnn.network.onnx import Model
from compnn.network.preprocessing import Preprocessing
from memory_dataset import MemoryDataset, StoppedError, contents, patch_call, stop_at
from reference import stored, stored_norms
from tiny_networks import nan_network, save_network, tiny_segnet, tiny_unet

LAYERS = ["encoder_1", "decoder_3"]
COUNT = 5


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tiny_unet(tmp_path_factory.mktemp("network") / "tiny.onnx")
    return Model(path, LAYERS, "encoder_3")


@pytest.fixture(scope="module")
def reference(model: Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a bank that was built without interruption."""
    path = tmp_path_factory.mktemp("reference") / "tiny.bank"
    build_bank(path, model, MemoryDataset(COUNT))
    return contents(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tiny.bank"


@pytest.fixture
def unsampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network does not run over a sample first: no layer here has enough channels to need it.

    So a test can count the runs for what is built.
    """
    monkeypatch.setattr(directions, "sampled_images", lambda count: [])


def partial_of(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


# What is in a bank


@pytest.mark.parametrize("dtype", ACTIVATION_DTYPES)
def test_arrays_hold_what_the_network_computes(path: Path, model: Model, dtype: str) -> None:
    dataset = MemoryDataset(3)
    build_bank(path, model, dataset, dtype=dtype)
    taps = [*LAYERS, "encoder_3"]
    expected = _run_onnx(model.path, taps, [pair.input for pair in dataset])
    for layer in LAYERS:
        cells = np.load(path / "activations" / f"{layer}.npy")
        assert cells.dtype == {"bfloat16": np.uint16}.get(dtype, np.dtype(dtype))
        np.testing.assert_array_equal(cells, stored(expected[layer], dtype))
        norms = np.load(path / "norms" / f"{layer}.npy")
        assert norms.dtype == np.float32
        np.testing.assert_allclose(norms, stored_norms(expected[layer], dtype), 1e-6)
    descriptors = np.load(path / "descriptors.npy")
    assert descriptors.dtype == np.float32
    np.testing.assert_array_equal(descriptors, expected["encoder_3"].reshape(3, -1))
    np.testing.assert_allclose(
        np.load(path / "descriptor_norms.npy"),
        np.linalg.norm(descriptors.astype(np.float64), axis=1),
        1e-6,
    )
    np.testing.assert_array_equal(np.load(path / "inputs.npy"), [p.input for p in dataset])
    np.testing.assert_array_equal(np.load(path / "targets.npy"), [p.target for p in dataset])
    Records(path, open_manifest(path)).verify_all()


def _run_onnx(path: Path, taps: list[str], images: list[Any]) -> dict[str, np.ndarray]:
    """Activations (N, H, W, D) by ONNX Runtime alone, for a network with input in [-1, 1]."""
    network = onnx.load(path)
    for tap in taps:
        network.graph.output.append(onnx.ValueInfoProto(name=tap))
    session = onnxruntime.InferenceSession(network.SerializeToString())
    values = np.stack(images).transpose(0, 3, 1, 2).astype(np.float32) * np.float32(2 / 255) - 1
    results = [session.run(taps, {"input": each[None]}) for each in values]
    stacked = [np.concatenate(each) for each in zip(*results, strict=True)]
    return dict(zip(taps, (each.transpose(0, 2, 3, 1) for each in stacked), strict=True))


def test_files_and_alignment(path: Path, model: Model) -> None:
    build_bank(path, model, MemoryDataset(2))
    assert set(contents(path)) == {
        "manifest.json",
        "activations/encoder_1.npy",
        "activations/decoder_3.npy",
        "norms/encoder_1.npy",
        "norms/decoder_3.npy",
        "descriptors.npy",
        "descriptor_norms.npy",
        "inputs.npy",
        "targets.npy",
    }
    assert os.listdir(path.parent) == [path.name]
    for file in path.rglob("*.npy"):
        assert np.load(file, mmap_mode="r").offset == 128, file


def test_label_maps_and_no_descriptor(tmp_path: Path, path: Path) -> None:
    model = Model(tiny_segnet(tmp_path / "segnet.onnx"), ["encoder_2"])
    dataset = MemoryDataset(2, (24, 32), classes=5)
    build_bank(path, model, dataset)
    np.testing.assert_array_equal(np.load(path / "targets.npy"), [p.target for p in dataset])
    manifest = open_manifest(path)
    assert manifest.target_palette == dataset.target_palette
    assert manifest.descriptor is None
    assert not (path / "descriptors.npy").exists()


def test_descriptor_that_is_also_a_layer(tmp_path: Path, path: Path) -> None:
    model = Model(tiny_unet(tmp_path / "tiny.onnx"), ["encoder_3"], "encoder_3")
    build_bank(path, model, MemoryDataset(2))
    cells = np.load(path / "activations" / "encoder_3.npy").reshape(2, -1)
    descriptors = np.load(path / "descriptors.npy")
    np.testing.assert_array_equal(descriptors.astype(np.float16), cells)


def test_layer_names_that_are_no_file_names(tmp_path: Path, path: Path) -> None:
    name = "/block:1/../relu?é"
    nodes = [
        helper.make_node("Relu", ["input"], [name]),
        helper.make_node("Relu", [name], ["output"]),
    ]
    shape = (1, 3, 8, 8)
    network = save_network(
        tmp_path / "n.onnx", nodes, shape, shape, metadata={"input_range": "[0, 1]"}
    )
    build_bank(path, Model(network, [name]), MemoryDataset(1, (8, 8)))
    files = [file for file in contents(path) if file.startswith("activations/")]
    assert files == ["activations/%2Fblock%3A1%2F..%2Frelu%3F%C3%A9.npy"]
    assert list(open_manifest(path).layers) == [name]


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    model = Model(tiny_unet(tmp_path / "tiny.onnx", size=(128, 128)))

    class Lazy(MemoryDataset):
        """Makes its pixels when they are read."""

        def __init__(self, count: int) -> None:
            super().__init__(count, (1, 1))

        def _read(self, name: str) -> Any:
            return MemoryDataset(1, (128, 128)).pairs["img_0"]

    peaks = []
    for count in (8, 48):
        tracemalloc.start()
        build_bank(tmp_path / f"{count}.bank", model, Lazy(count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]  # it would be 4 times as much or more


def test_progress(path: Path, model: Model) -> None:
    seen = []
    build_bank(path, model, MemoryDataset(3), progress=lambda *args: seen.append(args))
    assert list(dict.fromkeys(seen)) == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert seen == sorted(seen)


# Interruption


@pytest.mark.usefixtures("unsampled")
@pytest.mark.parametrize("error", [StoppedError, KeyboardInterrupt])
@pytest.mark.parametrize("done", [0, 1, 3, COUNT])
def test_interrupted_build_resumes(
    path: Path,
    model: Model,
    reference: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    done: int,
    error: type[BaseException],
) -> None:
    with pytest.raises(error):
        build_bank(path, model, MemoryDataset(COUNT), progress=stop_at(done, error))
    assert not path.exists()
    with pytest.raises(BankError, match=r"incomplete.*Run the same build again"):
        open_manifest(path)
    with pytest.raises(BankError, match=r"incomplete.*Run the same build again"):
        open_manifest(partial_of(path))
    runs = patch_call(monkeypatch, model, "run", lambda run, *a, **k: run(*a, **k))
    build_bank(path, model, MemoryDataset(COUNT))
    assert contents(path) == reference
    assert len(runs) <= COUNT - done
    assert not partial_of(path).exists()


def test_killed_build_resumes(path: Path, model: Model, reference: dict[str, bytes]) -> None:
    program = f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from memory_dataset import MemoryDataset
        from compnn.bank.builder import build_bank
        from compnn.network.onnx import Model

        def progress(done, total):
            if done == 2:
                print("two", flush=True)
                time.sleep(60)

        model = Model({str(model.path)!r}, {LAYERS!r}, "encoder_3")
        build_bank({str(path)!r}, model, MemoryDataset({COUNT}), progress=progress)
    """
    with _python(program, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"two\n"
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert process.returncode == -signal.SIGKILL
    assert partial_of(path).exists()
    build_bank(path, model, MemoryDataset(COUNT))
    assert contents(path) == reference


def _python(program: str, **options: Any) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], env=environment, **options
    )


def interrupt(path: Path, model: Model, done: int = 4) -> Path:
    """Leave a build of COUNT pairs of which `done` or one more are finished."""
    with pytest.raises(StoppedError):
        build_bank(path, model, MemoryDataset(COUNT), progress=stop_at(done))
    return partial_of(path)


@pytest.mark.parametrize("tail", [b"", b'{"crc3', b'{"crc32":[1,2]}\n', b"\0" * 40, b"[]\n{}\n"])
def test_broken_end_of_journal_is_tolerated(
    path: Path, model: Model, reference: dict[str, bytes], tail: bytes
) -> None:
    journal = interrupt(path, model) / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:3]) + tail)
    build_bank(path, model, MemoryDataset(COUNT))
    assert contents(path) == reference


def test_broken_header_of_journal_starts_anew(
    path: Path, model: Model, reference: dict[str, bytes]
) -> None:
    (interrupt(path, model) / "journal.jsonl").write_bytes(b'{"format":"compnn-ba')
    build_bank(path, model, MemoryDataset(COUNT))
    assert contents(path) == reference


@pytest.mark.usefixtures("unsampled")
@pytest.mark.parametrize(
    "damage",
    [
        lambda partial: flip(partial / "activations/encoder_1.npy", 128 + 16 * 16 * 4 * 2 + 5),
        lambda partial: flip(partial / "descriptor_norms.npy", 128 + 4),
        lambda partial: os.truncate(partial / "inputs.npy", 128 + 32 * 32 * 3 + 7),
        lambda partial: (partial / "norms/decoder_3.npy").unlink(),
    ],
)
def test_damaged_records_are_built_again(
    path: Path,
    model: Model,
    reference: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
) -> None:
    damage(interrupt(path, model))
    runs = patch_call(monkeypatch, model, "run", lambda run, *a, **k: run(*a, **k))
    build_bank(path, model, MemoryDataset(COUNT))
    assert contents(path) == reference
    assert len(runs) >= COUNT - 1


def flip(file: Path, offset: int) -> None:
    """Flip one bit of a file."""
    with open(file, "r+b") as stream:
        stream.seek(offset)
        byte = stream.read(1)[0]
        stream.seek(offset)
        stream.write(bytes([byte ^ 1]))


def test_images_that_changed_since_are_built_again(path: Path, model: Model) -> None:
    interrupt(path, model)
    changed = MemoryDataset(COUNT)
    changed.pairs["img_1"].target[3, 4, 0] ^= 1
    build_bank(path, model, changed)
    np.testing.assert_array_equal(np.load(path / "targets.npy"), [p.target for p in changed])
    np.testing.assert_array_equal(np.load(path / "inputs.npy"), [p.input for p in changed])


def test_other_content_is_not_resumed(path: Path, model: Model) -> None:
    partial = interrupt(path, model)
    before = contents(partial)
    other = Model(model.path, LAYERS, "encoder_3", hyperpatch=(3, 3))
    named = MemoryDataset(COUNT, attributes={"img_0": {"wall": "red"}})
    for asked, dataset, dtype, part in (
        (other, MemoryDataset(COUNT), "float16", "different layers"),
        (Model(model.path, LAYERS), MemoryDataset(COUNT), "float16", "different descriptor"),
        (model, MemoryDataset(COUNT), "float32", "different dtype"),
        (model, MemoryDataset(COUNT + 1), "float16", "different images"),
        (model, named, "float16", "different attributes"),
    ):
        with pytest.raises(BankError, match=f"{part}.*--restart") as caught:
            build_bank(path, asked, dataset, dtype=dtype)
        assert str(partial) in str(caught.value)
    assert contents(partial) == before


def test_restart_discards_the_interrupted_build(path: Path, model: Model) -> None:
    interrupt(path, model)
    build_bank(path, model, MemoryDataset(2), dtype="float32", restart=True)
    assert len(open_manifest(path)) == 2
    assert os.listdir(path.parent) == [path.name]


def test_folder_that_is_no_interrupted_build(path: Path, model: Model) -> None:
    partial_of(path).mkdir()
    precious = partial_of(path) / "thesis.tex"
    precious.write_text("...")
    with pytest.raises(BankError, match="in the way"):
        build_bank(path, model, MemoryDataset(1))
    assert precious.exists()


def test_two_builds_at_once(path: Path, model: Model, reference: dict[str, bytes]) -> None:
    def progress(done: int, total: int) -> None:
        for restart in (False, True):
            with pytest.raises(BankError, match="another build is writing"):
                build_bank(path, model, MemoryDataset(COUNT), restart=restart)

    build_bank(path, model, MemoryDataset(COUNT), progress=progress)
    assert contents(path) == reference


# Replacement


def test_existing_bank_is_kept(path: Path, model: Model) -> None:
    build_bank(path, model, MemoryDataset(1))
    before = contents(path)
    with pytest.raises(BankError, match=r"tiny\.bank exists.*--overwrite"):
        build_bank(path, model, MemoryDataset(2))
    assert contents(path) == before


@pytest.mark.parametrize("at_once", [True, False])
def test_overwrite(
    path: Path, model: Model, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    build_bank(path, model, MemoryDataset(1))
    if not at_once:
        monkeypatch.setattr(publish, "_exchange_at_once", lambda first, second: False)
    seen = []
    build_bank(
        path,
        model,
        MemoryDataset(3),
        overwrite=True,
        progress=lambda done, total: seen.append(len(open_manifest(path))),
    )
    assert len(seen) >= 4
    assert set(seen) == {1}
    assert len(open_manifest(path)) == 3
    assert os.listdir(path.parent) == [path.name]
    assert not (path / "journal.jsonl").exists()


def test_failing_overwrite_keeps_the_old_bank(
    path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_bank(path, model, MemoryDataset(1))
    before = contents(path)
    with pytest.raises(StoppedError):
        build_bank(path, model, MemoryDataset(3), overwrite=True, progress=stop_at(3))
    assert contents(path) == before

    def refuse(rename: Any, source: Path, target: Path) -> None:
        if target == path and source == partial_of(path):
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(publish, "_exchange_at_once", lambda first, second: False)
        patch_call(patch, os, "rename", refuse)
        with pytest.raises(BankError, match="Input/output error"):
            build_bank(path, model, MemoryDataset(3), overwrite=True)
    assert contents(path) == before
    build_bank(path, model, MemoryDataset(3), overwrite=True)
    assert len(open_manifest(path)) == 3


def test_only_banks_are_overwritten(path: Path, model: Model) -> None:
    path.mkdir()
    (path / "manifest.json").write_text('{"format": "web app"}')
    with pytest.raises(BankError, match="is not a bank, so it is not overwritten"):
        build_bank(path, model, MemoryDataset(1), overwrite=True)
    assert set(contents(path)) == {"manifest.json"}


# Bad images


def test_bad_image_stops_the_build(path: Path, model: Model) -> None:
    with pytest.raises(ImageError, match=r"'img_0'.*img_0\.png is cut short.*--skip-bad"):
        build_bank(path, model, MemoryDataset(COUNT, bad=[0]))
    assert os.listdir(path.parent) == []


def test_bad_image_later_can_be_skipped_then(path: Path, model: Model) -> None:
    dataset = MemoryDataset(COUNT, bad=[3])
    with pytest.raises(ImageError, match="'img_3'"):
        build_bank(path, model, dataset)
    build_bank(path, model, dataset, skip_bad=True)
    assert open_manifest(path).names == ("img_0", "img_1", "img_2", "img_4")


@pytest.mark.parametrize("done", [None, 1, 4])
def test_skipped_images_leave_no_gap(tmp_path: Path, model: Model, done: int | None) -> None:
    dataset = MemoryDataset(6, bad=[0, 3, 5], attributes={"img_3": {"a": "1"}, "img_4": {"a": "2"}})
    path = tmp_path / "skipped.bank"
    if done is not None:
        with pytest.raises(StoppedError):
            build_bank(path, model, dataset, skip_bad=True, progress=stop_at(done))
    build_bank(path, model, dataset, skip_bad=True)
    manifest = open_manifest(path)
    assert manifest.names == ("img_1", "img_2", "img_4")
    assert [each.name for each in manifest.skipped] == ["img_0", "img_3", "img_5"]
    assert {each.reason for each in manifest.skipped} == {
        f"img_{index}.png is cut short" for index in (0, 3, 5)
    }
    assert manifest.attributes == {"img_4": {"a": "2"}}
    build_bank(tmp_path / "subset.bank", model, MemoryDataset(6).subset(manifest.names))
    subset = contents(tmp_path / "subset.bank")
    skipped = contents(path)
    assert {**skipped, "manifest.json": b""} == {**subset, "manifest.json": b""}


def test_skipped_image_that_can_be_read_again(path: Path, model: Model) -> None:
    with pytest.raises(StoppedError):
        build_bank(path, model, MemoryDataset(4, bad=[1]), skip_bad=True, progress=stop_at(3))
    build_bank(path, model, MemoryDataset(4))
    assert len(open_manifest(path)) == 4
    assert open_manifest(path).skipped == ()


@pytest.mark.usefixtures("unsampled")
def test_image_that_became_bad_keeps_what_is_done(
    path: Path, model: Model, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(path, model)
    with pytest.raises(ImageError, match="'img_0'"):
        build_bank(path, model, MemoryDataset(COUNT, bad=[0]))
    runs = patch_call(monkeypatch, model, "run", lambda run, *a, **k: run(*a, **k))
    build_bank(path, model, MemoryDataset(COUNT))
    assert contents(path) == reference
    assert len(runs) <= 1


def test_nothing_can_be_read(path: Path, model: Model) -> None:
    with pytest.raises(DatasetError, match=r"none of the 2.*'img_0': img_0\.png is cut short"):
        build_bank(path, model, MemoryDataset(2, bad=[0, 1]), skip_bad=True)
    with pytest.raises(DatasetError, match="no pairs"):
        build_bank(path, model, MemoryDataset(0))
    assert os.listdir(path.parent) == []


def test_images_of_another_size(path: Path, model: Model) -> None:
    dataset = MemoryDataset(2, (40, 32))
    with pytest.raises(ImageError, match=r"img_0 is 40x32.*32x32.*--resize"):
        build_bank(path, model, dataset)
    resizing = Model(model.path, LAYERS, preprocessing=Preprocessing(resize=True))
    build_bank(path, resizing, dataset)
    fitted = [resizing.preprocessing.fit(pair.input) for pair in dataset]
    np.testing.assert_array_equal(np.load(path / "inputs.npy"), fitted)


def test_target_of_the_wrong_kind(path: Path, model: Model) -> None:
    dataset = MemoryDataset(1, classes=3)
    dataset._target_palette = None
    with pytest.raises(ImageError, match=r"target of img_0 is uint8 \(32, 32\).*photo"):
        build_bank(path, model, dataset)


# Activations that cannot be kept


def test_nan_activation(tmp_path: Path, path: Path) -> None:
    model = Model(nan_network(tmp_path / "nan.onnx"))
    dataset = MemoryDataset(3, (16, 16), darkest=100)
    dataset.pairs["img_2"].input[:] = 0
    with pytest.raises(ActivationError, match="layer 'encoder_1' for image 'img_2' holds NaN"):
        build_bank(path, model, dataset)
    assert not path.exists()
    assert not partial_of(path).exists()


def test_activation_too_large_for_float16(tmp_path: Path, path: Path) -> None:
    factor = numpy_helper.from_array(np.array(1e5, np.float32), "factor")
    nodes = [
        helper.make_node("Mul", ["input", "factor"], ["large"]),
        helper.make_node("Relu", ["large"], ["output"]),
    ]
    shape = (1, 3, 8, 8)
    network = save_network(
        tmp_path / "large.onnx", nodes, shape, shape, [factor], {"input_range": "[0, 1]"}
    )
    model = Model(network, ["large"])
    pairs = MemoryDataset(1, (8, 8))
    with pytest.raises(ActivationError, match=r"layer 'large' for image 'img_0'.*--dtype bfloat16"):
        build_bank(path, model, pairs)
    assert not partial_of(path).exists()
    exact = model.activations(pairs[0].input, ["large"])["large"]
    assert exact.max() > 65504
    for dtype in ("bfloat16", "float32", "int8"):
        build_bank(path, model, pairs, dtype=dtype, overwrite=True)
        kept = np.load(path / "activations/large.npy")
        np.testing.assert_array_equal(kept[0], stored(exact, dtype))


def test_unknown_dtype(path: Path, model: Model) -> None:
    expected = "dtype must be float16 or bfloat16 or float32 or int8, not 'uint16'"
    with pytest.raises(BankError, match=expected):
        build_bank(path, model, MemoryDataset(1), dtype="uint16")
    assert os.listdir(path.parent) == []


# Full disks


def fail_with(code: int) -> Callable[..., None]:
    def fail(original: Any, *args: Any) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_too_little_space(path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(path.parent)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(BankError, match=r"needs .* bytes\).*where .*\(1000 bytes\) are available"):
        build_bank(path, model, MemoryDataset(COUNT))
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_space_that_cannot_be_reserved(
    path: Path, model: Model, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def reserve(original: Any, descriptor: int, offset: int, size: int) -> None:
        if len(reserved) > 3:
            raise OSError(code, os.strerror(code))
        original(descriptor, offset, size)

    reserved = patch_call(monkeypatch, os, "posix_fallocate", reserve)
    with pytest.raises(BankError, match=r"the bank needs \d.*available") as caught:
        build_bank(path, model, MemoryDataset(COUNT))
    assert os.strerror(code) in str(caught.value)
    assert os.listdir(path.parent) == []


def test_file_size_limit(path: Path, model: Model) -> None:
    program = f"""
        import resource, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from memory_dataset import MemoryDataset
        from compnn.bank.builder import build_bank
        from compnn.errors import BankError
        from compnn.network.onnx import Model

        model = Model({str(model.path)!r}, {LAYERS!r}, "encoder_3")
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        try:
            build_bank({str(path)!r}, model, MemoryDataset({COUNT}))
        except BankError as error:
            print(error)
    """
    with _python(program, stdout=subprocess.PIPE) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"the bank needs" in output
    assert b"File too large" in output
    assert os.listdir(path.parent) == []


def test_disk_that_fills_up_later(
    path: Path, model: Model, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(original: Any, descriptor: int, data: Any, offset: int) -> int:
        if len(writes) > 30:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(original(descriptor, data, offset))

    with monkeypatch.context() as patch:
        writes = patch_call(patch, os, "pwrite", write)
        with pytest.raises(BankError, match=r"No space left.*kept in .*again to resume"):
            build_bank(path, model, MemoryDataset(COUNT))
    assert (partial_of(path) / "journal.jsonl").exists()
    build_bank(path, model, MemoryDataset(COUNT))
    assert contents(path) == reference


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EINVAL])
def test_file_systems_that_cannot_reserve(
    path: Path,
    model: Model,
    reference: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    code: int,
) -> None:
    patch_call(monkeypatch, os, "posix_fallocate", fail_with(code))
    build_bank(path, model, MemoryDataset(COUNT))
    assert contents(path) == reference


def test_short_writes_are_continued(
    path: Path, model: Model, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(original: Any, descriptor: int, data: Any, offset: int) -> int:
        return int(original(descriptor, data[: max(1, len(data) // 2 + 1)], offset))

    patch_call(monkeypatch, os, "pwrite", write)
    build_bank(path, model, MemoryDataset(COUNT))
    assert contents(path) == reference


def test_real_facades(shared: Path, path: Path) -> None:
    """Some of the paper's pairs through its network: sizes of Table 3, in bounded memory."""
    program = f"""
        from pathlib import Path
        from compnn.bank.builder import build_bank
        from compnn.data.side_by_side import SideBySide
        from compnn.network.onnx import Model

        shared = Path({str(shared)!r})
        pairs = SideBySide(shared / "data/facades/train", input="right", input_palette="facades")
        layers = ["encoder_1", "encoder_3", "decoder_4", "decoder_2"]
        model = Model(shared / "models/pix2pix-facades-labels-to-photo.onnx", layers, "decoder_7")
        build_bank({str(path)!r}, model, pairs.subset(pairs.names[:4]))
        status = Path("/proc/self/status")
        print(status.read_text() if status.exists() else "")
    """
    with _python(program, stdout=subprocess.PIPE) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    kept = np.load(path / "activations/decoder_2.npy", mmap_mode="r").shape
    manifest = open_manifest(path)
    assert manifest.layers["decoder_2"].shape == (128, 128, 128)
    assert kept == (4, 128, 128, manifest.directions["decoder_2"].count)
    # A window of 4x4 pixels has 48 numbers, whatever the network makes of it.
    assert manifest.directions["encoder_1"].count == 48
    Records(path, open_manifest(path)).verify_all()
    for peak_kilobytes in re.findall(rb"VmHWM:\s+(\d+) kB", output):
        assert int(peak_kilobytes) < 1_500_000
