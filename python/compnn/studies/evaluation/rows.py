"""The rows of an evaluation: what is reconstructed, and how, as in the paper's Table 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["network", "GR", "OR", "IR"]
Against = Literal["target", "network", "input"]


@dataclass(frozen=True)
class Row:
    """One way to get a picture for a query.

    Attributes
    ----------
    kind
        "network" (its own output, the baseline), "GR" (global reconstruction: the target of the
        nearest training image), "OR" or "IR" (output or input reconstruction).
    layer
        The tap by which training images or hyperpatches are compared; None for the network.
    top_k
        OR and IR: the number of images searched, None for all.
    """

    kind: Kind
    layer: str | None = None
    top_k: int | None = None

    def __str__(self) -> str:
        images = {"": "", "all": "all"}.get(self.searched, f"top {self.searched}")
        return " ".join(filter(None, (self.kind, self.layer, images)))

    @property
    def searched(self) -> str:
        """The training images searched, as `--top-k` has them; empty where nothing is searched."""
        if self.kind in ("network", "GR"):
            return ""
        return "all" if self.top_k is None else str(self.top_k)

    @property
    def against(self) -> tuple[Against, ...]:
        """What the picture is compared with: true target, network's output, or the query.

        Without a network's output `Plan.against` leaves that out.
        """
        if self.kind == "network":
            return ("target",)
        return ("input",) if self.kind == "IR" else ("target", "network")
