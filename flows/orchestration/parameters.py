"""The parameters of flows, described once, so that Prefect's form says what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue

from tasks.dataset.readers import dataset_forms
from tasks.settings import option_help


@dataclass(frozen=True)
class Described:
    """What a parameter means, in an `Annotated`: Prefect's form loses the text of a `Field`."""

    meaning: str

    def __get_pydantic_json_schema__(
        self, schema: Any, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "description": self.meaning}


def _described(name: str) -> Described:
    return Described(option_help(name))


Dataset = Annotated[str, Described(dataset_forms())]
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
Runner = Annotated[Literal["threads", "ray"] | None, _described("runner")]
Alpha = Annotated[float | None, _described("alpha")]
TopK = Annotated[int | None, _described("topk")]
Filter = Annotated[str | None, Described("For example: image_id < 1000")]
Wait = Annotated[float | None, _described("wait")]
MaxDrop = Annotated[float | None, _described("max_drop")]
MaxRemoved = Annotated[float | None, _described("max_removed")]
