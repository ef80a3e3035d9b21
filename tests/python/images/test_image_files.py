"""Image files: what is read, in which order of channels, and what is refused."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from compnn.errors import ImageError, OutputError
from compnn.images.files import IMAGE_EXTENSIONS, StoredImage, read_image, read_labels, write_image
from compnn.images.kinds import Labels, kind_from_json
from compnn.images.palette import Palette

LOSSLESS = (".png", ".bmp", ".tif", ".tiff", ".npy")


def smooth_rgb(height: int = 40, width: int = 64) -> npt.NDArray[np.uint8]:
    """Red grows to the right, green downwards, blue is low: channels cannot be confused."""
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[:, :, 0] = np.linspace(40, 255, width, dtype=np.uint8)
    rgb[:, :, 1] = np.linspace(0, 200, height, dtype=np.uint8)[:, None]
    rgb[:, :, 2] = 20
    return rgb


def save(path: Path, rgb_or_grey: npt.NDArray[np.uint8], **settings: int) -> Path:
    """Write RGB(A) or grey."""
    if path.suffix == ".npy":
        np.save(path, rgb_or_grey)
    else:
        Image.fromarray(rgb_or_grey).save(path, **settings)
    return path


def png(depth: int, colour_type: int, rows: list[bytes], width: int, table: bytes = b"") -> bytes:
    """Assemble a PNG file by hand, for storage that Pillow cannot write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    middle = chunk(b"PLTE", table) if table else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + middle
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("extension", IMAGE_EXTENSIONS)
def test_read_image_gives_rgb(tmp_path: Path, extension: str) -> None:
    rgb = smooth_rgb()
    read = read_image(save(tmp_path / f"photo{extension}", rgb))
    assert read.dtype == np.uint8
    assert read.shape == rgb.shape
    assert read.flags.c_contiguous
    tolerance = 0 if extension in LOSSLESS else 12
    assert np.abs(read.astype(int) - rgb).max() <= tolerance


def test_grey_is_widened(tmp_path: Path) -> None:
    grey = smooth_rgb()[:, :, 0]
    read = read_image(save(tmp_path / "grey.png", grey))
    np.testing.assert_array_equal(read, np.stack([grey] * 3, axis=2))


def test_alpha_is_dropped(tmp_path: Path) -> None:
    rgb = smooth_rgb()
    rgba = np.dstack([rgb, np.full(rgb.shape[:2], 7, np.uint8)])
    np.testing.assert_array_equal(read_image(save(tmp_path / "alpha.png", rgba)), rgb)


def test_names_beyond_ascii(tmp_path: Path) -> None:
    folder = tmp_path / "façades 立面"
    folder.mkdir()
    rgb = smooth_rgb()
    write_image(folder / "größe.png", rgb)
    np.testing.assert_array_equal(read_image(folder / "größe.png"), rgb)


@pytest.mark.parametrize("extension", [".png", ".tif", ".npy"])
def test_16_bits_need_to_know_what_is_white(tmp_path: Path, extension: str) -> None:
    """No bit is lost, and none is guessed."""
    deep = smooth_rgb()[:, :, 0].astype(np.uint16) * 257
    path = tmp_path / f"deep{extension}"
    if extension == ".npy":
        np.save(path, deep)
    else:
        Image.fromarray(deep).save(path)
    with pytest.raises(ImageError, match=r"deep\..* uint16 pixels, here from 10280 to 65535; say"):
        read_image(path)
    read = StoredImage.read(path).photo(1, 65535)
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read[..., 0], deep)
    with pytest.raises(ImageError, match=r"has the pixel value 65535, but 0 is black and 4095 w"):
        StoredImage.read(path).photo(1, 4095)


def test_colours_of_16_bits(tmp_path: Path) -> None:
    deep = smooth_rgb().astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb")
    read = StoredImage.read(tmp_path / "deep.tif").photo(3, 65535)
    np.testing.assert_array_equal(read, deep)
    # Pillow would drop half of the bits of such a PNG.
    rows = [row.astype(">u2").tobytes() for row in deep]
    (tmp_path / "deep.png").write_bytes(png(16, 2, rows, deep.shape[1]))
    with pytest.raises(ImageError, match=r"deep\.png is a PNG of colours with 16 bits a chan"):
        StoredImage.read(tmp_path / "deep.png")


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("channels", [2, 4, 7])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_of_any_channels(
    tmp_path: Path, planar: str, channels: int, dtype: type[np.unsignedinteger]
) -> None:
    white = np.iinfo(dtype).max
    tile = np.random.default_rng(0).integers(0, white + 1, (12, 16, channels), dtype)
    stored = tile if planar == "contig" else np.moveaxis(tile, 2, 0)
    tifffile.imwrite(tmp_path / "tile.tif", stored, photometric="minisblack", planarconfig=planar)
    read = StoredImage.read(tmp_path / "tile.tif").photo(channels, int(white))
    np.testing.assert_array_equal(read, tile)
    with pytest.raises(ImageError, match=f"has {channels} channels, not 5; say .*{channels}"):
        StoredImage.read(tmp_path / "tile.tif").photo(5, int(white))


@pytest.mark.parametrize("mode", ["CMYK", "RGB"])
def test_tiff_of_inks_is_converted(tmp_path: Path, mode: str) -> None:
    """Cyan, magenta and yellow are no red, green and blue."""
    rgb = smooth_rgb()
    Image.fromarray(rgb).convert(mode).save(tmp_path / "inks.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "inks.tif"), rgb)


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((8, 9, 4), {"photometric": "separated"}, "has 16 bits a channel, but is neither grey"),
        ((8, 9), {"photometric": "miniswhite"}, "has 16 bits a channel, but is neither grey"),
        ((3, 8, 9), {"photometric": "minisblack"}, "has several pages of one size, of which one"),
        (
            (8, 9, 5),
            {
                "photometric": "minisblack",
                "planarconfig": "contig",
                "extratags": [(274, "H", 1, 6, False)],
            },
            "is stored turned",
        ),
    ],
)
def test_tiff_that_would_be_read_wrongly(
    tmp_path: Path, shape: tuple[int, ...], settings: dict[str, Any], message: str
) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, shape, np.uint16)
    tifffile.imwrite(tmp_path / "deep.tif", pixels, **settings)
    with pytest.raises(ImageError, match=message):
        StoredImage.read(tmp_path / "deep.tif")


def test_overviews_of_a_tiff_are_no_pages(tmp_path: Path) -> None:
    tile = np.random.default_rng(0).integers(0, 256, (32, 32, 4), np.uint8)
    with tifffile.TiffWriter(tmp_path / "tile.tif") as file:
        file.write(tile, photometric="rgb")
        file.write(tile[::2, ::2], photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(StoredImage.read(tmp_path / "tile.tif").photo(4), tile)


def test_a_fourth_channel_is_as_it_is_stored(tmp_path: Path) -> None:
    """Files call any fourth channel alpha; where it is premultiplied, colours would change."""
    tile = np.random.default_rng(0).integers(0, 256, (12, 16, 4), np.uint8)
    for kind in ("assocalpha", "unassalpha", "unspecified"):
        path = tmp_path / f"{kind}.tif"
        tifffile.imwrite(path, tile, photometric="rgb", extrasamples=[kind])
        np.testing.assert_array_equal(StoredImage.read(path).photo(4), tile)
        np.testing.assert_array_equal(read_image(path), tile[..., :3])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3, 4, 5)), r"is float64 \(2, 3, 4, 5\); an image is numbers"),
        (np.zeros((0, 3)), r"is float64 \(0, 3\)"),
        (np.array([["a"]]), r"is <U1 \(1, 1\)"),
        (np.array([[None]]), r"is no array of numbers"),
    ],
)
def test_arrays_that_are_no_images(
    tmp_path: Path, array: npt.NDArray[np.generic], message: str
) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ImageError, match=message):
        StoredImage.read(tmp_path / "a.npy")


def test_float_photos_are_refused(tmp_path: Path) -> None:
    """They would become black."""
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((4, 5, 3), np.float32))
    with pytest.raises(ImageError, match=r"a\.npy has float32 pixels; photos have whole numbers"):
        read_image(tmp_path / "a.npy")


@pytest.mark.parametrize("extension", IMAGE_EXTENSIONS)
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.98])
def test_cut_files_are_refused_quietly(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], extension: str, kept: float
) -> None:
    path = save(tmp_path / f"cut{extension}", smooth_rgb())
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(ImageError, match=r"cut\."):
        read_image(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_cut_jpeg_with_a_whole_thumbnail_is_refused(tmp_path: Path, progressive: int) -> None:
    path = save(tmp_path / "cut.jpg", smooth_rgb(), progressive=progressive)
    data = path.read_bytes()
    thumbnail = save(tmp_path / "thumbnail.jpg", smooth_rgb(8, 8)).read_bytes()
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = data[:2] + segment + data[2:]
    path.write_bytes(whole)
    assert read_image(path).shape == (40, 64, 3)
    path.write_bytes(whole[:-20])
    with pytest.raises(ImageError, match=r"cut\.jpg is cut short"):
        read_image(path)


def test_bytes_behind_the_end_of_a_jpeg_are_allowed(tmp_path: Path) -> None:
    path = save(tmp_path / "tail.jpg", smooth_rgb())
    before = read_image(path)
    path.write_bytes(path.read_bytes() + b"\0" * 300)
    np.testing.assert_array_equal(read_image(path), before)


def test_a_damaged_png_is_refused_quietly(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path / "bad.png", smooth_rgb())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x55
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"bad\.png is damaged.*checksum"):
        read_image(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("content", [b"", b"not an image at all", b"\xff\xd8\xff", b"\x89PNG\r\n"])
def test_other_files_are_refused_quietly(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes
) -> None:
    path = tmp_path / "text.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"text\.png"):
        read_image(path)
    assert capfd.readouterr() == ("", "")


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"nowhere\.png does not exist"):
        read_image(tmp_path / "nowhere.png")
    with pytest.raises(ImageError, match=r"cannot be read"):
        read_image(tmp_path)


def test_index_images_are_taken_as_they_are(tmp_path: Path) -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    path = save(tmp_path / "labels.png", labels)
    np.testing.assert_array_equal(read_labels(path, Palette.named("camvid")), labels)


def test_indices_out_of_range_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "labels.png", np.array([[0, 14, 13]], np.uint8))
    with pytest.raises(ImageError, match=r"labels\.png holds the label 13,.*camvid.*void 11"):
        read_labels(path, Palette.named("camvid"))


def test_colour_label_maps_survive_jpeg(tmp_path: Path) -> None:
    palette = Palette.named("facades")
    blocks = np.random.default_rng(0).integers(0, 12, (6, 8), dtype=np.uint8)
    labels = np.kron(blocks, np.ones((32, 32), np.uint8))
    path = save(tmp_path / "labels.jpg", palette.colourise(labels), quality=90)
    read = read_labels(path, palette)
    inside = np.kron(np.ones((6, 8), bool), np.pad(np.ones((16, 16), bool), 8))
    assert (read_image(path) != palette.colourise(labels)).any()
    np.testing.assert_array_equal(read[inside], labels[inside])


def test_ids_map_to_labels_and_the_rest_to_void(tmp_path: Path) -> None:
    path = save(tmp_path / "ids.png", np.array([[0, 7, 8, 33, 200]], np.uint8))
    ids = {7: 0, 8: 1, 33: 10}
    assert read_labels(path, Palette.named("camvid"), ids=ids).tolist() == [[11, 0, 1, 10, 11]]


def test_ids_without_void_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "ids.png", np.array([[7, 9]], np.uint8))
    with pytest.raises(ImageError, match=r"ids\.png"):
        read_labels(path, Palette.named("facades"), ids={7: 0})


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_small_indices_are_not_scaled(tmp_path: Path, depth: int) -> None:
    """Decoders stretch grey of 1, 2 or 4 bits to 0..255; indices must come back as stored."""
    indices = np.arange(8) % min(2**depth, 12)
    bits = "".join(f"{value:0{depth}b}" for value in indices)
    row = int(bits, 2).to_bytes(depth, "big")
    path = tmp_path / "small.png"
    path.write_bytes(png(depth, 0, [row], width=8))
    assert read_labels(path, Palette.named("facades")).tolist() == [indices.tolist()]
    assert read_image(path).max() == indices.max() * (255 // (2**depth - 1))


def test_a_colour_table_must_hold_the_colours_of_the_palette(tmp_path: Path) -> None:
    palette = Palette.named("facades")
    path = tmp_path / "table.png"
    path.write_bytes(png(8, 3, [bytes([1, 0, 1])], 3, palette.colours[[5, 2]].tobytes()))
    assert read_labels(path, palette).tolist() == [[2, 5, 2]]
    path.write_bytes(png(8, 3, [bytes([1, 0, 1])], 3, bytes([128, 0, 0, 0, 128, 0])))
    with pytest.raises(ImageError, match=r"table\.png holds the colour \(0, 128, 0\).*`--indices`"):
        read_labels(path, palette)


def test_a_file_with_a_colour_table_holds_indices_where_it_is_the_palettes(tmp_path: Path) -> None:
    """Its void, of any colour, and entries of one colour come out right then."""
    voc, path = Palette.named("voc"), tmp_path / "table.png"
    table = np.zeros((256, 3), np.uint8)
    table[:21], table[255] = voc.colours, (1, 2, 3)
    rows = [bytes([15, 0, 255, 20]), bytes([255, 1, 7, 2])]
    path.write_bytes(png(8, 3, rows, 4, table.tobytes()))
    assert read_labels(path, voc).tolist() == [[15, 0, 255, 20], [255, 1, 7, 2]]
    other = Palette("other", voc.classes, voc.colours[::-1].copy(), 255)
    with pytest.raises(ImageError, match=r"colour \(1, 2, 3\), which palette 'other' .*--indices"):
        read_labels(path, other)
    stored = StoredImage.read(path)
    assert stored.labels(other, indices=True).tolist() == [[15, 0, 255, 20], [255, 1, 7, 2]]
    kind = kind_from_json(Labels(other, indices=True).to_json())
    np.testing.assert_array_equal(kind.target_of(stored), stored.labels(other, indices=True))
    path.write_bytes(png(8, 3, rows[1:], 4, table.tobytes()))
    assert StoredImage.read(path).labels(voc, {1: 5}).tolist() == [[255, 5, 255, 255]]
    left, right = stored.halves()
    assert (left.labels(voc).tolist(), right.labels(voc).tolist()) == (
        [[15, 0], [255, 1]],
        [[255, 20], [7, 2]],
    )
    # An index that no class has is not black, as its colour is.
    path.write_bytes(png(8, 3, [bytes([30, 0, 0, 0])], 4, table.tobytes()))
    with pytest.raises(ImageError, match="holds the label 30"):
        read_labels(path, voc)


def test_indices_stored_as_grey_colours_are_refused(tmp_path: Path) -> None:
    indices = np.array([[1, 2, 3]], np.uint8)
    path = save(tmp_path / "grey.png", np.dstack([indices] * 3))
    with pytest.raises(ImageError, match=r"grey\.png holds the colour \(1, 1, 1\)"):
        read_labels(path, Palette.named("camvid"))


def test_exact_grey_colours_are_labels(tmp_path: Path) -> None:
    palette = Palette.named("camvid")
    labels = np.array([[0, 11, 0]], np.uint8)
    path = save(tmp_path / "sky.png", palette.colourise(labels))
    np.testing.assert_array_equal(read_labels(path, palette), labels)


def test_painted_label_maps(tmp_path: Path) -> None:
    palette = Palette.named("facades")
    labels = np.array([[3, 0, 11]], np.uint8)
    index_image = StoredImage.read(save(tmp_path / "index.png", labels))
    np.testing.assert_array_equal(index_image.painted(palette), palette.colourise(labels))
    rgb = smooth_rgb()
    colours = StoredImage.read(save(tmp_path / "colours.png", rgb))
    np.testing.assert_array_equal(colours.painted(palette), rgb)


@pytest.mark.parametrize("image", [smooth_rgb(), smooth_rgb()[:, :, 0], smooth_rgb()[::2, ::-1]])
def test_write_image_round_trip(tmp_path: Path, image: npt.NDArray[np.uint8]) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"older content")
    write_image(path, image)
    np.testing.assert_array_equal(StoredImage.read(path).pixels, image)
    assert [each.name for each in tmp_path.iterdir()] == ["out.png"]


def test_write_image_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"extension \.png"):
        write_image(tmp_path / "out.jpg", smooth_rgb())
    with pytest.raises(ImageError, match="float"):
        write_image(tmp_path / "out.png", smooth_rgb() / np.float32(255))
    with pytest.raises(ImageError, match=r"\(4, 4, 2\)"):
        write_image(tmp_path / "out.png", np.zeros((4, 4, 2), np.uint8))
    with pytest.raises(OutputError, match=r"cannot write .*nowhere"):
        write_image(tmp_path / "nowhere" / "out.png", smooth_rgb())
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"older content")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_image(path, smooth_rgb())
    assert path.read_bytes() == b"older content"
    assert [each.name for each in tmp_path.iterdir()] == ["out.png"]
