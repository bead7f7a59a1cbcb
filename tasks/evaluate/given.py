"""The files that an evaluation is given, read before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks.evaluate.against import Earlier, read_earlier
from tasks.evaluate.files import check_outputs
from tasks.evaluate.trec import Qrels, read_qrels
from tasks.settings import EvaluateChoices


@dataclass(frozen=True, slots=True)
class Files:
    """Judgements that take the place of the data set's, and what is compared with."""

    qrels: Qrels | None
    earlier: Earlier | None


def open_files(choices: EvaluateChoices, page: Path | None = None) -> Files:
    """The files that were given; raises `UsageError` for one that cannot be used, and as
    `check_outputs` for those that are to be written."""
    check_outputs(choices, page)
    return Files(
        qrels=None if choices.judgements is None else read_qrels(choices.judgements),
        earlier=None if choices.against is None else read_earlier(choices.against),
    )
