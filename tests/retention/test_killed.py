"""Killed in the middle of pruning: the same call does the rest, and runs go on with what is
left."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tasks.reindex.rejected import summarise_rejects
from tasks.work.folder import Folder
from tasks.work.lock import NUMBERED
from tests.retention.shop import Shop

BAD = 5
"""A picture that cannot be decoded."""


@pytest.fixture
def half_used(toy_shop: Shop) -> Shop:
    """One collection, and the folder of a run that nobody needs; both have a reject."""
    (toy_shop.data / f"{BAD}.png").write_bytes(b"not a picture")
    toy_shop.index()
    toy_shop.add()
    toy_shop.index(collection="other")
    toy_shop.drop("other", in_use=True)
    return toy_shop


def dying_after(number: int, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """From now on the process dies where it deletes the file behind so many."""
    remove, left = Folder.remove, [number]

    def counted(folder: Folder, name: str) -> None:
        if not name.startswith(NUMBERED):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
        remove(folder, name)

    monkeypatch.setattr(Folder, "remove", counted)
    return monkeypatch


def pruned_in_part(shop: Shop, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        dying_after(number, patch)
        with pytest.raises(KeyboardInterrupt):
            shop.prune()


CUTS = [0, 1, 2, 6, 20]


def test_the_same_call_does_the_rest(half_used: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = half_used
    total = left = shop.prune(delete=False).files
    assert total > sum(CUTS)
    for number in CUTS:
        pruned_in_part(shop, number, monkeypatch)
        left -= number
        assert shop.prune(delete=False).files == left
    assert shop.prune().files == left
    assert shop.prune().leftovers == []
    shop.all_there()


@pytest.mark.gate("1", "20")
@pytest.mark.parametrize("number", CUTS)
def test_a_run_goes_on_with_what_is_left(
    number: int, half_used: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = half_used
    pruned_in_part(shop, number, monkeypatch)
    done = shop.index(collection="other")
    assert (done.documents, done.rejects) == (len(shop.pictures) - 1, 1)
    summary = summarise_rejects(shop.work, shop.records()["other"])
    assert [(reason.stage, reason.count) for reason in summary.reasons] == [("encode_images", 1)]
    shop.all_there()
    assert shop.repair("other").documents == done.documents


CHILD = """
import os, signal, sys
from tasks.context import Context
from tasks.retention.drop import drop
from tasks.retention.prune import prune
from tasks.settings import load_settings
from tasks.work.folder import Folder
store, work, what, left = *sys.argv[1:4], int(sys.argv[4])
remove = Folder.remove
def counted(folder, name):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    remove(folder, name)
Folder.remove = counted
place = load_settings(store=store, work_dir=work, collection="other", keep_days=0, keep_runs=0)
with Context() as context:
    drop(context, place, True) if what == "drop" else prune(context, place, True)
"""


def killed(shop: Shop, what: str, number: int) -> None:
    place = shop.settings()
    arguments = [place.store_uri, place.work_url, what, str(number)]
    done = subprocess.run([sys.executable, "-c", CHILD, *arguments], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, 3, 8])
def test_killed_by_the_system(number: int, local_shop: Shop) -> None:
    shop = local_shop
    shop.reindex()
    shop.add()
    shop.index(collection="other")
    shop.context.close()
    killed(shop, "drop", min(number, 5))
    assert shop.drop("other", in_use=True).dropped
    assert shop.collections() == ["muge-1"]
    shop.context.close()
    killed(shop, "prune", number)
    steps: list[Callable[[], Any]] = [shop.prune, lambda: shop.index(collection="other")]
    for step in steps if number % 2 else reversed(steps):
        step()
    shop.all_there()
    assert shop.ids("other") == set(shop.pictures)
