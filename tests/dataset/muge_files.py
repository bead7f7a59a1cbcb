"""MUGE's official files, small, in any spelling."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SPELLINGS = {
    "official": ("MR_{}_imgs.tsv", "MR_{}_queries.jsonl", "query_id", "query_text", "item_ids"),
    "chinese-clip": ("{}_imgs.tsv", "{}_texts.jsonl", "text_id", "text", "image_ids"),
}


def picture_line(image_id: object, image: bytes, url_safe: bool = False) -> bytes:
    """A line of the TSV, without its end."""
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    return f"{image_id}\t".encode() + encode(image)


def query_line(
    query_id: object, text: str, images: Sequence[object] | None, spelling: str = "official"
) -> bytes:
    """A line of the JSONL, without its end; `images` None leaves the key out."""
    _, _, id_key, text_key, images_key = SPELLINGS[spelling]
    line: dict[str, Any] = {id_key: query_id, text_key: text}
    if images is not None:
        line[images_key] = images
    return json.dumps(line, ensure_ascii=False).encode()


def write_lines(
    folder: Path,
    pictures: Sequence[bytes],
    queries: Sequence[bytes],
    split: str = "valid",
    spelling: str = "official",
    packed: bool = False,
) -> Path:
    """Both files of a split from their lines; `packed` writes .gz."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in zip(SPELLINGS[spelling][:2], (pictures, queries), strict=True):
        content = b"".join(line + b"\n" for line in lines)
        file = folder / name.format(split)
        if packed:
            file = file.with_name(f"{file.name}.gz")
            content = gzip.compress(content, 1)
        file.write_bytes(content)
    return folder


def write_muge(
    folder: Path,
    images: Mapping[int, bytes],
    queries: Mapping[int, tuple[str, Sequence[int]]],
    url_safe: bool = False,
    **options: Any,
) -> Path:
    """A small good split: pictures by id, and (text, images) by query id."""
    spelling = options.get("spelling", "official")
    return write_lines(
        folder,
        [picture_line(i, image, url_safe) for i, image in images.items()],
        [query_line(i, text, ids, spelling) for i, (text, ids) in queries.items()],
        **options,
    )
