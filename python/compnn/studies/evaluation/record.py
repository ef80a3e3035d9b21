"""What is measured in one image of a validation set, and its form in the journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from compnn.images.measures import Observation
from compnn.studies.evaluation.rows import Against


@dataclass(frozen=True)
class Measured:
    """A row's measurements in one image.

    Attributes
    ----------
    observations
        The comparison with each truth.
    similarity
        Mean similarity of the best matches; None where nothing is searched.
    no_evidence
        Share of the pixels that have no match; None where nothing is put together.
    seconds
        Time of the search; None where nothing is searched.
    used
        {index: pixels} that training images gave; empty except for output reconstructions.
    """

    observations: Mapping[Against, Observation]
    similarity: float | None = None
    no_evidence: float | None = None
    seconds: float | None = None
    used: Mapping[int, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """The fields as JSON values."""
        return {
            "observations": dict(self.observations),
            "similarity": self.similarity,
            "no_evidence": self.no_evidence,
            "seconds": self.seconds,
            "used": list(map(list, self.used.items())),
        }

    @classmethod
    def from_json(cls, document: object) -> Measured | None:
        """The measurements that `to_json` made JSON of; None for anything else."""
        match document:
            case {
                "observations": dict(observations),
                "similarity": float() | None as similarity,
                "no_evidence": float() | None as no_evidence,
                "seconds": float() | None as seconds,
                "used": list(used),
            } if all(isinstance(pair, list) and [*map(type, pair)] == [int, int] for pair in used):
                return cls(observations, similarity, no_evidence, seconds, dict(used))
        return None


@dataclass(frozen=True)
class Record:
    """What is measured in one image: for each row, by its text."""

    image: str
    rows: Mapping[str, Measured]

    def to_json(self) -> dict[str, object]:
        """The fields as JSON values."""
        return {
            "image": self.image,
            "rows": {key: measured.to_json() for key, measured in self.rows.items()},
        }

    @classmethod
    def from_json(cls, document: object) -> Record | None:
        """The record that `to_json` made JSON of; None for anything else."""
        match document:
            case {"image": str(image), "rows": dict(rows)}:
                read = {key: Measured.from_json(each) for key, each in rows.items()}
                measured = {key: each for key, each in read.items() if each is not None}
                return cls(image, measured) if len(measured) == len(rows) else None
        return None
