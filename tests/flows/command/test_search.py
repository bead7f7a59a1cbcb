"""`muge search` for files of questions and for groups, as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.flows.command.test_app import indexed
from tests.flows.conftest import Muge

__all__ = ["indexed"]


def test_a_file_of_questions(indexed: tuple[Path, Path], muge: Muge, tmp_path: Path) -> None:
    questions, out = tmp_path / "q.jsonl", tmp_path / "hits.jsonl"
    lines = [{"text": "帽子", "query_id": number} for number in range(600)]
    questions.write_text("\n".join(json.dumps(line) for line in [*lines, {"image": "none.png"}]))
    done = muge(
        *("search", "--queries", str(questions), "--out", str(out), "--topk", "2", "--json"),
        cwd=indexed[0],
    )
    assert done.returncode == 3, done.stderr
    assert "1 queries have an error" in done.stderr
    said = json.loads(done.stdout)
    assert (said["queries"], said["failed"]) == (601, 1)
    answers = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [answer.get("query_id") for answer in answers[:600]] == list(range(600))
    assert all(len(answer["hits"]) == 2 for answer in answers[:600])


def test_groups_are_shown(indexed: tuple[Path, Path], muge: Muge, tmp_path: Path) -> None:
    page = tmp_path / "hits.html"
    arguments = ["search", "--text", "帽子", "--group-by", "query", "--topk", "2", "--per-group"]
    done = muge(*arguments, "1", "--html", str(page), "--json", cwd=indexed[0])
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert [len(group["hits"]) for group in said["groups"]] == [1, 1]
    assert "分组：" in page.read_text("utf-8")


def test_more_like_a_document(indexed: tuple[Path, Path], muge: Muge) -> None:
    said = json.loads(muge("search", "--like", "3", "--json", cwd=indexed[0]).stdout)
    assert said["query"]["like"] == "3"
    assert "3" not in [hit["id"] for hit in said["hits"]]


BAD: dict[str, tuple[list[str], str]] = {
    "queries alone": (["--queries", "q.jsonl"], "--out"),
    "out alone": (["--out", "q.jsonl"], "--queries"),
    "both forms": (["--queries", "a", "--out", "b", "--text", "c"], "one question"),
    "no such file": (["--queries", "none.jsonl", "--out", "b"], "not a file"),
    "group by": (["--text", "a", "--group-by", "no_such"], "no_such"),
    "like and image": (["--like", "1", "--image", "a.png"], "one of them"),
    "like nobody": (["--like", "nobody"], "nobody"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_uses_say_one_line(case: str, indexed: tuple[Path, Path], muge: Muge) -> None:
    arguments, said = BAD[case]
    done = muge("search", *arguments, cwd=indexed[0])
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
