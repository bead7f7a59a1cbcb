"""The options of commands that several of them share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tasks.dataset.readers import dataset_forms
from tasks.settings import option_help

Store = Annotated[str | None, typer.Option(help=option_help("store"))]
CollectionName = Annotated[str | None, typer.Option(help=option_help("collection"))]
WorkDir = Annotated[str | None, typer.Option(help=option_help("work_dir"))]
Model = Annotated[str | None, typer.Option(help=option_help("model"))]
DocumentForm = Annotated[
    Literal["image", "pair"] | None, typer.Option(help=option_help("document"))
]
PictureForm = Annotated[
    Literal["jpeg", "png", "uri", "none"] | None, typer.Option(help=option_help("picture"))
]
Device = Annotated[str | None, typer.Option(help=option_help("device"))]
Runner = Annotated[Literal["threads", "ray"] | None, typer.Option(help=option_help("runner"))]
Alpha = Annotated[float | None, typer.Option(help=option_help("alpha"))]
TopK = Annotated[int | None, typer.Option(help=option_help("topk"))]
Html = Annotated[Path | None, typer.Option(help="Write a self-contained page as well.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object to standard output.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show Prefect's log lines as well.")]
Dataset = Annotated[str, typer.Argument(help=dataset_forms())]
Filter = Annotated[str | None, typer.Option(help="For example: image_id < 1000")]
Wait = Annotated[float | None, typer.Option(help=option_help("wait"))]
