"""Which settings the thumbs favour, on a collection whose model knows nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.context import Context
from tasks.errors import DatasetError
from tasks.judge.thumbs import thumbs_of
from tasks.judge.tuned import FEWEST, tune
from tasks.settings import Settings
from tests.flows.conftest import Muge
from tests.judge.thumbs import press
from tests.search.library import COUNT, WORDS

KINDS = len(WORDS)


@pytest.fixture
def place(built: Settings, tmp_path: Path) -> Settings:
    """A copy of the collection, of which something can be judged."""
    home = str(shutil.copytree(built.home, tmp_path / "home"))
    return built.model_copy(update={"home": home})


def judge(settings: Settings, count: int, fits: Callable[[int, int], bool]) -> None:
    """Thumbs on all pictures for so many queries, each with the words of one kind of picture:
    `fits` says which are up, by kind and picture."""
    thumbs = thumbs_of(settings)
    for number in range(count):
        for image in range(COUNT):
            up = fits(number % KINDS, image)
            press(thumbs, f"{WORDS[number % KINDS]} {number}", str(image), 1 if up else -1)
    press(thumbs, "没有人找到", "1", -1)
    press(thumbs, "红色", "gone", 1)  # a picture that the collection does not have
    press(thumbs, "红色", "1", -1)


def by_words(kind: int, image: int) -> bool:
    return image % KINDS == kind


def files(settings: Settings) -> dict[str, bytes]:
    work = Path(settings.work_url)
    return {str(path): path.read_bytes() for path in work.rglob("*") if path.is_file()}


def test_judgements_that_keywords_meet_favour_keywords(context: Context, place: Settings) -> None:
    judge(place, 60, by_words)
    before = files(place)
    near = place.model_copy(update={"alpha": 1.0})
    found = tune(context, near)
    assert (found.judged_queries, found.queries) == (62, 60)
    assert found.chosen_on + found.reported_on == 60
    assert (found.now.fusion, found.now.alpha) == ("weighted", 1.0)
    assert found.best.metrics["nDCG@10"].value == 1.0
    gain = found.gain["nDCG@10"]
    assert 0 < gain.low < gain.value < gain.high
    assert gain.value == pytest.approx(1 - found.now.metrics["nDCG@10"].value)
    assert found.set[0] == f"MUGE_ALPHA={found.best.alpha:g}"
    assert found.now.judged == found.best.judged == 1.0
    assert set(found.curves) == {"weighted", "normalised", "rrf"}
    assert len(found.curves["weighted"]) == 11
    # with what it says to set there is nothing more to gain
    said = {"alpha": found.best.alpha, "fusion": found.best.fusion}
    again = tune(context, place.model_copy(update=said))
    assert (again.set, again.gain["nDCG@10"].value) == ((), 0.0)
    assert again.best == again.now
    ranks = tune(context, place.model_copy(update={"alpha": 0.5, "fusion": "rrf"}))
    assert (ranks.now.fusion, ranks.now.alpha) == ("rrf", 0.5)
    assert (ranks.set, ranks.gain["nDCG@10"].value) == ((), 0.0)
    # at alpha 1 there is nothing to fuse
    one_side = tune(context, near.model_copy(update={"fusion": "rrf"}))
    assert one_side.now.metrics == found.now.metrics
    assert one_side.set == (found.set[0], "MUGE_FUSION=weighted")
    assert files(place) == before


def test_what_nobody_judged_counts_for_nothing(context: Context, place: Settings) -> None:
    """Two thumbs a query, in the right order wherever keywords take part."""
    thumbs = thumbs_of(place)
    for number in range(60):
        kind = number % KINDS
        query = f"{WORDS[kind]} {number}"
        press(thumbs, query, str(kind), 1)
        press(thumbs, query, str((kind + 1) % COUNT), -1)
    found = tune(context, place.model_copy(update={"alpha": 0.0}))
    assert found.now.metrics["nDCG@10"].value == 1.0
    assert found.now.judged < 0.6
    assert found.set == ()
    assert found.best == found.now


def test_too_few_queries_tell_nothing(context: Context, place: Settings) -> None:
    judge(place, FEWEST - 1, by_words)
    with pytest.raises(DatasetError, match=f"^39 of the 41 judged queries .* fewer than {FEWEST}"):
        tune(context, place)


@pytest.mark.thorough
def test_the_command(place: Settings, muge: Muge) -> None:
    options = ("--work-dir", place.work_url, "--store", place.store_uri, "--device", "cpu")
    nothing = muge("tune", *options)
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert "nothing of collection 'muge' was judged yet" in nothing.stderr
    judge(place, 48, by_words)
    said = muge("tune", "--alpha", "1", *options)
    assert said.returncode == 0, said.stderr
    assert "48 of 50 judged queries have both thumbs, users: 1;" in said.stdout
    assert "To set: MUGE_ALPHA=" in said.stdout
    chinese = muge("tune", "--alpha", "1", *options, environment={"MUGE_LANGUAGE": "zh"})
    assert "muge：50 条评价过的查询里 48 条赞踩都有，用户 1 个；" in chinese.stdout
    assert "可设：MUGE_ALPHA=" in chinese.stdout
    assert "精确检索：" in chinese.stderr
    found = json.loads(muge("tune", "--alpha", "1", "--json", *options).stdout)
    assert found["gain"]["nDCG@10"]["low"] > 0
    assert found["set"][0].startswith("MUGE_ALPHA=")
