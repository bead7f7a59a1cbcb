"""What each query scored, as Parquet: a row for each query and mode."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.dataset.table.pages import rows_at_once
from tasks.errors import DatasetError, UsageError, reason_of
from tasks.evaluate.files import written
from tasks.evaluate.judgements import Judgement
from tasks.evaluate.metrics import METRICS, Float64
from tasks.opening import open_regular

KEYS = ("query_id", "query", "group", "mode")
SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=name == "group") for name in KEYS),
        pa.field("rank", pa.int32()),
        *(pa.field(name, pa.float64(), nullable=False) for name in METRICS),
    ]
)
ABOUT = b"muge_evaluation"
"""The key of the file's metadata under which it says, as JSON, how it was measured."""
MOST_BYTES, MOST_ROWS = 1 << 30, 10_000_000
ROWS_AT_ONCE, LONGEST_TEXT = 10_000, 32_000


@dataclass(frozen=True, slots=True)
class PerQuery:
    """An earlier evaluation: how it was measured, its queries' texts, and by mode and query the
    values of its `metrics` and the rank of the first right image (None: not in the first 100)."""

    path: str
    about: Mapping[str, Any]
    texts: dict[str, str]
    metrics: tuple[str, ...]
    values: dict[str, dict[str, list[float]]]
    ranks: dict[str, dict[str, int | None]]


def write_per_query(
    path: str,
    about: Mapping[str, Any],
    judged: Sequence[Judgement],
    scores: Mapping[str, Float64],
    ranks: Mapping[str, Sequence[int | None]],
) -> None:
    """Write the scores (judged queries, len(METRICS)) of each mode; the group is null where there
    is none. Raises `WorkFolderError` if the file cannot be written."""
    columns: dict[str, list[Any]] = {
        "query_id": [j.query_id for _ in scores for j in judged],
        "query": [j.text for _ in scores for j in judged],
        "group": [j.group or None for _ in scores for j in judged],
        "mode": [mode for mode in scores for _ in judged],
        "rank": [rank for mode in scores for rank in ranks[mode]],
    }
    for place, name in enumerate(METRICS):
        columns[name] = [v for found in scores.values() for v in found[:, place].tolist()]
    said = SCHEMA.with_metadata({ABOUT: json.dumps(about, ensure_ascii=False)})
    with written(path) as file:
        pq.write_table(pa.Table.from_pydict(columns, said), file)


def read_per_query(path: str) -> PerQuery:
    """A file of `write_per_query`, by this version or one with other metrics; raises `UsageError`
    if it is none."""
    try:
        with open_regular(path, MOST_BYTES) as opened, pq.ParquetFile(opened) as file:
            if file.metadata.num_rows > MOST_ROWS:
                raise ValueError(f"it has {file.metadata.num_rows} rows")
            schema = file.schema_arrow
            about = json.loads((schema.metadata or {})[ABOUT])
            if not isinstance(about, dict):
                raise ValueError("its metadata are none of an evaluation")
            metrics = tuple(name for name in METRICS if name in schema.names)
            wanted = [name for name in SCHEMA.names if name in schema.names]
            groups = range(file.metadata.num_row_groups)
            at_once = rows_at_once(file.metadata, groups, wanted, opened, ROWS_AT_ONCE)
            found = PerQuery(path, about, {}, metrics, {}, {})
            for batch in file.iter_batches(at_once, columns=wanted):
                columns = {name: batch[name].cast(SCHEMA.field(name).type) for name in wanted}
                _fill(found, {name: column.to_pylist() for name, column in columns.items()})
    except KeyError as error:
        raise _refusal(path, f"it has no {reason_of(error)}") from None
    except (DatasetError, OSError, ValueError, TypeError, pa.ArrowException) as error:
        raise _refusal(path, reason_of(error)) from None
    if not metrics or not found.values:
        raise _refusal(path, "it has no row with a metric")
    return found


def _fill(found: PerQuery, columns: Mapping[str, Sequence[Any]]) -> None:
    by_metric = [columns[name] for name in found.metrics]
    keys = zip(*(columns[name] for name in ("query_id", "query", "mode", "rank")), strict=True)
    for (query, text, mode, rank), *values in zip(keys, *by_metric, strict=True):
        if None in (query, text, mode, *values) or not all(map(math.isfinite, values)):
            raise ValueError(f"query {query!s:.40} has values that are none")
        if len(text) > LONGEST_TEXT or len(query) > LONGEST_TEXT or len(mode) > LONGEST_TEXT:
            raise ValueError(f"query {query:.40} has a text of more than {LONGEST_TEXT} characters")
        of_mode = found.values.setdefault(mode, {})
        if query in of_mode:
            raise ValueError(f"query {query} is there twice in mode {mode}")
        of_mode[query] = values
        found.texts[query] = text
        found.ranks.setdefault(mode, {})[query] = rank


def _refusal(path: str, why: str) -> UsageError:
    return UsageError(f"{path} is not what `muge evaluate --per-query FILE` writes: {why}")
