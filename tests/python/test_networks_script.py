"""The script that tries networks finds what is right, and what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from benchmarks.networks import document, files, plain
from benchmarks.networks.reading import Row, Rows, described, same

from compnn import OnnxNetwork
from compnn.errors import NetworkError
from tiny_networks import tiny_unet


def test_a_network_that_is_read_rightly(tmp_path: Path) -> None:
    tiny_unet(tmp_path / "net.onnx", size=(64, 64))
    (row,) = files.rows(tmp_path, Rows())
    assert row.verdict == "right"
    taps = len(OnnxNetwork(tmp_path / "net.onnx", []).taps())
    assert row.cells[1] == f"{taps} of {taps}"
    assert "contradicted" not in row.cells[2] + row.cells[3]


def test_other_numbers_are_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny_unet(tmp_path / "net.onnx", size=(64, 64))
    other = tiny_unet(tmp_path / "other.txt", size=(64, 64), seed=1)
    truth = plain.tensors
    monkeypatch.setattr(plain, "tensors", lambda _, *more: truth(other, *more))
    (row,) = files.rows(tmp_path, Rows())
    assert row.is_wrong
    for name in ("encoder_1 holds other numbers", "decoder_2 holds", "its output is another"):
        assert name in row.verdict
    assert path.is_file()


def test_a_refusal_is_right_only_where_it_is_expected(tmp_path: Path) -> None:
    """Files of the names that have expectations: the U-Net has no e1, the other no weights."""
    tiny_unet(tmp_path / "plain.onnx")
    (tmp_path / "ir99.onnx").write_bytes(b"nothing")
    (tmp_path / "unknown.onnx").write_bytes(b"nothing")
    newest, usual, unexpected = files.rows(tmp_path, Rows())
    assert "names no remedy" in newest.verdict
    assert "though it can be read" in usual.verdict
    assert unexpected.is_refused
    said = document.summary([newest, usual, unexpected, Row("x", (), "right")])
    assert said == "1 read rightly, 1 refused with a remedy, 2 wrong"


def test_an_error_of_others_is_wrong() -> None:
    assert described(NetworkError("no\nsuch")) == "refused: no such"
    assert described(KeyError("e1")) == "WRONG: KeyError: 'e1'"


def test_numbers_are_compared_in_every_layout() -> None:
    tap = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32)
    tokens = tap.reshape(5, 12).T[None]
    for truth in (
        tap[None],
        tap.transpose(1, 2, 0)[None],
        tokens,
        np.concatenate([np.ones((1, 2, 5)), tokens], 1),
    ):
        assert same(truth, tap)
        assert not same(truth[::-1] * 1.01, tap)
        assert not same(truth, tap[:, ::-1])


def test_plain_runs_need_no_order_of_nodes(tmp_path: Path) -> None:
    path = tiny_unet(tmp_path / "net.onnx", size=(32, 32))
    image = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    found = plain.tensors(path, image, {"decoder_2"})
    model = onnx.load(path)
    nodes = [onnx.NodeProto.FromString(each.SerializeToString()) for each in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes[::-1])
    onnx.save(model, tmp_path / "reversed.onnx")
    again = plain.tensors(tmp_path / "reversed.onnx", image, {"decoder_2"})
    np.testing.assert_array_equal(found["decoder_2"], again["decoder_2"])
