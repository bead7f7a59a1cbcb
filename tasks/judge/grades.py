"""What the thumbs come to: a grade for each query and picture.

Of each person the last thumb on a picture counts, and one that was taken back does not. More up
than down is grade 1, more down than up grade 0; as many of both say nothing, so that the picture
has no grade.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.evaluate.judgements import Judgement
from tasks.judge.thumbs import TAKEN_BACK, UP, Thumb, query_id_of


@dataclass(frozen=True, slots=True)
class Graded:
    """The grades of pictures by query, queries in the order of their first thumb; and of how many
    `thumbs` by how many `users` they were made. `contested` pictures have as many ups as downs."""

    thumbs: int
    users: int
    contested: int
    grades: dict[str, dict[str, int]]

    @property
    def judgements(self) -> list[Judgement]:
        """The queries that have a grade, as evaluations take them."""
        return [
            Judgement(
                query_id_of(query),
                query,
                frozenset(image for image, grade in found.items() if grade > 0),
                found,
            )
            for query, found in self.grades.items()
        ]

    @property
    def telling(self) -> list[Judgement]:
        """The queries with a picture that fits and one that does not: only they tell two rankings
        of what was judged apart."""
        return [each for each in self.judgements if 0 < len(each.relevant) < len(each.grades)]

    def qrels(self) -> Iterator[str]:
        """Lines of TREC qrels, without their ends."""
        for judgement in self.judgements:
            for image, grade in sorted(judgement.grades.items()):
                yield f"{judgement.query_id} 0 {image} {grade}"


def grade(thumbs: Sequence[Thumb]) -> Graded:
    """The grades of thumbs that come the oldest first."""
    last: dict[tuple[str, str, str], int] = {}
    for thumb in thumbs:
        last[thumb.query, thumb.image, thumb.user] = thumb.grade
    votes: dict[tuple[str, str], Counter[bool]] = {}
    for (query, image, _), said in last.items():
        if said != TAKEN_BACK:
            votes.setdefault((query, image), Counter())[said > 0] += 1
    grades: dict[str, dict[str, int]] = {}
    contested = 0
    for (query, image), said_by in votes.items():
        up, down = said_by[True], said_by[False]
        if up == down:
            contested += 1
        else:
            grades.setdefault(query, {})[image] = UP if up > down else 0
    counted = {user for (_, _, user), said in last.items() if said != TAKEN_BACK}
    return Graded(len(thumbs), len(counted), contested, grades)
