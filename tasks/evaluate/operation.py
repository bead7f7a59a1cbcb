"""The order of an evaluation, for any runner."""

from __future__ import annotations

from dataclasses import replace

from tasks.evaluate.kept import held_against_kept, tell
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

    The numbers are held against the baseline that the work folder keeps. That one fell is not
    raised here, so that they can be shown before: `check_held` does, and `check_quality` holds them
    against a baseline of somebody else's.
    """
    with runner.context.watch.run("evaluate", settings.collection, dataset) as run:
        measured = runner.once(EVALUATE, dataset, settings, choices)
        held = held_against_kept(runner.context, dataset, settings, choices, measured)
        tell(run, measured, held)
    return replace(measured, held=held)
