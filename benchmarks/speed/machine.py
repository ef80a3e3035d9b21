"""What the machine is, and the most that matrix products reach on it."""

from __future__ import annotations

import platform
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from importlib import metadata
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from benchmarks.common import cores, processor
from compnn import _core

_SIZE = 2048
PRODUCTS = float(_SIZE) ** 3


def describe(threads: int) -> str:
    """One line: processor, cores, threads used, instruction set."""
    return (
        f"{processor()}, {cores()} cores, {threads} threads used, "
        f"kernels {_core.simd_level()}, {platform.system()}"
    )


def versions() -> str:
    """Versions of the packages that are compared."""
    found = []
    for name in ("faiss-cpu", "hnswlib", "usearch", "torch", "numpy", "onnxruntime"):
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return ", ".join(found)


# What OpenBLAS calls the kernels of an instruction set; it has none for 16-bit numbers.
BLAS_KERNELS = {"avx2": "Haswell", "avx512": "SkylakeX", "avx512vnni": "SkylakeX"}


def fastest_blas() -> dict[str, str]:
    """Environment in which OpenBLAS takes the fastest kernels that this processor has.

    The OpenBLAS in a wheel may be older than the processor, and take it for one without AVX.
    """
    kernels = [BLAS_KERNELS.get(level) for level in _core.supported_simd_levels()]
    return {} if kernels[-1] is None else {"OPENBLAS_CORETYPE": kernels[-1]}


class IndependentProducts:
    """Products of matrices whose threads have nothing in common: the most that threads can gain.

    To be made where NumPy's BLAS has one thread.
    """

    _COUNT = 24

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads)
        self._matrix = np.random.default_rng(1).random((_SIZE // 2, _SIZE // 2), np.float32)

    def multiply(self) -> None:
        """Multiply the same matrices many times, shared out among the threads."""
        list(self._pool.map(lambda _: self._matrix @ self._matrix, range(self._COUNT)))


class MatrixProducts:
    """Products of two square matrices: floats by NumPy's BLAS, 8 bits by ONNX Runtime."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def floats(self) -> None:
        """Multiply float32 matrices."""
        np.matmul(self._floats, self._floats)

    def bytes(self) -> None:
        """Multiply matrices of 8-bit numbers, with sums of 32 bits."""
        self._session.run(None, {"a": self._unsigned})

    @cached_property
    def _floats(self) -> Any:
        return np.random.default_rng(1).random((_SIZE, _SIZE), np.float32)

    @cached_property
    def _unsigned(self) -> Any:
        return np.random.default_rng(1).integers(0, 255, (_SIZE, _SIZE), np.uint8)

    @cached_property
    def _session(self) -> Any:
        shape = [_SIZE, _SIZE]
        signed = self._unsigned.view(np.int8)
        graph = helper.make_graph(
            [helper.make_node("MatMulInteger", ["a", "b"], ["c"])],
            "product",
            [helper.make_tensor_value_info("a", TensorProto.UINT8, shape)],
            [helper.make_tensor_value_info("c", TensorProto.INT32, shape)],
            [helper.make_tensor("b", TensorProto.INT8, shape, signed.tobytes(), raw=True)],
        )
        opset = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=9)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        return onnxruntime.InferenceSession(model.SerializeToString(), options)
