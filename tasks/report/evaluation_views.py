"""An evaluation as the record that its page and tables are made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from tasks.evaluate.against import Against, Changed
from tasks.evaluate.breakdown import FEW, Group, ValueGroup
from tasks.evaluate.intervals import Interval
from tasks.evaluate.result import Evaluation
from tasks.report.components import LEAST_P, change_text, metric_labels, metric_text, p_text
from tasks.report.views import (
    AgainstView,
    BreakdownView,
    EvaluationView,
    Intervals,
    SweepView,
    Words,
    WorstQuery,
)
from tasks.report.wording import name_of, say

PROTOCOLS = {
    "held-out": (
        "held-out：没有任何评测查询出现在被索引的文本中，因此关键词与混合检索的数字是诚实的",
        "held-out: no evaluation query is in any indexed text, so that keyword and hybrid numbers "
        "are honest",
    ),
    "leave-query-out": (
        "leave-query-out：{leaks} 条评测查询就在被索引的文本中；计分时每条查询都从"
        "文档文本与词频统计中去掉，因此关键词与混合检索的数字是诚实的。向量库里存的是完整文本，经它检索只报告语义",
        "leave-query-out: {leaks} evaluation queries are in the indexed texts; each is scored on "
        "documents and statistics without itself, so that keyword and hybrid numbers are honest. "
        "The store holds whole texts: through it only search by meaning is reported",
    ),
    "official": (
        "official：{leaks} 条评测查询就是被索引的文本，因此只报告语义检索",
        "official: {leaks} evaluation queries are indexed text themselves, so only search by "
        "meaning is reported",
    ),
}

ABOUT = {"collection": "", "model": "", "fusion": "", "alpha": "α = "}
"""What is said of an earlier evaluation that another is held against."""

TEXTLESS = (
    "但去掉查询自己之后，{share} 的查询没有一张正确图片还留有文字，关键词再好也找不到："
    "这里不能说混合检索比语义检索好或差。请用留出的查询来比，或把商品标题也入库",
    "But without the query itself no right picture of {share} of the queries keeps any text, and "
    "keywords could not find one however good they are: hybrid search cannot be called better or "
    "worse than search by meaning here. Compare them with queries that are not in the index, or "
    "index titles as well",
)


def protocol_words(measured: Evaluation) -> tuple[str, str]:
    """How the numbers were made, in Chinese and English, and what does not count in them."""
    chinese, english = PROTOCOLS[measured.protocol.name]
    if measured.protocol.name == "official" and not measured.protocol.leaks:
        chinese, english = "official：只报告语义检索", "official: search by meaning alone"
    leaks = f"{measured.protocol.leaks:,}"
    said = (chinese.format(leaks=leaks), english.format(leaks=leaks))
    if measured.protocol.honest_hybrid and not measured.protocol.ranks_hybrid:
        share = f"{measured.protocol.textless:.0%}"
        chinese, english = (words.format(share=share) for words in TEXTLESS)
        said = (f"{said[0]}。{chinese}", f"{said[1]}. {english}")
    if measured.filter is not None:
        said = (
            f"{said[0]}。图库只含过滤条件 {measured.filter} 选中的文档",
            f"{said[1]}. The gallery is what the filter {measured.filter} takes",
        )
    if not measured.without_positive:
        return said
    count = f"{measured.without_positive:,}"
    return (
        f"{said[0]}。{count} 条查询在图库中没有正例，按 0 分计",
        f"{said[1]}. {count} queries have no positive in the gallery and score 0",
    )


def evaluation_view(measured: Evaluation, commands: Sequence[str] = ()) -> EvaluationView:
    """An evaluation as tables and curves; `commands` instead of those that it says itself."""
    directions = measured.directions
    return EvaluationView(
        dataset=measured.dataset,
        model=measured.model,
        protocol=protocol_words(measured),
        queries=measured.queries,
        gallery=measured.gallery,
        metrics=measured.metrics,
        alpha=measured.alpha,
        store_metrics=measured.through_store,
        ann_recall=measured.ann_recall,
        sweep=_sweep_table(measured),
        worst=[WorstQuery(w.text, w.rank, w.wanted_fields, w.found_fields) for w in measured.worst],
        best=[WorstQuery(b.text, b.rank, b.wanted_fields, b.found_fields) for b in measured.best],
        against=None
        if measured.against is None
        else against_view(measured.against, measured.alpha),
        commands=commands or measured.origin.commands,
        intervals=ends_of(measured.intervals),
        curves=measured.curves,
        sweep_found=_sweep_view(measured),
        directions={
            name: {metric: i.value for metric, i in found.metrics.items()}
            for name, found in directions.items()
        },
        direction_intervals=ends_of({name: found.metrics for name, found in directions.items()}),
        direction_notes=list(_direction_notes(measured)),
        breakdown=[*_breakdowns(measured)],
        notes=list(_notes(measured)),
        facts=list(_facts(measured)),
    )


def against_view(against: Against, alpha: float) -> AgainstView:
    """Tests against an earlier evaluation or a run as a table."""
    key, name = ("against.run", against.run) if against.run else ("against.title", against.path)
    about = [f"{ABOUT[name]}{against.about[name]}" for name in ABOUT if name in against.about]
    same = [
        mode
        for mode, tested in against.modes.items()
        if mode != against.main and not any(each.better + each.worse for each in tested.values())
    ]
    return AgainstView(
        title=say(key, name=f"{name} ({', '.join(about)})" if about else name),
        unchanged=same,
        said=against_words(against, alpha),
        rows=[
            (mode, metric, found.then, found.now, found.better, found.worse, found.p)
            for mode, tested in against.modes.items()
            if mode not in same
            for metric, found in tested.items()
        ],
        improved=[*map(_change, against.improved)],
        worsened=[*map(_change, against.worsened)],
    )


def against_words(against: Against, alpha: float) -> tuple[str, str]:
    """The one test that people look at, of mean recall, or else of the first metric."""
    tested = against.modes[against.main]
    metric = "MR" if "MR" in tested else next(iter(tested))
    found = tested[metric]
    mode = name_of("mode", against.main, alpha=f"{alpha:g}")
    modes = (mode, mode) if isinstance(mode, str) else mode
    numbers = {
        "metric": metric_labels((metric,))[0],
        "then": metric_text(metric, found.then),
        "now": metric_text(metric, found.now),
        "change": change_text(metric, found.difference),
        "p": p_text(found.p) if found.p < LEAST_P else f"= {p_text(found.p)}",
        "better": f"{found.better:,}",
        "worse": f"{found.worse:,}",
        "same": f"{against.queries - found.better - found.worse:,}",
    }
    chinese, english = (say("against.said", mode=each, **numbers) for each in modes)
    return chinese[0], english[1]


def _change(query: Changed) -> tuple[str, float, float]:
    return query.text, query.then, query.now


def _breakdowns(measured: Evaluation) -> Iterator[BreakdownView]:
    if measured.group_by is not None:
        yield groups_view(measured)
    for name, groups in measured.breakdown.items():
        yield _breakdown(f"breakdown.{name}", groups)


def groups_view(measured: Evaluation) -> BreakdownView:
    """The queries by the values of a column."""
    return BreakdownView(
        say("breakdown.column", column=measured.group_by),
        [
            (_group_name(g), g.queries, {mode: v["R@10"] for mode, v in g.metrics.items()})
            for g in measured.groups
        ],
    )


def _group_name(group: ValueGroup) -> Words:
    names = (group.value, group.value) if group.value else say("breakdown.none")
    if group.value is None:
        names = say("breakdown.others")
    if not group.few:
        return names
    chinese, english = (say("breakdown.few", value=name, few=FEW) for name in names)
    return chinese[0], english[1]


def ends_of(intervals: Mapping[str, Mapping[str, Interval]]) -> Intervals:
    """The ends of intervals, by mode and metric."""
    return {
        mode: {name: (i.low, i.high) for name, i in found.items()}
        for mode, found in intervals.items()
    }


def _notes(measured: Evaluation) -> Iterator[Words]:
    if measured.without_positive:
        yield say("evaluation.without_positive", count=f"{measured.without_positive:,}")
    if measured.regraded is not None:
        yield say("evaluation.judged", **asdict(measured.regraded))
    if measured.unanswered:
        yield say("evaluation.unanswered", count=f"{measured.unanswered:,}")
    for name, found in measured.gains.items():
        other = name_of("mode", name.removeprefix("hybrid_minus_"))
        numbers = {k: f"{100 * getattr(found['MR'], k):+.1f}" for k in ("value", "low", "high")}
        chinese, english = (other, other) if isinstance(other, str) else other
        yield (
            say("evaluation.gain", other=chinese, **numbers)[0],
            say("evaluation.gain", other=english, **numbers)[1],
        )


def _direction_notes(measured: Evaluation) -> Iterator[Words]:
    for name, found in measured.directions.items():
        yield say(
            f"directions.{name}",
            asked=f"{found.asked:,}",
            of=f"{found.of:,}",
            candidates=f"{found.candidates:,}",
        )


def _sweep_table(measured: Evaluation) -> dict[float, dict[str, float]]:
    if measured.sweep is None:
        return {}
    curve = measured.sweep.curves["weighted"]
    return {float(alpha): values for alpha, values in curve.items()}


def _sweep_view(measured: Evaluation) -> SweepView | None:
    sweep = measured.sweep
    if sweep is None:
        return None
    gain = sweep.gains["normalised"]["MR"]
    verdict = (
        ("归一化更好", "Normalising wins")
        if sweep.normalisation_wins
        else ("归一化没有明显更好", "Normalising is not surely better")
    )
    numbers = f"MR {100 * gain.value:+.1f} ({100 * gain.low:+.1f} … {100 * gain.high:+.1f})"
    counts = {"chosen": f"{sweep.chosen_on:,}", "reported": f"{sweep.reported_on:,}"}
    return SweepView(
        said=(
            say("sweep.said", verdict=f"{verdict[0]}：{numbers}", **counts)[0],
            say("sweep.said", verdict=f"{verdict[1]}: {numbers}", **counts)[1],
        ),
        curves={
            way: {float(alpha): values["MR"] for alpha, values in curve.items()}
            for way, curve in sweep.curves.items()
        },
        best=sweep.best,
        reported={
            name: {metric: i.value for metric, i in found.items()}
            for name, found in sweep.reported.items()
        },
        intervals=ends_of(sweep.reported),
    )


def _breakdown(title: str, groups: Sequence[Group]) -> BreakdownView:
    return BreakdownView(
        say(title),
        [
            (_bounds(g), g.queries, {mode: found["R@10"] for mode, found in g.metrics.items()})
            for g in groups
        ],
    )


def _bounds(group: Group) -> str:
    if group.high is None:
        return f"≥ {group.low}"
    return f"{group.low}" if group.low == group.high else f"{group.low}–{group.high}"


def _facts(measured: Evaluation) -> Iterator[tuple[Words, str]]:
    origin = measured.origin
    yield say("origin.data"), origin.data
    yield say("origin.queries"), origin.queries
    yield say("origin.bm25"), origin.bm25
    yield say("origin.weights"), origin.model.weights[:16]
    yield say("origin.version"), origin.version
    if origin.commit:
        yield say("origin.commit"), origin.commit[:12] + ("+" if origin.commit[-1] == "+" else "")
    yield say("origin.machine"), origin.machine
