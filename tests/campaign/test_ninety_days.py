"""The simulation's short form, and that what it is judged by notices what it should."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.settings import load_settings
from tests.campaign.answers import TOPK, Asked, Oracle, Truth
from tests.campaign.catalogue import Catalogue, Day
from tests.campaign.incidents import INCIDENTS, ONCE
from tests.campaign.ninety_days import STORES, UPGRADED, plan_incidents, report, simulate

MEANING = Asked("红色球鞋", 1.0)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("store", STORES)
def test_some_days_unattended(store: str, tmp_path: Path) -> None:
    tally = simulate(8, 1, store, tmp_path)
    assert (tally.failures, tally.searches.wrong) == ([], []), report(tally)
    assert not tally.searches.failed, report(tally)
    assert tally.searches.asked > 20
    assert tally.evaluations == 1


@pytest.mark.parametrize("store", STORES)
def test_everything_happens_in_ninety_days(store: str) -> None:
    planned = plan_incidents(90, store, True, random.Random(1))
    kinds = {incident.name for incident in INCIDENTS.values() if store in incident.stores}
    names = [incident.name for incident in planned.values()]
    assert {*names} == kinds | {UPGRADED.name}
    assert not {0, 89} & planned.keys()
    assert planned[45] is UPGRADED
    assert all(names.count(name) == 1 for name in ONCE if name in kinds)
    assert planned == plan_incidents(90, store, True, random.Random(1))
    assert "full disk" not in {
        incident.name for incident in plan_incidents(90, store, False, random.Random(1)).values()
    }


@pytest.fixture
def days(tmp_path: Path) -> list[Day]:
    catalogue = Catalogue(tmp_path / "shop", random.Random(1))
    first = catalogue.change()
    catalogue.branded = True
    return [first, catalogue.change()]


@pytest.fixture
def oracle(model: Path) -> Oracle:
    return Oracle(load_settings(model=str(model)))


def right(oracle: Oracle, asked: Asked, day: Day) -> list[dict[str, Any]]:
    """The hits that a store has for a question of a day, best first."""
    found: list[dict[str, Any]] = [
        {"id": id, "score": score, "dense": score, "fields": {**day.fields(id), "picture": ""}}
        for id, item in day.items.items()
        if asked.below is None or item.price < asked.below
        for score in (oracle.score(asked, day, id),)
    ]
    return sorted(found, key=lambda hit: float(hit["score"]), reverse=True)[:TOPK]


@pytest.mark.parametrize("asked", [MEANING, replace(MEANING, below=300.0)])
def test_right_answers_are_right_of_their_day(
    asked: Asked, oracle: Oracle, days: list[Day]
) -> None:
    hits = right(oracle, asked, days[0])
    assert oracle.fault(asked, hits, days[:1], mixed=False) is None
    assert oracle.fault(asked, hits, days, mixed=False) is None
    assert oracle.fault(asked, hits, days, mixed=True) is None
    assert "not of that day" in str(oracle.fault(asked, hits, days[1:], mixed=False))


def test_wrong_answers_are_noticed(oracle: Oracle, days: list[Day]) -> None:
    hits = right(oracle, MEANING, days[0])
    stale = [{**hits[0], "fields": {**hits[0]["fields"], "price": 1.0}}, *hits[1:]]
    other = [{**hits[0], "dense": hits[0]["dense"] + 0.01}, *hits[1:]]
    gone = [{**hits[0], "id": "A-99999"}, *hits[1:]]
    beyond = right(oracle, replace(MEANING, below=300.0), days[0])
    wrong = {
        "twice": [hits[0], *hits[:-1]],
        "not of that day: ": stale,
        "that day": other,
        "of that day": gone,
        "missing": hits[1:],
    }
    for word, answer in wrong.items():
        assert word in str(oracle.fault(MEANING, answer, days[:1], mixed=False))
    assert "missing" in str(oracle.fault(MEANING, beyond, days[:1], mixed=False))
    assert "of no day" in str(oracle.fault(MEANING, stale, days, mixed=True))
    assert "missing" in str(oracle.fault(MEANING, [], days, mixed=True))


def test_a_mixture_is_right_only_while_a_collection_is_updated(
    oracle: Oracle, days: list[Day]
) -> None:
    id = next(id for id in days[0].items if id in days[1].items)
    both = Day({id: replace(days[0].items[id], price=2.5)}, branded=True)
    asked = replace(MEANING, below=2.75)
    old = Day({**both.items, "A-0": replace(both.items[id], title="旧")}, branded=True)
    new = Day({**both.items, "A-0": replace(both.items[id], title="新", price=9.0)}, branded=True)
    of_old = right(oracle, asked, old)
    without = [hit for hit in of_old if hit["id"] != "A-0"]
    assert oracle.fault(asked, of_old, [old, new], mixed=True) is None
    assert oracle.fault(asked, without, [old, new], mixed=True) is None
    assert "missing" in str(oracle.fault(asked, without, [old], mixed=False))


def test_what_may_be_live(days: list[Day]) -> None:
    truth, start = Truth(), time.monotonic()
    truth.begins(days[0], in_place=False)
    truth.settles()
    now = time.monotonic() + 10
    assert truth.between(now, now) == ((days[0],), False)
    truth.begins(days[1], in_place=True)
    assert truth.between(now, now) == (tuple(days), True)
    truth.settles()
    assert truth.between(start, now) == (tuple(days), True)
    later = time.monotonic() + 10
    assert truth.between(later, later) == ((days[1],), False)
