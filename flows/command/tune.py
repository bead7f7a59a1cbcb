"""The command `muge tune`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.command.options import AsJson, options
from flows.command.output import explained, print_json, sentence, warnings_shown
from flows.signatures import Given
from tasks.options import flags_of
from tasks.settings import Encoding, Place, Searching

if TYPE_CHECKING:
    from tasks.evaluate.intervals import Interval
    from tasks.judge.tuned import Measured, Tuned


@options(flags_of(Searching, "alpha", "fusion"), flags_of(Place), flags_of(Encoding))
def tune(given: Given, as_json: AsJson = False) -> None:
    """Say which alpha and fusion the thumbs on hits favour, with intervals; changes nothing.

    They are compared with --alpha and --fusion, or what searches use now.
    """
    with explained():
        from flows.command.bars import Bars
        from flows.orchestration.context import caller_context, showing
        from tasks.judge.tuned import tune as measure

        settings = given.settings
        with Bars() as bars, warnings_shown(), showing(bars), caller_context(settings) as context:
            found = measure(context, settings)
        if as_json:
            from dataclasses import asdict

            print_json(asdict(found))
        else:
            _say(found)


def _say(found: Tuned) -> None:
    counts = {
        "collection": found.collection,
        "queries": found.queries,
        "judged": found.judged_queries,
        "users": found.users,
        "chosen": found.chosen_on,
        "reported": found.reported_on,
    }
    print(sentence("tuned.queries", **counts))
    print(sentence("tuned.now", setting=_measured(found.now)))
    print(sentence("tuned.best", setting=_measured(found.best)))
    print(sentence("tuned.gain", interval=_interval(found.gain["nDCG@10"], "+")))
    if found.set:
        print(sentence("tuned.set", variables=" ".join(found.set)))
    else:
        print(sentence("tuned.unsure"))


def _measured(one: Measured) -> str:
    setting = one.fusion if one.fusion == "rrf" else f"{one.fusion}, alpha {one.alpha:g}"
    interval = _interval(one.metrics["nDCG@10"])
    return sentence("tuned.setting", setting=setting, interval=interval, judged=one.judged)


def _interval(interval: Interval, sign: str = "") -> str:
    return f"{interval.value:{sign}.3f} [{interval.low:{sign}.3f}, {interval.high:{sign}.3f}]"
