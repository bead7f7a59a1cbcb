"""What operations return, as the records that pages and tables are made from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tasks.report.views import IndexView, SearchView
from tasks.search.searcher import Answer

if TYPE_CHECKING:  # `muge search` must not wait for all that an index run needs
    from tasks.index.report import IndexReport
    from tasks.reindex.report import ReindexReport


def search_view(answer: Answer) -> SearchView:
    """An answer as a page section or a table; words are those that BM25 counted."""
    question = answer.question
    return SearchView(
        hits=answer.hits,
        alpha=question.alpha,
        topk=question.topk,
        text=question.text,
        picture=answer.picture,
        filter=question.filter,
        took_ms=answer.took_ms,
        words=answer.counted,
        groups=answer.groups,
        product=answer.product,
        sources=answer.sources,
        before=answer.before,
        doubt=answer.doubt,
        alike=answer.alike,
        text_weight=question.text_weight if question.is_steered else 0.0,
    )


def index_view(report: IndexReport | ReindexReport) -> IndexView:
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
        downloads=report.downloads,
    )


def reindex_view(report: ReindexReport) -> IndexView:
    """A reindex as a summary, with the collection that its name means now."""
    view, live = index_view(report), report.collection
    return view if live == report.name else replace(view, collection=f"{report.name} -> {live}")
