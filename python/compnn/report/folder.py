"""The folder that explanations of one image go into."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from compnn.errors import SearchError
from compnn.explanation.explanation import Explanation
from compnn.explanation.query import Query
from compnn.explanation.scores import Scores
from compnn.images.files import write_image
from compnn.images.kinds import Picture
from compnn.names import file_name
from compnn.report.facts import caption_lines, score_words
from compnn.report.sheets.contact_sheet import contact_sheet
from compnn.report.sheets.correspondence_map import correspondence_map
from compnn.studies.usage import Usage


def layer_folder(folder: Path, layer: str) -> Path:
    """Where the results of a layer stand."""
    return folder / file_name(layer)


def write_report(
    folder: Path,
    query: Query,
    explanations: Mapping[str, Explanation],
    scores: Mapping[str, Scores],
    *,
    usages: Mapping[str, Usage] | None = None,
    maps: bool = True,
    sources: Literal["used", "none"] = "none",
) -> None:
    """Write the contact sheet, and for each layer a folder with its pictures and its field.

    Parameters
    ----------
    folder
        Made if need be; files of the same names in it are replaced.
    query
        What was explained. Its target, if it has one, is of the network's size.
    explanations, scores
        By layer. The explanations may be loaded ones.
    usages
        By layer: their tables go into the layers' folders.
    maps
        Whether to draw the maps of the sources, which loaded explanations can only with these.
    sources
        As in `Explanation.save`.

    Raises
    ------
    OutputError
        If that fails; each file is written whole or not at all.
    """
    for name, explanation in explanations.items():
        of_layer = layer_folder(folder, name)
        explanation.save(of_layer, sources=sources)
        if maps:
            write_image(of_layer / "sources.png", correspondence_map(explanation))
        if usages:
            usages[name].save_csv(of_layer)
    captions = {name: caption_lines(scores[name]) for name in explanations}
    network = next(iter(scores.values())).network_to_target
    if network is not None:
        captions["network output"] = [score_words(network)]
    sheet = contact_sheet(
        list(explanations.values()),
        target=query.target,
        global_output=global_output(next(iter(explanations.values()))),
        captions=captions,
        title=query.name,
    )
    write_image(folder / "contact_sheet.png", sheet)


def global_output(explanation: Explanation) -> Picture | None:
    """The target of the training image nearest by descriptor (paper, section 3.4), as the output.

    It is brought to the size of the output. None where images were not compared by descriptor, or a
    loaded explanation does not hold that image.
    """
    nearest = explanation.candidates[0]
    if nearest.similarity is None:
        return None
    try:
        _, target = explanation.source_images(nearest.index)
    except SearchError:
        return None
    return explanation.target_kind.fit(target, explanation.layer.output_size)
