"""ONNX Runtime sessions for the tensors that are asked for, kept between runs."""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from compnn.errors import NetworkError
from compnn.network.onnx_graph import Cut, OnnxGraph

_CPU = "CPUExecutionProvider"
# In the package onnxruntime-gpu.
_OF_GPU = ("cuda", "tensorrt", "nvtensorrtrtx")
# Each session holds the network's weights, widened to float.
MOST_SESSIONS = 3


def available_cpus() -> int:
    """Number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Sessions:
    """Runs a graph up to any of its tensors; the latest few sessions are kept. Thread-safe.

    Parameters
    ----------
    graph : the network
    num_threads : threads of one run; -1 means all CPUs that this process may use
    providers : ONNX Runtime's execution providers, the first choice first, by their names or short
        ones ("cuda"); what none of them can run the CPU does

    Raises
    ------
    NetworkError
        When a number of threads makes no sense, or a provider is not available.
    """

    def __init__(
        self, graph: OnnxGraph, num_threads: int = -1, providers: Sequence[str] = ("cpu",)
    ) -> None:
        if num_threads < 1 and num_threads != -1:
            raise NetworkError(f"num_threads must be -1 (all) or at least 1, not {num_threads}")
        self._graph = graph
        self.providers = execution_providers(providers)
        self.num_threads = available_cpus() if num_threads == -1 else num_threads
        self._sessions: OrderedDict[tuple[str, ...], onnxruntime.InferenceSession] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def runtime(self) -> str:
        """ONNX Runtime's version, and its execution provider, unless that is the CPU."""
        first = self.providers[0].removesuffix("ExecutionProvider")
        where = "" if self.providers[0] == _CPU else f" with {first}"
        return f"ONNX Runtime {onnxruntime.__version__}{where}"

    def run(
        self, outputs: Sequence[str], images: npt.NDArray[np.floating[Any] | np.uint8]
    ) -> dict[str, npt.NDArray[Any]]:
        """As `run_session`, for the tensors `outputs`.

        Raises
        ------
        NetworkError
            When ONNX Runtime cannot load or run the network.
        """
        names = tuple(sorted(set(outputs)))
        return run_session(self._graph, self._session(names), names, images)

    def with_threads(self, num_threads: int) -> Sessions:
        """Sessions of the same graph with another number of threads."""
        return Sessions(self._graph, num_threads, self.providers)

    def _session(self, names: tuple[str, ...]) -> onnxruntime.InferenceSession:
        with self._lock:
            if names not in self._sessions:
                if len(self._sessions) == MOST_SESSIONS:
                    self._sessions.popitem(last=False)
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = self.num_threads
                options.inter_op_num_threads = 1
                cut = self._graph.cut(names)
                self._sessions[names] = open_session(self._graph, cut, options, self.providers)
            self._sessions.move_to_end(names)
            return self._sessions[names]


def open_session(
    graph: OnnxGraph,
    cut: Cut,
    options: onnxruntime.SessionOptions,
    providers: Sequence[str] = (_CPU,),
) -> onnxruntime.InferenceSession:
    """A session for `cut`, a part of `graph`; ONNX Runtime prints nothing.

    Raises
    ------
    NetworkError
        When ONNX Runtime cannot load it, or not with the first of `providers`.
    """
    options.log_severity_level = 4
    if cut.mapped:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(each) for each in cut.mapped.values()]
        options.add_external_initializers(list(cut.mapped), values)
        # A layout for the processor at hand would take copies of the weights, thrice for a while.
        levels = onnxruntime.GraphOptimizationLevel
        if options.graph_optimization_level == levels.ORT_ENABLE_ALL:
            options.graph_optimization_level = levels.ORT_ENABLE_EXTENDED
    try:
        session = onnxruntime.InferenceSession(
            # Without the second try after an error, of which it tells on standard output.
            cut.model,
            options,
            providers=list(providers),
            enable_fallback=0,
        )
    except Exception as error:  # ONNX Runtime's errors share no base of their own
        raise NetworkError(_refusal(graph, error)) from error
    if providers[0] not in session.get_providers():
        # ONNX Runtime has it, but not what it needs: then it takes the next one without a word.
        raise NetworkError(
            f"{graph.path} cannot run with the execution provider {providers[0]}: its libraries "
            f"or its device are missing; check them, or leave the provider out"
        )
    return session


def execution_providers(names: Sequence[str]) -> tuple[str, ...]:
    """ONNX Runtime's names of execution providers; the CPU is always the last.

    Raises
    ------
    NetworkError
        When one is not available, listing those that are.
    """
    available = {
        name.removesuffix("ExecutionProvider").lower(): name
        for name in onnxruntime.get_available_providers()
    }
    found = []
    for name in names:
        short = name.removesuffix("ExecutionProvider").lower()
        if short not in available:
            remedy = "" if short not in _OF_GPU else "; for that, pip install onnxruntime-gpu"
            raise NetworkError(
                f"execution provider {name!r} is not available in ONNX Runtime "
                f"{onnxruntime.__version__}, which has {', '.join(available)}{remedy}"
                f"{' in place of onnxruntime' if remedy else ''}"
            )
        found.append(available[short])
    return tuple(dict.fromkeys([*(name for name in found if name != _CPU), _CPU]))


def run_session(
    graph: OnnxGraph,
    session: onnxruntime.InferenceSession,
    names: Sequence[str],
    images: npt.NDArray[np.floating[Any] | np.uint8],
) -> dict[str, npt.NDArray[Any]]:
    """The tensors `names` for preprocessed `images`, as the network gives them.

    `images` are as `ImageInput.of` gives them.

    Raises
    ------
    NetworkError
        When the run fails.
    """
    _, rows, cols = graph.input.axes
    try:
        values = session.run(list(names), {graph.input.name: images})
    except Exception as error:  # ONNX Runtime's errors share no base of their own
        raise NetworkError(
            f"{graph.path} does not run on {len(images)} images of "
            f"{images.shape[rows]}x{images.shape[cols]}: {_first_line(error)}"
        ) from error
    return dict(zip(names, values, strict=True))


def _refusal(graph: OnnxGraph, error: Exception) -> str:
    """Why ONNX Runtime does not load a network, and what to do about it."""
    text = str(error)
    runtime = f"ONNX Runtime {onnxruntime.__version__}"
    if found := re.search(r"IR version: (\d+), max supported IR version: (\d+)", text):
        return (
            f"{graph.path} is of IR version {found[1]}, but {runtime} reads versions up to "
            f"{found[2]}; upgrade onnxruntime, or export the network with an older exporter"
        )
    if found := re.search(r"Opset (\d+) is under .* domain (\S+) is till opset (\d+)", text):
        return (
            f"{graph.path} is of opset {found[1]} of {found[2]}, but {runtime} reads opsets up to "
            f"{found[3]}; upgrade onnxruntime, or export the network with "
            f"`opset_version={found[3]}`"
        )
    if found := re.search(r"([\w.]+:\w+)\(-?\d+\) is not a registered", text):
        return (
            f"{graph.path} needs the operator {found[1]}, which {runtime} does not know; upgrade "
            f"onnxruntime, or export the network without it"
        )
    return (
        f"ONNX Runtime cannot load {graph.path}: {_first_line(error)}; check the file with "
        f"onnx.checker, and the size of the image"
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
