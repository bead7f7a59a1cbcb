"""Queries with their relevant images, and what may honestly be measured with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tasks.dataset.reader import Reader, stable_id
from tasks.dataset.text import QueryTextError, clean_query
from tasks.errors import DatasetError
from tasks.sparse.tokens import normalise


@dataclass(frozen=True, slots=True)
class Judgement:
    """One query and the ids of all images that answer it."""

    query_id: str
    text: str
    relevant: frozenset[str]


@dataclass(frozen=True, slots=True)
class Protocol:
    """How numbers were made.

    `held-out`: no evaluation query is in the text of any document, so sparse and hybrid search can
    be measured. `official`: some are, so only dense search is; anything else would be measured on
    the answers (`leaks` says how many).
    """

    name: str
    leaks: int

    @property
    def honest_hybrid(self) -> bool:
        """Whether sparse and hybrid numbers may be reported."""
        return self.leaks == 0


def read_judgements(reader: Reader, name: str) -> list[Judgement]:
    """All queries of a data set with their images, in the order of their first appearance.

    Raises `DatasetError` if there is none.
    """
    texts: dict[int, str] = {}
    relevant: dict[int, set[str]] = {}
    for query_id, text, image_id in _pairs(reader):
        if texts.setdefault(query_id, text) != text:
            continue  # a reject when the data set was indexed: the first text of an id is kept
        relevant.setdefault(query_id, set()).add(str(image_id))
    if not texts:
        raise DatasetError(f"data set {name!r} has no usable query to evaluate with")
    return [Judgement(str(i), texts[i], frozenset(relevant[i])) for i in texts]


def _pairs(reader: Reader) -> Iterator[tuple[int, str, int]]:
    for span in reader.spans():
        for row in reader.read(span):
            if row.query is None or row.image_id is None or row.defect is not None:
                continue
            try:
                text = clean_query(row.query)
            except QueryTextError:
                continue  # reported as a reject when the data set was indexed
            yield (stable_id(text) if row.query_id is None else row.query_id), text, row.image_id


def protocol_of(judgements: list[Judgement], indexed: Iterator[str]) -> Protocol:
    """Which protocol applies, given the texts that documents carry."""
    asked = {_compared(judgement.text) for judgement in judgements}
    leaking = {key for text in indexed if (key := _compared(text)) in asked}
    return Protocol("official" if leaking else "held-out", len(leaking))


def _compared(text: str) -> str:
    """A text as keyword search sees it, and without white space, which changes no meaning."""
    return "".join(normalise(text).split())
