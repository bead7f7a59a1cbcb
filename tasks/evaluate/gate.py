"""The gate: has search become worse than a baseline that was measured before?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.errors import QualityDropError, UsageError, reason_of
from tasks.evaluate.metrics import METRICS
from tasks.opening import read_regular

SAME = ("protocol", "queries", "queries_fingerprint", "alpha", "fusion", "filter")
"""What must be equal for two evaluations to be comparable (where both say it)."""

BEFORE = {"filter": None, "fusion": "weighted"}
"""What is meant by evaluations that say nothing of it: they were made before there was any."""
WHERE = ("metrics", "through_store")
MAX_DROP = 0.005
MOST_BASELINE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Change:
    """One number then and now; `now` is None if it is not measured any more."""

    name: str
    then: float
    now: float | None
    max_drop: float

    @property
    def too_low(self) -> bool:
        """Whether it fell by more than is allowed."""
        return self.now is None or self.then - self.now > self.max_drop + 1e-12

    def __str__(self) -> str:
        if self.now is None:
            return f"{self.name} was {self.then:.4f}, is not measured now"
        return f"{self.name} {self.then:.4f} -> {self.now:.4f} ({self.now - self.then:+.4f})"


@dataclass(frozen=True, slots=True)
class Held:
    """How an evaluation stands beside the kept baseline.

    `place` is where that is kept and `since` when it was accepted (ISO 8601, UTC); `accepted` says
    that this evaluation is the baseline from now on. `differs` says why the two cannot be compared
    ("": they can, and `changes` are all numbers).
    """

    place: str
    since: str
    accepted: bool
    changes: tuple[Change, ...] = ()
    differs: str = ""

    @property
    def fallen(self) -> list[Change]:
        """What fell by more than is allowed."""
        return [change for change in self.changes if change.too_low]

    def __str__(self) -> str:
        """One line for people."""
        if self.accepted:
            return f"the baseline of later evaluations is this one, kept in {self.place}"
        if self.differs:
            return (
                f"not held against the baseline of {self.since}: {self.differs}; accept this "
                f"evaluation as the new one: --accept"
            )
        if self.fallen:
            fallen = "; ".join(map(str, self.fallen))
            return f"worse than the baseline of {self.since}: {fallen}; if that is meant: --accept"
        lowest = min(self.changes, key=lambda change: (change.now or 0.0) - change.then)
        return f"not worse than the baseline of {self.since}; the lowest: {lowest}"


def check_held(held: Held | None) -> None:
    """Raise `QualityDropError` with the numbers if one fell too far below the kept baseline."""
    if held is not None and held.fallen:
        raise QualityDropError(str(held))


def is_evaluation(value: object) -> bool:
    """Whether a value is what `muge evaluate --json` prints."""
    return isinstance(value, dict) and _is_table(value.get("metrics"))


def read_baseline(path: str) -> dict[str, Any]:
    """An evaluation that `muge evaluate --json` printed; raises `UsageError` if it is none."""
    try:
        baseline = json.loads(read_regular(path, MOST_BASELINE_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"the baseline {path} cannot be read: {reason_of(error)}") from None
    if not is_evaluation(baseline):
        raise UsageError(f"{path} is not what `muge evaluate --json` prints: it has no metrics")
    found: dict[str, Any] = baseline
    return found


def changes(
    baseline: Mapping[str, Any], measured: Mapping[str, Any], max_drop: float
) -> list[Change]:
    """Every number of the baseline beside the one of now; both as `muge evaluate --json` prints.

    Raises `UsageError` if they are not of the same queries, protocol, alpha and filter.
    """
    check_comparable(baseline, measured)
    return list(_changes(baseline, measured, max_drop))


def check_comparable(baseline: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Raise `UsageError` where a baseline was measured in another way than what is `known` of this
    evaluation: all of it afterwards, its options before."""
    for name in SAME:
        then = baseline.get(name, BEFORE[name] if name in BEFORE else known.get(name))
        if name in known and then != known[name]:
            raise UsageError(
                f"the baseline cannot be compared: its {name} is {then}, here it is "
                f"{known[name]}; measure a new baseline with `muge evaluate --json`"
            )


def check_quality(
    baseline: Mapping[str, Any], measured: Mapping[str, Any], max_drop: float = MAX_DROP
) -> list[Change]:
    """The changes; raises `QualityDropError` with the numbers if one fell by more than allowed."""
    every = changes(baseline, measured, max_drop)
    worse = [change for change in every if change.too_low]
    if worse:
        drops = "; ".join(map(str, worse))
        raise QualityDropError(f"worse than the baseline by more than {max_drop:g}: {drops}")
    return every


def _changes(
    baseline: Mapping[str, Any], measured: Mapping[str, Any], max_drop: float
) -> Iterator[Change]:
    for where in WHERE:
        for mode, then in baseline.get(where, {}).items():
            now = measured.get(where, {}).get(mode, {})
            for name in METRICS:
                if name in then:
                    yield Change(f"{where} {mode} {name}", then[name], now.get(name), max_drop)


def _is_table(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(row, dict) for row in value.values())
