"""The search page as HTML: the form, and below it hits, nothing found, or what went wrong.

The hits are drawn by the templates of the report pages, so that `muge search --html` and this page
look alike. The browser's script fetches this same page and swaps its parts: there is one truth.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Literal, get_args
from urllib.parse import quote

from jinja2 import Environment
from markupsafe import Markup

from deployments.studio.asking import MOST_FILTER, Asking, PageAsking
from deployments.studio.problems import Problem
from deployments.studio.wording import say
from tasks.ranges import MAX_TOPK
from tasks.records import Hit
from tasks.report import page as report_page
from tasks.report.components import Card, Section, section_of
from tasks.report.facets import facets_of, narrowed
from tasks.report.run_views import search_view
from tasks.report.texts import printable
from tasks.report.views import SearchView, Words
from tasks.search.searcher import Answer
from tasks.settings import Fusion

Language = Literal["zh", "en"]
SMALL = 320
"""Longest side of a picture that a hit does not carry, pixels."""
NEARLY_THE_SAME = 0.97
"""Cosine: with the sample's model 98 % of pictures in another size and quality are above it, and no
two of different things above .71."""
TOPK_CHOICES = (10, 20, 50, 100)
STYLES = (("tasks.report", "report.css"), ("deployments.studio", "static/studio.css"))
SCRIPTS = (
    ("deployments.studio", "static/studio.js"),
    ("deployments.studio", "static/crop.js"),
)


@dataclass(frozen=True, slots=True)
class Offered:
    """What thumbs on hits are of: a collection that is `made_of` this; `kept_in` stands for where
    they are kept, so that a browser tells apart what it pressed in several collections."""

    made_of: str
    kept_in: str


BESIDES = {
    **{way: f"beside.{way}" for way in ("alpha:1", "alpha:0.5", "alpha:0")},
    **{way: f"fusion.{way}" for way in ("normalised", "rrf")},
}
"""Ways that the page offers to set beside what was found, and what says them."""


@dataclass(frozen=True, slots=True)
class Column:
    """One of two ways side by side: which it is, and its hits, each with where it is in the other
    (None: it is at the same place)."""

    title: Words
    hits: tuple[tuple[Card, Words | None], ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """All that a page is made from; `count` is the number of documents, None if unknown, `usual`
    are alpha and topk of a question that says neither; `said_language` is whether the address says
    the language, `beside` what was found in another way, `offered` what thumbs on hits are of
    (None: hits have none)."""

    asking: PageAsking = field(default_factory=PageAsking)
    language: Language = "zh"
    said_language: bool = False
    alpha: float = 0.8
    topk: int = 10
    usual: tuple[float, int] = (0.8, 10)
    most: int = 100
    count: int | None = None
    examples: Sequence[str] = ()
    gallery: Sequence[Hit] = ()
    answer: Answer | None = None
    beside: Answer | None = None
    problem: Problem | None = None
    offered: Offered | None = None


def render_search(shown: Shown) -> str:
    """The whole page."""
    asking, answer, beside = shown.asking, shown.answer, shown.beside
    section = section_of(search_view(answer), 1) if answer else None
    lead = say("ask.lead_unready")
    if shown.count is not None:
        lead = say("ask.lead", count=f"{shown.count:,}")
    keep: dict[str, str] = {"lang": shown.language} if shown.said_language else {}
    return _render(
        "studio.html.j2",
        shown.language,
        shown=shown,
        asking=asking,
        lead=lead,
        section=section,
        advice=_advice(answer) if answer else (),
        dense=round(100 * shown.alpha),
        usual_alike=NEARLY_THE_SAME,
        choices=sorted({*(n for n in TOPK_CHOICES if n <= shown.most), shown.topk}),
        again=asking.link(**keep),
        without=asking.link("picture", "like", **keep),
        like=Asking(alpha=asking.alpha, topk=asking.topk, filter=asking.filter, alike=asking.alike)
        .link(**keep, like="@")
        .removesuffix("%40"),
        facets=_facets(asking, answer, keep) if answer else (),
        unfiltered=asking.link("filter", **keep) if asking.filter else "",
        gallery=_cards(shown.gallery),
        examples=[(text, Asking(text=text).link(**keep)) for text in shown.examples],
        other_language=asking.link(lang="zh" if shown.language == "en" else "en"),
        said_language=shown.said_language,
        more=_more(shown, answer, keep) if answer else "",
        files=asking.link(skip=asking.skip or ""),
        original_of=_original_of,
        judge=_judge(shown, answer) if answer else None,
        columns=_columns(section, answer, beside) if section and answer and beside else (),
        same=_same(answer, beside) if answer and beside else 0,
        besides=BESIDES,
        fusions=get_args(Fusion),
    )


def render_problem(problem: Problem, language: Language) -> str:
    """A page that says what went wrong and how to go on."""
    return _render("problem.html.j2", language, problem=problem)


def render_token(language: Language, wrong: bool, back: str = "") -> str:
    """A page that asks for the token, and then goes to the search `back` ("text=...")."""
    return _render("token.html.j2", language, wrong=wrong, back=back)


def problem_words(problem: Problem) -> Words:
    """What to do about a problem."""
    return say(f"problem.{problem.code}")


@cache
def asset(kind: str) -> tuple[str, bytes]:
    """The stylesheet ("css") or script ("js"): a name that changes with its content, and it."""
    parts = STYLES if kind == "css" else SCRIPTS
    content = b"\n".join(files(package).joinpath(name).read_bytes() for package, name in parts)
    return f"studio-{hashlib.sha256(content).hexdigest()[:12]}.{kind}", content


def _cards(hits: Sequence[Hit]) -> list[Card]:
    """Pictures to begin with."""
    return _cards_of(section_of(SearchView(hits, alpha=1.0, topk=len(hits)), 1))


def _cards_of(section: Section) -> list[Card]:
    return [card for _, cards in section.groups for card in cards]


def _more(shown: Shown, answer: Answer, keep: dict[str, str]) -> str:
    """The link to the hits behind these; "" where there are none."""
    seen = answer.before + shown.topk
    full = len(answer.hits) == shown.topk and seen < MAX_TOPK
    return shown.asking.link(**keep, skip=seen) if full else ""


def _original_of(card: Card) -> dict[str, object]:
    """Where the large picture of a hit is, and a small one for a hit that carries none; whether it
    is `known` that there is one."""
    place = f"api/documents/{quote(card.figure.id, safe='')}/original"
    known = bool(card.details.source)
    return {"link": place, "small": f"{place}?side={SMALL}", "known": known}


def _judge(shown: Shown, answer: Answer) -> dict[str, str] | None:
    """What a thumb on a hit is sent with; None where hits have none. It is of a text alone: beside
    a picture a text is not what was asked, and without one nothing can be asked again."""
    question = answer.question
    if shown.offered is None or question.text is None or shown.asking.pictures:
        return None
    said = {name: getattr(question, name) for name in ("alpha", "fusion", "filter", "topk")}
    settings = {name: value for name, value in said.items() if value is not None}
    sent = {**settings, "made_of": shown.offered.made_of}
    return {"query": question.text, "with": json.dumps(sent), "kept": shown.offered.kept_in}


def _facets(
    asking: Asking, answer: Answer, keep: dict[str, str]
) -> list[tuple[str, list[tuple[str, int, str]]]]:
    """(field, [(what hits have in common, how many, the link that keeps only those)])."""
    return [
        (
            facet.field,
            [
                (choice.said, choice.count, asking.link(**keep, filter=asks))
                for choice in facet.choices
                if len(asks := narrowed(asking.filter, choice.filter)) <= MOST_FILTER
            ],
        )
        for facet in facets_of(answer.hits, answer.product)
    ]


def _columns(section: Section, left: Answer, right: Answer) -> tuple[Column, ...]:
    """Both answers, of which the left one is a section already."""
    return (
        _column(section, left, right, "beside.there_right"),
        _column(section_of(search_view(right), 1), right, left, "beside.there_left"),
    )


def _column(section: Section, answer: Answer, other: Answer, where: str) -> Column:
    """An answer's hits beside those of another."""
    places = {hit.id: place for place, hit in enumerate(other.hits, other.before + 1)}
    hits = []
    for card in _cards_of(section):
        place = places.get(card.figure.id)
        moved = say("beside.only") if place is None else say(where, place=place)
        hits.append((card, None if place == card.rank else moved))
    return Column(_way(answer), tuple(hits))


def _way(answer: Answer) -> Words:
    """How an answer was found."""
    question = answer.question
    if question.fusion in (None, "weighted"):
        dense = round(100 * question.alpha)
        return say("ask.alpha_says", dense=dense, sparse=100 - dense)
    return say(f"fusion.{question.fusion}")


def _same(left: Answer, right: Answer) -> int:
    """How many hits both have."""
    return len({hit.id for hit in left.hits} & {hit.id for hit in right.hits})


def _advice(answer: Answer) -> tuple[Words, ...]:
    keys = ["none.words"]
    if answer.question.alpha == 0:
        keys.insert(0, "none.alpha")
    if answer.question.filter:
        keys.insert(0, "none.filter")
    return () if answer.hits else tuple(say(key) for key in keys)


def _render(template: str, language: Language, **values: object) -> str:
    html = (
        _environment()
        .get_template(template)
        .render(language=language, style=asset("css")[0], script=asset("js")[0], **values)
    )
    return printable(html)


@cache
def _environment() -> Environment:
    environment = report_page.environment("deployments.studio")
    environment.globals.update(say=say, t=_sentence, problem_words=problem_words)
    return environment


def _sentence(key: str, **values: object) -> Markup:
    return report_page.both(say(key, **values))
