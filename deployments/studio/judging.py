"""Thumbs on hits: who may press them, as whom, and what is kept."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from contextlib import suppress
from typing import Literal
from urllib.parse import urlsplit

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from deployments.studio import problems
from deployments.studio.asking import MOST_FILTER, MOST_TEXT
from deployments.studio.connections import PEER
from deployments.studio.guard import LOG, LOOPBACK, client_of
from deployments.studio.page import Offered
from deployments.studio.problems import ProblemError
from deployments.studio.service import Service
from tasks.dataset.reader import document_id
from tasks.dataset.text import clean_query
from tasks.errors import QueryError, QueryTextError, WorkFolderError
from tasks.evaluate.gallery import image_of
from tasks.judge.thumbs import Thumb, query_id_of, thumbs_of
from tasks.ranges import MAX_TOPK, Alpha, TopK
from tasks.settings import Fusion, WebSettings
from tasks.work.collections import CollectionRecord

MOST_BYTES = 1 << 16
MOST_ID = 512  # characters; a data set's own may be longer than a document's
REMEMBERED = 8
"""Collections that were shown before the one in force: thumbs on their hits are still taken."""


class Judging(BaseModel):
    """A thumb on a hit: 1 up, -1 down, 0 takes it back. `alpha`, `fusion`, `filter`, `topk` and
    `rank` say which search showed it where, `made_of` which state of the collection."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: str = Field(min_length=1, max_length=MOST_TEXT, description="The text as asked.")
    id: str = Field(min_length=1, max_length=MOST_ID, description="Id of the hit.")
    grade: Literal[1, 0, -1] = Field(description="1: fits, -1: does not, 0: taken back.")
    user: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{32}$",
        description="A number that a browser draws and keeps to itself.",
    )
    rank: int | None = Field(default=None, ge=1, le=2 * MAX_TOPK)
    alpha: Alpha | None = None
    fusion: Fusion | None = None
    filter: str | None = Field(default=None, max_length=MOST_FILTER)
    topk: TopK | None = None
    made_of: str | None = Field(default=None, pattern="^[0-9a-zA-Z:_-]{1,128}$")


class Judges:
    """The judgements of one server."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._web = service.web
        self._thumbs = thumbs_of(service.settings)
        self._proxies = {name.strip() for name in self._web.proxies.split(",") if name.strip()}
        self._shown: OrderedDict[str, CollectionRecord] = OrderedDict()
        self.is_on = may_judge(self._web)

    def offer(self, request: Request) -> Offered | None:
        """What thumbs on the hits that are shown now are of; None for hits without."""
        record = self._service.live.record
        if not self.is_on or record is None or (self._web.user_header and not self._named(request)):
            return None
        self._shown[record.made_of] = record
        self._shown.move_to_end(record.made_of)
        if len(self._shown) > REMEMBERED:
            self._shown.popitem(last=False)
        return Offered(record.made_of, _short(self._thumbs.address))

    def check(self) -> None:
        """Raise the problem if nothing is judged here."""
        if not self.is_on:
            raise ProblemError(problems.NO_JUDGING)

    def check_sent(self, request: Request) -> None:
        """Raise the problem if nothing is judged here, if it was another site's page that sent
        this, or if it is no JSON: a form of another site can send none."""
        self.check()
        if not _is_own(request):
            raise ProblemError(problems.OTHER_SITE)
        kind = request.headers.get("content-type", "").partition(";")[0]
        if kind.strip().lower() != "application/json":
            raise ProblemError(problems.NO_JSON)

    async def keep(self, judging: Judging, request: Request) -> Thumb:
        """Keep a thumb; raises the problem if its document is not there or it cannot be kept."""
        user = self._user(judging, request)
        try:
            query = clean_query(judging.query)
        except QueryTextError as error:
            raise QueryError(str(error)) from None
        document = document_id(judging.id)
        record = await self._record(document, judging.made_of, client_of(request))
        id, time = self._thumbs.stamp()
        thumb = Thumb(
            id=id,
            time=time,
            user=user,
            query=query,
            query_id=query_id_of(query),
            document=document,
            image=image_of(document, record.document),
            grade=judging.grade,
            rank=judging.rank,
            alpha=judging.alpha,
            fusion=judging.fusion,
            filter=judging.filter,
            topk=judging.topk,
            collection=record.collection,
            made_of=record.made_of,
        )
        try:
            await self._service.quietly(lambda: self._thumbs.keep(thumb))
        except WorkFolderError as error:
            LOG.warning("judgement not kept: %s", error)
            raise ProblemError(problems.NOT_KEPT) from None
        return thumb

    def read(self) -> list[Thumb]:
        """All thumbs, the oldest first; raises the problem if they cannot be read."""
        try:
            return self._thumbs.read()
        except WorkFolderError as error:
            LOG.warning("judgements not read: %s", error)
            raise ProblemError(problems.NOT_READ) from None

    async def _record(self, document: str, made_of: str | None, client: str) -> CollectionRecord:
        """The record of the collection whose hit it is: the one in force, or one that was shown
        here and replaced since, which has no documents any more."""
        try:
            await self._service.document(document, client)
        except QueryError:
            if (shown := self._shown.get(made_of or "")) is None:
                raise ProblemError(problems.NOT_FOUND) from None
            now = self._service.live.record
            if now is not None and shown.made_of == now.made_of:
                raise ProblemError(problems.NOT_FOUND) from None
            return shown
        now = self._service.live.record
        assert now is not None  # a document of it was read
        return self._shown.get(made_of or "", now)

    def _user(self, judging: Judging, request: Request) -> str:
        """Who judges: a name that a proxy vouches for, else a number that nobody can find the
        browser's own from: whoever reads judgements cannot judge as another."""
        if self._web.user_header:
            if not (name := self._named(request)):
                raise ProblemError(problems.NOBODY)
            return name
        drawn = judging.user or "anonymous"
        return _short(drawn)

    def _named(self, request: Request) -> str:
        """The name in the proxy's header; "" where nobody that is believed says one."""
        if not {request.scope.get(PEER), "*"} & self._proxies:
            return ""
        name = request.headers.get(self._web.user_header, "").strip()
        with suppress(ValueError):  # else it is of Latin letters as HTTP once had them
            name = name.encode("latin-1").decode()
        return name[:MOST_ID] if name.isprintable() else ""


def may_judge(web: WebSettings) -> bool:
    """Whether hits have thumbs."""
    if web.judge == "auto":
        return web.host in LOOPBACK or web.token is not None
    return web.judge == "on"


def _short(text: str) -> str:
    """A number that stands for a text, which cannot be found from it."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _is_own(request: Request) -> bool:
    """Whether a page of this server asks, or no browser at all."""
    fetched_from = request.headers.get("sec-fetch-site")
    if fetched_from is not None:
        return fetched_from in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host", "")
