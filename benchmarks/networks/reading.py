"""What compnn reads of a network beside numbers that come from elsewhere."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compnn import Network, OnnxNetwork
from compnn.errors import CompnnError
from compnn.network.onnx_check import Verdict

# Numbers agree within this part of the largest.
_TOLERANCE = 1e-3
NOT_EXPORTED = "not exported"
# Taps of one run: all of a large network's do not fit into the memory.
_TAPS_A_RUN = 64


@dataclass(frozen=True)
class Row:
    """One network in a table: its cells between the name and the verdict, and the verdict.

    `reasons`: why maps could not be seen.
    """

    name: str
    cells: tuple[str, ...]
    verdict: str
    reasons: tuple[str, ...] = ()

    @property
    def is_wrong(self) -> bool:
        return self.verdict.startswith("WRONG")

    @property
    def is_refused(self) -> bool:
        return self.verdict.startswith("refused")

    @property
    def is_left_out(self) -> bool:
        return self.verdict.startswith(NOT_EXPORTED)


class Rows:
    """Rows as they are found; with a file they are kept there, and not made again.

    Parameters
    ----------
    kept : a file of JSON lines, which need not exist
    """

    def __init__(self, kept: Path | None = None) -> None:
        self._kept = kept
        self._found: dict[str, Row] = {}
        if kept is not None and kept.is_file():
            for line in kept.read_text(encoding="utf-8").splitlines():
                fields = json.loads(line)
                cells, reasons = tuple(fields["cells"]), tuple(fields["reasons"])
                row = Row(fields["name"], cells, fields["verdict"], reasons)
                self._found[fields["key"]] = row

    def row(self, key: str, make: Callable[[], Row]) -> Row:
        """The row of a key, made if there is none; it is printed."""
        if key not in self._found:
            row = self._found[key] = make()
            if self._kept is not None:
                with self._kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": key, **asdict(row)}) + "\n")
        row = self._found[key]
        print(row.name, *row.cells, row.verdict, sep=" | ", flush=True)
        return row


def verdict_of(faults: Sequence[str]) -> str:
    """ "right", or all that is wrong."""
    return f"WRONG: {'; '.join(faults)}" if faults else "right"


def described(error: Exception) -> str:
    """An error as the verdict on a network: one of compnn's is a refusal, any other is wrong."""
    text = one_line(str(error))
    if isinstance(error, CompnnError):
        return f"refused: {text}"
    return f"WRONG: {type(error).__name__}: {text}"


def one_line(text: str) -> str:
    """A text that may stand in a table."""
    return " ".join(text.split()).replace("|", "/")


def read_taps(
    network: Network, pixels: npt.NDArray[np.uint8], names: Sequence[str]
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """The taps (D, H, W), a few at a time."""
    for first in range(0, len(names), _TAPS_A_RUN):
        yield from network.read(pixels, names[first : first + _TAPS_A_RUN]).taps.items()


def same(truth: npt.NDArray[np.generic], tap: npt.NDArray[np.float32]) -> bool:
    """Whether a tap (D, H, W) holds a tensor (N, D, H, W), (N, H, W, D), (N, H, W) or (N, T, D)."""
    depth, height, width = tap.shape
    value = np.asarray(truth, np.float32)
    forms = [value]
    if value.ndim == 4:
        forms = [value[0], value[0].transpose(2, 0, 1)]
    elif value.ndim == 3:
        forms = [value, value[:1], value.transpose(2, 0, 1)]
        if value.shape[1] >= height * width:
            # Tokens; other ones may stand before those of the grid.
            forms.append(value[0, -height * width :].T.reshape(-1, height, width))
        if value.shape[2] == height * width:
            forms.append(value[0].reshape(-1, height, width))
    elif value.ndim == 2:
        forms = [value[np.newaxis]]
    return any(form.shape == (depth, height, width) and close(form, tap) for form in forms)


def close(truth: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> bool:
    """Whether numbers are the same within the tolerance, NaN and infinity in the same places."""
    finite = np.isfinite(truth)
    if not np.array_equal(finite, np.isfinite(found)):
        return False
    limit = _TOLERANCE * float(np.abs(truth[finite]).max(initial=1e-6))
    return float(np.abs(truth[finite] - found[finite]).max(initial=0)) <= limit


@dataclass
class Seen:
    """What perturbing says about both maps of some layers.

    `reasons`: why maps could not be seen.
    """

    looks: Counter[str] = field(default_factory=Counter)
    paints: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    reasons: set[str] = field(default_factory=set)

    def cells(self) -> tuple[str, str]:
        return _counted(self.looks), _counted(self.paints)


def checked(network: OnnxNetwork, names: Iterable[str]) -> Seen:
    """Perturb the layers `names`; what contradicts a map is a fault."""
    seen = Seen()
    for name in names:
        found, note = network.check(name), network.layer(name).geometry.note
        for which, counts, verdict in (
            ("looks", seen.looks, found.looks),
            ("paints", seen.paints, found.paints),
        ):
            counts[_kind_of(verdict, note)] += 1
            if verdict is not None and verdict.cells == 0:
                seen.reasons.add(one_line(verdict.reason))
            elif verdict is not None and not verdict.agrees:
                seen.faults.append(f"{name} {which} elsewhere: {verdict}")
    return seen


def _kind_of(verdict: Verdict | None, note: str) -> str:
    if verdict is None:
        return "no way to the output"
    if verdict.cells:
        return "seen" if verdict.agrees else "contradicted"
    return "by sizes" if "by sizes only" in note else "by operators"


def _counted(counts: Mapping[str, int]) -> str:
    """Counts in few words: "3 seen, 1 by operators"."""
    order = ("seen", "by operators", "by sizes", "no way to the output", "contradicted")
    return ", ".join(f"{counts[each]} {each}" for each in order if counts.get(each)) or "-"
