"""Help, the documents and the messages name every option, and none that there is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import compnn
from command_line import Call
from compnn.cli.app import app

REPOSITORY = Path(__file__).resolve().parents[3]
# Option names anywhere in a text; not parts of words, rules of Markdown or of programs' own.
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z0-9-]*")


def _commands() -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


COMMANDS = _commands()


def options_of(command: Any) -> set[str]:
    """All names of a command's options."""
    return {
        name
        for parameter in command.params
        if parameter.param_type_name == "option"
        for name in (*parameter.opts, *parameter.secondary_opts)
    } | {"--help"}


EVERY = set().union(*(options_of(command) for command in COMMANDS.values())) | {"--version"}


def panels(text: str) -> str:
    """The parts of a help text that stand in frames."""
    return "\n".join(line for line in text.splitlines() if line.startswith("│"))


def test_the_commands_are_those_of_the_program(run: Call) -> None:
    result = run("--help")
    assert result.code == 0
    assert "--version" in panels(result.out)
    assert set(COMMANDS) == {
        "append",
        "attributes",
        "build",
        "compact",
        "control",
        "demo",
        "drop",
        "evaluate",
        "figures",
        "info",
        "layers",
        "match",
        "merge",
        "reconstruct",
    }
    listed = set(re.findall(r"^│ ([a-z]+) ", result.out, re.MULTILINE))
    assert set(COMMANDS) == listed


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_each_option_and_argument(run: Call, name: str) -> None:
    command = COMMANDS[name]
    result = run(name, "--help")
    assert result.code == 0
    assert "Usage: " in result.out
    shown = panels(result.out)
    assert set(OPTION.findall(shown)) == options_of(command)
    text = " ".join(re.sub("[│]", " ", shown).split())
    for parameter in command.params:
        if parameter.name == "help":
            continue
        assert parameter.help, f"{name} {parameter.name} has no help"
        # The first words: where lines are broken, others may stand between them.
        first = re.sub(r"[`*]", "", parameter.help).split()[:2]
        assert " ".join(first) in text, f"help of {name} lacks that of {parameter.name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_no_unknown_option(run: Call, name: str) -> None:
    text = run(name, "--help").out
    assert {option for option in OPTION.findall(text) if option.startswith("--")} <= EVERY
    example = re.search(rf"Example: compnn {name}(.*?)╭", text, re.DOTALL)
    if example:
        assert set(OPTION.findall(example[1])) <= options_of(COMMANDS[name])


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("reconstruct", "auto exhaustive hyperpatch-match fast paper copy overlap used none"),
        ("evaluate", "auto exhaustive hyperpatch-match fast paper copy overlap left right"),
        ("control", "auto exhaustive hyperpatch-match copy overlap left right"),
        ("figures", "auto exhaustive hyperpatch-match left right"),
        ("match", "auto exhaustive hyperpatch-match fast paper left right"),
        ("build", "float16 bfloat16 float32 int8 left right"),
    ],
)
def test_options_of_few_values_list_them(run: Call, name: str, choices: str) -> None:
    assert set(choices.split()) <= set(re.findall(r"[\w-]+", panels(run(name, "--help").out)))


def called(text: str) -> Iterator[tuple[str, str]]:
    """The commands with their arguments that a document calls; lines may go on with a backslash."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for match in re.finditer(r"(?:^|[`$(\s/])compnn +([a-z]+)\b([^`\n]*)", joined):
        if match[1] in COMMANDS:
            yield match[1], match[2]


DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_no_unknown_option(document: Path) -> None:
    text = document.read_text()
    for name, arguments in called(text):
        unknown = set(OPTION.findall(arguments)) - options_of(COMMANDS[name])
        assert not unknown, f"compnn {name}{arguments}"
    # Alone, as in "`--resize`"; other programs' options stand with their names.
    for option in re.findall(r"`(--[a-z-]+)(?: [^`]*)?`", text):
        assert option in EVERY


def test_the_readme_calls_the_program() -> None:
    names = {name for name, _ in called((REPOSITORY / "README.md").read_text())}
    assert {"demo", "build", "reconstruct"} <= names


@pytest.mark.parametrize(
    "file",
    sorted(Path(compnn.__path__[0]).rglob("*.py")),
    ids=lambda path: str(path.relative_to(compnn.__path__[0])),
)
def test_messages_name_no_unknown_option(file: Path) -> None:
    for option in re.findall(r"`(--[a-z-]+)", file.read_text()):
        assert option in EVERY
