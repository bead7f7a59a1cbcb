"""The order of an evaluation, for any runner."""

from __future__ import annotations

from tasks.evaluate.result import Evaluation
from tasks.evaluate.stages import EVALUATE
from tasks.index.runner import Runner
from tasks.settings import EvaluateChoices, Settings


def evaluate(
    dataset: str,
    settings: Settings,
    runner: Runner,
    choices: EvaluateChoices = EvaluateChoices(),
) -> Evaluation:
    """Measure a collection with the queries of a data set; errors as the stage of that name.

    Holding the numbers against a baseline is `check_quality`'s affair.
    """
    return runner.once(EVALUATE, dataset, settings, choices)
