"""Runs of a PyTorch module whose submodules' results are recorded; the module is left as it was."""

from __future__ import annotations

import dataclasses
import threading
import weakref
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch

from compnn.errors import NetworkError

# Between the path of a submodule and which of its calls is meant: "up#2" is the second.
CALL = "#"


class _Hooks:
    """Evaluation mode and hooks of one module, while at least one thread runs it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running = 0
        self.records = threading.local()
        self.training: list[tuple[torch.nn.Module, bool]] = []
        self.handles: list[torch.utils.hooks.RemovableHandle] = []

    def enter(self, module: torch.nn.Module) -> None:
        with self.lock:
            self.running += 1
            if self.running > 1:
                return
            self.training = [(each, each.training) for each in module.modules()]
            try:
                module.eval()
                for path, each in module.named_modules():
                    hook = partial(self._record, path)
                    self.handles.append(each.register_forward_hook(hook))
            except BaseException:
                self._restore()
                raise

    def leave(self) -> None:
        with self.lock:
            if self.running > 1:
                self.running -= 1
            else:
                self._restore()

    def _restore(self) -> None:
        self.running = 0
        for handle in self.handles:
            handle.remove()
        for each, training in self.training:
            each.training = training
        self.handles, self.training = [], []

    def _record(self, path: str, module: torch.nn.Module, given: object, result: object, /) -> None:
        record = getattr(self.records, "record", None)
        if record is not None:
            record.add(path, result)


_LOCK = threading.Lock()
_HOOKS: weakref.WeakKeyDictionary[torch.nn.Module, _Hooks] = weakref.WeakKeyDictionary()


class Record:
    """What submodules gave in one run: their first tensor at each call.

    Parameters
    ----------
    wanted
        Which calls are kept, (path, number from 1); None: only shapes, of all.
    """

    def __init__(self, wanted: Collection[tuple[str, int]] | None = None) -> None:
        self._wanted = wanted
        self.calls: Counter[str] = Counter()
        self.shapes: dict[tuple[str, int], tuple[int, ...]] = {}
        self.tensors: dict[tuple[str, int], torch.Tensor] = {}

    def add(self, path: str, result: object) -> None:
        self.calls[path] += 1
        call = path, self.calls[path]
        if self._wanted is not None and call not in self._wanted:
            return
        tensors = [tensor for _, tensor in tensors_in(result) if tensor.is_floating_point()]
        if tensors:
            self.shapes[call] = tuple(tensors[0].shape)
            if self._wanted is not None:
                # Cloned, for the next submodule may work in place.
                self.tensors[call] = tensors[0].clone()


@contextmanager
def recording(module: torch.nn.Module, record: Record) -> Iterator[None]:
    """Evaluation mode, with the results of submodules recorded for this thread.

    Afterwards, after errors too, each submodule's mode is as it was and there are no hooks.
    """
    with _LOCK:
        hooks = _HOOKS.setdefault(module, _Hooks())
    hooks.enter(module)
    hooks.records.record = record
    try:
        yield
    finally:
        hooks.records.record = None
        hooks.leave()


def run(
    module: torch.nn.Module, image: torch.Tensor, record: Record, name: str
) -> dict[str, torch.Tensor]:
    """The tensors in what a module gives for an image, by name (`tensors_in`).

    Raises
    ------
    NetworkError
        When it fails.
    """
    # Not inference_mode: what a module keeps from a run, such as a table of positions, must serve
    # its training, too. The numbers are those of a CPU, as far as cuDNN can.
    flags = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    with recording(module, record), torch.no_grad(), flags:
        try:
            return dict(tensors_in(module(image)))
        except Exception as error:  # whatever the module raises
            first = (str(error).splitlines() or [""])[0]
            raise NetworkError(
                f"{name} does not run on an image of {'x'.join(map(str, image.shape))} (batch x "
                f"channels x height x width): {type(error).__name__}: {first}; give the size "
                f"that it takes (`size=(H, W)`)"
            ) from error


def tensors_in(result: object, name: str = "") -> list[tuple[str, torch.Tensor]]:
    """The tensors in a tensor, mapping, sequence or dataclass, with their keys: "out", "0", "a.1".

    A tensor alone is named "output".
    """
    if isinstance(result, torch.Tensor):
        return [(name or "output", result)]
    parts: Sequence[tuple[object, object]] = ()
    if isinstance(result, Mapping):
        parts = list(result.items())
    elif hasattr(result, "_asdict"):  # a named tuple
        parts = list(result._asdict().items())
    elif isinstance(result, list | tuple):
        parts = list(enumerate(result))
    elif dataclasses.is_dataclass(result):
        parts = [(each.name, getattr(result, each.name)) for each in dataclasses.fields(result)]
    return [
        found
        for key, part in parts
        for found in tensors_in(part, f"{name}.{key}" if name else str(key))
    ]


def home_of(module: torch.nn.Module) -> tuple[torch.device, torch.dtype]:
    """The device and the floating-point type of a module's weights: where its input belongs."""
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32
