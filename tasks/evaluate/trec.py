"""Rankings and judgements as trec_eval, ir_measures, ranx and annotators have them.

A run has lines `query Q0 image rank score tag`, qrels have `query 0 image grade`. trec_eval reads a
score as 32 bits, looks at no rank and orders equal scores by id, the last first: scores that are
written fall strictly in 32 bits, and what is read is ordered in that way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.dataset.reader import document_id
from tasks.errors import UsageError, reason_of
from tasks.evaluate.files import written
from tasks.evaluate.judgements import Judgement
from tasks.opening import open_regular, text_lines
from tasks.search.fusion import Scored

MOST_BYTES = 1 << 30
LONGEST_LINE = 4096
_GRADE = re.compile(r"[+-]?[0-9]{1,6}")  # int() alone would take "1_0" and "١" too


@dataclass(frozen=True, slots=True)
class Qrels:
    """Grades by query, then document id; `negative` lines had a grade below 0, which is 0 here."""

    path: str
    grades: dict[str, dict[str, int]]
    negative: int


@dataclass(frozen=True, slots=True)
class Run:
    """Another system's rankings: document ids by query, best first."""

    path: str
    tag: str
    rankings: dict[str, list[str]]


def write_run(path: str, tag: str, queries: Sequence[str], rankings: Iterable[Scored]) -> None:
    """Write the rankings of queries. A score that is not below the one before in 32 bits is the
    next lower number. Raises `WorkFolderError` if the file cannot be written."""
    _write(path, _run_lines(tag, queries, rankings))


def write_qrels(path: str, judgements: Iterable[Judgement]) -> None:
    """Write the grades of all queries that have a right image; errors as `write_run`."""
    _write(
        path,
        (
            f"{judgement.query_id} 0 {image} {grade}"
            for judgement in judgements
            if judgement.relevant
            for image, grade in sorted(
                {**dict.fromkeys(judgement.relevant, 1), **judgement.grades}.items()
            )
        ),
    )


def read_qrels(path: str) -> Qrels:
    """The judgements of a file; raises `UsageError` naming the first line that is none."""
    grades: dict[str, dict[str, int]] = {}
    negative = 0
    for place, columns in _lines(path, 4, "query 0 document grade"):
        query, _, document, said = columns
        if not _GRADE.fullmatch(said):
            raise UsageError(f"{place}: the grade is {said!r:.40}, expected 0, 1, 2, ...")
        grade = int(said)
        negative += grade < 0
        grade, key = max(grade, 0), document_id(document)
        if grades.setdefault(query, {}).setdefault(key, grade) != grade:
            raise UsageError(
                f"{place}: document {document:.40} has grade {grade} for query {query:.40}, "
                f"{grades[query][key]} in an earlier line"
            )
    if not grades:
        raise UsageError(f"{path} holds no judgement, expected lines `query 0 document grade`")
    return Qrels(path, grades, negative)


def read_run(path: str) -> Run:
    """The rankings of a file, ordered by score as trec_eval does; raises `UsageError` naming the
    first line that is none."""
    scores: dict[str, dict[str, float]] = {}
    tag: str | None = None
    for place, columns in _lines(path, 6, "query Q0 document rank score tag"):
        query, _, document, _, said, whose = columns
        score = _score(said, place)
        tag = tag or whose
        if tag != whose:
            raise UsageError(f"{place}: tag {whose:.40} after {tag:.40}; give one system's run")
        if document in scores.setdefault(query, {}):
            raise UsageError(f"{place}: document {document:.40} twice for query {query:.40}")
        scores[query][document] = score
    if tag is None:
        raise UsageError(f"{path} holds no ranking, expected lines `query Q0 document rank score`")
    ordered = {
        query: sorted(found, key=lambda id: (found[id], id), reverse=True)
        for query, found in scores.items()
    }
    return Run(path, tag, {q: [document_id(id) for id in ids] for q, ids in ordered.items()})


def _score(said: str, place: str) -> float:
    try:
        with np.errstate(over="ignore"):
            score = float(np.float32(math.nan if "_" in said else float(said)))
    except ValueError:
        score = math.nan
    if math.isnan(score):
        raise UsageError(f"{place}: the score is {said!r:.40}, expected a number")
    return score


def _lines(path: str, width: int, form: str) -> Iterator[tuple[str, list[str]]]:
    """(file and line, columns) of all lines that are not blank."""
    try:
        with open_regular(path, MOST_BYTES) as file:
            for number, line in text_lines(file, LONGEST_LINE):
                place = f"{path}, line {number}"
                if line is None:
                    raise UsageError(f"{place} has more than {LONGEST_LINE} characters")
                columns = line.split()
                if columns and len(columns) != width:
                    raise UsageError(f"{place} has {len(columns)} columns, expected `{form}`")
                if columns:
                    yield place, columns
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text in UTF-8, expected lines `{form}`") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {reason_of(error)}") from None


def _run_lines(tag: str, queries: Sequence[str], rankings: Iterable[Scored]) -> Iterator[str]:
    lowest = np.float32(-np.inf)
    for query, ranking in zip(queries, rankings, strict=True):
        before = np.float32(np.inf)
        for rank, (image, given) in enumerate(ranking, 1):
            before = min(np.float32(given), np.nextafter(before, lowest))
            yield f"{query} Q0 {image} {rank} {before:.9g} {tag}"


def _write(path: str, lines: Iterable[str]) -> None:
    with written(path) as file:
        file.writelines(f"{line}\n".encode() for line in lines)
