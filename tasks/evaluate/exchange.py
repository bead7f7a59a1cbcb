"""What an evaluation takes from other tools and leaves for them: judgements and groups of queries
in, runs, qrels and scores out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tasks.dataset.reader import Reader
from tasks.dataset.readers import bounds_of, open_reader
from tasks.errors import DatasetError, UsageError
from tasks.evaluate.asked import JudgedQueries, Ranked, images_scored
from tasks.evaluate.files import run_file
from tasks.evaluate.gallery import Gallery
from tasks.evaluate.given import Files
from tasks.evaluate.judgements import EvaluationProtocol, Judgement, read_judgements
from tasks.evaluate.metrics import Float64, first_rank
from tasks.evaluate.origin import fingerprint_of
from tasks.evaluate.per_query import write_per_query
from tasks.evaluate.regraded import Regraded, regrade
from tasks.evaluate.trec import write_qrels, write_run
from tasks.settings import EvaluateChoices, Settings

GROUP = "muge_group"
"""The field under which the column of `--group-by` is read."""
_log = logging.getLogger(__name__)


def read_queries(
    dataset: str,
    settings: Settings,
    options: EvaluateChoices,
    files: Files,
    known: set[str],
) -> tuple[list[Judgement], Regraded | None]:
    """The queries as the data set, or a file of judgements, has them."""
    reader = _reader(dataset, settings, options.group_by)
    group = GROUP if options.group_by is not None else ""
    judgements = read_judgements(reader, dataset, unanswered=True, group=group)
    if files.qrels is None:
        return judgements, None
    judgements, regraded = regrade(dataset, judgements, files.qrels, known)
    if not regraded.is_whole:
        _log.warning("%s", regraded)
    return judgements, regraded


def _reader(dataset: str, settings: Settings, column: str | None) -> Reader:
    """The data set, and with a column that column as the field `GROUP`."""
    bounds = bounds_of(settings)
    if column is None:
        return open_reader(dataset, bounds)
    if "," in column:
        raise UsageError(f"--group-by {column}: one column, whose name has no comma")
    field = f"{GROUP}={column}:str"
    try:
        reader = open_reader(dataset, replace(bounds, fields=field))
    except DatasetError as error:
        asked = f"--group-by {column}"
        raise DatasetError(str(error).replace(f"--fields {field}", asked)) from None
    if GROUP not in reader.fields.types:
        raise UsageError(
            f"--group-by {column}: data set {dataset!r} has no columns beside picture and query; "
            f"name a table: csv:, jsonl:, parquet:"
        )
    return reader


def about_of(
    gallery: Gallery,
    settings: Settings,
    protocol: EvaluationProtocol,
    judgements: Sequence[Judgement],
    images: int,
) -> dict[str, Any]:
    """How the scores of queries are measured, for whoever compares them later."""
    return {
        "collection": gallery.record.collection,
        "gallery": images,
        "model": gallery.record.model.name,
        "alpha": settings.alpha,
        "fusion": settings.fusion,
        "protocol": protocol.name,
        "filter": gallery.filter,
        "queries": fingerprint_of(judgements),
    }


def ranks_of(asked: JudgedQueries, ranked: Ranked) -> dict[str, list[int | None]]:
    """The rank of the first right image of each judged query, by mode."""
    found = {}
    for mode, rankings in ranked.by_mode.items():
        pairs = zip(asked.images(rankings), asked.relevant, strict=True)
        found[mode] = [first_rank(*pair) for pair in pairs]
    return found


def write_files(
    options: EvaluateChoices,
    asked: JudgedQueries,
    exact: Ranked,
    scores: Mapping[str, Float64],
    ranks: Mapping[str, list[int | None]],
    about: Mapping[str, Any],
) -> None:
    """The files that other tools read."""
    if options.run is not None:
        for mode, similarities in exact.similarities.items():
            pairs = zip(exact.by_mode[mode], similarities, strict=True)
            images = (images_scored(*pair, asked.form) for pair in pairs)
            write_run(run_file(options.run, mode), f"muge-{mode}", asked.vectors.ids, images)
    if options.qrels_out is not None:
        write_qrels(options.qrels_out, asked.judgements)
    if options.per_query is not None:
        write_per_query(options.per_query, about, asked.answered, scores, ranks)
