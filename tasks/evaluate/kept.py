"""The baseline that a work folder keeps of each collection and its queries: the evaluation that was
accepted last, the first one by itself, and a later one when somebody says so."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from tasks.context import Context
from tasks.errors import UsageError, WorkFolderError, reason_of
from tasks.evaluate.gate import Held, changes, check_comparable, is_evaluation
from tasks.evaluate.result import Evaluation, as_json
from tasks.seal import fingerprint, sealed, unsealed
from tasks.settings import EvaluateChoices, Settings
from tasks.telemetry import metrics
from tasks.telemetry.watch import Run
from tasks.work.folder import Folder

FOLDER = "baselines"
ACCEPTED = "accepted"
_log = logging.getLogger(__name__)


def held_against_kept(
    context: Context,
    dataset: str,
    settings: Settings,
    choices: EvaluateChoices,
    measured: Evaluation,
) -> Held | None:
    """How an evaluation stands beside the kept baseline, which it becomes if there is none or
    `choices` accept it; None if nothing was measured.

    Raises `UsageError` for a baseline that cannot be read, `WorkFolderError` if one that was
    accepted cannot be kept.
    """
    if not measured.metrics:
        return None
    folder, name = context.work(settings), name_of(dataset, settings, choices)
    place = f"{folder.url}/{name}"
    said = as_json(measured)
    then = None if choices.accept else _read(folder, name)
    if then is None:
        return _keep(folder, name, place, said, choices.accept)
    since = str(then.get(ACCEPTED, ""))
    try:
        check_comparable(then, said)
    except UsageError as error:
        reason = f"{reason_of(error).partition(';')[0]}"
        return Held(place, since, False, differs=reason)
    return Held(place, since, False, tuple(changes(then, said, choices.max_metric_drop)))


def name_of(dataset: str, settings: Settings, choices: EvaluateChoices) -> str:
    """The file of the baseline: one for each way of measuring a collection."""
    asked = fingerprint(
        store=settings.store_uri,
        dataset=dataset,
        protocol=choices.protocol,
        alpha=settings.alpha,
        filter=choices.filter,
        **({} if choices.judgements is None else {"judgements": choices.judgements}),
        **({} if settings.fusion == "weighted" else {"fusion": settings.fusion}),
    )
    return f"{FOLDER}/{settings.collection}-{asked}.json"


def tell(run: Run, measured: Evaluation, held: Held | None) -> None:
    """Say the metrics of an evaluation, and those of the baseline, to who watches the run."""
    for where, table in (("exact", measured.metrics), ("store", measured.through_store)):
        for mode, values in table.items():
            for name, value in values.items():
                run.set(metrics.QUALITY, value, where, mode, name)
    run.set(metrics.QUERIES, measured.queries)
    run.set(metrics.GALLERY, measured.gallery)
    run.set(metrics.ANN_RECALL, measured.ann_recall)
    if held is None:
        return
    run.set(metrics.COMPARABLE, not held.differs)
    run.set(metrics.FALLEN, len(held.fallen))
    for change in held.changes:
        where, mode, name = change.name.split(" ", 2)
        kind = "exact" if where == "metrics" else "store"
        run.set(metrics.BASELINE, change.then, kind, mode, name)


def _read(folder: Folder, name: str) -> dict[str, Any] | None:
    if not folder.exists(name):
        return None
    try:
        kept = unsealed(json.loads(folder.read_bytes(name)))
        if not is_evaluation(kept):
            raise ValueError("it is no evaluation")
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"the kept baseline {folder.url}/{name} cannot be used: {reason_of(error)}; accept "
            f"this evaluation in its place: --accept"
        ) from None
    found: dict[str, Any] = kept
    return found


def _keep(folder: Folder, name: str, place: str, said: dict[str, Any], wanted: bool) -> Held | None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        folder.write_json(name, sealed({ACCEPTED: now, **said}))
    except WorkFolderError as error:
        if wanted:
            raise
        _log.warning("this evaluation is not kept as the baseline: %s", reason_of(error))
        return None
    return Held(place, now, True)
