"""How the options of a search become one, and what of it is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import Call, Refused, World
from compnn.cli.search_options import search_of
from compnn.explanation.explainer import Explainer
from compnn.search import search as searches
from compnn.search.field import Field
from compnn.search.search import METHODS, Auto, Exhaustive, HyperPatchMatch, Search

BANK_COMMANDS = ("reconstruct", "evaluate", "control", "figures")


@pytest.mark.parametrize(
    ("method", "options", "search"),
    [
        ("auto", {}, Auto()),
        ("auto", {"seed": 7, "matches": 3}, Auto(matches=3, seed=7)),
        ("exhaustive", {"matches": 4}, Exhaustive(4)),
        ("hyperpatch-match", {"effort": 2}, HyperPatchMatch(effort=2)),
        ("hyperpatch-match", {"schedule": "paper"}, HyperPatchMatch(schedule="paper")),
        ("hyperpatch-match", {"iterations": 0, "seed": 0}, HyperPatchMatch(iterations=0)),
    ],
)
def test_options_that_were_given_become_the_search(
    method: Any, options: dict[str, Any], search: Search
) -> None:
    every = {"schedule": None, "effort": None, "iterations": None, "seed": None, "matches": None}
    assert search_of(method, **{**every, **options}) == search


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("option", "value"),
    [("schedule", "fast"), ("effort", 4), ("iterations", 8), ("seed", 0), ("matches", 1)],
)
def test_an_option_is_taken_or_refused_but_never_ignored(
    run: Call, refused: Refused, world: World, method: str, option: str, value: object
) -> None:
    """Even where its value is the default."""
    having = [
        kind.method
        for kind in (Auto, Exhaustive, HyperPatchMatch)
        if option in kind.__dataclass_fields__
    ]
    command = ("reconstruct", world.bank, world.query, "--layer", "encoder_2", "--no-map")
    command += ("--method", method, f"--{option}", value)
    if method in having:
        assert run(*command).code == 0
        return
    message = refused(*command)
    assert f"--{option} is no option of --method {method}; add --method {having[0]}" in message
    assert f"or leave --{option} out" in message


@pytest.mark.parametrize("command", BANK_COMMANDS)
def test_effort_of_the_default_method_names_the_remedy(
    refused: Refused, world: World, command: str
) -> None:
    last = (world.query,) if command in ("reconstruct", "control") else ()
    message = refused(command, world.bank, *last, "--effort", 8)
    assert "--effort is no option of --method auto; add --method hyperpatch-match" in message


def test_effort_is_none_of_the_papers_schedule(refused: Refused, world: World) -> None:
    options = ("--method", "hyperpatch-match", "--schedule", "paper", "--effort", 4)
    message = refused("reconstruct", world.bank, world.query, *options)
    assert "effort is of the fast schedule" in message


def test_what_auto_has_chosen_is_printed_and_stored(
    run: Call, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Between the work of the two layers.
    monkeypatch.setattr(searches, "_QUICK", 1e6)
    command = ("reconstruct", world.bank, world.query, "--seed", 5)
    printed = run(*command)
    words = "exhaustive at encoder_2; hyperpatch-match, effort 4, seed 5 at decoder_2"
    assert f"query.png, {words}\n" in printed.out
    documents = {each["layer"]["name"]: each for each in json.loads(run(*command, "--json").out)}
    assert documents["encoder_2"]["search"] == {"method": "exhaustive", "matches": 1}
    assert documents["decoder_2"]["search"]["method"] == "hyperpatch-match"
    assert documents["decoder_2"]["search"]["seed"] == 5
    wanted = Explainer(world.bank).explain(world.query, "decoder_2", HyperPatchMatch(seed=5))
    found = Field.load(Path("query-compnn/decoder_2/field.npz"))
    np.testing.assert_array_equal(found.image, wanted.field.image)
    saved = json.loads(Path("query-compnn/decoder_2/explanation.json").read_text())
    assert saved["search"] == documents["decoder_2"]["search"]
