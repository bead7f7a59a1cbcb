"""Which format a picture's first bytes promise, whatever its file is called."""

from __future__ import annotations

PEEKED_BYTES = 64
"""So many of a file's first bytes are enough."""
HEIC_EXTRA = "pip install 'muge-search[heic]'"
"""What a machine needs to read HEIC."""

_STARTS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def signature(data: bytes) -> str | None:
    """The format by Pillow's name for it, "HEIC", or None; looks at no more than `PEEKED_BYTES`."""
    if data.startswith(b"RIFF") and data[8:12] in (b"WEBP", b""):
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _by_brands(data)
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    return next((name for start, name in _STARTS.items() if data.startswith(start)), None)


def _by_brands(data: bytes) -> str | None:
    """AVIF and HEIC are the same container (ISO/IEC 14496-12), and say what is in it."""
    end = min(int.from_bytes(data[:4], "big"), PEEKED_BYTES)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, end, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    return "HEIC" if brands & _HEIC_BRANDS else None
