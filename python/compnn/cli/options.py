"""Options that several commands share, and how their text is read."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import numpy as np
import typer

from compnn.bank.bank import Bank
from compnn.errors import LayerError, NetworkError
from compnn.explanation.composition import Composition
from compnn.files import read_file
from compnn.names import file_name
from compnn.network.input import Setting
from compnn.network.onnx import OnnxNetwork
from compnn.network.output import OutputChoice, OutputKind
from compnn.network.preprocessing import Preprocessing

_T = TypeVar("_T")


def parsed(parse: Callable[[str], _T], example: str) -> Callable[[str | None], str | None]:
    """A callback that refuses text that `parse` cannot read; the text itself is passed on."""

    def check(text: str | None) -> str | None:
        if text is not None:
            try:
                parse(text)
            except ValueError:
                raise typer.BadParameter(f"{text!r} is not of the form {example}") from None
        return text

    return check


def parse_pair(text: str) -> tuple[int, int]:
    """Read "HxW"."""
    height, width = text.lower().split("x")
    pair = int(height), int(width)
    if min(pair) < 1:
        raise ValueError(text)
    return pair


def parse_numbers(text: str) -> tuple[float, ...]:
    """Read "a,b,c"."""
    return tuple(float(number) for number in text.strip("[]()").split(","))


def parse_places(text: str) -> tuple[int, ...]:
    """Read "a,b,c", whole numbers."""
    return tuple(int(number) for number in text.split(","))


def parse_range(text: str) -> tuple[float, float]:
    """Read "lo,hi"."""
    low, high = parse_numbers(text)
    return low, high


Hyperpatch = Annotated[
    str | None,
    typer.Option(
        metavar="HxW",
        callback=parsed(parse_pair, "HxW, such as 2x2"),
        help="Cells of a hyperpatch. Default: 2x2, 1x1 where a cell is one pixel, or alone.",
    ),
]
Compose = Annotated[
    Composition,
    typer.Option(
        help="Each pixel from the patch that owns it, or the overlapping patches of all matches "
        "merged: mean of photos and values, most frequent class of label maps.",
    ),
]
BankFolder = Annotated[Path, typer.Argument(help="Folder of the bank.", show_default=False)]
NetworkFile = Annotated[Path, typer.Argument(help="The network, an ONNX file.", show_default=False)]
Network = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The network's file, if it is neither where it was at the build, nor beside or in the "
        "bank.",
    ),
]
Layers = Annotated[
    list[str] | None,
    typer.Option(help="A layer; give it again for more. Default: all layers of the bank."),
]
QueryHalf = Annotated[
    Literal["left", "right"] | None,
    typer.Option(
        "--input", help="An image holds input and target side by side: the half that is the input."
    ),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out pairs that cannot be read.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the bank once the new one is complete.")
]
Threads = Annotated[int, typer.Option(min=-1, help="Threads to use; -1 means all CPUs.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

Grids = Annotated[
    list[str] | None,
    typer.Option(
        "--grid",
        metavar="NAME=HxW+N",
        help="Which tokens of a layer are the cells of a map: rows x columns, after N others; give "
        "it again for more. Default: by the operators.",
    ),
]

_PREPROCESSING = "How images become input"
Size = Annotated[
    str | None,
    typer.Option(
        metavar="HxW",
        callback=parsed(parse_pair, "HxW, such as 256x256"),
        rich_help_panel=_PREPROCESSING,
        help="Size of the network's input, where its file leaves it free.",
    ),
]
InputRange = Annotated[
    str | None,
    typer.Option(
        metavar="LO,HI",
        callback=parsed(parse_range, "LO,HI, such as -1,1"),
        rich_help_panel=_PREPROCESSING,
        help="Values that 0 and 255 become. Default: the file's metadata `input_range`.",
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(
        metavar="R,G,B",
        callback=parsed(parse_numbers, "R,G,B, such as 0.485,0.456,0.406"),
        rich_help_panel=_PREPROCESSING,
        help="With --std, instead of a range: means of the channels, of values in [0, 1].",
    ),
]
Std = Annotated[
    str | None,
    typer.Option(
        metavar="R,G,B",
        callback=parsed(parse_numbers, "R,G,B, such as 0.229,0.224,0.225"),
        rich_help_panel=_PREPROCESSING,
        help="With --mean: standard deviations of the channels.",
    ),
]
ChannelOrder = Annotated[
    str | None,
    typer.Option(
        metavar="RGB|BGR",
        rich_help_panel=_PREPROCESSING,
        help="Order of the network's input channels. Default: the file's metadata, else RGB.",
    ),
]
Resize = Annotated[
    bool,
    typer.Option(
        "--resize",
        rich_help_panel=_PREPROCESSING,
        help="Resize images that have another size than the network's input.",
    ),
]

_INPUTS = "What the network's inputs are"
ImageInput = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=_INPUTS,
        help="The input that is the image. Default: the only one that can be.",
    ),
]
SetInputs = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        rich_help_panel=_INPUTS,
        help="What another input is set to: a number, numbers a,b,c, or a .npy file of an array; "
        "give it again for more.",
    ),
]
Providers = Annotated[
    list[str] | None,
    typer.Option(
        "--provider",
        metavar="NAME",
        help="ONNX Runtime's execution provider, such as cuda; give it again for a second choice. "
        "Default: cpu.",
    ),
]

_OUTPUT = "What the network's output is"
OutputName = Annotated[
    str | None,
    typer.Option(
        "--output",
        metavar="NAME",
        rich_help_panel=_OUTPUT,
        help="Which output is explained. Default: the one that most operators lead to.",
    ),
]
OutputKindOption = Annotated[
    OutputKind | None,
    typer.Option(
        "--output-kind",
        rich_help_panel=_OUTPUT,
        help="What it is; none leaves it out. Default: by its operators, its channels and the "
        "targets; the build says.",
    ),
]
OutputRange = Annotated[
    str | None,
    typer.Option(
        metavar="LO,HI",
        callback=parsed(parse_range, "LO,HI, such as -1,1"),
        rich_help_panel=_OUTPUT,
        help="Numbers of a photo that are black and white. Default: the file's metadata "
        "`output_range`, else by its operators, else as in the input.",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=_OUTPUT,
        help="Numbers of a binary output above it are the second class. Default: 0.5 of a "
        "probability, else 0.",
    ),
]


def output_of(
    name: str | None,
    kind: OutputKind | None,
    output_range: str | None,
    threshold: float | None,
) -> OutputChoice:
    """The choice of an output that the options make."""
    span = None if output_range is None else parse_range(output_range)
    return OutputChoice(name, kind, span, threshold)


def values_of(settings: Sequence[str] | None) -> dict[str, Setting]:
    """What `--set` sets inputs to, by name.

    Raises
    ------
    NetworkError
        If a text is not NAME=VALUE, a name is given twice, or a file is not an array.
    """
    values: dict[str, Setting] = {}
    for text in settings or ():
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise NetworkError(f"--set {text}: give NAME=VALUE, such as --set mask=1")
        if name in values:
            raise NetworkError(f"--set {text}: input {name!r} is set twice; give it once")
        values[name] = _array_in(Path(value)) if value.endswith(".npy") else _setting(text, value)
    return values


def _setting(option: str, value: str) -> Setting:
    """A number or numbers in a text: whole ones stay exact."""
    words = [word.strip() for word in value.strip("[]()").split(",")]
    for number in (int, float):
        try:
            found = [number(word) for word in words]
        except ValueError:
            continue
        return found[0] if len(found) == 1 else np.array(found)
    raise NetworkError(
        f"--set {option}: {value!r} is neither a number, nor numbers a,b,c, nor a .npy file"
    )


def _array_in(file: Path) -> Setting:
    try:
        array = np.load(io.BytesIO(read_file(file)), allow_pickle=False)
    except OSError as error:
        raise NetworkError(f"{file} cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError, MemoryError) as error:
        raise NetworkError(f"{file} is no array of numpy.save ({error}); write it again") from None
    if not isinstance(array, np.ndarray):
        raise NetworkError(f"{file} is no array of numpy.save; write it again")
    return array


def grids_of(texts: Sequence[str] | None) -> dict[str, str]:
    """What `--grid` says of the tokens of taps.

    Raises
    ------
    LayerError
        If a text is not NAME=GRID, or a name is given twice.
    """
    grids: dict[str, str] = {}
    for text in texts or ():
        name, _, grid = text.rpartition("=")
        if not name or name in grids:
            raise LayerError(f"--grid {text}: give NAME=HxW+N once, such as --grid block_5=14x14+1")
        grids[name] = grid
    return grids


def providers_of(names: Sequence[str] | None) -> Sequence[str]:
    """The execution providers that the options ask for."""
    return names or ("cpu",)


def network_of(
    bank: Bank, file: Path | None, resize: bool, threads: int, providers: Sequence[str] | None
) -> OnnxNetwork:
    """The network of a bank, opened as the options ask for.

    Raises
    ------
    NetworkError, BankError
        As `Bank.open_network`.
    """
    return bank.open_network(
        file, resize=resize or None, num_threads=threads, providers=providers_of(providers)
    )


def preprocessing_of(
    size: str | None,
    input_range: str | None,
    mean: str | None,
    std: str | None,
    channel_order: str | None,
    resize: bool,
) -> Preprocessing:
    """The preprocessing that the options ask for.

    Raises
    ------
    NetworkError
        If they contradict each other.
    """
    return Preprocessing(
        size=None if size is None else parse_pair(size),
        channel_order=channel_order,
        range=None if input_range is None else parse_range(input_range),
        mean=None if mean is None else parse_numbers(mean),
        std=None if std is None else parse_numbers(std),
        resize=resize,
    )


def beside(bank: Path, what: str) -> Path:
    """The default folder for what is made of a bank, here: BANK-what."""
    return Path(f"{file_name(bank.resolve().name.removesuffix('.bank'))}-{what}")
