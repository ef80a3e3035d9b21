"""Regenerates docs/results.md and its pictures from the real data; about half an hour on 2 cores.

Banks, evaluations and figures at full size are kept in the work folder: what is there is used and
resumed, what is missing is built.

    python -m benchmarks.paper --work /tmp/results
    python -m benchmarks.paper --work /tmp/results --sections 1,10    # the others stay
    python -m benchmarks.paper --work /tmp/results --limit 2 --output /tmp/docs    # to try it
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.paper.sections import SECTIONS
from benchmarks.paper.sections.machine import describe
from benchmarks.paper.setting import SEED, SUBJECTS, Setting
from benchmarks.paper.text import commands, paragraphs, table
from compnn.files import make_folder, write_file

DOCS = Path(__file__).resolve().parents[2] / "docs"


def main() -> None:
    parser = argparse.ArgumentParser(description="Regenerate docs/results.md from the real data.")
    parser.add_argument("--work", type=Path, required=True, help="banks and evaluations")
    parser.add_argument("--output", type=Path, default=DOCS, help="docs folder (default: docs)")
    parser.add_argument(
        "--sections", type=_numbers, default=_numbers("all"), help="1,3,5 or all (default: all)"
    )
    parser.add_argument("--limit", type=_positive, help="only the first validation images")
    options = parser.parse_args()
    setting = Setting(options.work, options.output, options.limit)
    make_folder(setting.images)
    make_folder(_texts(setting))
    for number in options.sections:
        title, write = SECTIONS[number - 1]
        start = time.perf_counter()
        text = paragraphs(f"## {number}. {title}", write(setting), f"Measured on {describe()}.")
        write_file(_texts(setting) / f"{number}.md", text.encode())
        print(f"section {number}, {title}: {time.perf_counter() - start:.1f} s", flush=True)
        _assemble(setting)
    print(setting.output / "results.md")


def _assemble(setting: Setting) -> None:
    """Put the document together from the sections that have been written."""
    parts = [_head(setting)]
    for number, (title, _) in enumerate(SECTIONS, 1):
        path = _texts(setting) / f"{number}.md"
        missing = paragraphs(f"## {number}. {title}", "Not run yet.")
        parts.append(path.read_text() if path.exists() else missing)
    write_file(setting.output / "results.md", (paragraphs(*parts) + "\n").encode())


def _head(setting: Setting) -> str:
    trial = f"**A trial: only the first {setting.limit} validation images of each set.**"
    return paragraphs(
        "# Results",
        trial if setting.limit else "",
        f"Written by `python -m benchmarks.paper --work FOLDER`; no number or verdict is typed "
        f"in. It builds the banks that are missing and resumes what was interrupted; with the "
        f"banks it takes about half an hour on 2 cores; `python -m benchmarks.paper --work FOLDER "
        f"--sections 1,3` runs some sections alone. It needs `pip install '.[results]'` and the "
        f"real data and networks of `../shared`. All "
        f"random numbers come from seed {SEED}: apart from the seconds, the same numbers come out "
        f"again. Searches are by HyperPatch-Match, as in the paper, or exhaustive, as the sections "
        f"say; left to itself (`--method auto`), compnn searches exhaustively where that is quick.",
        "The commands below print the same numbers. They are to be run in the work folder, where "
        "the banks are; `$DATA` and `$MODELS` are the folders of `../shared`, `$COMPNN` is the "
        "checkout. The banks:",
        table(
            ("bank", "images", "layers", "descriptor"),
            (_bank_row(setting, number) for number in range(len(SUBJECTS))),
        ),
        commands(
            "python $COMPNN/examples/cluster_wall_colours.py $DATA/facades/train walls.csv",
            *(
                f"compnn build {each.bank} $MODELS/{each.network} "
                f"{each.options.format(split='train')} "
                f"{'' if each.slug == 'camvid' else '--attributes walls.csv '}"
                f"{''.join(f'--layer {layer} ' for layer in each.layers or ())}"
                f"--descriptor {each.descriptor}"
                for each in SUBJECTS
            ),
        ),
        "MPA is the mean over images of pixel accuracy; the other measures of label maps are taken "
        "of the pixel counts of all images. In brackets: the difference to the network's own "
        "output, in percentage points. GR: global reconstruction, the target of the nearest "
        "training image (by the descriptor, or by the whole activation of a layer). OR, IR: output "
        "and input reconstruction. As network: the picture against the network's own output. "
        "Similarity: mean cosine similarity of the best matches. Seconds: median time of a search.",
    )


def _bank_row(setting: Setting, number: int) -> tuple[str, ...]:
    bank = setting.explainer(SUBJECTS[number]).bank
    return SUBJECTS[number].bank, str(len(bank)), str(len(bank.layers)), str(bank.descriptor)


def _texts(setting: Setting) -> Path:
    return setting.kept / "sections"


def _numbers(text: str) -> list[int]:
    everything = range(1, len(SECTIONS) + 1)
    numbers = list(everything) if text == "all" else [int(part) for part in text.split(",")]
    if not set(numbers) <= set(everything):
        raise argparse.ArgumentTypeError(f"sections are 1 to {len(SECTIONS)}, not {text}")
    return numbers


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"give a number of 1 or more, not {text}")
    return number


if __name__ == "__main__":
    main()
