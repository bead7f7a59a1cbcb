"""A search as the server does it: its picture had first, then a turn in the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from threading import enumerate as threads
from typing import TypeVar

from deployments.studio import problems
from deployments.studio.asking import Asking, nesting
from deployments.studio.background import begin
from deployments.studio.fetch import fetch_picture
from deployments.studio.limits import Gate, RateLimiter, Shelf
from deployments.studio.live import LiveCollection
from deployments.studio.metrics import Metrics
from deployments.studio.problems import ProblemError
from tasks.context import Context
from tasks.dataset.originals import find_in_rows, find_original, is_as_indexed
from tasks.dataset.readers import bounds_of
from tasks.dataset.sources import ImageSource
from tasks.encode.model.decoding import DecodeLimits, Decoders, Decoding
from tasks.encode.model.pixels import DecodedPicture
from tasks.errors import ImageError, QueryError
from tasks.index.alpha import is_open
from tasks.records import Document, Hit
from tasks.report.pictures import QUERY_PIXELS
from tasks.search.answers import picture_kind
from tasks.search.questions import Question
from tasks.search.searcher import Answer, Searcher, stored_picture
from tasks.settings import Settings, WebSettings

Result = TypeVar("Result")

FETCHES, WAITING_FETCHES = 4, 8
LOADING = "loading"
"""The thread that loads what pictures need."""
MAX_NESTING = 20
"""Brackets within brackets of a filter: the embedded store's parser recurses on them."""
EXAMPLES, LONGEST_EXAMPLE, GALLERY = 6, 16, 12
WORDS = ("红色", "动物", "吃", "车", "女", "天气", "笔", "乐", "房", "球", "花", "鞋")
"""What is asked at the start, so that there is something to look at."""


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
        self._decoding = Gate(web.decoders, web.queue, web.wait_seconds)
        self._decoders = Decoders(
            DecodeLimits(web.decode_seconds, web.decode_memory_mb << 20), web.decoders
        )
        self._fetching = Gate(FETCHES, WAITING_FETCHES, web.fetch_seconds)
        self.examples: list[str] = []
        self.gallery: list[Hit] = []
        self.metrics = Metrics(lambda: self._gate.inside)

    async def search(self, asking: Asking, client: str) -> Answer:
        """The answer for a client; raises what `problem_of` knows."""
        if len(asking.pictures) > 1:
            raise ProblemError(problems.ONE_PICTURE)
        if asking.filter and nesting(asking.filter) > MAX_NESTING:
            raise ProblemError(problems.DEEP_FILTER)
        picture = await self._picture(asking, client)
        alpha, topk = self.settings.alpha, self.settings.topk
        question = asking.question(alpha, topk, self.web.topk, is_open(self.settings))
        decoded: DecodedPicture | None = None
        if picture is not None:
            asked = await self._gate.run(self.live.searcher, client)
            decoded = await self._decode(picture, asked.decoding(QUERY_PIXELS), client)

        def answer() -> Answer:
            searcher = asked if decoded is not None else self.live.searcher()
            return searcher.answer([searcher.prepare(question, decoded=decoded)])[0]

        answered = await self._gate.run(answer, client)
        self.metrics.searched(answered.took_ms)
        skip = asking.skip or 0
        shown = asking.shown(self.settings.topk, self.web.topk)
        question = replace(answered.question, topk=shown)
        return replace(answered, question=question, hits=answered.hits[skip:], before=skip)

    async def original(self, id: str, side: int, client: str) -> bytes:
        """The picture of a document as a JPEG of at most `side` pixels: drawn anew from where it
        came from, else the stored one. Raises `QueryError` or `ProblemError` if there is none."""

        def found() -> tuple[Searcher, Document, ImageSource | None]:
            searcher = self.live.searcher()
            document = searcher.document(id)
            return searcher, document, searcher.source_of(document)

        searcher, document, source = await self._gate.run(found, client)
        picture: bytes | None = None
        with suppress(ProblemError):
            picture = await self._indexed(searcher, document, source, client)
        if picture is not None:
            decoding = Decoding(1, self.web.picture_pixels, side, upright=searcher.record.upright)
            with suppress(QueryError):
                return (await self._decode(picture, decoding, client)).thumbnail or b""
        return picture_of(document)

    async def _indexed(
        self, searcher: Searcher, document: Document, source: ImageSource | None, client: str
    ) -> bytes | None:
        """The picture that was indexed, from where it came from, which may be slow: searches do not
        wait for it. None if it is not there any more, or another one."""
        record, run = searcher.record, searcher.run
        root = record.reading.get("image_root", "")
        bounds = replace(bounds_of(self.settings), fields="", image_root=root)
        image = str(document.fields.get("image_id", ""))

        def read() -> tuple[bytes | None, str]:
            place = None if source is None else find_original(record.dataset, source, bounds)
            if place is not None and place.address:
                return None, place.address
            if place is None or place.content is None:
                return find_in_rows(record.dataset, run, image, bounds), ""
            return place.content if is_as_indexed(run, image, place.content) else None, ""

        def fetch() -> bytes | None:
            picture = fetch_picture(address, self.web)
            return picture if is_as_indexed(run, image, picture) else None

        picture, address = await self._fetching.run(read, client)
        return await self._fetching.run(fetch, client) if address else picture

    async def keep(self, picture: bytes, client: str) -> str:
        """Check an uploaded picture and keep it; its name."""
        await self._decode(picture, Decoding(1, self.web.picture_pixels), client)
        return self.shelf.keep(picture)

    async def document(self, id: str, client: str) -> Document:
        """A document of the collection; raises `QueryError` if there is none."""
        return await self._gate.run(lambda: self.live.searcher().document(id), client)

    async def warm(self) -> None:
        """Open the collection and find texts that a person may try; then, while words can be asked
        for, load what pictures need."""
        given = [text.strip() for text in self.web.examples.split("|") if text.strip()]
        self.gallery = await self._gate.run(lambda: self._some(given or WORDS))
        self.examples = given or _short_texts(self.gallery)
        await self.quietly(self._decoders.warm)
        await asyncio.wrap_future(begin(lambda: self.live.searcher().load(), LOADING))

    async def quietly(self, call: Callable[[], Result]) -> Result:
        """Run something short beside the searches."""
        return await asyncio.get_running_loop().run_in_executor(None, call)

    def close(self) -> None:
        """End what runs and let go of the store."""
        self._decoders.close()
        self._gate.close()
        self._decoding.close()
        self._fetching.close()
        self.live.close()

    async def _decode(self, picture: bytes, decoding: Decoding, client: str) -> DecodedPicture:
        """A stranger's picture, decoded in a process that can be killed."""
        try:
            return await self._decoding.run(
                lambda: self._decoders.decode(picture, decoding), client
            )
        except ImageError as error:
            raise QueryError(f"picture cannot be used: {error}") from None

    async def _picture(self, asking: Asking, client: str) -> bytes | None:
        if asking.picture is not None:
            kept = self.shelf.find(asking.picture)
            if kept is None:
                raise ProblemError(problems.GONE)
            return kept
        if asking.image is None:
            return None
        url = asking.image
        return await self._fetching.run(lambda: fetch_picture(url, self.web), client)

    def _some(self, words: Sequence[str]) -> list[Hit]:
        """Documents that have little in common: each the best for another word."""
        searcher = self.live.searcher()
        asked = [Question(text=word, alpha=1.0, topk=1) for word in words[:GALLERY]]
        answers = searcher.answer([searcher.prepare(question) for question in asked])
        return list({hit.id: hit for answer in answers for hit in answer.hits}.values())


def is_loading() -> bool:
    """Whether what pictures need is being loaded in this process."""
    return any(thread.name == LOADING for thread in threads())


def _short_texts(hits: Sequence[Hit]) -> list[str]:
    """First texts that a person may try."""
    texts = [str(hit.fields.get("query", "")).split("\n")[0] for hit in hits]
    return [text for text in dict.fromkeys(texts) if 0 < len(text) <= LONGEST_EXAMPLE][:EXAMPLES]


def picture_of(document: Document) -> bytes:
    """The picture that a document carries; raises the problem if it carries none (an address)."""
    picture = stored_picture(document)
    if picture is None or picture_kind(picture) is None:
        raise ProblemError(problems.NO_PICTURE)
    return picture
