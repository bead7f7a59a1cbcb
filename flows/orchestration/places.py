"""Where shards are encoded: threads of this process, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flows.orchestration.runners import Place, Threads
from tasks.encode.stage.workers import shards_at_once
from tasks.settings import Settings


@contextmanager
def encoding_place(settings: Settings) -> Iterator[Place]:
    """The place that the option `runner` names, while the block runs.

    Only pictures and queries are encoded there. Writing to the store stays in this process: an
    embedded store has one writer, and a service's quota counts the requests of all nodes together.
    """
    if settings.runner == "threads":
        yield Threads(shards_at_once(settings.workers, settings.device))
        return
    from flows.orchestration.ray_shards import on_ray  # an optional extra

    with on_ray(settings) as place:
        yield place
