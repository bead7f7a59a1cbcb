"""Rankings and judgements as TREC's tools and ir_measures read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tasks.errors import WorkFolderError
from tasks.evaluate.judgements import Judgement

TAG = "muge"


def write_run(
    path: str, judgements: Sequence[Judgement], rankings: Sequence[Sequence[str]]
) -> None:
    """Write `query Q0 image rank score muge` for each hit; `rankings` are image ids, best first,
    and a score is the number of hits from there to the last, which keeps their order.

    Raises `WorkFolderError` if the file cannot be written.
    """
    _write(
        path,
        (
            f"{judgement.query_id} Q0 {image} {rank} {len(ranking) - rank + 1} {TAG}"
            for judgement, ranking in zip(judgements, rankings, strict=True)
            for rank, image in enumerate(ranking, 1)
        ),
    )


def write_qrels(path: str, judgements: Sequence[Judgement]) -> None:
    """Write `query 0 image 1` for each right image; errors as `write_run`."""
    _write(
        path,
        (
            f"{judgement.query_id} 0 {image} 1"
            for judgement in judgements
            for image in sorted(judgement.relevant)
        ),
    )


def _write(path: str, lines: Iterable[str]) -> None:
    try:
        Path(path).write_text("".join(f"{line}\n" for line in lines), "utf-8")
    except OSError as error:
        raise WorkFolderError(f"cannot write {path}: {error.strerror}") from None
