"""What a page is made from: plain records that the flows and the command fill in.

Every string here may come from a data set or a person: pages escape it, terminals strip it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks.dataset.sources import ImageSource
from tasks.records import FieldValue, Hit, HitGroup

if TYPE_CHECKING:  # a search has none
    from tasks.downloaded.stage import Downloads
    from tasks.search.answers import Doubt

Words = str | tuple[str, str]
"""Something to say: the same in both languages, or (Chinese, English)."""

Metrics = Mapping[str, Mapping[str, float]]
"""Mode ("dense", "sparse", "hybrid") -> metric ("R@1", ..., "MRR") -> value from 0 to 1."""

Intervals = Mapping[str, Mapping[str, tuple[float, float]]]
"""Mode -> metric -> the ends of its confidence interval."""

Stages = Mapping[str, Mapping[str, float]]
"""Stage -> {"seconds": wall time, "per_second": items a second}."""


@dataclass(frozen=True, slots=True)
class SearchView:
    """One query and what it found, best first.

    `picture` is the encoded file that was searched with. `words` are the query's words as the
    sparse side cut them, to be marked in the hits; empty: they are guessed from `text`.
    `groups`, where given, is shown instead of `hits`. `took_ms` has "model", "store", "total".
    `product` is the field of which each hit is the best of its value; `sources` say where pictures
    came from, by the hits' ids; `before` better hits are not shown; `doubt` says that perhaps
    nothing fits; `text_weight` is the text's share in the meaning beside a picture's,
    `alike` by the hits' ids the others that each stands for.
    """

    hits: Sequence[Hit]
    alpha: float
    topk: int
    text: str | None = None
    picture: bytes | None = None
    filter: str | None = None
    took_ms: Mapping[str, float] = field(default_factory=dict)
    words: Sequence[str] = ()
    groups: Sequence[HitGroup] = ()
    product: str = ""
    sources: Mapping[str, ImageSource] = field(default_factory=dict)
    before: int = 0
    doubt: Doubt | None = None
    text_weight: float = 0.0
    alike: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IndexView:
    """What an index run put where, and how long each stage took."""

    dataset: str
    model: str
    dimension: int
    collection: str
    store: str
    rows: int
    images: int
    queries: int
    documents: int
    rejects: int
    stages: Stages = field(default_factory=dict)
    downloads: Downloads | None = None


@dataclass(frozen=True, slots=True)
class WorstQuery:
    """A query whose right picture came late, or first.

    `rank` counts from 1; None: not among the results. `wanted` and `found` are the fields of
    the right document and of the first wrong one.
    """

    text: str
    rank: int | None
    wanted: Mapping[str, FieldValue] | None = None
    found: Mapping[str, FieldValue] | None = None


@dataclass(frozen=True, slots=True)
class SweepView:
    """What a sweep of alpha found: `curves` are mean recall by way of fusing, then alpha; `best`
    the alpha of each way, chosen on one half of the queries; `reported` its numbers on the other
    half, by a name of the way of searching."""

    said: Words
    curves: Mapping[str, Mapping[float, float]]
    best: Mapping[str, float]
    reported: Metrics
    intervals: Intervals


@dataclass(frozen=True, slots=True)
class BreakdownView:
    """Groups of queries: (what they share, how many, mode -> R@10)."""

    title: Words
    groups: Sequence[tuple[Words, int, Mapping[str, float]]]


@dataclass(frozen=True, slots=True)
class AgainstView:
    """How an evaluation stands beside an earlier one or another system's run: `said` in one
    sentence, `rows` (mode, metric, then, now, better, worse, p-value) of modes in which some query
    changed, the `unchanged` other modes, and the queries that changed most as (text, then, now) in
    nDCG@10."""

    title: Words
    said: Words
    rows: Sequence[tuple[str, str, float, float, int, int, float]]
    unchanged: Sequence[str] = ()
    improved: Sequence[tuple[str, float, float]] = ()
    worsened: Sequence[tuple[str, float, float]] = ()


@dataclass(frozen=True, slots=True)
class EvaluationView:
    """How well search does on queries with known answers.

    `intervals` are of `metrics`, `curves` R@1, R@2, ... by mode; `directions` what pictures find
    ("image_to_text", "image_to_image"), with notes; `facts` how the numbers were made.

    `metrics` are exact: every query against every document. `store_metrics` are the same
    queries through the vector database, `ann_recall` the part of the exact first ten that it
    returns, 0 to 1. `sweep` is alpha -> metric -> value.
    """

    dataset: str
    model: str
    protocol: Words
    queries: int
    gallery: int
    metrics: Metrics
    alpha: float
    store_metrics: Metrics | None = None
    ann_recall: float | None = None
    sweep: Mapping[float, Mapping[str, float]] = field(default_factory=dict)
    worst: Sequence[WorstQuery] = ()
    best: Sequence[WorstQuery] = ()
    against: AgainstView | None = None
    commands: Sequence[str] = ()
    intervals: Intervals = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    sweep_found: SweepView | None = None
    directions: Metrics = field(default_factory=dict)
    direction_intervals: Intervals = field(default_factory=dict)
    direction_notes: Sequence[Words] = ()
    breakdown: Sequence[BreakdownView] = ()
    notes: Sequence[Words] = ()
    facts: Sequence[tuple[Words, str]] = ()


@dataclass(frozen=True, slots=True)
class DemoView:
    """The report of `muge demo`; `commands` are what a person types to get the same."""

    index: IndexView
    evaluation: EvaluationView
    searches: Sequence[SearchView] = ()
    commands: Sequence[str] = ()
