"""`compnn info`: what a bank holds, and whether it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from compnn.bank.bank import Bank
from compnn.cli import console, options
from compnn.cli.layers import layer_json, layer_row


def info(
    bank: Annotated[Path, typer.Argument(help="Folder of the bank.", show_default=False)],
    verify: Annotated[
        bool, typer.Option("--verify", help="Read the whole bank and check every checksum.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Show what a bank holds: images, layers, sizes, and the network it was built with."""
    opened = Bank(bank)
    if verify:
        with console.image_progress("verifying", quiet=json) as progress:
            opened.verify(progress)
    if json:
        console.print_json(bank_json(opened, verified=verify))
        return
    print_bank(opened)
    if verify:
        console.out.print("all checksums are right")


def bank_json(bank: Bank, *, verified: bool = False) -> dict[str, Any]:
    """A bank as JSON values."""
    manifest = bank.manifest
    return {
        "bank": str(bank.path),
        "images": len(bank),
        "skipped": [{"name": s.name, "reason": s.reason} for s in manifest.skipped],
        "dtype": manifest.dtype,
        "bytes": manifest.nbytes,
        "model": {"path": manifest.model.path, "fingerprint": manifest.model.fingerprint},
        "input_size": list(manifest.model.input_size),
        "descriptor": bank.descriptor,
        "input_palette": bank.input_palette.name if bank.input_palette else None,
        "target_palette": bank.target_palette.name if bank.target_palette else None,
        "layers": [
            {**layer_json(layer), "kept": manifest.kept(name), "bytes": manifest.layer_bytes(name)}
            for name, layer in bank.layers.items()
        ],
        "verified": verified,
    }


def print_bank(bank: Bank) -> None:
    """Print what a bank holds."""
    manifest = bank.manifest
    height, width = manifest.model.input_size
    console.print_table(
        f"{bank.path}: {len(bank)} pairs of {height}x{width}, {manifest.dtype}, "
        f"{manifest.nbytes / 1e9:.2f} GB",
        ("layer", "activation", "stride", "hyperpatch", "patch", "kept", "size"),
        [
            (*layer_row(layer), str(manifest.kept(name)), _size(manifest.layer_bytes(name)))
            for name, layer in bank.layers.items()
        ],
    )
    kinds = [
        f"{kind}: {'photo' if palette is None else f'label map ({palette.name})'}"
        for kind, palette in (("input", bank.input_palette), ("target", bank.target_palette))
    ]
    lines = [
        f"network: {manifest.model.path} ({manifest.model.fingerprint[:19]}...)",
        f"global descriptor: {bank.descriptor or 'none'}",
        ", ".join(kinds),
        "kept: numbers of a cell; fewer than channels where these depend on each other",
    ]
    lines += [f"left out: {skipped.name} ({skipped.reason})" for skipped in manifest.skipped]
    for line in lines:
        console.out.print(line, markup=False, soft_wrap=True)


def _size(count: int) -> str:
    """A number of bytes, short."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
