"""The parameters of flows, described once, so that Prefect's form says what they mean."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tasks.dataset.reader import FORMS
from tasks.settings import option_help


def _described(name: str) -> object:
    return Field(description=option_help(name))


Dataset = Annotated[str, Field(description=FORMS)]
Store = Annotated[str | None, _described("store")]
Collection = Annotated[str | None, _described("collection")]
Model = Annotated[str | None, _described("model")]
WorkDir = Annotated[str | None, _described("work_dir")]
Partition = Annotated[str | None, _described("partition")]
DocumentForm = Annotated[Literal["image", "pair"] | None, _described("document")]
Picture = Annotated[Literal["jpeg", "png", "uri", "none"] | None, _described("picture")]
Device = Annotated[str | None, _described("device")]
ShardImages = Annotated[int | None, _described("shard_images")]
Workers = Annotated[int | None, _described("workers")]
Alpha = Annotated[float | None, _described("alpha")]
TopK = Annotated[int | None, _described("topk")]
Filter = Annotated[str | None, Field(description="For example: image_id < 1000")]
