"""Which alpha searches of a collection use: the one asked for, or one that was measured better."""

from __future__ import annotations

import logging

from tasks.report.wording import say
from tasks.settings import Settings
from tasks.work.collections import AlphaProposal, CollectionRecord

CLEARLY = 0.005
"""Mean recall that another alpha must surely (by the end of its interval) find more."""
_log = logging.getLogger(__name__)
NOTE = {"kind": "note"}
"""Of a record that people are to see and that warns of nothing."""
CHINESE = "chinese"
"""What such a record says to a terminal that speaks Chinese."""


def is_open(settings: Settings) -> bool:
    """Whether nobody said which alpha is meant."""
    return "alpha" not in settings.model_fields_set


def usual_alpha(settings: Settings, record: CollectionRecord) -> float:
    """The alpha of searches that name none: the settings', but for one that was measured to be
    clearly better than the default."""
    proposal = record.proposal
    if is_open(settings) and settings.fusion == "weighted" and is_dominated(settings.alpha, record):
        assert proposal is not None
        return proposal.alpha
    return settings.alpha


def is_dominated(alpha: float, record: CollectionRecord) -> bool:
    """Whether the proposed alpha of a collection is clearly better; one side alone is a choice of
    its own."""
    proposal = record.proposal
    if proposal is None or not 0 < alpha < 1:
        return False
    gain = _gain(alpha, proposal)
    return gain is not None and gain[1] > CLEARLY


def _explained(alpha: float, record: CollectionRecord) -> tuple[str, str]:
    """One line for people, in Chinese and English, on how the proposed alpha compares with another
    one."""
    proposal = record.proposal
    gain = None if proposal is None else _gain(alpha, proposal)
    if proposal is None or gain is None:
        return "", ""
    value, low, high = gain
    return say(
        "note.alpha",
        proposed=proposal.alpha,
        alpha=alpha,
        value=value,
        low=low,
        high=high,
        queries=proposal.reported_on,
        collection=record.collection,
    )


def tell(settings: Settings, record: CollectionRecord) -> None:
    """Say in a line which alpha is used instead of the default, or that the one asked for is
    clearly worse."""
    if settings.fusion != "weighted" or not is_dominated(settings.alpha, record):
        return
    used = is_open(settings)
    key = "note.alpha_used" if used else "note.alpha_worse"
    chinese, english = (
        say(key, said=said, alpha=settings.alpha)[number]
        for number, said in enumerate(_explained(settings.alpha, record))
    )
    _log.warning("%s", english, extra={**(NOTE if used else {}), CHINESE: chinese})


def _gain(alpha: float, proposal: AlphaProposal) -> tuple[float, float, float] | None:
    """How much more the proposed alpha finds than the measured one that is nearest."""
    nearest = min(proposal.gains, key=lambda other: abs(float(other) - alpha), default=None)
    return None if nearest is None else proposal.gains[nearest]
