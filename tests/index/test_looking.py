"""Looking whether an operation has anything to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.context import Context
from tasks.errors import VerificationError
from tasks.index.looking import report_if_done
from tasks.index.operation import index
from tasks.index.report import IndexReport
from tasks.index.runner import Runner, Threads
from tasks.settings import Settings
from tests.shop import make_pictures


@pytest.fixture
def settings(tmp_path: Path, model: Path) -> Settings:
    return Settings(
        home=str(tmp_path),
        work_dir=str(tmp_path / "work"),
        store=f"zvec:{tmp_path / 'store'}",
        model=str(model),
    )


def look(dataset: str, settings: Settings) -> tuple[IndexReport | None, Context]:
    def operation(runner: Runner) -> IndexReport:
        return index(dataset, settings, runner)

    with Context() as context:
        return report_if_done(context, operation), context


def test_nothing_is_read_for_a_collection_that_is_not_there(
    settings: Settings, tmp_path: Path
) -> None:
    dataset = f"folder:{make_pictures(tmp_path / 'p', 4)}"
    found, context = look(dataset, settings)
    assert (found, context.planned) == (None, {})
    assert not (tmp_path / "store").exists()
    assert [path.name for path in (tmp_path / "work").iterdir()] == [".run-lock"]


def test_what_is_done_is_reported(settings: Settings, tmp_path: Path) -> None:
    dataset = f"folder:{make_pictures(tmp_path / 'p', 4)}"
    with Context() as context:
        made = index(dataset, settings, Threads(context))
    found, _ = look(dataset, settings)
    assert found is not None
    assert (found.documents, found.encoded_images, found.upserted) == (made.documents, 0, 0)


def test_what_the_store_lost_is_no_work_but_an_error(settings: Settings, tmp_path: Path) -> None:
    dataset = f"folder:{make_pictures(tmp_path / 'p', 4)}"
    with Context() as context:
        index(dataset, settings, Threads(context))
        context.store(settings.store_uri).delete("muge", ["0"])
    with pytest.raises(VerificationError, match="counts 3 documents, expected 4"):
        look(dataset, settings)


def test_a_plan_of_what_changed_is_taken_over(settings: Settings, tmp_path: Path) -> None:
    dataset = f"folder:{make_pictures(tmp_path / 'p', 4)}"
    with Context() as context:
        index(dataset, settings, Threads(context))
    make_pictures(tmp_path / "p", 6)

    def operation(runner: Runner) -> IndexReport:
        return index(dataset, settings, runner, replace=True)

    with Context() as context:
        assert report_if_done(context, operation) is None
        planned = context.planned
    assert [plan.counts.images for plan in planned.values()] == [6]
    make_pictures(tmp_path / "p", 1, first=6)  # not seen: the data set is not read again
    with Context(planned=planned) as context:
        made = operation(Threads(context))
        assert context.planned == {}
    assert (made.documents, made.queries) == (6, planned[dataset].counts.queries)
