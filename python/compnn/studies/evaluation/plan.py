"""What an evaluation measures, given what the bank can answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compnn.bank.bank import Bank
from compnn.errors import EvaluationError
from compnn.explanation.explainer import Explainer
from compnn.images.kinds import Kind, Photo, Values
from compnn.images.measures import Comparison
from compnn.studies.evaluation.rows import Against, Row


@dataclass(frozen=True)
class Training:
    """What an evaluation keeps of the bank, which need not be there any more when it is looked at.

    Attributes
    ----------
    path
        The bank.
    names
        Of all its images.
    attributes
        {name: {key: value}} of those that have any.
    input_kind, target_kind
        What inputs and targets are.
    descriptor
        The tap that gives its descriptors, or None.
    """

    path: Path
    names: tuple[str, ...]
    attributes: Mapping[str, Mapping[str, str]]
    input_kind: Kind
    target_kind: Kind
    descriptor: str | None

    @classmethod
    def of(cls, bank: Bank) -> Training:
        """What is kept of a bank."""
        attributes = {name: dict(values) for name, values in bank.attributes.items()}
        kinds = bank.input_kind, bank.target_kind
        return cls(bank.path, bank.names, attributes, *kinds, bank.descriptor)


@dataclass(frozen=True)
class Plan:
    """What is evaluated.

    Attributes
    ----------
    training
        The bank that is searched.
    allowed
        Indices of its images that may be used.
    layers
        Layers of the output and input reconstructions.
    top_k
        Numbers of nearest images that are searched, None for all.
    nearest_by
        The layers of the global reconstructions: None for the descriptor, and the bank's layer
        nearest to the network's output.
    notes
        What is left out, and why.
    has_output
        Whether the network has an output that pictures can be compared with.
    """

    training: Training
    allowed: tuple[int, ...]
    layers: tuple[str, ...]
    top_k: tuple[int | None, ...]
    nearest_by: tuple[str | None, ...]
    notes: tuple[str, ...]
    has_output: bool

    @classmethod
    def of(
        cls,
        explainer: Explainer,
        layers: Sequence[str] | None,
        top_k: Sequence[int | None],
        allowed: Sequence[int],
    ) -> Plan:
        """Plan an evaluation, leaving out what the bank cannot answer.

        Raises
        ------
        LayerError
            If the bank does not hold a layer.
        EvaluationError
            If a k is below 1, or none is left.
        """
        bank = explainer.bank
        names = list(bank.layers) if not layers else list(dict.fromkeys(layers))
        for name in names:
            bank.layer(name)
        counts, notes = [], []
        for k in dict.fromkeys(top_k):
            if k is not None and k < 1:
                raise EvaluationError(f"top_k must be at least 1, or None for all, not {k}")
            if k is not None and bank.descriptor is None:
                notes.append(f"top {k} is left out: the bank has no descriptor (`--descriptor`)")
            elif k is not None and k > len(allowed):
                notes.append(
                    f"top {k} is left out: only {len(allowed)} training images may be used"
                )
            else:
                counts.append(k)
        if not counts:
            raise EvaluationError(
                f"there is nothing to search: {'; '.join(notes) or 'top_k is empty'}. "
                f"Search all images (`--top-k all`), or fewer."
            )
        nearest_by: list[str | None] = []
        if bank.descriptor is None:
            notes.append("the global reconstruction by the descriptor is left out: there is none")
        else:
            nearest_by.append(None)
        has_output = explainer.network.output_name is not None
        if not has_output:
            notes.append("the network itself is left out: it has no output")
        order = {layer.name: place for place, layer in enumerate(explainer.network.taps())}
        last = max(bank.layers, key=lambda name: order.get(name, -1))
        if explainer.network.input_size is None:
            notes.append(
                f"the global reconstruction by {last} is left out: whole activations compare only "
                f"where all images have one size"
            )
        elif last != bank.descriptor:
            nearest_by.append(last)
        return cls(
            Training.of(bank),
            tuple(allowed),
            tuple(names),
            tuple(counts),
            tuple(nearest_by),
            tuple(notes),
            has_output,
        )

    @property
    def taps(self) -> list[str]:
        """Layers of the bank whose activations are needed."""
        return list(dict.fromkeys([*self.layers, *filter(None, self.nearest_by)]))

    @property
    def most_images(self) -> int | None:
        """The number of nearest images of the largest search, None for all."""
        counts = [k for k in self.top_k if k is not None]
        return None if None in self.top_k else max(counts)

    def rows(self) -> list[Row]:
        """All rows, in the order of the table."""
        return [
            *([Row("network")] * self.has_output),
            *(self.global_row(layer) for layer in self.nearest_by),
            *(Row("OR", layer, top_k) for layer, top_k in self.searches()),
            *(Row("IR", layer, top_k) for layer, top_k in self.searches()),
        ]

    def searches(self) -> list[tuple[str, int | None]]:
        """The layer and the number of images, None for all, of each search."""
        return [(layer, top_k) for layer in self.layers for top_k in self.top_k]

    def global_row(self, layer: str | None) -> Row:
        """The row of the global reconstruction by a layer, or by the descriptor (None)."""
        return Row("GR", layer or self.training.descriptor)

    def against(self, row: Row) -> list[Against]:
        """What the pictures of a row are compared with."""
        return [each for each in row.against if self.has_output or each != "network"]

    def comparison(self, against: Against) -> Comparison:
        """How pictures are compared with the truth `against`."""
        if against != "input":
            return self.training.target_kind.comparison()
        kind = self.training.input_kind
        # Inputs are what the network sees; values are seen as greys.
        return (Photo() if isinstance(kind, Values) else kind).comparison()
