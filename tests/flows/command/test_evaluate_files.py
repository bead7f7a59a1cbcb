"""What evaluators exchange with other tools, through the command: files in and out, one line for
each that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.flows.conftest import Muge
from tests.plain import index_dataset
from tests.shop import WORDS

PLAIN = ("--orchestrator", "none")
LEFT_OUT = ("--protocol", "leave-query-out")


@pytest.fixture
def measure(tmp_path: Path, model: str, pictures: Path) -> tuple[str, ...]:
    """The command that evaluates a collection of 25 pictures."""
    places = {"store": f"zvec:{tmp_path / 'store'}", "work_dir": str(tmp_path / "work")}
    index_dataset(f"folder:{pictures}", model=model, **places)
    place = ("--store", places["store"], "--work-dir", places["work_dir"])
    return ("evaluate", f"folder:{pictures}", *place, *PLAIN)


@pytest.mark.thorough
def test_files_for_other_tools(muge: Muge, measure: tuple[str, ...], tmp_path: Path) -> None:
    run, qrels, scores = (str(tmp_path / name) for name in ("r.trec", "q.qrels", "s.parquet"))
    outputs = ["--run", run, "--qrels-out", qrels, "--per-query", scores]
    first = muge(*measure, *LEFT_OUT, "--json", *outputs)
    assert first.returncode == 0, first.stderr
    before = json.loads(first.stdout)
    for mode in ("dense", "sparse", "hybrid"):
        assert len((tmp_path / f"r.{mode}.trec").read_text().splitlines()) >= 5
    assert pq.read_metadata(scores).num_rows == 3 * 5

    lines = Path(qrels).read_text("utf-8").splitlines()
    assert len(lines) == 50
    Path(qrels).write_text("\n".join([*lines[1:], "0 0 nowhere 2", "77 0 1 -1"]), "utf-8")
    page = tmp_path / "page.html"
    options = ["--judgements", qrels, "--against", str(tmp_path / "r.dense.trec")]
    second = muge(*measure, *LEFT_OUT, *options, "--html", str(page))
    assert second.returncode == 0, second.stderr
    assert "1 queries of it are not in the data set" in second.stderr
    assert "1 of its images are not in the gallery" in second.stderr
    assert "Against another system: muge-dense" in second.stdout
    assert "R@1 " in second.stdout
    assert "queries better" in second.stdout
    written = page.read_text("utf-8")
    for words in ("与另一系统相比：muge-dense", "答得最好的查询", "q.qrels", "1.000"):
        assert words in written

    second = muge(*measure, *LEFT_OUT, "--against", scores, "--alpha", "0.2")
    assert "s.parquet (muge, " in second.stdout
    assert "Meaning (dense): no query changed." in second.stdout

    third = muge(*measure, *LEFT_OUT, "--against", scores, "--json", "--alpha", "0.2")
    assert third.returncode == 0, third.stderr
    against = json.loads(third.stdout)["against"]
    assert against["about"]["alpha"] == 0.8
    then = {name: each["then"] for name, each in against["modes"]["hybrid"].items()}
    assert then == pytest.approx(before["metrics"]["hybrid"])


@pytest.mark.thorough
def test_numbers_by_a_column(muge: Muge, measure: tuple[str, ...], tmp_path: Path) -> None:
    table = tmp_path / "asked.csv"
    rows = [f"{n},{WORDS[n]},{n},{'鞋' if n else ''}" for n in range(5)]
    table.write_text("\n".join(["query_id,query,image_id,品类", *rows]), "utf-8")
    asked = ("evaluate", f"csv:{table}", *measure[2:])
    found = muge(*asked, "--group-by", "品类", environment={"MUGE_LANGUAGE": "en"})
    assert found.returncode == 0, found.stderr
    assert "By 品类, R@10" in found.stdout
    assert "鞋 (fewer than 10: says little)" in found.stdout
    assert "(no value) (fewer than 10: says little)" in found.stdout
    for column, dataset, said in (
        ("price", f"csv:{table}", "--group-by price: there is no column 'price'"),
        ("品类,query", f"csv:{table}", "one column, whose name has no comma"),
        ("品类", measure[1], "has no columns beside picture and query"),
    ):
        wrong = muge("evaluate", dataset, *measure[2:], "--group-by", column)
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert said in wrong.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("--judgements", "1 0 2\n", "line 1 has 3 columns, expected `query 0 document grade`"),
        ("--judgements", "1 0 2 good\n", "line 1: the grade is 'good'"),
        ("--judgements", "", "holds no judgement"),
        ("--judgements", None, "No such file"),
        ("--judgements", "901 0 2 1\n", "judges none of the 5 queries"),
        ("--against", "1 Q0 2\n", "line 1 has 3 columns, expected `query Q0 document rank"),
        ("--against", "", "holds no ranking"),
        ("--against", "PAR1 and no more", "is not what `muge evaluate --per-query FILE` writes"),
        ("--against", "901 Q0 2 1 1.0 x\n", "ranks none of the 5 queries"),
    ],
)
def test_a_wrong_file_is_one_line(
    muge: Muge,
    measure: tuple[str, ...],
    tmp_path: Path,
    option: str,
    content: str | None,
    said: str,
) -> None:
    path = tmp_path / "given"
    if content is not None:
        path.write_text(content)
    done = muge(*measure, option, str(path))
    assert (done.returncode, done.stdout) == (2, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("muge: ")
    assert said in last
    assert "search_exact" not in done.stderr


@pytest.mark.parametrize(
    "option", ["--run", "--qrels-out", "--per-query", "--predictions", "--html"]
)
def test_a_place_that_cannot_be_written_is_said_before_anything(
    muge: Muge, measure: tuple[str, ...], tmp_path: Path, option: str
) -> None:
    nothing = ("evaluate", "csv:nowhere.csv", *measure[2:])  # not even looked at
    done = muge(*nothing, option, str(tmp_path / "no" / "file"))
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("muge: cannot write ")
    assert line.endswith(f"there is no folder {tmp_path / 'no'}")


def test_other_queries_are_one_line(muge: Muge, measure: tuple[str, ...], tmp_path: Path) -> None:
    scores = str(tmp_path / "s.parquet")
    assert muge(*measure, "--per-query", scores, "--json").returncode == 0
    table = tmp_path / "asked.csv"
    table.write_text(f"query_id,query,image_id\n7,{WORDS[0]},0\n", "utf-8")
    done = muge("evaluate", f"csv:{table}", *measure[2:], "--against", scores)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is of other queries: 5, of which 0 are among the 1 here" in done.stderr
