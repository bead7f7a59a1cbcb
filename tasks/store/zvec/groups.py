"""The best hits of the best values of a field, exactly, by asking for one value at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tasks.records import FieldValue
from tasks.store.zvec.scores import Scored

Rank = Callable[[int, str | None], list[tuple[Scored, FieldValue | None]]]
"""(topk, filter) -> the best documents with their value of the field, best first."""


@dataclass(frozen=True, slots=True)
class Group:
    """One value of a field and its documents, best first."""

    value: FieldValue
    documents: list[Scored] = field(default_factory=list)


class _UnspeakableError(Exception):
    """A value that zvec's filter language cannot write."""


def best_groups(
    rank: Rank, total: int, where: str | None, by: str, groups: int, per_group: int
) -> list[Group]:
    """The `groups` best values by their best document, each with its `per_group` best.

    Documents without the field belong to no group.
    """
    try:
        return _by_filter(rank, where, by, groups, per_group)
    except _UnspeakableError:
        everything = rank(max(1, total), where)
        return _grouped(everything, groups, per_group)


def _by_filter(rank: Rank, where: str | None, by: str, groups: int, per_group: int) -> list[Group]:
    found: list[Group] = []
    while len(found) < groups:
        others = [f"{by} != {_literal(group.value)}" for group in found]
        batch = rank(groups * per_group, _joined(where, [f"{by} is not null", *others]))
        fresh = _grouped(batch, groups - len(found), per_group)
        if not fresh:
            break
        found += fresh
    return [_filled(rank, where, by, group, per_group) for group in found]


def _filled(rank: Rank, where: str | None, by: str, group: Group, per_group: int) -> Group:
    if len(group.documents) == per_group:
        return group
    only = _joined(where, [f"{by} = {_literal(group.value)}"])
    return Group(group.value, [scored for scored, _ in rank(per_group, only)])


def _grouped(
    ranked: list[tuple[Scored, FieldValue | None]], groups: int, per_group: int
) -> list[Group]:
    found: dict[FieldValue, Group] = {}
    for scored, value in ranked:
        if value is None or (value not in found and len(found) == groups):
            continue
        group = found.setdefault(value, Group(value))
        if len(group.documents) < per_group:
            group.documents.append(scored)
    return list(found.values())


def _joined(where: str | None, conditions: list[str]) -> str:
    return " and ".join(([f"({where})"] if where else []) + conditions)


def _literal(value: FieldValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(value)
    # zvec knows \' but not \\: a backslash before a quote, or at the end, cannot be written
    if value.endswith("\\") or "\\'" in value:
        raise _UnspeakableError
    return "'" + value.replace("'", "\\'") + "'"
