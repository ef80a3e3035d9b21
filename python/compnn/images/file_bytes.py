"""What an image file's own bytes say: whether it is whole, and how a PNG file stores its pixels.

Decoders give back part of a damaged image, or scale small indices; these checks run before them.
"""

from __future__ import annotations

import struct
import zlib

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_CUT = "is cut short"
_GREY = 0


def find_damage(data: bytes) -> str | None:
    """Return what is wrong with the bytes of an image file (`is cut short`), or None.

    JPEG, PNG and WebP files are looked through; nothing is said about others.
    """
    if not data:
        return "is empty"
    if data.startswith(_PNG):
        return _png_damage(data)
    if data.startswith(_JPEG):
        return _jpeg_damage(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        (size,) = struct.unpack_from("<I", data, 4)
        return _CUT if len(data) < size + 8 else None
    return None


def _png_damage(data: bytes) -> str | None:
    at = len(_PNG)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            return _CUT
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(data[at + 4 : end - 4]) != checksum:
            return "is damaged (a checksum in it is wrong)"
        if kind == b"IEND":
            return None
        at = end
    return _CUT


def _jpeg_damage(data: bytes) -> str | None:
    """Look for the end marker behind the first scan; before it are thumbnails, with their own."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return "is damaged (a JPEG marker is missing)"
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        at += 2 + length
        if marker == 0xDA:  # start of scan
            return None if data.find(b"\xff\xd9", at) >= 0 else _CUT
    return _CUT


def grey_step(data: bytes) -> int:
    """Return by how much a decoder multiplies the values of a file: more than 1 for 1, 2 or 4 bits.

    Only grey PNG files are so; the factor is 1 for all others.
    """
    if not data.startswith(_PNG):
        return 1
    depth, colour_type = data[24], data[25]
    return 255 // (2**depth - 1) if colour_type == _GREY and depth < 8 else 1


def is_lossy(data: bytes) -> bool:
    """Return whether a file's compression changes colours: JPEG, and WebP unless it is lossless."""
    webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return data.startswith(_JPEG) or (webp and b"VP8L" not in data[12:64])


def has_deep_colours(data: bytes) -> bool:
    """Return whether the file is a PNG with 16 bits in each of several channels."""
    return data.startswith(_PNG) and data[24] == 16 and data[25] != _GREY
