"""Thumbs in a work folder, and the grades that they come to."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.errors import BadNameError, WorkFolderError
from tasks.judge.grades import grade
from tasks.judge.thumbs import Thumbs, lines_of, query_id_of
from tasks.work.folder import Folder
from tests.judge.thumbs import press

STORE = "dashvector:"


@pytest.fixture(params=["local", "memory"])
def thumbs(request: pytest.FixtureRequest, tmp_path: Path) -> Thumbs:
    place = str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}/work"
    return Thumbs(Folder(place), STORE, "muge")


def test_what_was_kept_is_read_in_its_order(thumbs: Thumbs) -> None:
    assert thumbs.read() == []
    pressed = [press(thumbs, "红色", str(n), 1, filter="a = 'é\n'") for n in range(20)]
    assert thumbs.read() == pressed
    assert sorted(pressed, key=lambda each: each.time) == pressed
    assert lines_of(pressed).count("\n") == 20


def test_many_at_once_lose_and_double_nothing(thumbs: Thumbs) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: press(thumbs, "红色", str(n), 1), range(60)))
    found = thumbs.read()
    assert sorted(int(each.image) for each in found) == list(range(60))
    assert len({each.id for each in found}) == len({each.time for each in found}) == 60


def _press_on(work: str, said: str) -> None:
    thumbs = Thumbs(Folder(work), STORE, "muge")
    with open(said, "a") as file:
        for number in range(100_000):
            press(thumbs, "红色", str(number), 1)
            file.write(f"{number}\n")
            file.flush()


def test_a_kill_loses_none_that_was_answered(tmp_path: Path) -> None:
    said = tmp_path / "said"
    said.touch()
    process = multiprocessing.get_context("fork").Process(
        target=_press_on, args=(str(tmp_path / "work"), str(said))
    )
    process.start()
    end = time.monotonic() + 60
    while said.stat().st_size < 200:
        assert time.monotonic() < end
        time.sleep(0.005)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    answered = [int(line) for line in said.read_text().splitlines()]
    found = [
        int(each.image) for each in Thumbs(Folder(str(tmp_path / "work")), STORE, "muge").read()
    ]
    assert answered == found[: len(answered)]
    assert len(found) - len(answered) in (0, 1)
    assert found == list(range(len(found)))


def test_what_is_none_is_named(tmp_path: Path) -> None:
    thumbs = Thumbs(Folder(str(tmp_path)), STORE, "muge")
    kept = press(thumbs, "红色", "1", 1)
    (file,) = (tmp_path / "judgements").rglob("*.json")
    (file.parent / f"{file.name}.1234.partial").write_text("{")  # of a kill
    assert thumbs.read() == [kept]
    file.write_text('{"grade": 3')
    with pytest.raises(WorkFolderError, match=f"{file.name} is no judgement .*mend it"):
        thumbs.read()
    with pytest.raises(BadNameError):
        Thumbs(Folder(str(tmp_path)), STORE, "../elsewhere").read()
    assert Thumbs(Folder(str(tmp_path)), STORE, "other").other_names() == ["muge"]


def test_the_last_thumb_of_each_person_counts_and_most_people_decide(tmp_path: Path) -> None:
    thumbs = Thumbs(Folder(str(tmp_path)), STORE, "muge")
    for query, image, user, said in (
        ("红", "1", "a", 1),
        ("红", "1", "a", -1),  # changed
        ("红", "2", "a", 1),
        ("红", "2", "b", 1),
        ("红", "2", "c", -1),  # two against one
        ("红", "3", "a", 1),
        ("红", "3", "b", -1),  # nobody knows
        ("红", "4", "a", -1),
        ("红", "4", "a", 0),  # taken back
        ("蓝", "4", "d", 1),
        ("绿", "5", "e", 1),
        ("绿", "5", "e", 0),
    ):
        press(thumbs, query, image, said, user)
    found = grade(thumbs.read())
    assert found.grades == {"红": {"1": 0, "2": 1}, "蓝": {"4": 1}}
    assert (found.thumbs, found.users, found.contested) == (12, 4, 1)
    assert [judgement.text for judgement in found.telling] == ["红"]
    red, blue = query_id_of("红"), query_id_of("蓝")
    assert list(found.qrels()) == [f"{red} 0 1 0", f"{red} 0 2 1", f"{blue} 0 4 1"]
