"""Judgements as files that evaluations and other tools read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass

from tasks.errors import DatasetError, UsageError
from tasks.evaluate.files import check_writable, written
from tasks.judge.grades import Graded, grade
from tasks.judge.thumbs import Thumb, lines_of, thumbs_of
from tasks.settings import ExportedJudgements, Place


@dataclass(frozen=True, slots=True)
class Exported:
    """What was read: `thumbs` by `users`, and the grades of `pictures` of `queries` that they came
    to; `telling` queries have a picture that fits and one that does not."""

    collection: str
    thumbs: int
    users: int
    queries: int
    telling: int
    pictures: int
    fitting: int
    contested: int
    files: tuple[str, ...]


def read_thumbs(settings: Place) -> list[Thumb]:
    """All thumbs of the collection's name; raises `DatasetError` if there is none."""
    thumbs = thumbs_of(settings)
    found = thumbs.read()
    if not found:
        others = thumbs.other_names()
        there = f"; there are some of {', '.join(map(repr, others))}" if others else ""
        raise DatasetError(
            f"nothing of collection {settings.collection!r} was judged yet in "
            f"{settings.work_url}{there}: press thumbs on the search page (muge web), or name the "
            f"--collection, --store and --work-dir that it serves"
        )
    return found


def export_judgements(settings: Place, wanted: ExportedJudgements) -> Exported:
    """Write the files that are wanted; without any nothing is written, and what is there is said.

    Raises `WorkFolderError` for a file that cannot be written, before anything is, `UsageError` for
    one that is to be written twice, and as `read_thumbs`.
    """
    places = [place for place in (wanted.qrels, wanted.queries, wanted.jsonl) if place is not None]
    for place in places:
        check_writable(place)
    if len(set(map(os.path.realpath, places))) < len(places):
        raise UsageError(f"{places[-1]} would be written twice; name other files")
    thumbs = read_thumbs(settings)
    graded = grade(thumbs)
    if wanted.qrels is not None:
        _write(wanted.qrels, graded.qrels())
    if wanted.queries is not None:
        _write(wanted.queries, _queries(graded))
    if wanted.jsonl is not None:
        with written(wanted.jsonl) as file:
            file.write(lines_of(thumbs).encode())
    grades = [said for found in graded.grades.values() for said in found.values()]
    return Exported(
        collection=settings.collection,
        thumbs=graded.thumbs,
        users=graded.users,
        queries=len(graded.grades),
        telling=len(graded.telling),
        pictures=len(grades),
        fitting=sum(grades),
        contested=graded.contested,
        files=tuple(places),
    )


def _queries(graded: Graded) -> Iterable[str]:
    for judgement in graded.judgements:
        line = {"query_id": int(judgement.query_id), "query": judgement.text}
        yield json.dumps(line, ensure_ascii=False)


def _write(path: str, lines: Iterable[str]) -> None:
    with written(path) as file:
        file.writelines(f"{line}\n".encode() for line in lines)
