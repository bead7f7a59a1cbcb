"""Queries of the test server: exact scores, filters, groups, and documents as they are returned.

Of equal scores those with the lower ids are among the topk, but they come back in reverse: the
service promises no order, so nobody may rely on one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.servers import dashvector_limits as limits
from tests.servers.dashvector_filters import FilterError, parse
from tests.servers.dashvector_limits import Refusal
from tests.servers.dashvector_memory import DOTPRODUCT, Collection, Entry, Float32, Partition

VECTOR = "proxima_vector"
Ranked = list[tuple[Entry, float]]


def search(
    request: Any, collection: Collection, partition: Partition, response: Any, with_sparse: bool
) -> None:
    """Answer a `QueryDocRequest`: the topk nearest documents that pass the filter, best first."""
    limits.check_search(request.topk, request.filter)
    if request.order_by_fields or request.HasField("rerank") or request.sparse_vectors:
        raise Refusal(-2031, "the test server has neither order by, rankers nor several vectors")
    query = request.vectors.get(VECTOR, None)
    vector = None if query is None else query.vector
    ranked = _ranked(request, vector, collection, partition)
    if query is not None and query.param.radius != 0.0:
        ranked = _within(ranked, query.param.radius, collection.metric)
    higher_is_better = collection.metric == DOTPRODUCT
    best = reversed(ranked[: request.topk])
    for entry, score in sorted(best, key=lambda pair: pair[1], reverse=higher_is_better):
        _write_hit(response.output.add(), entry, score, request, collection, with_sparse)


def search_groups(
    request: Any, collection: Collection, partition: Partition, response: Any, with_sparse: bool
) -> None:
    """Answer a `QueryDocGroupByRequest`: the best documents of each of the best groups."""
    limits.check_filter(request.filter)
    if request.group_by_field not in collection.fields:
        raise Refusal(-2053, f"there is no field({request.group_by_field}) to group by")
    if request.group_count < 1 or request.group_topk < 1:
        raise Refusal(-2053, "group_count and group_topk must be above 0")
    if request.include_vector and (request.group_count > 64 or request.group_topk > 16):
        raise Refusal(-2053, "with vectors, group_count is at most 64 and group_topk at most 16")
    groups: dict[str, Ranked] = {}
    vector = request.vector if request.HasField("vector") else None
    for entry, score in _ranked(request, vector, collection, partition):
        value = entry.fields.get(request.group_by_field)
        if value is None or (str(value) not in groups and len(groups) >= request.group_count):
            continue
        members = groups.setdefault(str(value), [])
        if len(members) < request.group_topk:
            members.append((entry, score))
    for value, members in groups.items():
        group = response.output.add(group_id=value)
        for entry, score in members:
            _write_hit(group.docs.add(), entry, score, request, collection, with_sparse)


def _ranked(request: Any, vector: Any, collection: Collection, partition: Partition) -> Ranked:
    index = partition.index(collection.dimension)
    dense = _dense(request, vector, collection, partition)
    sparse = limits.read_sparse(request.sparse_vector, collection.metric)
    scores = index.scores(dense, sparse, collection.metric)
    order = np.argsort(-scores if collection.metric == DOTPRODUCT else scores, kind="stable")
    passes = _predicate(request.filter, collection)
    rows = (int(row) for row in order)
    return [
        (index.entries[row], float(scores[row]))
        for row in rows
        if passes is None or passes(index.entries[row].fields)
    ]


def _dense(
    request: Any, vector: Any, collection: Collection, partition: Partition
) -> Float32 | None:
    if vector is not None:
        return limits.read_vector(vector, collection.dimension)
    if not request.id:
        return None
    entry = partition.seen().get(request.id)
    if entry is None:
        raise Refusal(-2024, f"id({request.id}) does not exist")
    return entry.vector


def _predicate(condition: str, collection: Collection) -> Any:
    if not condition:
        return None
    schema = {
        name: limits.PYTHON_TYPES[number]
        for name, number in collection.fields.items()
        if number in limits.PYTHON_TYPES
    }
    try:
        return parse(condition, schema)
    except FilterError as error:
        raise Refusal(-2015, str(error)) from None


def _within(ranked: Ranked, radius: float, metric: int) -> Ranked:
    if metric == DOTPRODUCT:
        return [(entry, score) for entry, score in ranked if score >= radius]
    return [(entry, score) for entry, score in ranked if score <= radius]


def _write_hit(
    target: Any,
    entry: Entry,
    score: float,
    request: Any,
    collection: Collection,
    with_sparse: bool,
) -> None:
    names = set(request.output_fields) or None
    write_document(target, entry, collection, names, request.include_vector, with_sparse)
    target.score = score


def write_document(
    target: Any,
    entry: Entry,
    collection: Collection,
    names: set[str] | None = None,
    with_vector: bool = True,
    with_sparse: bool = True,
) -> None:
    """Fill a protobuf `Doc` from a stored document; fields without a value come back empty."""
    target.id = entry.id
    if with_vector and entry.vector is not None:
        target.vector.float_vector.values.extend(entry.vector.tolist())
    if with_vector and with_sparse:
        target.sparse_vector.update(entry.sparse)
    for name in {**collection.fields, **entry.fields}:
        if names is None or name in names:
            value = entry.fields.get(name)
            limits.write_field(target.fields[name], value, collection.fields.get(name))
