"""What flows return, as the records that pages and tables are made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.report.views import EvaluationView, IndexView, SearchView
from tasks.search.searcher import Answer
from tasks.sparse.tokens import tokenize

if TYPE_CHECKING:  # `muge search` must not wait for Prefect and torch
    from flows.index_dataset import IndexReport
    from tasks.evaluate.stages import Evaluation


def search_view(answer: Answer) -> SearchView:
    """An answer as a page section or a table; words are those that BM25 counted."""
    question = answer.question
    text = question.text if question.needs_words else None
    words = tuple(dict.fromkeys(tokenize(text))) if text else ()
    return SearchView(
        hits=answer.hits,
        alpha=question.alpha,
        topk=question.topk,
        text=question.text,
        picture=answer.picture,
        filter=question.filter,
        took_ms=answer.took_ms,
        words=words,
        groups=answer.groups,
    )


def index_view(report: IndexReport) -> IndexView:
    """An index run as a summary."""
    return IndexView(
        dataset=report.dataset,
        model=report.model,
        dimension=report.dimension,
        collection=report.collection,
        store=report.store,
        rows=report.rows,
        images=report.images,
        queries=report.queries,
        documents=report.documents,
        rejects=report.rejects,
        stages=report.stages,
    )


def evaluation_view(measured: Evaluation, commands: Sequence[str] = ()) -> EvaluationView:
    """An evaluation as tables."""
    return EvaluationView(
        dataset=measured.dataset,
        model=measured.model,
        protocol=protocol_in_words(measured),
        queries=measured.queries,
        gallery=measured.gallery,
        metrics=measured.metrics,
        alpha=measured.alpha,
        store_metrics=measured.through_store,
        ann_recall=measured.ann_recall,
        commands=commands,
    )


def protocol_in_words(measured: Evaluation) -> tuple[str, str]:
    """How the numbers were made, in Chinese and English."""
    missing = measured.without_positive
    if measured.protocol.honest_hybrid:
        said = (
            "held-out：没有任何评测查询出现在被索引的文本中，因此关键词与混合检索的数字是诚实的",
            "held-out: no evaluation query is in any indexed text, so that keyword and hybrid "
            "numbers are honest",
        )
    else:
        said = (
            f"official：{measured.protocol.leaks} 条评测查询就是被索引的文本，因此只报告语义检索",
            f"official: {measured.protocol.leaks} evaluation queries are indexed text themselves, "
            "so only search by meaning is reported",
        )
    if not missing:
        return said
    return (
        f"{said[0]}。{missing} 条查询在图库中没有正例，按 0 分计",
        f"{said[1]}. {missing} queries have no positive in the gallery and score 0",
    )
