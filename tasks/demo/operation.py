"""Flow run_demo: the sample indexed, measured and searched, and a report of it all."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pyarrow.parquet as pq
from prefect import flow

from flows.evaluate_search import evaluate_search
from flows.index_dataset import index_dataset
from flows.orchestration.parameters import parameters
from flows.search_images import search_images
from flows.signatures import Given
from tasks.errors import WorkFolderError
from tasks.evaluate.result import Evaluation
from tasks.index.report import IndexReport
from tasks.options import flags_of
from tasks.report.demo_page import render_demo_page
from tasks.report.evaluation_views import evaluation_view
from tasks.report.run_views import index_view, search_view
from tasks.report.views import DemoView
from tasks.settings import Encoding, Place

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


@flow(name="run_demo", flow_run_name="demo", persist_result=False)
@parameters(flags_of(Place), flags_of(Encoding))
def run_demo(given: Given) -> DemoReport:
    """Index, evaluate and search the sample with the sample model, then write the report."""
    settings, place = given.settings, given.parameters()
    index = index_dataset("sample:", model="sample", **place)
    measured = evaluate_search("sample:?split=held_out", alpha_sweep=True, **place)
    folder = Path(settings.home) / "demo"
    picture = _query_picture(folder)
    answers = [
        *search_images(list(TEXTS), topk=SHOWN_HITS, **place),
        *search_images(images=[str(picture)], topk=SHOWN_HITS, **place),
        *search_images([PICTURE_TEXT], [str(picture)], alpha=0.5, topk=SHOWN_HITS, **place),
    ]
    commands = tuple(command.format(picture=picture) for command in COMMANDS)
    view = DemoView(
        index=index_view(index),
        evaluation=evaluation_view(measured),
        searches=[search_view(answer) for answer in answers],
        commands=("muge demo", *commands),
    )
    report = folder / "report.html"
    _write(report, render_demo_page(view).encode())
    return DemoReport(index, measured, str(report), commands)


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
