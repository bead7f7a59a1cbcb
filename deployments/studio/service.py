"""A search as the server does it: its picture had first, then a turn in the queue."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TypeVar

from deployments.studio import problems
from deployments.studio.asking import Asking, nesting
from deployments.studio.fetch import fetch_picture
from deployments.studio.limits import Gate, RateLimiter, Shelf
from deployments.studio.live import LiveCollection
from deployments.studio.metrics import Metrics
from deployments.studio.problems import ProblemError
from tasks.context import Context
from tasks.encode.model.pixels import decode_image
from tasks.errors import ImageError, QueryError
from tasks.records import Document
from tasks.search.questions import Question
from tasks.search.searcher import Answer, stored_picture
from tasks.settings import Settings, WebSettings

Result = TypeVar("Result")

FETCHES, WAITING_FETCHES = 4, 8
MAX_NESTING = 20
"""Brackets within brackets of a filter: the embedded store's parser recurses on them."""
EXAMPLES = 6


class Service:
    """Everything that requests share."""

    def __init__(self, context: Context, settings: Settings, web: WebSettings) -> None:
        limits = {"max_image_bytes": web.picture_bytes, "max_image_pixels": web.picture_pixels}
        self.settings = settings.model_copy(update=limits)
        self.web = web
        self.live = LiveCollection(context, self.settings, web.idle_seconds)
        self.limiter = RateLimiter(web.rate)
        self.shelf = Shelf(web.kept_bytes)
        self._gate = Gate(web.workers, web.queue, web.wait_seconds)
        self._fetching = Gate(FETCHES, WAITING_FETCHES, web.fetch_seconds)
        self.examples: list[str] = []
        self.metrics = Metrics(lambda: self._gate.inside)

    async def search(self, asking: Asking) -> Answer:
        """The answer; raises what `problem_of` knows."""
        if len(asking.pictures) > 1:
            raise ProblemError(problems.ONE_PICTURE)
        if asking.filter and nesting(asking.filter) > MAX_NESTING:
            raise ProblemError(problems.DEEP_FILTER)
        picture = await self._picture(asking)
        question = asking.question(self.settings.alpha, self.settings.topk, self.web.topk)

        def answer() -> Answer:
            searcher = self.live.searcher()
            return searcher.answer([searcher.prepare(question, picture)])[0]

        answered = await self._gate.run(answer)
        self.metrics.searched(answered.took_ms)
        return answered

    async def keep(self, picture: bytes) -> str:
        """Check an uploaded picture and keep it; its name."""

        def check() -> None:
            try:
                decode_image(picture, 1, self.web.picture_pixels)
            except ImageError as error:
                raise QueryError(f"picture cannot be used: {error}") from None

        await self._gate.run(check)
        return self.shelf.keep(picture)

    async def document(self, id: str) -> Document:
        """A document of the collection; raises `QueryError` if there is none."""
        return await self._gate.run(lambda: self.live.searcher().document(id))

    async def warm(self) -> None:
        """Open the collection, load its model and find texts that a person may try."""
        await self._gate.run(lambda: use_threads(self.web.threads, self.web.workers))
        if self.web.examples:
            given = [text.strip() for text in self.web.examples.split("|")]
            self.examples = [text for text in given if text]
            await self._gate.run(self.live.searcher)
        else:
            self.examples = await self._gate.run(self._texts_of_some)

    async def quietly(self, call: Callable[[], Result]) -> Result:
        """Run something short beside the searches."""
        return await asyncio.get_running_loop().run_in_executor(None, call)

    def close(self) -> None:
        """End what runs and let go of the store."""
        self._gate.close()
        self._fetching.close()
        self.live.close()

    async def _picture(self, asking: Asking) -> bytes | None:
        if asking.picture is not None:
            kept = self.shelf.find(asking.picture)
            if kept is None:
                raise ProblemError(problems.GONE)
            return kept
        if asking.image is None:
            return None
        url = asking.image
        return await self._fetching.run(lambda: fetch_picture(url, self.web))

    def _texts_of_some(self) -> list[str]:
        """First texts of documents that have little in common: each the best for another word."""
        searcher = self.live.searcher()
        texts: list[str] = []
        for word in ("红色", "动物", "吃", "车", "女", "天气", "笔", "乐", "房", "球"):
            for hit in searcher.search(Question(text=word, alpha=1.0, topk=1)).hits:
                texts += str(hit.fields.get("query", "")).split("\n")[:1]
        short = [text for text in dict.fromkeys(texts) if 0 < len(text) <= 16]
        return short[:EXAMPLES]


def use_threads(threads: int, workers: int) -> None:
    """How many CPU threads one model call uses.

    All cores would be slower: a call waits for its slowest thread, and the others spin meanwhile.
    On two busy cores a text took 16 ms (p50) with one thread and 84 ms with two.
    """
    import torch

    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    torch.set_num_threads(threads or max(1, cores // 2 // workers))


def picture_of(document: Document) -> bytes:
    """The picture that a document carries; raises the problem if it carries none (an address)."""
    picture = stored_picture(document)
    if picture is None or picture_kind(picture) is None:
        raise ProblemError(problems.NO_PICTURE)
    return picture


def picture_kind(picture: bytes) -> str | None:
    """The media type of a stored picture; None if a browser should not be given it."""
    starts = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png", b"RIFF": "image/webp"}
    return next((kind for start, kind in starts.items() if picture.startswith(start)), None)
