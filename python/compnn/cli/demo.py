"""`compnn demo`: the main job on data and a network that come with the package."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from compnn.cli import console, options
from compnn.cli.explanation_tables import print_scores
from compnn.demo.run import MAP_LAYER, TOP_K, run_demo
from compnn.explanation.scores import score
from compnn.report.facts import explanation_json
from compnn.report.folder import layer_folder, write_report

_WHAT_TO_LOOK_AT = """\
What to look at
 1. {sheet}
    Every reconstruction is made of training patches only. Encoder layers hold the input: encoder 1
    puts the label map together again almost to the pixel, but any wall will do for a wall. Decoder
    layers hold the output: from decoder 6 to decoder 2 the photos come to look like the network's.
    In the middle (encoder 5, decoder 6) patches are large: whole windows of other facades.
 2. {map}
    Which training facades the photo is made of, and which pixels of them ({layer}).
 3. {folder}/<layer>/
    The single pictures, and field.npz with every correspondence.
Next, your own network: compnn layers NETWORK.onnx, then compnn build --help"""


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path(
        "compnn-demo"
    ),
    json: options.Json = False,
) -> None:
    """Explain what a small network paints for a facade that it never saw; takes under a minute.

    Builds a bank of 64 made-up facades (label map to photo), takes a held-out label map, and shows
    at six layers which pieces of the training photos the network's answer is made of.
    """
    start = time.monotonic()
    with console.image_progress("building the bank", quiet=json) as progress:
        result = run_demo(output, progress=progress)
    scores = {name: score(each, result.query.target) for name, each in result.explanations.items()}
    write_report(output, result.query, result.explanations, scores)
    if json:
        console.print_json(
            [
                {
                    "folder": str(layer_folder(output, name)),
                    **explanation_json(each, scores[name]),
                }
                for name, each in result.explanations.items()
            ]
        )
        return
    print_scores(
        f"{result.query.name}: the {TOP_K} nearest of {len(result.bank)} training facades",
        result.explanations,
        scores,
    )
    places = {
        "sheet": output / "contact_sheet.png",
        "map": layer_folder(output, MAP_LAYER) / "sources.png",
        "layer": MAP_LAYER,
        "folder": output,
    }
    console.say(*(line.format(**places) for line in _WHAT_TO_LOOK_AT.splitlines()))
    console.say(f"({time.monotonic() - start:.0f} seconds)")
