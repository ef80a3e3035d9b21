"""Changes of a bank that need no network: drop, attributes, attachments, compact, merge."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn.bank import layout
from compnn.bank.attachments import write_attached
from compnn.bank.build import check_place, write_new_tables
from compnn.bank.generations import Generation, Writer, network_folder
from compnn.bank.manifest import AttachmentEntry, Manifest, ShardEntry, scaling_json
from compnn.bank.partial import BuildJournal, PartialShard
from compnn.bank.shard import Shard, write_contents
from compnn.bank.tables import Attributes, SkippedImage
from compnn.bank.writing import fresh_folder, link_or_copy, sync_tree
from compnn.data.attributes import resolve_attributes
from compnn.errors import BankError
from compnn.journal import digest_content
from compnn.network.geometry import Geometry, Size


@dataclass(frozen=True)
class _Content:
    """What a generation is made of, besides what never changes.

    Attributes
    ----------
    names
        Of the images.
    images
        Shard and slot of each, int64 (N, 2).
    attributes, skipped
        As in the tables.
    """

    names: Sequence[str]
    images: npt.NDArray[np.int64]
    attributes: Attributes
    skipped: Sequence[SkippedImage]


def _content(generation: Generation) -> _Content:
    tables = generation.tables
    _ = tables.indices  # names are distinct
    return _Content(tables.names, tables.images, tables.attributes, tables.skipped)


def _publish(
    writer: Writer, base: Manifest, shards: Sequence[ShardEntry], content: _Content, **changes: Any
) -> None:
    """Write the tables, and make this the newest generation."""
    tables = write_new_tables(
        writer, content.names, content.images, content.attributes, content.skipped
    )
    writer.publish(
        replace(
            base,
            generation=1 if writer.newest is None else writer.newest.generation + 1,
            images=len(content.names),
            compnn_version=importlib.metadata.version("compnn"),
            shards=tuple(shards),
            tables=tables,
            **changes,
        )
    )


def drop_images(writer: Writer, names: Iterable[str]) -> None:
    """Hide images: see `compnn.bank.bank.Bank.drop`."""
    with contextlib.closing(writer.generation()) as base:
        content = _content(base)
        dropped = set(names)
        unknown = dropped - base.tables.indices.keys()
        if unknown:
            raise BankError(
                f"the bank {writer.path} has no images {', '.join(sorted(unknown)[:5])} to drop. "
                f"See its names."
            )
        kept = np.array([name not in dropped for name in content.names])
        if not kept.any():
            raise BankError(
                f"no image of the bank {writer.path} would be left. Keep one, or remove the folder."
            )
        shards, images = _listed(base.manifest.shards, content.images[kept])
        names = [name for name in content.names if name not in dropped]
        content = replace(content, names=names, images=images)
        _publish(writer, base.manifest, shards, content, attachments={})


def _listed(
    shards: Sequence[ShardEntry], images: npt.NDArray[np.int64]
) -> tuple[list[ShardEntry], npt.NDArray[np.int64]]:
    """The shards that images (n, 2) are in, and the images, of which these are the shards."""
    numbers, shard = np.unique(images[:, 0], return_inverse=True)
    listed = [shards[number] for number in numbers.tolist()]
    return listed, np.stack([shard, images[:, 1]], axis=1)


def replace_attributes(
    writer: Writer, source: str | Path | Mapping[str, Mapping[str, str]] | None
) -> None:
    """Give the images other attributes: see `compnn.bank.bank.Bank.set_attributes`."""
    with contextlib.closing(writer.generation()) as base:
        content = _content(base)
        content = replace(content, attributes=resolve_attributes(source, content.names))
        _publish(writer, base.manifest, base.manifest.shards, content)


def attach_arrays(writer: Writer, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Keep arrays with the bank: see `compnn.bank.bank.Bank.attach`."""
    newest = writer.newest
    if newest is None:
        raise BankError(f"{writer.path} is not a bank.")
    number = writer.new_id(layout.ATTACHMENTS)
    entry = AttachmentEntry(
        number, write_attached(writer.path / layout.ATTACHMENTS / str(number), arrays)
    )
    writer.publish(
        replace(
            newest,
            generation=newest.generation + 1,
            attachments={**newest.attachments, name: entry},
        )
    )


# Compacting


def compact_shards(writer: Writer) -> None:
    """Rewrite shards that are not full or hide images: see `compnn.bank.bank.Bank.compact`."""
    with contextlib.closing(writer.generation()) as base:
        content = _content(base)
        shards: list[ShardEntry] = []
        images = np.empty_like(content.images)
        for group in _alike(base).values():
            members = np.flatnonzero(np.isin(content.images[:, 0], group))
            whole, rest = _whole_shards(base, group, content.images[members])
            for number in whole:
                chosen = members[content.images[members, 0] == number]
                images[chosen, 0] = len(shards)
                images[chosen, 1] = content.images[chosen, 1]
                shards.append(base.manifest.shards[number])
            members = members[np.isin(content.images[members, 0], rest)]
            for first in range(0, len(members), layout.SHARD_IMAGES):
                chosen = members[first : first + layout.SHARD_IMAGES]
                images[chosen, 0] = len(shards)
                images[chosen, 1] = np.arange(len(chosen))
                shards.append(_gather(writer, base, chosen))
        _publish(writer, base.manifest, shards, replace(content, images=images), attachments={})


def _alike(generation: Generation) -> dict[tuple[str | None, ...], list[int]]:
    """The shards of each choice of directions: only such can become one."""
    groups: dict[tuple[str | None, ...], list[int]] = {}
    for number, shard in enumerate(generation.shards):
        key = tuple(each.directions for each in shard.contents.layers.values())
        groups.setdefault(key, []).append(number)
    return groups


def _whole_shards(
    generation: Generation, group: Sequence[int], images: npt.NDArray[np.int64]
) -> tuple[list[int], list[int]]:
    """The shards of a group that can stay as they are, and those that are to be rewritten."""
    shown = {number: int((images[:, 0] == number).sum()) for number in group}
    whole: list[int] = []
    rest: list[int] = []
    for number in group:
        size = generation.shards[number].images
        (whole if shown[number] == size >= layout.SHARD_IMAGES else rest).append(number)
    if len(rest) == 1 and shown[rest[0]] == generation.shards[rest[0]].images:
        return [*whole, *rest], []
    return whole, rest


def _gather(writer: Writer, base: Generation, images: npt.NDArray[np.int64]) -> ShardEntry:
    """Copy images of shards that are kept along the same directions into a new shard."""
    places = base.tables.images[images].tolist()
    example = base.shards[places[0][0]]
    number = writer.new_id(layout.SHARDS)
    folder = fresh_folder(writer.path / layout.SHARDS / str(number))
    with contextlib.closing(PartialShard(folder, example.specs)) as shard:
        for image, (source, slot) in zip(images.tolist(), places, strict=True):
            for spec in example.specs:
                base.check(spec.file, [image])
            shard.accept(shard.write(_records(base.shards[source], slot)))
        shard.finish()
        rows = shard.rows
        used = list(dict.fromkeys(base.shards[source] for source, _ in places))
        layers = {
            name: replace(each, cells=cells, geometries=_geometries(used, name))
            for (name, each), cells in zip(example.contents.layers.items(), rows, strict=False)
        }
        for name, each in layers.items():
            if each.directions is not None:
                file = layout.directions_file(name)
                link_or_copy(example.folder / file, folder / file)
        contents = replace(
            example.contents,
            images=shard.images,
            layers=layers,
            input_pixels=rows[-2],
            target_pixels=rows[-1],
        )
        write_contents(folder, contents, shard.places, shard.checksums)
        return ShardEntry(number, shard.images)


def _geometries(shards: Iterable[Shard], layer: str) -> dict[tuple[Size, Size], Geometry]:
    """Where the cells of a layer lie over images of any size in some shards."""
    found: dict[tuple[Size, Size], Geometry] = {}
    for shard in shards:
        found |= shard.contents.layers[layer].geometries
    return found


def _records(shard: Shard, slot: int) -> Iterator[npt.NDArray[Any]]:
    """The records of an image, in the form in which `PartialShard.write` takes them."""
    for spec in shard.specs:
        record = shard.record(spec.file, slot)
        if spec.group is None:
            yield record[0]
        else:
            _, rows, cols = shard.places[slot, spec.group].tolist()
            yield record.reshape(rows, cols, *spec.trailing)


# Merging


def merge_banks(sources: Sequence[Generation], path: Path, *, overwrite: bool) -> None:
    """Make a bank of several: see `compnn.bank.bank.merge`."""
    _check_alike(sources)
    check_place(path, overwrite=overwrite)
    with Writer(path, create=True) as writer:
        check_place(path, overwrite=overwrite)
        if writer.newest is not None:
            _merge_into(writer, sources)
            writer.clean()
            return
        with contextlib.closing(BuildJournal(path)) as journal:
            if journal.plan is not None:
                raise BankError(
                    f"{path} holds an interrupted build. Finish it, choose another place, or "
                    f"remove it yourself."
                )
            # A folder without a bank must tell what it is, should this be interrupted.
            journal.start(digest_content({"command": "merge"}))
            try:
                _merge_into(writer, sources)
            except BaseException:
                writer.abandon()
                raise
            journal.remove()


def _check_alike(sources: Sequence[Generation]) -> None:
    """Raise BankError unless banks can be merged."""
    if not sources:
        raise BankError("there are no banks to merge. Give at least one.")
    first, *others = sources
    for other in others:
        ours, theirs = first.manifest, other.manifest
        alike = {
            "network": ours.network.fingerprint == theirs.network.fingerprint,
            "output": ours.output == theirs.output,
            "preprocessing": scaling_json(ours.preprocessing) == scaling_json(theirs.preprocessing),
            "dtype": ours.dtype == theirs.dtype,
            "layers": list(ours.layers.items()) == list(theirs.layers.items()),
            "descriptor": ours.descriptor == theirs.descriptor,
            "kind of inputs": ours.input_kind.is_like(theirs.input_kind),
            "kind of targets": ours.target_kind.is_like(theirs.target_kind),
        }
        if differing := [part for part, same in alike.items() if not same]:
            raise BankError(
                f"{other.path} cannot be merged with {first.path}: they differ in "
                f"{', '.join(differing)}. Build both with the same."
            )
    seen: dict[str, Path] = {}
    for each in sources:
        for name in each.tables.indices:
            if name in seen:
                raise BankError(
                    f"{each.path} cannot be merged with {seen[name]}: both have an image {name!r}. "
                    f"Drop one of them first."
                )
            seen[name] = each.path


def _merge_into(writer: Writer, sources: Sequence[Generation]) -> None:
    """Link or copy the shards of all sources, and publish a generation that lists only these."""
    shards: list[ShardEntry] = []
    images = []
    for source in sources:
        images.append(source.tables.images + np.array([len(shards), 0]))
        for shard in source.shards:
            number = writer.new_id(layout.SHARDS)
            _link_tree(shard.folder, writer.path / layout.SHARDS / str(number))
            shards.append(ShardEntry(number, shard.images))
    base, directions = replace(sources[0].manifest, network_file=None), None
    probe = replace(base.probe, id=writer.new_id(layout.PROBES))
    _link_tree(
        sources[0].path / layout.PROBES / str(base.probe.id),
        writer.path / layout.PROBES / str(probe.id),
    )
    for source in sources:
        if (found := source.manifest.directions) is not None and directions is None:
            directions = replace(found, id=writer.new_id(layout.DIRECTIONS))
            folder = writer.path / layout.DIRECTIONS
            _link_tree(source.path / layout.DIRECTIONS / str(found.id), folder / str(directions.id))
        if source.manifest.network_file is not None and base.network_file is None:
            base = replace(base, network_file=source.manifest.network_file)
            _link_tree(
                network_folder(source.path, source.manifest), network_folder(writer.path, base)
            )
    names = [name for each in sources for name in each.tables.names]
    known = set(names)
    content = _Content(
        names,
        np.concatenate(images),
        {name: found for each in sources for name, found in each.tables.attributes.items()},
        [skip for each in sources for skip in each.tables.skipped if skip.name not in known],
    )
    _publish(writer, base, shards, content, directions=directions, probe=probe, attachments={})


def _link_tree(source: Path, target: Path) -> None:
    """Give the files of a folder of a bank, which never change, names in a new folder, too."""
    fresh_folder(target)
    for file in sorted(each for each in source.rglob("*") if each.is_file()):
        link_or_copy(file, target / file.relative_to(source))
    sync_tree(target)
