"""`compnn evaluate`: measure reconstructions over a validation set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from compnn.bank.bank import Bank
from compnn.cli import console, dataset_options, options, search_options, selection
from compnn.data.dataset import Dataset
from compnn.explanation.explainer import Explainer
from compnn.files import check_folder
from compnn.studies.evaluation.evaluate import evaluate as evaluate_pairs
from compnn.studies.evaluation.journal import FILE as JOURNAL_FILE
from compnn.studies.evaluation.result import Evaluation
from compnn.studies.evaluation.tables import input_table, output_table
from compnn.studies.validation import check_kinds, images_of_both

_INTERRUPTED = 130  # as shells say that Ctrl-C ended a program


def parse_top_k(text: str) -> tuple[int | None, ...]:
    """Read "1,16,all"; "all" is None."""
    counts = tuple(None if part.strip() == "all" else int(part) for part in text.split(","))
    if any(count is not None and count < 1 for count in counts):
        raise ValueError(text)
    return counts


@dataset_options.with_pairs("val")
def evaluate(
    bank: options.BankFolder,
    pairs: dataset_options.PairOptions,
    limit: dataset_options.Limit = None,
    layer: options.Layers = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder for the results. Default: BANK-evaluation, here."
        ),
    ] = None,
    top_k: Annotated[
        str,
        typer.Option(
            metavar="K,K,...",
            callback=options.parsed(parse_top_k, "K,K,..., such as 1,16,all"),
            rich_help_panel=search_options.PANEL,
            help="Search only the k images nearest by the global descriptor, for each of these k.",
        ),
    ] = "1,16,32,64,all",
    method: search_options.Method = "auto",
    schedule: search_options.Schedule = None,
    effort: search_options.Effort = None,
    iterations: search_options.Iterations = None,
    seed: search_options.Seed = None,
    matches: search_options.Matches = None,
    compose: options.Compose = "copy",
    only: selection.Only = None,
    exclude: selection.Exclude = None,
    where: selection.Where = None,
    classes: selection.Classes = None,
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Discard the folder's evaluation instead of resuming it."),
    ] = False,
    resize: options.Resize = False,
    threads: options.Threads = -1,
    network: options.Network = None,
    providers: options.Providers = None,
    json: options.Json = False,
) -> None:
    """Measure over a validation set how near reconstructions are to the truth and the network.

    Compares the network's own output, global reconstructions (the nearest training image), and for
    each layer and k the output and the input reconstruction. Writes results.md, results.csv,
    results.json, images.csv, and for each row what training images were used. An evaluation that
    was interrupted goes on where it stopped when the same command is given again.

    The validation images are of the bank's kinds (label maps of its palettes), unless told
    otherwise.

    Example: `compnn evaluate facades.bank --side-by-side facades/val --input right
    --layer decoder_2 --top-k 1,16,all`
    """
    search = search_options.search_of(
        method,
        schedule=schedule,
        effort=effort,
        iterations=iterations,
        seed=seed,
        matches=matches,
    )
    with Bank(bank) as opened:
        dataset = pairs.dataset(limit=limit, default_kinds=(opened.input_kind, opened.target_kind))
        folder = output or options.beside(bank, "evaluation")
        check_folder(folder)
        found_network = options.network_of(opened, network, resize, threads, providers)
        finished = (0, 0)

        explainer = Explainer(opened, found_network, num_threads=threads)
        among = selection.selection_of(only, exclude, where, classes)
        _warn_of_images_of_both(opened, dataset, explainer.indices(among))

        with console.image_progress("evaluating", quiet=json) as show:

            def progress(done: int, total: int) -> None:
                nonlocal finished
                finished = done, total
                show(done, total)

            try:
                found = evaluate_pairs(
                    explainer,
                    dataset,
                    folder,
                    search,
                    layers=layer,
                    top_k=parse_top_k(top_k),
                    among=among,
                    composition=compose,
                    restart=restart,
                    progress=progress,
                )
            except KeyboardInterrupt:
                interrupted = True
            else:
                interrupted = False
    if interrupted:
        console.print_error(_interruption(*finished, folder))
        raise typer.Exit(_INTERRUPTED)
    if json:
        console.print_json({**found.to_json(), "folder": str(folder)})
        return
    _print(found)
    console.say(f"all measures: {folder / 'results.md'}")


def _warn_of_images_of_both(bank: Bank, dataset: Dataset, allowed: Sequence[int]) -> None:
    check_kinds(bank, dataset)
    both, looked_at = images_of_both(bank, dataset, allowed)
    if both:
        name, other = both[0]
        console.print_note(
            f"{len(both)} of {looked_at} validation images are training images, too ({name} is "
            f"{other}): they are explained by themselves. Leave them out (`--exclude`)"
        )


def _interruption(done: int, total: int, folder: Path) -> str:
    if not done:
        return "interrupted before the first image was finished"
    return (
        f"interrupted; {done} of {total} images are kept in {folder / JOURNAL_FILE}, and the same "
        f"command goes on from there"
    )


def _print(found: Evaluation) -> None:
    """Print what fits into a terminal: two of the measures."""
    settings = found.settings
    title = (
        f"{settings['validation_images']} validation images, {settings['training_images']} "
        f"training images ({settings['selection']}), {found.search}"
    )
    outputs, inputs = output_table(found, brief=True), input_table(found, brief=True)
    console.print_table(title, outputs.columns, outputs.rows)
    console.print_table("against the query:", inputs.columns, inputs.rows)
    console.say(
        *found.plan.notes,
        "GR: target of the nearest training image; OR, IR: output and input reconstruction",
    )
    if found.plan.has_output:
        console.say(
            "in brackets: the difference to the network; as network: "
            f"{outputs.columns[1]} against the network's own output",
        )
