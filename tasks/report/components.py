"""Views to what the templates repeat: sections of hits, tables of metrics and of stages.

All numbers are put into words here, so that templates hold no arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.evaluate.metrics import LABELS
from tasks.records import DOCUMENT_ID, FieldValue, Hit
from tasks.report.facets import OF_EVERY_DOCUMENT
from tasks.report.pictures import data_uri, query_picture, web_link
from tasks.report.texts import Piece, clip, mark, needles
from tasks.report.views import Intervals, Metrics, SearchView, Stages, Words, WorstQuery
from tasks.report.wording import name_of, say
from tasks.search.products import more_pictures

if TYPE_CHECKING:  # a search has none
    from tasks.downloaded.stage import Downloads

TEXTS_SHOWN = 2
"""Texts of a picture that its card shows; the others unfold."""
TEXT_LENGTH = 80
"""Longer texts of a card are cut and unfold."""
LEAST_P = 0.001
ADDRESS_LENGTH = 300
"""A picture field that is no picture is shown as an address up to here."""

Texts = tuple[tuple[Piece, ...], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A document's picture: a data URI, else a link people can follow, else an address of another
    kind (oss://, a path), which is only shown; all None without a picture."""

    id: str
    alt: Words
    source: str | None
    link: str | None
    address: str | None


@dataclass(frozen=True, slots=True)
class Details:
    """What else a document says: its own fields, how many more pictures its product has and how
    many nearly the same it stands for, and where it came from, with a link where people can follow
    one."""

    fields: tuple[tuple[str, str], ...]
    more: int
    alike: int
    source: str
    link: str | None


@dataclass(frozen=True, slots=True)
class Card:
    """One hit. Widths are percent of the bar; the best hit of its section fills it."""

    rank: int
    figure: Figure
    texts: Texts
    all_texts: Texts
    score: str
    dense: str
    sparse: str
    dense_width: float
    sparse_width: float
    details: Details


@dataclass(frozen=True, slots=True)
class Section:
    """One query: what was asked (`facts` in words), then groups of (heading, hits)."""

    anchor: str
    text: str | None
    by_picture: bool
    picture: str | None
    facts: tuple[Words, ...]
    filter: str | None
    groups: tuple[tuple[Words | None, tuple[Card, ...]], ...]
    advice: tuple[Words, ...]
    doubt: Words | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """A number in a table; `best` marks the highest of its column, `ends` are of its interval."""

    text: str
    best: bool
    ends: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One way of searching and its numbers."""

    label: Words
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage; `share` is percent of the longest stage's time."""

    label: Words
    seconds: str
    rate: str
    share: float


@dataclass(frozen=True, slots=True)
class Miss:
    """A query with its right picture and the first wrong one."""

    text: str
    verdict: Words
    figures: tuple[tuple[Words, Figure], ...]


def section_of(view: SearchView, number: int) -> Section:
    """Prepare one query and its hits; `number` makes its anchor."""
    wanted = needles(view.text or "", view.words)
    listed: list[tuple[Words | None, Sequence[Hit]]] = [(None, view.hits)] if view.hits else []
    if view.groups:
        listed = [(say("search.group", value=group.value), group.hits) for group in view.groups]
    hits, first = [hit for _, group in listed for hit in group], view.before + 1
    full = max((max(hit.dense, 0) + max(hit.sparse, 0) for hit in hits), default=0)
    return Section(
        anchor=f"search-{number}",
        text=view.text or None,
        by_picture=view.picture is not None,
        picture=query_picture(view.picture) if view.picture else None,
        facts=_facts(view, len(hits)),
        filter=view.filter,
        groups=tuple(
            (
                label,
                tuple(
                    _card(hit, rank, wanted, full, view) for rank, hit in enumerate(group, first)
                ),
            )
            for label, group in listed
        ),
        advice=() if hits else advice(view),
        doubt=doubt_words(view),
    )


def doubt_words(view: SearchView) -> Words | None:
    """That perhaps nothing fits, in a sentence."""
    doubt = view.doubt
    if doubt is None:
        return None
    best, threshold = f"{doubt.best:.2f}", f"{doubt.threshold:.2f}"
    return say("search.doubt", best=best, threshold=threshold, share=f"{1 - doubt.refused:.0%}")


def advice(view: SearchView) -> tuple[Words, ...]:
    """What to try when nothing was found, the likeliest first."""
    keys = ["empty.words", "empty.store"]
    if view.alpha == 0:
        keys.insert(0, "empty.alpha")
    if view.filter:
        keys.insert(0, "empty.filter")
    return tuple(say(key) for key in keys)


def figure_of(fields: Mapping[str, FieldValue], id: str = "") -> Figure:
    """A document's picture with a text for those who do not see it."""
    name = id_shown(fields, id)
    texts = texts_of(fields)
    alt = say("hit.image", id=name)
    if texts:
        alt = say("hit.alt", id=name, text=clip(texts[0], TEXT_LENGTH))
    value = fields.get("picture")
    source, link, address = data_uri(value), web_link(value), None
    if source is None and link is None and isinstance(value, str) and len(value) < ADDRESS_LENGTH:
        address = value or None
    return Figure(name, alt, source, link, address)


def id_shown(fields: Mapping[str, FieldValue], id: str = "") -> str:
    """A document's id for people: the data set's own where it could not be the document's, so that
    a number without a meaning stands for it in the store."""
    own = str(fields.get("image_id", ""))
    meaningless = id.isdigit() and own and not DOCUMENT_ID.fullmatch(own)
    return own if not id or meaningless else id


def texts_of(fields: Mapping[str, FieldValue]) -> list[str]:
    """The queries of a picture, one an entry."""
    lines = str(fields.get("query", "")).split("\n")
    return [line.strip() for line in lines if line.strip()]


def marked_texts(hit: Hit, wanted: Sequence[str]) -> Texts:
    """The queries of a hit, those that match first."""
    marked = [mark(text, wanted) for text in texts_of(hit.fields)]
    return tuple(sorted(marked, key=lambda pieces: not any(piece.match for piece in pieces)))


def metric_names(*tables: Metrics | Mapping[float, Mapping[str, float]] | None) -> tuple[str, ...]:
    """The columns of some tables of metrics, in the order they are first given."""
    rows = [row for table in tables if table for row in table.values()]
    return tuple(dict.fromkeys(name for row in rows for name in row))


def metric_labels(names: Iterable[str]) -> tuple[str, ...]:
    """What columns are called for people."""
    return tuple(LABELS.get(name, name) for name in names)


def metric_rows(
    metrics: Metrics, names: Sequence[str], alpha: float, intervals: Intervals | None = None
) -> tuple[MetricRow, ...]:
    """A row for each mode."""
    labels = [name_of("mode", mode, alpha=f"{alpha:g}") for mode in metrics]
    ends = [(intervals or {}).get(mode, {}) for mode in metrics]
    return _rows(labels, list(metrics.values()), names, ends)


def sweep_rows(
    sweep: Mapping[float, Mapping[str, float]], names: Sequence[str]
) -> tuple[MetricRow, ...]:
    """A row for each alpha, ascending."""
    alphas = sorted(sweep)
    return _rows([f"{alpha:g}" for alpha in alphas], [sweep[a] for a in alphas], names)


def stage_rows(stages: Stages) -> tuple[StageRow, ...]:
    """A row for each stage, in the order they ran."""
    longest = max((stage.get("seconds", 0) for stage in stages.values()), default=0) or 1
    return tuple(
        StageRow(
            name_of("stage", name),
            seconds_text(stage.get("seconds", 0)),
            rate_text(stage.get("per_second", 0)),
            round(100 * stage.get("seconds", 0) / longest, 1),
        )
        for name, stage in stages.items()
    )


def miss_of(query: WorstQuery) -> Miss:
    """A worst query with both pictures."""
    verdict = say("worst.missing")
    if query.rank is not None:
        verdict = say("worst.rank", rank=query.rank)
    pairs = (("worst.wanted", query.wanted), ("worst.found", query.found))
    figures = tuple((say(key), figure_of(fields)) for key, fields in pairs if fields)
    return Miss(query.text, verdict, figures)


def best_of(query: WorstQuery) -> Miss:
    """A query whose right picture came first, beside the first wrong one."""
    verdict = say("best.rank") if query.found else say("best.alone")
    pairs = (("worst.wanted", query.wanted), ("best.next", query.found))
    figures = tuple((say(key), figure_of(fields)) for key, fields in pairs if fields)
    return Miss(query.text, verdict, figures)


def metric_text(name: str, value: float) -> str:
    """R@K and MR as percent, as the MUGE leaderboard writes them; others from 0 to 1."""
    return f"{100 * value:.1f}%" if name.startswith("R@") or name == "MR" else f"{value:.3f}"


def interval_text(name: str, ends: tuple[float, float]) -> str:
    """The ends of an interval, in the unit of `metric_text`."""
    low, high = ends
    if name.startswith("R@") or name == "MR":
        return f"{100 * low:.1f}–{100 * high:.1f}"
    return f"{low:.3f}–{high:.3f}"


def change_text(name: str, value: float) -> str:
    """A difference, in the unit of `metric_text`."""
    return f"{100 * value:+.1f}" if name.startswith("R@") or name == "MR" else f"{value:+.3f}"


def unchanged_words(mode: str, alpha: float) -> Words:
    """That no query of a mode changed."""
    name = name_of("mode", mode, alpha=f"{alpha:g}")
    chinese, english = (name, name) if isinstance(name, str) else name
    key = "against.unchanged"
    return say(key, mode=chinese)[0], say(key, mode=english)[1]


def p_text(p: float) -> str:
    """A p-value with as many places as it is sure of."""
    return f"< {LEAST_P}" if p < LEAST_P else f"{p:.3f}"


def seconds_text(seconds: float) -> str:
    """Seconds with as many places as mean something."""
    return f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.2f}"


def downloads_words(downloads: Downloads) -> Words:
    """What became of the addresses of pictures, failures by cause."""
    failed, causes = sum(downloads.failed.values()), downloads.failed.items()
    by_cause = f" ({', '.join(f'{cause}: {count:,}' for cause, count in causes)})" if failed else ""
    numbers = ("fetched", "kept", "stale")
    counts = {name: f"{getattr(downloads, name):,}" for name in numbers}
    key = "index.downloads_stale" if downloads.stale else "index.downloads_counts"
    return say(key, **counts, failed=f"{failed:,}{by_cause}")


def rate_text(per_second: float) -> str:
    """Items a second; a dash where there is no rate."""
    if per_second <= 0:
        return "—"
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.2f}"


def _facts(view: SearchView, found: int) -> tuple[Words, ...]:
    dense, sparse = f"{view.alpha:.0%}", f"{1 - view.alpha:.0%}"
    facts: list[Words] = [
        say("search.alpha", alpha=f"{view.alpha:g}", dense=dense, sparse=sparse),
        say("search.topk", topk=view.topk, found=found),
    ]
    if view.text_weight:
        share = {"picture": f"{1 - view.text_weight:.0%}", "text": f"{view.text_weight:.0%}"}
        facts.append(say("search.steered", **share))
    took = {name: f"{ms:,.0f} ms" for name, ms in view.took_ms.items()}
    if {"total", "model", "store"} <= took.keys():
        parts = {"ms": took["total"], "model": took["model"], "store": took["store"]}
        facts.append(say("search.took_parts", **parts))
    elif "total" in took:
        facts.append(say("search.took", ms=took["total"]))
    return tuple(facts)


def details_of(hit: Hit, view: SearchView) -> Details:
    """What a hit says beside its picture and texts."""
    fields = tuple(
        (name, clip(str(value), TEXT_LENGTH))
        for name, value in hit.fields.items()
        if name not in OF_EVERY_DOCUMENT
    )
    found = view.sources.get(hit.id)
    place = "" if found is None else found.picture or found.row
    said = "" if found is None else found.row
    if found is not None and found.picture:
        said = f"{found.row} · {found.picture}"
    more = more_pictures(hit) if view.product else 0
    return Details(
        fields, more, len(view.alike.get(hit.id, ())), clip(said, ADDRESS_LENGTH), web_link(place)
    )


def _card(hit: Hit, rank: int, wanted: Sequence[str], full: float, view: SearchView) -> Card:
    whole = marked_texts(hit, wanted)
    short = tuple(
        mark(clip("".join(piece.text for piece in pieces), TEXT_LENGTH), wanted)
        for pieces in whole[:TEXTS_SHOWN]
    )
    scale = 100 / full if full > 0 else 0
    return Card(
        rank=rank,
        figure=figure_of(hit.fields, hit.id),
        texts=short,
        all_texts=() if short == whole else whole,
        score=f"{hit.score:.3f}",
        dense=f"{hit.dense:.3f}",
        sparse=f"{hit.sparse:.3f}",
        dense_width=round(max(hit.dense, 0) * scale, 1),
        sparse_width=round(max(hit.sparse, 0) * scale, 1),
        details=details_of(hit, view),
    )


def _rows(
    labels: Sequence[Words],
    values: Sequence[Mapping[str, float]],
    names: Sequence[str],
    ends: Sequence[Mapping[str, tuple[float, float]]] = (),
) -> tuple[MetricRow, ...]:
    best = {name: max((row.get(name, 0.0) for row in values), default=0.0) for name in names}
    pairs = zip(labels, values, ends or [{}] * len(values), strict=True)
    return tuple(
        MetricRow(label, tuple(_cell(name, row, best[name], len(values), of) for name in names))
        for label, row, of in pairs
    )


def _cell(
    name: str,
    row: Mapping[str, float],
    best: float,
    rows: int,
    intervals: Mapping[str, tuple[float, float]],
) -> Cell:
    if name not in row:
        return Cell("—", best=False)
    ends = None
    if name in intervals:
        low, _, high = interval_text(name, intervals[name]).partition("–")
        ends = (low, high)
    return Cell(metric_text(name, row[name]), rows > 1 and row[name] == best > 0, ends)
