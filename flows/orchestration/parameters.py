"""The parameters of flows, from the options that they take, so that Prefect's form says what they
mean."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue

from flows.orchestration.patience import OWN_RUN, wait_for_server
from flows.signatures import taking
from tasks.dataset.readers import dataset_forms
from tasks.options import Flag

Result = TypeVar("Result")


@dataclass(frozen=True)
class Described:
    """What a parameter means, in an `Annotated`: Prefect's form loses the text of a `Field`."""

    meaning: str

    def __get_pydantic_json_schema__(
        self, schema: Any, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "description": self.meaning}


Dataset = Annotated[str, Described(dataset_forms())]


def parameters(
    *groups: Iterable[Flag],
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Let a flow take these options. The process of a run reads the flow's file before the run
    begins, and waits for its server from then on."""
    if OWN_RUN in os.environ:
        wait_for_server()
    return taking(lambda flag: Annotated[flag.annotation, Described(flag.meaning)], *groups)
