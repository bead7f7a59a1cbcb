"""The table of readers: what derives from it, and a reader added from outside by one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flows.command import options
from flows.orchestration import parameters
from tasks.dataset.reader import DatasetName
from tasks.dataset.readers import READERS, ReaderKind, dataset_forms, open_reader, parse_name
from tasks.dataset.shards import read_images, read_queries
from tasks.errors import DatasetError
from tasks.records import QueryPart
from tasks.work.folder import Folder
from tests.dataset.rows import entries_of, plan_of
from tests.toys import ToyReader, toy_picture

ADDED: dict[str, str | type[ToyReader]] = {
    "as the class itself": ToyReader,
    "by its place": "tests.toys:ToyReader",
}


@pytest.fixture(params=ADDED)
def toy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = ReaderKind(ADDED[request.param], "COUNT?colour=C", ("colour",))
    monkeypatch.setitem(READERS, "toy", kind)


@pytest.mark.usefixtures("toy")
def test_a_reader_from_outside_is_read_and_cut_into_shards(tmp_path: Path) -> None:
    work = Folder(str(tmp_path / "work"))
    plan = plan_of("toy:10?colour=红色", work, shard_images=4)
    assert sum(shard.images for shard in plan.shards) == 10
    assert len(plan.shards) > 2
    assert (plan.counts.rows, plan.counts.queries, plan.rejects) == (10, 10, 0)
    found = dict(read_images(open_reader("toy:10?colour=红色"), entries_of(plan, work)))
    assert [(entry.image_id, data) for entry, data in found.items()] == [
        (number, toy_picture(number)) for number in range(10)
    ]
    assert list(read_queries(work.sub(plan.folder), QueryPart(0)))[3] == (3, "红色 3")


@pytest.mark.usefixtures("toy")
def test_what_is_said_of_names_follows_the_table() -> None:
    assert dataset_forms().endswith(" | folder:PATH | toy:COUNT?colour=C")
    for name, said in {
        "no:where": "is not one of sample: | muge:DIR?split=S | .* | toy:COUNT",
        "toy:": r"names no path, expected toy:COUNT\?colour=C",
        "toy:3?size=2": r"unknown option 'size', expected \['colour'\]",
    }.items():
        with pytest.raises(DatasetError, match=said):
            parse_name(name)
    assert parse_name("toy:3?colour=r") == DatasetName("toy", "3", {"colour": "r"})


def test_people_read_one_text_everywhere() -> None:
    (argument,) = options.Dataset.__metadata__  # type: ignore[attr-defined]
    (described,) = parameters.Dataset.__metadata__  # type: ignore[attr-defined]
    assert argument.help == described.meaning == dataset_forms()


@pytest.mark.parametrize("scheme", READERS)
def test_every_line_names_a_class_that_is_there(scheme: str) -> None:
    kind = READERS[scheme]
    assert all(f"{option}=" in kind.form for option in kind.options if kind.needs_path)
    with pytest.raises(DatasetError):
        kind.open(DatasetName(scheme, "no such place", {"split": "none"}))


def test_the_table_imports_no_reader() -> None:
    script = (
        "import sys; import tasks.dataset.readers; before = set(sys.modules)\n"
        "print([m for m in sorted(before) if m.startswith(('tasks.dataset.', 'pyarrow'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "['tasks.dataset.reader', 'tasks.dataset.readers']"
