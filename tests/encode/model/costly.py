"""Small files that cost a decoder much time or memory."""

from __future__ import annotations

import base64
import io

from PIL import Image

WIDE_WEBP = base64.b64decode("UklGRhoAAABXRUJQVlA4TA4AAAAvm9gmBgcQEf0PRET/Aw==")
"""34 bytes, 6300 x 6300 pixels."""


def many_scans(scans: int, side: int = 64) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    file = io.BytesIO()
    Image.effect_noise((side, side), 60).convert("RGB").save(file, "JPEG", progressive=True)
    content = file.getvalue()[:-2]
    last = content[content.rindex(b"\xff\xda") :]
    return content + last * (scans - content.count(b"\xff\xda")) + b"\xff\xd9"


def large_jpeg(width: int, height: int) -> bytes:
    """A picture of slow waves."""
    wave = Image.linear_gradient("L").resize((width, height), Image.Resampling.BICUBIC)
    turned = Image.radial_gradient("L").resize((width, height), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    Image.merge("RGB", (wave, turned, wave)).save(file, "JPEG", quality=80)
    return file.getvalue()
