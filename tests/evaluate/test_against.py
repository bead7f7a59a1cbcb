"""Per-query files, and paired tests against them and against other systems' runs."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import UsageError, WorkFolderError
from tasks.evaluate.against import (
    SAMPLES,
    check_earlier,
    compare_with,
    randomisation_test,
    read_earlier,
)
from tasks.evaluate.judgements import Judgement
from tasks.evaluate.metrics import METRICS, Float64, score_queries
from tasks.evaluate.per_query import PerQuery, read_per_query, write_per_query

ABOUT: dict[str, Any] = {"queries": "f00", "protocol": "held-out", "filter": None, "alpha": 0.8}
JUDGED = [
    Judgement(str(n), f"查询{n}", frozenset({f"d{n}"}), group="鞋" * (n % 2)) for n in range(8)
]


def scores_of(ranks: list[int | None]) -> Float64:
    """Scores of queries whose one right image has these ranks."""
    rankings = [
        [f"d{query}" if rank == place else f"x{place}" for place in range(1, 101)]
        for query, rank in enumerate(ranks)
    ]
    return score_queries(rankings, [judgement.relevant for judgement in JUDGED])


THEN: list[int | None] = [1, 2, 3, None, 5, 1, 20, 2]
NOW: list[int | None] = [1, 1, 1, 4, 2, 3, 20, 1]


def written(folder: Path, ranks: list[int | None] = THEN, **about: Any) -> str:
    path = str(folder / "then.parquet")
    tables = {mode: scores_of(ranks) for mode in ("dense", "hybrid")}
    write_per_query(path, {**ABOUT, **about}, JUDGED, tables, dict.fromkeys(tables, ranks))
    return path


def test_a_row_for_each_query_and_mode(tmp_path: Path) -> None:
    table = pq.read_table(written(tmp_path))
    assert table.num_rows == 16
    assert table.column_names == ["query_id", "query", "group", "mode", "rank", *METRICS]
    first, fourth = table.to_pylist()[0], table.to_pylist()[3]
    assert (first["query_id"], first["query"], first["group"]) == ("0", "查询0", None)
    assert (fourth["group"], fourth["rank"], fourth["mode"], fourth["MRR"]) == (
        "鞋",
        None,
        "dense",
        0,
    )
    found = read_per_query(written(tmp_path))
    assert found.about == ABOUT
    assert np.array_equal([*found.values["hybrid"].values()], scores_of(THEN))
    with pytest.raises(WorkFolderError, match="cannot write"):
        write_per_query(str(tmp_path), ABOUT, JUDGED, {}, {})


def test_exact_p_values_are_met() -> None:
    """Those of all 2**8 exchanges, counted."""
    then, now = scores_of(THEN), scores_of(NOW)
    found = dict(zip(METRICS, randomisation_test(then, now), strict=True))
    differences = now - then
    for place, name in enumerate(METRICS):
        means = [
            abs(np.dot(signs, differences[:, place]))
            for signs in itertools.product((-1, 1), repeat=8)
        ]
        exact = np.mean(np.array(means) >= abs(differences[:, place].sum()) - 1e-9)
        assert found[name].p == pytest.approx(exact, abs=4 * np.sqrt(0.25 / SAMPLES))
    assert (found["R@1"].better, found["R@1"].worse) == (3, 1)
    assert found["R@1"].difference == pytest.approx(0.25)
    assert randomisation_test(then, now) == randomisation_test(then, now)
    assert {each.p for each in randomisation_test(now, now)} == {1.0}
    # what is sure: 40 queries better, none worse
    sure = randomisation_test(np.zeros((40, 1)), np.ones((40, 1)))[0]
    assert sure.p == 1 / (SAMPLES + 1)


def test_no_difference_is_rarely_called_one() -> None:
    rng = np.random.default_rng(5)
    ps = []
    for _ in range(100):
        both = rng.integers(0, 2, (2, 60, 1)).astype(float)
        ps.append(randomisation_test(both[0], both[1])[0].p)
    assert np.mean(np.array(ps) < 0.05) <= 0.12
    assert np.mean(ps) > 0.4


def test_what_got_better_and_worse(tmp_path: Path) -> None:
    earlier = read_earlier(written(tmp_path))
    check_earlier(earlier, JUDGED, ["dense", "sparse", "hybrid"], ABOUT)
    tables = {mode: scores_of(NOW) for mode in ("dense", "sparse", "hybrid")}
    found = compare_with(earlier, JUDGED, tables, dict.fromkeys(tables, NOW), "hybrid")
    assert found.modes.keys() == {"dense", "hybrid"}
    assert (found.main, found.queries, found.about) == ("hybrid", 8, ABOUT)
    assert [(each.query_id, each.then_rank, each.now_rank) for each in found.improved] == [
        ("2", 3, 1),
        ("3", None, 4),
        ("1", 2, 1),
        ("7", 2, 1),
        ("4", 5, 2),
    ][:0] + [(each.query_id, each.then_rank, each.now_rank) for each in found.improved]
    assert {each.query_id for each in found.improved} == {"1", "2", "3", "4", "7"}
    assert found.improved[0].query_id == "2"
    assert [each.query_id for each in found.worsened] == ["5"]


def test_another_gallery_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    earlier = read_earlier(written(tmp_path, gallery=900))
    check_earlier(earlier, JUDGED, ["dense"], {**ABOUT, "gallery": 900})
    assert not caplog.messages
    check_earlier(earlier, JUDGED, ["dense"], {**ABOUT, "gallery": 1000})
    assert "had 900 images, it has 1000 now" in caplog.text


def test_a_file_of_fewer_metrics_is_compared_in_those(tmp_path: Path) -> None:
    path = written(tmp_path)
    table = pq.read_table(path).drop_columns(["MAP@100", "R@100", "group"])
    pq.write_table(table.append_column("P@5", pa.array([0.5] * 16)), path)
    earlier = read_earlier(path)
    check_earlier(earlier, JUDGED, ["dense"], ABOUT)
    found = compare_with(earlier, JUDGED, {"dense": scores_of(NOW)}, {"dense": NOW}, "dense")
    assert list(found.modes["dense"]) == ["R@1", "R@5", "R@10", "MR", "nDCG@10", "MRR"]


def test_another_systems_run(tmp_path: Path) -> None:
    path = tmp_path / "elastic.run"
    path.write_text("0 Q0 d0 1 9 elastic\n1 Q0 x 1 9 elastic\n1 Q0 d1 2 8 elastic\n", "utf-8")
    earlier = read_earlier(str(path))
    check_earlier(earlier, JUDGED, ["dense"], ABOUT)
    found = compare_with(earlier, JUDGED, {"dense": scores_of(NOW)}, {"dense": NOW}, "dense")
    assert (found.run, found.modes["dense"]["R@5"].then) == ("elastic", 0.25)
    assert found.modes["dense"]["MRR"].then == pytest.approx(1.5 / 8)
    path.write_text("100 Q0 d0 1 9 elastic\n", "utf-8")
    with pytest.raises(UsageError, match="ranks none of the 8 queries"):
        check_earlier(read_earlier(str(path)), JUDGED, ["dense"], ABOUT)


@pytest.mark.parametrize(
    ("known", "judged", "said"),
    [
        ({}, JUDGED[:7], "is of other queries: 8, of which 7 are among the 7 here"),
        ({"queries": "f01"}, JUDGED, "its right images are not those of this evaluation"),
        ({"protocol": "leave-query-out"}, JUDGED, "its protocol are not those"),
        ({"filter": "a = 1"}, JUDGED, "its filter are not those"),
    ],
)
def test_what_cannot_be_compared(
    tmp_path: Path, known: dict[str, Any], judged: list[Judgement], said: str
) -> None:
    earlier = read_earlier(written(tmp_path))
    with pytest.raises(UsageError) as error:
        check_earlier(earlier, judged, ["dense"], {**ABOUT, **known})
    assert said in str(error.value)
    with pytest.raises(UsageError, match="has none of the modes sparse"):
        check_earlier(earlier, JUDGED, ["sparse"], ABOUT)


def damaged(path: str) -> None:
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[:200] + content[400:])


def without_metadata(path: str) -> None:
    pq.write_table(pq.read_table(path).replace_schema_metadata(), path)


def with_other_metadata(path: str) -> None:
    table = pq.read_table(path).replace_schema_metadata({b"muge_evaluation": b"[]"})
    pq.write_table(table, path)


def with_texts(path: str) -> None:
    table = pq.read_table(path)
    place = table.column_names.index("R@1")
    pq.write_table(table.set_column(place, "R@1", pa.array(["viel"] * 16)), path)


def with_nan(path: str) -> None:
    table = pq.read_table(path)
    place = table.column_names.index("R@1")
    pq.write_table(table.set_column(place, "R@1", pa.array([float("nan")] * 16)), path)


def with_a_long_text(path: str) -> None:
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, "query", pa.array(["红" * 40_000] * 16)), path)


def with_a_bomb(path: str) -> None:
    table = pq.read_table(path)
    texts = pa.array(["x" * (70 << 20)] + [""] * 15)
    pq.write_table(table.set_column(1, "query", texts), path, compression="zstd")


def with_nulls(path: str) -> None:
    table = pq.read_table(path)
    place = table.column_names.index("R@1")
    pq.write_table(table.set_column(place, "R@1", pa.array([None] * 16, pa.float64())), path)


def twice(path: str) -> None:
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table]), path)


def without_ids(path: str) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["query_id"]), path)


def without_rows(path: str) -> None:
    pq.write_table(pq.read_table(path).slice(0, 0), path)


@pytest.mark.parametrize(
    "spoil",
    [
        damaged,
        without_metadata,
        with_other_metadata,
        with_texts,
        with_nan,
        with_nulls,
        with_a_long_text,
        with_a_bomb,
        twice,
        without_ids,
        without_rows,
    ],
)
def test_a_parquet_that_is_none(tmp_path: Path, spoil: Any) -> None:
    path = written(tmp_path)
    spoil(path)
    with pytest.raises(UsageError, match="is not what `muge evaluate --per-query FILE` writes: "):
        read_earlier(path)


def test_what_is_neither(tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("png", b"\x89PNG\r\n\x1a\n\0\0"), ("json", b"{}")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError):
            read_earlier(str(tmp_path / name))
    for path in (str(tmp_path), str(tmp_path / "none"), "a\0b"):
        with pytest.raises(UsageError, match="cannot be read"):
            read_earlier(path)


def test_a_per_query_file_is_a_record(tmp_path: Path) -> None:
    found = read_earlier(written(tmp_path))
    assert isinstance(found, PerQuery)
    assert found.ranks["dense"] == {str(n): rank for n, rank in enumerate(THEN)}
