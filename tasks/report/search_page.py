"""Searches to one page: every query, and the pictures it found."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.report.components import section_of
from tasks.report.page import render_page
from tasks.report.views import SearchView


def render_search_page(results: Sequence[SearchView], *, title: str) -> str:
    """One self-contained HTML page, to be written as UTF-8.

    :param results: shown in this order; none of them is fine.
    :param title: the page's heading, in whatever language.
    """
    sections = [section_of(view, number) for number, view in enumerate(results, 1)]
    return render_page("search.html.j2", title=title, sections=sections)
