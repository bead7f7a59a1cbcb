"""What a person may ask, one question or a file of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

from tasks.dataset.text import clean_query
from tasks.errors import QueryError, QueryTextError
from tasks.ranges import check_alike, check_alpha, check_text_weight, check_topk
from tasks.settings import Fusion


@dataclass(frozen=True, slots=True)
class Question:
    """A text, a picture, or both (then the picture is the dense side, the text the sparse one,
    and with `text_weight` above 0 the dense side too, as much as that says).

    `image` is a file name or an http(s) address; `like` instead is the id of a document whose own
    vector is searched with (itself is no hit). alpha 1 is meaning only, 0 keywords only; a picture
    alone has no keywords, so that its alpha is 1. With `group_by` (a field) the answer is the best
    `per_group` hits of each of the `topk` best values of that field. With `products` each hit is
    the best picture of its product, if the data has products, and with `alike` the best of pictures
    that are at least so alike (cosine). `fusion` is how meaning and keywords
    become one ranking (None: as the settings say). With `alpha_is_open` nobody chose alpha: one
    that was measured to suit the collection better goes before it.
    """

    text: str | None = None
    image: str | None = None
    alpha: float = 1.0
    topk: int = 10
    filter: str | None = None
    like: str | None = None
    group_by: str | None = None
    per_group: int = 3
    products: bool = True
    fusion: Fusion | None = None
    alpha_is_open: bool = False
    text_weight: float = 0.0
    alike: float | None = None

    @property
    def is_steered(self) -> bool:
        """Whether the dense side is a picture and a text."""
        by_picture = self.image is not None or self.like is not None
        return by_picture and self.text is not None and self.text_weight > 0

    @property
    def needs_dense(self) -> bool:
        """Whether the dense side is asked."""
        return self.alpha > 0

    @property
    def needs_model(self) -> bool:
        """Whether something must be encoded for the dense side."""
        return self.needs_dense and (self.like is None or self.is_steered)

    @property
    def needs_words(self) -> bool:
        """Whether the sparse side is asked."""
        return self.alpha < 1 and self.text is not None


def checked(question: Question) -> Question:
    """The question with its text cleaned; raises `QueryError` for what cannot be asked."""
    check_alpha(question.alpha)
    check_topk(question.topk)
    check_text_weight(question.text_weight)
    check_alike(question.alike)
    if question.alike is not None and question.group_by is not None:
        raise QueryError("alike and group_by: give one of them")
    if question.fusion not in (None, *get_args(Fusion)):
        raise QueryError(
            f"fusion is {str(question.fusion)[:40]!r}, expected {', '.join(get_args(Fusion))}"
        )
    if question.image is not None and question.like is not None:
        raise QueryError("a picture and a document to be like: give one of them")
    if question.text is None:
        if question.image is None and question.like is None:
            raise QueryError("nothing to search for: give a text, a picture or both")
        return replace(question, alpha=1.0)
    try:
        return replace(question, text=clean_query(question.text))
    except QueryTextError as error:
        raise QueryError(f"{error}; give some words to search for") from None


def pair_up(
    texts: Sequence[str], images: Sequence[str], alpha: float, topk: int, filter: str | None
) -> list[Question]:
    """One question for each text or picture; if there are both, the n-th of each go together.

    Raises `QueryError` if there is nothing, or if both are given in different numbers.
    """
    if texts and images and len(texts) != len(images):
        raise QueryError(
            f"{len(texts)} texts and {len(images)} pictures: give as many of each, or one kind"
        )
    count = max(len(texts), len(images))
    if not count:
        raise QueryError("nothing to search for: give a text, a picture or both")
    return [
        checked(
            Question(
                text=texts[number] if texts else None,
                image=images[number] if images else None,
                alpha=alpha,
                topk=topk,
                filter=filter,
            )
        )
        for number in range(count)
    ]
