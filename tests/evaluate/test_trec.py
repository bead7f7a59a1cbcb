"""Runs and qrels: what trec_eval makes of ours equals our own numbers, and theirs are read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.dataset.reader import stable_id
from tasks.errors import DatasetError, UsageError, WorkFolderError
from tasks.evaluate.files import check_outputs, check_writable, run_file
from tasks.evaluate.judgements import Judgement
from tasks.evaluate.metrics import METRICS, score_queries
from tasks.evaluate.regraded import regrade
from tasks.evaluate.trec import read_qrels, read_run, write_qrels, write_run
from tasks.settings import EvaluateChoices
from tests.evaluate.scorers import by_trec_eval

IDS = [str(number) for number in range(40)]
# equal scores, and some that only 64 bits tell apart
SCORES = st.sampled_from([0.5, 0.5 + 1e-9, 0.25, 0.0, -0.125, 1e-30, 16.0])
RANKINGS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from(IDS), SCORES), max_size=40, unique_by=lambda p: p[0]),
        st.dictionaries(st.sampled_from(IDS), st.integers(0, 3), min_size=1, max_size=9),
    ),
    min_size=1,
    max_size=5,
)


def judged(grades: dict[str, int], query: str = "7") -> Judgement:
    right = frozenset(id for id, grade in grades.items() if grade > 0)
    return Judgement(query, "红色", right, grades)


@settings(deadline=None, max_examples=60)
@given(RANKINGS)
def test_trec_eval_has_our_numbers(
    tmp_path_factory: pytest.TempPathFactory,
    asked: list[tuple[list[tuple[str, float]], dict[str, int]]],
) -> None:
    folder = tmp_path_factory.mktemp("trec")
    run, qrels = str(folder / "r.trec"), str(folder / "q.qrels")
    # as searches rank: by score, equal ones by id
    rankings = [sorted(found, key=lambda pair: (-pair[1], pair[0])) for found, _ in asked]
    judgements = [judged(grades, str(n)) for n, (_, grades) in enumerate(asked)]
    write_run(run, "muge-dense", [j.query_id for j in judgements], rankings)
    write_qrels(qrels, judgements)
    answered = [place for place, judgement in enumerate(judgements) if judgement.relevant]
    if not answered or not any(rankings):
        assert bool(answered) == bool(Path(qrels).read_text())
        return
    ours = score_queries(
        [[id for id, _ in rankings[place]] for place in answered],
        [judgements[place].relevant for place in answered],
        [judgements[place].grades for place in answered],
    ).mean(axis=0)
    for name, value in by_trec_eval(run, qrels).items():
        assert ours[METRICS.index(name)] == pytest.approx(value, abs=1e-12), name
    assert read_run(run).rankings == {
        judgement.query_id: [id for id, _ in ranking]
        for judgement, ranking in zip(judgements, rankings, strict=True)
        if ranking
    }
    kept = {j.query_id: j.grades for j in judgements if j.relevant}
    assert read_qrels(qrels).grades == kept


def test_scores_are_the_real_ones_but_for_ties(tmp_path: Path) -> None:
    run = tmp_path / "r.trec"
    score = float(np.float32(0.1))
    write_run(str(run), "muge-hybrid", ["5"], [[("a", score), ("b", score), ("c", 0.0625)]])
    lines = [line.split() for line in run.read_text().splitlines()]
    assert [line[:4] for line in lines] == [["5", "Q0", i, str(n)] for n, i in enumerate("abc", 1)]
    read = [np.float32(line[4]) for line in lines]
    assert read == [np.float32(0.1), np.nextafter(np.float32(0.1), np.float32(0)), 0.0625]
    assert {line[5] for line in lines} == {"muge-hybrid"}
    assert run_file(str(run), "dense").endswith("/r.dense.trec")
    assert run_file("results", "dense") == "results.dense"


def test_a_run_is_ordered_as_trec_eval_does(tmp_path: Path) -> None:
    path = tmp_path / "other.run"
    path.write_text(
        "7\tQ0\t5\t1\t0.5\tbm25\r\n\r\n7 Q0 商品 2 0.5 bm25\n"
        "7 Q0 9 3 0.500000001 bm25\n7 Q0 1 9 2 bm25\n",
        "utf-8",
    )
    found = read_run(str(path))
    assert found.tag == "bm25"
    # the same in 32 bits: by id, the last first
    assert found.rankings == {"7": ["1", str(stable_id("商品")), "9", "5"]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 0 5 1\n1 0 5\n", "line 2 has 3 columns, expected `query 0 document grade`"),
        ("1 0 5 1 x\n", "line 1 has 5 columns"),
        ("1 0 5 good\n", "line 1: the grade is 'good', expected 0, 1, 2"),
        ("1 0 5 1.0\n", "line 1: the grade is '1.0'"),
        ("1 0 5 1_0\n", "line 1: the grade is '1_0'"),
        ("1 0 5 9999999\n", "line 1: the grade is '9999999'"),
        ("1 0 5 1\n1 0 5 2\n", "line 2: document 5 has grade 2 for query 1, 1 in an earlier line"),
        ("", "holds no judgement"),
        (" \n\n", "holds no judgement"),
        (f"1 0 5 {'1' * 5000}\n", "line 1 has more than 4096 characters"),
    ],
)
def test_what_are_no_judgements(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "q.qrels"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        read_qrels(str(path))
    assert said in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 Q0 5 1 0.5 a\n1 Q0 5\n", "line 2 has 3 columns, expected `query Q0 document rank"),
        ("1 Q0 5 1 high a\n", "line 1: the score is 'high', expected a number"),
        ("1 Q0 5 1 nan a\n", "line 1: the score is 'nan'"),
        ("1 Q0 5 1 1_0 a\n", "line 1: the score is '1_0'"),
        ("1 Q0 5 1 2 a\n1 Q0 5 2 1 a\n", "line 2: document 5 twice for query 1"),
        ("1 Q0 5 1 2 a\n1 Q0 6 2 1 b\n", "line 2: tag b after a; give one system's run"),
        ("", "holds no ranking"),
    ],
)
def test_what_is_no_run(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "r.trec"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        read_run(str(path))
    assert said in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes("1 0 caf\xe9 1\n".encode("latin-1"))
    os.mkfifo(tmp_path / "pipe")
    odd = {"latin": "is no text in UTF-8", "pipe": "a named pipe", "no": "No such"}
    for name, said in odd.items():
        with pytest.raises(UsageError, match=said):
            read_qrels(str(tmp_path / name))


def test_judgements_are_joined_by_query(tmp_path: Path) -> None:
    path = tmp_path / "q.qrels"
    text_id = stable_id("q-12")
    lines = ["7 0 1 3", "7 0 2 0", "7 0 3 -1", "7 0 商品 1", "8 0 2 0", "q-12 0 9 2", "99 0 1 1"]
    path.write_text("\n".join(lines), "utf-8")
    own = [Judgement(q, q, frozenset({"5"})) for q in ("7", "8", str(text_id), "10")]
    found, said = regrade("csv:x", own, read_qrels(str(path)), {"1", "2", str(stable_id("商品"))})
    assert [sorted(j.relevant) for j in found] == [
        sorted(["1", str(stable_id("商品"))]),
        [],
        ["9"],
        [],
    ]
    assert found[0].grades == {"1": 3, "2": 0, "3": 0, str(stable_id("商品")): 1}
    assert (said.queries, said.unjudged, said.highest) == (3, 1, 3)
    assert (said.unknown_queries, said.unknown_documents, said.negative) == (1, 1, 1)
    assert not said.is_whole
    for words in ("1 queries of it are not in the data set", "1 negative grades count as 0"):
        assert words in str(said)
    with pytest.raises(DatasetError, match=r"judges none of the 1 queries of 'csv:x': its ids are"):
        regrade("csv:x", own[3:], read_qrels(str(path)), {"1"})


def test_outputs_are_looked_at_before(tmp_path: Path) -> None:
    (tmp_path / "r.dense.trec").mkdir()
    cases = {
        "run": (str(tmp_path / "r.trec"), "r.dense.trec: it is a folder"),
        "qrels_out": (str(tmp_path / "no" / "q"), "there is no folder"),
        "per_query": (str(tmp_path / ("x" * 300)), "name too long"),
        "predictions": ("a\0b", "null"),
    }
    for option, (path, said) in cases.items():
        with pytest.raises(WorkFolderError, match=f"(?i)cannot write .*{said}"):
            check_outputs(EvaluateChoices.model_validate({option: path}))
    for name in ("", ".", "..", "/"):
        with pytest.raises(UsageError, match="expected a file's name"):
            check_outputs(EvaluateChoices(run=name))
    twice = EvaluateChoices(qrels_out=str(tmp_path / "q"), per_query=str(tmp_path / "." / "q"))
    with pytest.raises(UsageError, match="would be written twice"):
        check_outputs(twice)
    check_outputs(EvaluateChoices(run=str(tmp_path / "s.trec")), tmp_path / "page.html")
    assert sorted(os.listdir(tmp_path)) == ["r.dense.trec"]  # nothing was written


def test_write_protected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as for those who are not root
    with pytest.raises(WorkFolderError, match="write-protected"):
        check_writable(str(tmp_path / "f"))
    with pytest.raises(WorkFolderError, match="nobody may write to"):
        check_writable(str(tmp_path / "new"))
