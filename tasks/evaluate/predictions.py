"""Rankings as the MUGE leaderboard and Chinese-CLIP's evaluation script want them: one JSON line a
query, with ten different image ids."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks.errors import DatasetError, WorkFolderError
from tasks.evaluate.judgements import Judgement

TEN = 10


def write_predictions(
    path: str, judgements: Sequence[Judgement], rankings: Sequence[Sequence[str]]
) -> int:
    """Write `{"query_id", "query_text", "item_ids"}`, the leaderboard's names, and the same as
    `{"text_id", "image_ids"}`, the script's, for every query; returns their number.

    `rankings` are image ids, best first. Raises `DatasetError` if a query has fewer than ten,
    `WorkFolderError` if the file cannot be written.
    """
    lines = list(_lines(judgements, rankings))
    try:
        Path(path).write_text("".join(f"{line}\n" for line in lines), "utf-8")
    except OSError as error:
        raise WorkFolderError(f"cannot write {path}: {error.strerror}") from None
    return len(lines)


def _lines(judgements: Sequence[Judgement], rankings: Sequence[Sequence[str]]) -> Iterator[str]:
    for judgement, ranking in zip(judgements, rankings, strict=True):
        ids = list(dict.fromkeys(ranking))[:TEN]
        if len(ids) < TEN:
            raise DatasetError(
                f"the leaderboard wants {TEN} different images a query, {judgement.text[:40]!r} "
                f"found {len(ids)}: the gallery is too small"
            )
        query, images = int(judgement.query_id), [int(image) for image in ids]
        line = {
            "query_id": query,
            "query_text": judgement.text,
            "item_ids": images,
            "text_id": query,
            "image_ids": images,
        }
        yield json.dumps(line, ensure_ascii=False)
