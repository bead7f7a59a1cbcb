"""Curves drawn as places: inside their frame, right way up, and with numbers at the grid."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.report.charts import HEIGHT, WIDTH, Chart, Curve, alpha_chart, rank_chart

SHARES = st.lists(st.floats(0, 1), min_size=2, max_size=120)


def places(chart: Chart, line: int = 0) -> list[tuple[float, float]]:
    pairs = (point.split(",") for point in chart.lines[line].points.split())
    return [(float(x), float(y)) for x, y in pairs]


@given(SHARES)
def test_every_point_is_inside(shares: list[float]) -> None:
    ranks = rank_chart("t", "k", [Curve("a", "dense", list(enumerate(shares, 1)))])
    steps = [(n / (len(shares) - 1), share) for n, share in enumerate(shares)]
    alphas = alpha_chart("t", "a", [Curve("a", "dense", steps)])
    for chart in (ranks, alphas):
        assert chart is not None
        for x, y in places(chart):
            assert chart.left <= x <= chart.right <= WIDTH
            assert chart.top - 0.1 <= y <= chart.bottom + 0.1 <= HEIGHT
        assert 2 <= len(chart.rows) <= 7
        assert all(chart.top - 0.1 <= tick.at <= chart.bottom + 0.1 for tick in chart.rows)


def test_higher_is_up_and_later_is_right() -> None:
    chart = rank_chart("t", "k", [Curve("a", "dense", [(1, 0.0), (10, 0.5), (100, 1.0)])])
    assert chart is not None
    assert places(chart) == [(42.0, 212.0), (215.0, 112.0), (388.0, 12.0)]
    assert [tick.text for tick in chart.columns] == ["1", "2", "5", "10", "20", "50", "100"]
    assert [tick.text for tick in chart.rows] == ["0%", "20%", "40%", "60%", "80%", "100%"]


def test_the_best_alpha_is_marked() -> None:
    curve = Curve("a", "hybrid", [(0.0, 0.30), (0.5, 0.42), (1.0, 0.35)], marked=0.5)
    chart = alpha_chart("t", "a", [curve])
    assert chart is not None
    assert chart.lines[0].mark == places(chart)[1]
    assert chart.rows[0].text == "25%"


@pytest.mark.parametrize("curves", [[], [Curve("a", "dense", [])], [Curve("a", "dense", [(1, 1)])]])
def test_nothing_to_draw(curves: list[Curve]) -> None:
    assert rank_chart("t", "k", curves) is None
    if not any(curve.points for curve in curves):
        assert alpha_chart("t", "a", curves) is None
