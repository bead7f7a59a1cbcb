"""The search stage: all questions of a batch, with the collection opened once."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.search.batches import BATCH, search_file
from tasks.search.questions import Question
from tasks.search.searcher import Answer, open_searcher
from tasks.settings import Settings
from tasks.store.open import shared_store

__all__ = ["search", "search_file"]


def search(settings: Settings, questions: Sequence[Question]) -> list[Answer]:
    """Answers in the order of the questions."""
    searcher = open_searcher(settings, shared_store(settings.store_uri))
    answers: list[Answer] = []
    for start in range(0, len(questions), BATCH):
        batch = questions[start : start + BATCH]
        answers += searcher.answer([searcher.prepare(question) for question in batch])
    return answers
