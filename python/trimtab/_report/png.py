"""A paletted PNG as a data URI: a heat map of any size costs its cells, not an SVG element each.

PNG (ISO/IEC 15948): colour type 3, 8 bits, no filter, deflate.
"""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def data_uri(rows: Sequence[bytes], palette: Sequence[tuple[int, int, int]]) -> str:
    """An image of ``rows`` of indices into ``palette`` (at most 256 colours).

    Raises:
        ValueError: There are no pixels, or the rows differ in length.
    """
    widths = {len(row) for row in rows}
    if len(widths) != 1 or not (width := widths.pop()):
        raise ValueError("an image needs rows of one length above 0")
    header = struct.pack(">IIBBBBB", width, len(rows), 8, 3, 0, 0, 0)
    colours = b"".join(bytes(colour) for colour in palette)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    chunks = (
        _chunk(b"IHDR", header),
        _chunk(b"PLTE", colours),
        _chunk(b"IDAT", pixels),
        _chunk(b"IEND", b""),
    )
    content = b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
