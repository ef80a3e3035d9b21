"""Engines in processes of their own, timed by turns.

One library's threads, which wait busily for more work, and its allocator cannot then slow another
one down; each gets its number of threads and its instruction set from the environment, which some
read only when they are loaded; and peak memory belongs to one engine. Only one works at a time.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

# Threads of a library that has just answered stop waiting busily within this.
_PAUSE = 0.3
_POLL = 0.02

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Answer:
    """What a call returned, in how many seconds.

    `memory` is the most that the process held during the call, in bytes: RssAnon, that is without
    mapped files.
    """

    value: Any
    seconds: float
    memory: int


class Worker:
    """A process that makes an object with `make(*arguments)` and calls its methods when asked."""

    def __init__(
        self,
        make: Callable[..., Any],
        *arguments: Any,
        threads: int,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, other = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(other, make, arguments), daemon=True)
        before = dict(os.environ)
        os.environ.update(dict.fromkeys(_THREADS, str(threads)) | dict(environment or {}))
        try:
            self._process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        other.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.join()
        self._pipe.close()

    def call(self, method: str, *arguments: Any) -> Answer:
        """Call a method, timed in the process itself."""
        time.sleep(_PAUSE)
        self._pipe.send((method, arguments))
        memory = self._memory()
        while not self._pipe.poll(_POLL):
            memory = max(memory, self._memory())
        answer, seconds = self._pipe.recv()
        if isinstance(answer, BaseException):
            raise answer
        return Answer(answer, seconds, max(memory, self._memory()))

    def _memory(self) -> int:
        """Bytes of the process that are no mapped files; 0 where the system does not tell."""
        status = Path(f"/proc/{self._process.pid}/status")
        for line in status.read_text().splitlines() if status.exists() else ():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        return 0


def _serve(pipe: Connection, make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    made = make(*arguments)
    while True:
        try:
            method, values = pipe.recv()
        except EOFError:
            return
        start = time.perf_counter()
        try:
            answer = getattr(made, method)(*values)
        except Exception as error:
            answer = error
        pipe.send((answer, time.perf_counter() - start))


@dataclass(frozen=True)
class Job:
    """A call to measure, and not to repeat once that has taken `patience` seconds in all."""

    worker: Worker
    method: str
    arguments: tuple[Any, ...]
    patience: float


def best_of(jobs: Sequence[Job], repeat: int) -> list[Answer]:
    """Do all jobs by turns, `repeat` times over; of each, the fastest answer, and the most memory.

    A job stops being repeated when its patience is at an end.
    """
    best: list[Answer | None] = [None] * len(jobs)
    spent = [0.0] * len(jobs)
    for _ in range(repeat):
        for number, job in enumerate(jobs):
            if spent[number] > job.patience:
                continue
            before, now = best[number], job.worker.call(job.method, *job.arguments)
            spent[number] += now.seconds
            if before is not None:
                memory = max(before.memory, now.memory)
                fastest = min(before, now, key=lambda answer: answer.seconds)
                now = Answer(fastest.value, fastest.seconds, memory)
            best[number] = now
    return [answer for answer in best if answer is not None]
