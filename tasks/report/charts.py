"""Curves as places in an SVG picture: all arithmetic is here, templates only draw."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tasks.report.views import Words

WIDTH, HEIGHT = 400, 240
LEFT, RIGHT, TOP, BOTTOM = 42, 12, 12, 28

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid and its number."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: `style` is a class of the stylesheet, `mark` a place to point at."""

    name: Words
    style: str
    points: str
    mark: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves over a grid; `across` says what the horizontal axis counts."""

    title: Words
    across: Words
    columns: tuple[Tick, ...]
    rows: tuple[Tick, ...]
    lines: tuple[Line, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


@dataclass(frozen=True, slots=True)
class Curve:
    """What a line is drawn from: values from 0 to 1 over x; `marked` is the x to point at."""

    name: Words
    style: str
    points: Points
    marked: float | None = None


def rank_chart(title: Words, across: Words, curves: Sequence[Curve]) -> Chart | None:
    """Curves over ranks on a logarithmic axis, 0 to 100 percent; None without a point."""
    last = max((x for curve in curves for x, _ in curve.points), default=0)
    if last < 2:
        return None
    marks = [k for k in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if k <= last]
    scale = math.log(last)

    def place(x: float) -> float:
        return math.log(x) / scale

    return _chart(title, across, curves, place, [(k, f"{k}") for k in marks], (0.0, 1.0))


def alpha_chart(title: Words, across: Words, curves: Sequence[Curve]) -> Chart | None:
    """Curves over alpha from 0 to 1, with as much height as they need; None without a point."""
    values = [y for curve in curves for _, y in curve.points]
    if not values:
        return None
    low = math.floor(max(0.0, min(values) - 0.02) * 20) / 20
    high = math.ceil(min(1.0, max(values) + 0.02) * 20) / 20
    marks = [(step / 5, f"{step / 5:g}") for step in range(6)]
    return _chart(title, across, curves, lambda x: x, marks, (low, max(high, low + 0.05)))


def _chart(
    title: Words,
    across: Words,
    curves: Sequence[Curve],
    place: Callable[[float], float],
    marks: Sequence[tuple[float, str]],
    ends: tuple[float, float],
) -> Chart:
    low, high = ends

    def point(x: float, y: float) -> tuple[float, float]:
        down = HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return round(LEFT + place(x) * (WIDTH - LEFT - RIGHT), 1), round(down, 1)

    return Chart(
        title=title,
        across=across,
        columns=tuple(Tick(point(x, low)[0], text) for x, text in marks),
        rows=tuple(Tick(point(1, y)[1], f"{y:.0%}") for y in _levels(low, high)),
        lines=tuple(_line(curve, point) for curve in curves if curve.points),
    )


def _levels(low: float, high: float) -> list[float]:
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 1.0) if (high - low) / s <= 5)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _line(curve: Curve, point: Callable[[float, float], tuple[float, float]]) -> Line:
    places = [point(x, y) for x, y in curve.points]
    values: Mapping[float, float] = dict(curve.points)
    mark = None
    if curve.marked is not None and curve.marked in values:
        mark = point(curve.marked, values[curve.marked])
    return Line(curve.name, curve.style, " ".join(f"{x:g},{y:g}" for x, y in places), mark)
