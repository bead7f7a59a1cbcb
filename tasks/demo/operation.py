"""The order of the demo, for any runner: the sample indexed, measured, searched, and reported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import pyarrow.parquet as pq

from tasks.errors import WorkFolderError
from tasks.evaluate.operation import evaluate
from tasks.evaluate.result import Evaluation
from tasks.index.alpha import is_open
from tasks.index.operation import index
from tasks.index.report import IndexReport
from tasks.index.runner import Runner
from tasks.report.demo_page import render_demo_page
from tasks.report.evaluation_views import evaluation_view
from tasks.report.run_views import index_view, search_view
from tasks.report.views import DemoView
from tasks.search.questions import pair_up
from tasks.search.searcher import Answer
from tasks.search.stages import SEARCH
from tasks.settings import EvaluateChoices, Settings

DATASET = "sample:"
TEXTS = ("熊猫", "生日吃的蛋糕", "下雨天打的伞", "红色的赛车", "脖子很长的动物", "海上的帆船")
PICTURE_CONCEPT, PICTURE_TEXT = "1f431", "开心"
SHOWN_HITS = 8
COMMANDS = (
    "muge search --text 下雨天打的伞",
    "muge search --image {picture} --text 开心 --alpha 0.7 --html hits.html",
    "muge evaluate 'sample:?split=held_out'",
)


@dataclass(frozen=True)
class DemoReport:
    """What the demo did; `report` is the page, `commands` what to try next."""

    index: IndexReport
    evaluation: Evaluation
    report: str
    commands: tuple[str, ...]


def demo(settings: Settings, runner: Runner) -> DemoReport:
    """Index, evaluate and search the sample with the sample model, then write the report."""
    whole = {"model": "sample", "max_images": 0, "deadline": None}
    settings = settings.model_copy(update=whole)
    indexed = index(DATASET, settings, runner)
    choices = EvaluateChoices(alpha_sweep=True)
    measured = evaluate("sample:?split=held_out", settings, runner, choices)
    folder = Path(settings.home) / "demo"
    picture = _query_picture(folder)
    answers = [
        *_search(settings, runner, list(TEXTS), []),
        *_search(settings, runner, [], [str(picture)]),
        *_search(settings, runner, [PICTURE_TEXT], [str(picture)], alpha=0.5),
    ]
    commands = tuple(command.format(picture=picture) for command in COMMANDS)
    view = DemoView(
        index=index_view(indexed),
        evaluation=evaluation_view(measured),
        searches=[search_view(answer) for answer in answers],
        commands=("muge demo", *commands),
    )
    report = folder / "report.html"
    _write(report, render_demo_page(view).encode())
    return DemoReport(indexed, measured, str(report), commands)


def _search(
    settings: Settings,
    runner: Runner,
    texts: list[str],
    images: list[str],
    alpha: float | None = None,
) -> list[Answer]:
    asked = pair_up(texts, images, settings.alpha if alpha is None else alpha, SHOWN_HITS, None)
    left_open = alpha is None and is_open(settings)
    questions = [replace(question, alpha_is_open=left_open) for question in asked]
    return runner.once(SEARCH, settings, questions)


def _query_picture(folder: Path) -> Path:
    """A picture of the sample as a file, to search with."""
    table = pq.read_table(
        str(files("tasks.sample") / "data" / "images.parquet"),
        columns=["image"],
        filters=[("concept", "=", PICTURE_CONCEPT)],
    )
    content: bytes = table.column("image")[0].as_py()
    path = folder / f"cat.{'webp' if content[8:12] == b'WEBP' else 'jpg'}"
    _write(path, content)
    return path


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise WorkFolderError(f"cannot write {path}: {error.strerror}; set MUGE_HOME") from None
