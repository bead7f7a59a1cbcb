"""A short round of every quick kind; `python -m tests.fuzz` is the long form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.harness import MOST_MEMORY, Watched, fuzz
from tests.fuzz.kinds import KINDS

EXAMPLES = 12


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with Watched() as started:
        yield started


@pytest.mark.gate("pictures", "filters", "csv", "page: questions", "models", "jsonl")
@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if not kind.slow])
def test_whatever_comes_is_a_row_a_reject_or_a_line(
    kind: str, watched: Watched, tmp_path: Path
) -> None:
    tally = fuzz(watched, kind, EXAMPLES, tmp_path)
    assert tally.found == []
    assert tally.outcomes.total() > EXAMPLES / 2
    assert tally.memory < MOST_MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_longer_round(kind: str, tmp_path: Path) -> None:
    with Watched() as watched:
        tally = fuzz(watched, kind, 80 * EXAMPLES, tmp_path)
    assert tally.found == []
    assert tally.memory < MOST_MEMORY
