"""Queries with their relevant images, and what may honestly be measured with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tasks.dataset.reader import Reader, document_id, stable_id
from tasks.dataset.text import clean_query
from tasks.errors import DatasetError, QueryTextError, UsageError
from tasks.records import ImageId
from tasks.settings import ProtocolName
from tasks.sparse.lexicon import normalise, simplify


@dataclass(frozen=True, slots=True)
class Judgement:
    """One query and the ids of all images that answer it; `grades` say how well those and others
    do, where somebody graded them (none: every relevant one has grade 1). `group` is what the
    data's column says of it that evaluations are broken down by."""

    query_id: str
    text: str
    relevant: frozenset[str]
    grades: Mapping[str, int] = field(default_factory=dict, hash=False)
    group: str = ""


TEXTS_THAT_SUFFICE = 2
"""Different texts of a picture: one at least is not the query."""
MOST_TEXTLESS = 0.2
"""Above this share of queries, leaving the query out measures the data rather than the search."""


@dataclass(frozen=True, slots=True)
class EvaluationProtocol:
    """How numbers were made.

    `held-out`: no evaluation query is in the text of any document, so that sparse and hybrid search
    can be measured. `official`: only dense search is; the MUGE leaderboard's number. Where queries
    are in documents' texts (`leaks` says how many), anything else would be measured on the answers.
    `leave-query-out`: keyword scores as if each query had never been in any text, so that sparse
    and hybrid search can be measured all the same. For the share `textless` of the queries no right
    picture keeps any text then: keywords could not find one however good they are.
    """

    name: str
    leaks: int
    textless: float = 0.0

    @property
    def honest_hybrid(self) -> bool:
        """Whether sparse and hybrid numbers may be reported."""
        return self.name == "leave-query-out" or (self.name == "held-out" and self.leaks == 0)

    @property
    def ranks_hybrid(self) -> bool:
        """Whether hybrid search may be called better or worse than search by meaning."""
        return self.honest_hybrid and self.textless <= MOST_TEXTLESS

    @property
    def honest_store(self) -> bool:
        """Whether sparse and hybrid numbers of the live store may be reported: it holds whole
        texts, so only if no query is in them."""
        return self.honest_hybrid and self.leaks == 0


def read_judgements(
    reader: Reader, name: str, unanswered: bool = False, group: str = ""
) -> list[Judgement]:
    """All queries of a data set with their images, in the order of their first appearance.

    With `unanswered` also those that name no image, as in MUGE's test split. `group` is the field
    of the rows whose first value a query's group is. Raises `DatasetError` if there is none.
    """
    texts: dict[int, str] = {}
    relevant: dict[int, set[str]] = {}
    groups: dict[int, str] = {}
    for query_id, text, image_id, value in _pairs(reader, group):
        if image_id is None and not unanswered:
            continue
        if texts.setdefault(query_id, text) != text:
            continue  # a reject when the data set was indexed: the first text of an id is kept
        images = relevant.setdefault(query_id, set())
        if image_id is not None:
            images.add(document_id(image_id))
        if value:
            groups.setdefault(query_id, value)
    if not texts:
        raise DatasetError(f"data set {name!r} has no usable query to evaluate with")
    return [
        Judgement(str(i), texts[i], frozenset(relevant[i]), group=groups.get(i, "")) for i in texts
    ]


def _pairs(reader: Reader, group: str) -> Iterator[tuple[int, str, ImageId | None, str]]:
    for span in reader.spans():
        for row in reader.read_queries(span):
            if row.query is None or row.defect is not None:
                continue
            try:
                text = clean_query(row.query)
            except QueryTextError:
                continue  # reported as a reject when the data set was indexed
            query_id = stable_id(text) if row.query_id is None else row.query_id
            yield query_id, text, row.image_id, str(row.fields.get(group, "")).strip()


def choose_protocol(
    judgements: Sequence[Judgement], indexed: Iterator[str], wanted: ProtocolName
) -> EvaluationProtocol:
    """The protocol that was asked for, or the one that applies ("auto").

    Raises `UsageError` for `held-out` if documents carry the queries: that number would be a lie.
    """
    applying = protocol_of(judgements, indexed)
    if wanted == "auto":
        return applying
    if wanted == "held-out" and applying.leaks:
        raise UsageError(
            f"{applying.leaks} of the {len(judgements)} queries are in the documents' own text, so "
            f"hybrid search would be measured on the answers; use --protocol leave-query-out, or "
            f"--protocol official for search by meaning alone"
        )
    return EvaluationProtocol(wanted, applying.leaks)


def protocol_of(judgements: Sequence[Judgement], indexed: Iterator[str]) -> EvaluationProtocol:
    """Which protocol applies, given the texts that documents carry."""
    asked = {compared(judgement.text) for judgement in judgements}
    leaking = {key for text in indexed if (key := compared(text)) in asked}
    return EvaluationProtocol("official" if leaking else "held-out", len(leaking))


def textless_share(
    judgements: Sequence[Judgement], documents: Iterator[tuple[str, Sequence[str]]]
) -> float:
    """The share of judged queries none of whose right pictures has a text besides the query;
    `documents` are (image id, texts of a document) of the gallery."""
    asked = {image for judgement in judgements for image in judgement.relevant}
    texts: dict[str, set[str]] = {}
    for image, of_document in documents:
        if image in asked:
            kept = texts.setdefault(image, set())
            kept |= {compared(text) for text in of_document if len(kept) < TEXTS_THAT_SUFFICE}
    judged = [
        judgement for judgement in judgements if not texts.keys().isdisjoint(judgement.relevant)
    ]
    left = sum(
        any(texts.get(image, set()) - {compared(judgement.text)} for image in judgement.relevant)
        for judgement in judged
    )
    return 1 - left / len(judged) if judged else 0.0


def compared(text: str) -> str:
    """A text as keyword search sees it, whichever characters it counts as one, and without white
    space, which changes no meaning."""
    return "".join(simplify(normalise(text)).split())
