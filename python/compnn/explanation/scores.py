"""How good the reconstructions of an explanation are, in numbers."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from compnn.errors import ImageError
from compnn.explanation.explanation import Explanation
from compnn.images.kinds import Picture
from compnn.images.measures import Score


@dataclass(frozen=True)
class Scores:
    """What is measured of an explanation.

    Attributes
    ----------
    similarity
        Mean cosine similarity of the best matches, in [-1, 1].
    input_no_evidence, output_no_evidence
        Shares of the reconstructions' pixels that have no match, in [0, 1]: nothing is shown there.
        Labels are wrong there, photos are compared as they are shown, values are left out.
    input
        Input reconstruction against the query.
    output_to_network
        Output reconstruction against the network's output; None where it has none.
    output_to_target, network_to_target
        Output reconstruction, and the network's output, against the true target; None without.
    """

    similarity: float
    input_no_evidence: float
    output_no_evidence: float
    input: Score
    output_to_network: Score | None
    output_to_target: Score | None
    network_to_target: Score | None

    @property
    def output(self) -> Score | None:
        """Output reconstruction against the best truth there is: the target, else the network."""
        return self.output_to_target or self.output_to_network

    def to_json(self) -> dict[str, object]:
        """The fields as JSON values; an accuracy of which no pixel counts is None."""
        fields = asdict(self)
        for part in fields.values():
            if isinstance(part, dict) and math.isnan(part["value"]):
                part["value"] = None
        return fields


def score(explanation: Explanation, target: Picture | None = None) -> Scores:
    """Measure an explanation; `target` is the true target, as the bank's targets.

    Raises
    ------
    ImageError
        If the target has another size than the network's output.
    """
    if target is not None and target.shape != explanation.output.shape:
        raise ImageError(
            f"the target is {target.shape}, the output reconstruction "
            f"{explanation.output.shape}; give a target of the network's size"
        )
    kind = explanation.target_kind
    network, output = explanation.network_output, explanation.output
    no_input, no_output = explanation.input_no_evidence, explanation.no_evidence
    return Scores(
        explanation.field.mean_similarity,
        float(no_input.mean()),
        float(no_output.mean()),
        explanation.input_kind.compare(explanation.query, explanation.input, no_input),
        None if network is None else kind.compare(network, output, no_output),
        None if target is None else kind.compare(target, output, no_output),
        None if target is None or network is None else kind.compare(target, network),
    )
