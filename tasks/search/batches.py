"""A file of questions to a file of answers, in batches, at the speed of the encoder."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tasks.context import Context
from tasks.errors import QueryError, UsageError, WorkFolderError, reason_of
from tasks.opening import leads_beneath, open_regular, text_lines
from tasks.search.answers import Answer, as_json
from tasks.search.questions import Question, checked
from tasks.search.searcher import EncodedQuestion, PreparedQuestion, Searcher, open_searcher
from tasks.settings import Settings

BATCH = 512
LONGEST_LINE = 1 << 20  # characters
ADDRESSES = ("http://", "https://")
LEFT_OUT = "picture"
"""Pictures stay out: a million hits would carry gigabytes of them; ids lead to them."""
TEXT_KEYS = ("text", "query", "query_text")


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of a file of questions; `failed` have an `error` instead of hits."""

    queries: int
    failed: int
    seconds: float
    per_second: float
    out: str


@dataclass(frozen=True, slots=True)
class Line:
    """A question of a file, or why it is none: `number` counts from 1, `query_id` is the asker's
    own, if any."""

    number: int
    query_id: Any
    question: Question | QueryError


Batch = list[tuple[Line, EncodedQuestion | QueryError]]


def read_lines(path: Path, defaults: Question) -> Iterator[Line]:
    """The questions of a JSONL file, one an object: text (or query), image, like, alpha, topk,
    fusion, filter, text_weight, alike, query_id; what is missing is as in `defaults`. A relative
    image is one beside the file.

    Raises `UsageError` with the number of a line that is no JSON object.
    """
    try:
        with open_regular(path) as file:
            for number, text in text_lines(file, LONGEST_LINE):
                if text is None:
                    raise UsageError(
                        f"{path} line {number}: it has more than {LONGEST_LINE:,} characters; "
                        f"nothing was searched"
                    )
                if text.strip():
                    yield _line(path, number, text, defaults)
    except OSError as error:  # an `InputFileError` too
        raise UsageError(f"queries {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"queries {path} are not UTF-8: {error.reason}") from None


def _line(path: Path, number: int, text: str, defaults: Question) -> Line:
    try:
        given = json.loads(text)
        if not isinstance(given, dict):
            raise ValueError("not an object")
    except json.JSONDecodeError:
        raise UsageError(
            f"{path} line {number}: {text.strip()[:60]!r} is not JSON, expected such as "
            f'{{"text": "..."}}; nothing was searched'
        ) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} line {number}: {error}; nothing was searched") from None
    question: Question | QueryError
    try:
        question = checked(_question(path, given, defaults))
    except (ValueError, TypeError, OverflowError, QueryError) as error:
        question = QueryError(reason_of(error))
    return Line(number, given.get("query_id"), question)


def _question(path: Path, given: dict[str, Any], defaults: Question) -> Question:
    """Raises `ValueError`, `TypeError` or `OverflowError` for values that are none."""
    words = next((given[key] for key in TEXT_KEYS if given.get(key) is not None), None)
    image = _text(given, "image")
    if image is not None and not image.lower().startswith(ADDRESSES):
        if not leads_beneath(image):
            raise ValueError(
                f"image {image[:80]!r} is neither a file beside {path.name} nor an http(s) address"
            )
        image = str(path.parent / image)
    return Question(
        text=None if words is None else _text({"text": words}, "text"),
        image=image,
        alpha=float(given.get("alpha", defaults.alpha)),
        topk=int(given.get("topk", defaults.topk)),
        filter=_text(given, "filter") or defaults.filter,
        like=None if given.get("like") is None else str(given["like"]),
        group_by=defaults.group_by,
        per_group=defaults.per_group,
        products=defaults.products,
        fusion=given.get("fusion", defaults.fusion),
        alpha_is_open=defaults.alpha_is_open and "alpha" not in given,
        alike=given.get("alike", defaults.alike),
        text_weight=float(given.get("text_weight", defaults.text_weight)),
    )


def _text(given: dict[str, Any], key: str) -> str | None:
    value = given.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key} is {str(value)[:80]}, expected a text")
    return value


def search_file(
    context: Context,
    settings: Settings,
    queries: str,
    out: str,
    defaults: Question,
    model: str | None = None,
) -> BatchReport:
    """Answer every line of `queries` into `out`, one JSON object a line in the same order.

    `out` appears whole or not at all. A question that cannot be asked, or whose picture or filter
    cannot be used, gets an `error`; raises `UsageError` if the file itself is wrong, before
    anything is searched.
    """
    source = Path(queries)
    for _ in read_lines(source, defaults):
        pass
    searcher = open_searcher(context, settings, model)
    start, counts = time.perf_counter(), {"queries": 0, "failed": 0}
    progress, partial = context.advancing("search"), Path(f"{out}.partial")
    batches = (_ready(searcher, batch) for batch in _batches(read_lines(source, defaults)))
    try:
        with partial.open("w", encoding="utf-8") as file:
            for batch in _one_ahead(batches):
                answers = list(_answers(searcher, batch))
                for line, answer in answers:
                    file.write(json.dumps(_named(line, answer), ensure_ascii=False) + "\n")
                counts["failed"] += sum("error" in answer for _, answer in answers)
                counts["queries"] += len(answers)
                progress(len(answers))
        os.replace(partial, out)
    except OSError as error:
        raise WorkFolderError(f"cannot write {out}: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
    seconds = time.perf_counter() - start
    rate = round(counts["queries"] / seconds, 1)
    return BatchReport(**counts, seconds=round(seconds, 3), per_second=rate, out=out)


def _batches(lines: Iterator[Line]) -> Iterator[list[Line]]:
    while batch := list(islice(lines, BATCH)):
        yield batch


def _one_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The batches; while one is worked on, the next is made in another thread."""
    with ThreadPoolExecutor(1, thread_name_prefix="encode") as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def _ready(searcher: Searcher, batch: list[Line]) -> Batch:
    """The lines with their questions encoded, or with why they cannot be asked."""
    prepared: list[PreparedQuestion | QueryError] = []
    for line in batch:
        if isinstance(line.question, QueryError):
            prepared.append(line.question)
            continue
        try:
            prepared.append(searcher.prepare(line.question))
        except QueryError as error:
            prepared.append(error)
    encoded = iter(
        searcher.encode([each for each in prepared if isinstance(each, PreparedQuestion)])
    )
    ready = [each if isinstance(each, QueryError) else next(encoded) for each in prepared]
    return list(zip(batch, ready, strict=True))


def _answers(searcher: Searcher, batch: Batch) -> Iterator[tuple[Line, dict[str, Any]]]:
    """The answer to each line as `muge search --json` says it, or an error."""
    encoded = [each for _, each in batch if isinstance(each, EncodedQuestion)]
    answers = iter(_answered(searcher, encoded))
    for line, each in batch:
        answer = each if isinstance(each, QueryError) else next(answers)
        yield line, {"error": str(answer)} if isinstance(answer, QueryError) else as_json(answer)


def _answered(searcher: Searcher, batch: list[EncodedQuestion]) -> list[Answer | QueryError]:
    """Answers in order; the halves of a batch with questions that cannot be asked are asked apart,
    down to each of those."""
    try:
        return list(searcher.find(batch, tuple(f for f in searcher.fields if f != LEFT_OUT)))
    except QueryError as error:
        if len(batch) == 1:
            return [error]
        half = len(batch) // 2
        return _answered(searcher, batch[:half]) + _answered(searcher, batch[half:])


def _named(line: Line, answer: dict[str, Any]) -> dict[str, Any]:
    named = {"line": line.number}
    if line.query_id is not None:
        named["query_id"] = line.query_id
    return named | answer
