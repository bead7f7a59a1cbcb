"""Tables for terminals: they fit 80 columns and obey no foreign escape sequence."""

from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from tasks.dataset.sources import ImageSource
from tasks.records import HitGroup
from tasks.report.terminal import (
    against_table,
    groups_table,
    index_summary,
    metrics_table,
    search_table,
)
from tasks.report.views import BreakdownView, Words
from tasks.report.wording import Language, spoken_language
from tests.report.examples import METRICS, against, hit, hostile_search, index, search


def printed(table: RenderableType, width: int = 80) -> list[str]:
    console = Console(width=width, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("language", ["zh", "en"])
def test_hits_are_one_a_line_and_fit(width: int, language: Language) -> None:
    lines = printed(search_table(hostile_search(), language=language), width)
    assert len(lines) == 2 + 5
    assert all(cell_len(line) <= width for line in lines)
    assert all("0.000" in line or "0." in line for line in lines[2:])


def test_a_row_says_what_was_found() -> None:
    first = printed(search_table(search()))[2]
    assert first.split() == ["1", "1", "红色连衣裙", "/", "夏天的裙子", "0.750", "0.500", "0.250"]


def test_where_pictures_came_from_is_said_beneath_if_wanted() -> None:
    known = {"1": ImageSource("shop.csv:7", "https://img.example.com/\x1b1.jpg")}
    view = search(hits=(hit(1), hit(2)), sources=known)
    assert len(printed(search_table(view))) == 2 + 2
    lines = printed(search_table(view, with_sources=True))[2:]
    assert [line.split()[0] for line in lines] == ["1", "shop.csv:7", "2"]
    assert "https://img.example.com/" in lines[1]
    assert "\x1b" not in lines[1]


def test_an_id_that_no_document_can_have_is_shown_as_the_data_has_it() -> None:
    found = [hit(1), replace(hit(2), id="2788193862", fields={"image_id": "货/3"})]
    found.append(replace(hit(3), id="SKU-3", fields={"image_id": "SKU-3"}))
    found.append(replace(hit(4), fields={}))
    lines = printed(search_table(search(hits=tuple(found))))[2:]
    assert [line.split()[1] for line in lines] == ["1", "货/3", "SKU-3", "4"]


def test_foreign_escape_sequences_and_markup_are_text() -> None:
    view = search(hits=(hit(1, "\x1b]0;owned\x07[bold]粗[/bold]"),))
    output = "\n".join(printed(search_table(view)))
    assert "\x1b" not in output
    assert "\x07" not in output
    assert "[bold]粗[/bold]" in output


def test_groups_are_named() -> None:
    groups = (HitGroup("甲", (hit(1),)), HitGroup("乙", (hit(2),)))
    output = "\n".join(printed(search_table(search(hits=(), groups=groups))))
    assert output.index("甲") < output.index("乙")


def test_nothing_found_says_what_to_do() -> None:
    output = " ".join(printed(search_table(search("x", 0, filter="a = 1"))))
    assert "No pictures found" in output
    assert "--filter" in output


def test_metrics_have_a_row_a_mode() -> None:
    lines = printed(metrics_table(METRICS, alpha=0.8, title="exact"))
    assert len(lines) == 6
    assert lines[-1].split()[-6:] == ["60.0%", "82.0%", "88.0%", "76.8%", "0.710", "0.687"]


def test_columns_that_do_not_fit_stand_below_the_others() -> None:
    rows = {mode: {**row, "R@100": 0.991, "MAP@100": 0.433} for mode, row in METRICS.items()}
    ends = {mode: dict.fromkeys(row, (0.1, 0.2)) for mode, row in rows.items()}
    for width, tables in ((130, 1), (80, 2), (40, 8)):
        lines = printed(metrics_table(rows, alpha=0.8, title="exact", intervals=ends), width)
        said = "\n".join(lines)
        assert max(map(len, lines)) <= width
        assert "…" not in said
        assert (lines[0].strip(), said.count("mode")) == ("exact", tables)
        assert said.count("0.433") == 3


def test_a_mode_without_a_metric_shows_a_dash() -> None:
    metrics = {"dense": {"R@1": 0.5}, "[red]": {"R@1": 0.25, "MRR": 0.5}}
    lines = printed(metrics_table(metrics, alpha=1.0))
    assert "—" in lines[2]
    assert "[red]" in lines[3]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_what_an_evaluation_is_against_fits(language: Language) -> None:
    lines = printed(against_table(against(), alpha=0.8, language=language))
    assert all(cell_len(line) <= 80 for line in lines)
    assert not any("\x1b" in line for line in lines)
    (row,) = (line.split() for line in lines if "MR " in line and "12.6" in line)
    assert row[-7:] == ["64.2%", "76.8%", "+12.6", "123", "1,045", "<", "0.001"]
    assert sum("(sparse): no query" in line or "没有一条查询" in line for line in lines) == 1
    assert sum("0.000 → 1.000" in line for line in lines) == 1


def test_groups_of_queries_have_a_row_each() -> None:
    groups: list[tuple[Words, int, dict[str, float]]] = [
        ("鞋", 1289, {"dense": 0.7, "hybrid": 0.8}),
        (("（没有取值）", "(no value)"), 2, {"dense": 0.5, "hybrid": 0.5}),
    ]
    view = BreakdownView(("按品类", "By 品类"), groups)
    lines = printed(groups_table(view, alpha=0.8))
    assert lines[0].strip() == "By 品类"
    assert lines[-2].split() == ["鞋", "1,289", "70.0%", "80.0%"]
    assert lines[-1].split() == ["(no", "value)", "2", "50.0%", "50.0%"]


def test_an_index_run_is_summed_up() -> None:
    output = "\n".join(printed(index_summary(index(rejects=2), language="zh")))
    for words in ("2,818", "zvec:.muge/store", "图片编码", "31.20", "—", "some new stage"):
        assert words in output


@pytest.mark.parametrize(
    ("environment", "wanted", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "auto", "zh"),
        ({"LANG": "zh_TW"}, "auto", "zh"),
        ({"LANG": "en_US.UTF-8"}, "auto", "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "auto", "en"),
        ({"LANG": "C", "LC_MESSAGES": "zh_CN"}, "auto", "zh"),
        ({"LC_ALL": "", "LANG": "zh_CN"}, "auto", "zh"),
        ({}, "auto", "en"),
        ({"LANG": "zh_CN.UTF-8"}, "en", "en"),
        ({}, "zh", "zh"),
    ],
)
def test_a_terminal_speaks_the_systems_language(
    environment: dict[str, str], wanted: str, language: Language
) -> None:
    assert spoken_language(environment, wanted) == language
