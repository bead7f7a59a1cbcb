"""Search tools for assistants, by the Model Context Protocol: the page's search, for programs that
talk. On standard input and output (`muge mcp`), or beside the page at /mcp (`muge web --mcp`)."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError
from starlette.routing import Route

from deployments.studio.asking import Asking
from deployments.studio.guard import logged_problem
from deployments.studio.live import LiveCollection
from deployments.studio.service import Service
from tasks.context import Context
from tasks.errors import UsageError
from tasks.search.searcher import as_json
from tasks.settings import Settings, WebSettings

if TYPE_CHECKING:  # an extra
    from mcp.server.mcpserver import MCPServer

DocumentId = Annotated[str, Field(max_length=64)]
CLIENT = "assistants"
"""How queues know them, all together."""
SIDE, MOST_LOOKED_AT = 512, 8
INSTRUCTIONS = (
    "Searches a collection of pictures with texts, mostly Chinese. Ask in Chinese where you can. "
    "`search` answers ids, scores, texts and fields; `look` shows pictures by their ids; "
    "`collection` says what there is and which fields a filter may name. A `doubt` in an answer "
    "means that perhaps nothing fits: say so."
)


def make_assistant(service: Service) -> MCPServer[Any]:
    """The tools over one collection. Raises `UsageError` if the extra is not installed."""
    try:
        from mcp.server.mcpserver import Image, MCPServer
        from mcp.server.mcpserver.exceptions import ToolError
        from mcp.server.mcpserver.tools import Tool
        from mcp.types import ToolAnnotations
    except ImportError:
        raise UsageError(
            "search tools for assistants need the extra [mcp]: pip install 'muge-search[mcp]'"
        ) from None
    reads = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)

    class Told(Tool):
        async def run(self, arguments: dict[str, Any], *rest: Any, **more: Any) -> Any:
            known = self.parameters["properties"]
            for name in arguments:
                if name not in known:  # a limit that was spelled otherwise is not left out silently
                    there = ", ".join(known) or "none"
                    raise ToolError(f"there is no parameter {name[:40]!r} (there are: {there})")
            try:
                self.fn_metadata.validate_arguments(arguments)
            except ValidationError as error:
                raise ToolError(logged_problem(error).message) from None
            return await super().run(arguments, *rest, **more)

    def tool(call: Callable[..., Awaitable[Any]], is_data: bool) -> Tool:
        async def told(**given: Any) -> Any:
            try:
                return await call(**given)
            except Exception as error:
                raise ToolError(logged_problem(error).message) from None

        told.__signature__ = inspect.signature(call, eval_str=True)  # type: ignore[attr-defined]
        return Told.from_function(
            told,
            name=call.__name__,
            description=inspect.getdoc(call),
            annotations=reads,
            structured_output=is_data,
        )

    async def search(**asked: Any) -> dict[str, Any]:
        """Find pictures by words (Chinese best), by a picture's address, by a document's id
        (`like`), or by a picture and words together. Best first; scores compare within an answer.
        """
        answer = await service.search(Asking(**asked), CLIENT)
        said = as_json(answer)
        for hit in said["hits"]:
            hit["fields"].pop("picture", None)  # `look` shows it
        return said

    async def look(ids: list[DocumentId]) -> list[Any]:
        """Show pictures of documents, at most 8, in the order of their ids."""
        wanted = ids[:MOST_LOOKED_AT]
        pictures = [await service.original(id, SIDE, CLIENT) for id in wanted]
        return [Image(data=picture, format="jpeg") for picture in pictures]

    async def collection() -> dict[str, Any]:
        """Say what the collection is: documents, fields for filters, model, examples of words."""
        said = await service.quietly(partial(_described, service.live))
        return {**said, "examples": list(service.examples)}

    search.__signature__ = _signature(Asking)  # type: ignore[attr-defined]
    return MCPServer(
        "muge-search",
        instructions=INSTRUCTIONS,
        version=version("muge-search"),
        tools=[*(tool(each, is_data=True) for each in (search, collection)), tool(look, False)],
        log_level="WARNING",
        subscriptions=False,
    )


def _signature(model: type[Asking]) -> inspect.Signature:
    """What may be asked, flat, as it is declared once; names of uploads are the page's alone."""
    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=Annotated[field.annotation, field],
        )
        for name, field in model.model_fields.items()
        if name != "picture"
    ]
    return inspect.Signature(parameters, return_annotation=dict[str, Any])


def _described(live: LiveCollection) -> dict[str, Any]:
    searcher = live.searcher()
    record = searcher.record
    return {
        "collection": record.collection,
        "documents": record.counts["documents"],
        "dataset": record.dataset,
        "model": record.model.name,
        "fields": {name: kind for name, kind in searcher.fields.items() if name != "picture"},
        "alpha": live.usual_alpha,
    }


def serve_assistant(
    context: Context,
    settings: Settings,
    web: WebSettings,
    running: Callable[[Service], contextlib.AbstractAsyncContextManager[None]],
) -> None:
    """Answer one assistant on standard input and output until it goes."""
    service = Service(context, settings, web)
    server = make_assistant(service)

    async def answer() -> None:
        async with running(service):
            await server.run_stdio_async()

    asyncio.run(answer())


def routes_of(server: MCPServer[Any]) -> list[Route]:
    """/mcp, each request by itself; hosts, rates and the token are the page's own affair."""
    from mcp.server.transport_security import TransportSecuritySettings

    unchecked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    app = server.streamable_http_app(
        json_response=True, stateless_http=True, transport_security=unchecked
    )
    # nothing is ever sent unasked: what GET would open only waits, and keeps a connection
    return [
        Route(route.path, route.endpoint, methods=["POST"])
        for route in app.routes
        if isinstance(route, Route)
    ]


@contextlib.asynccontextmanager
async def sessions(server: MCPServer[Any] | None) -> AsyncIterator[None]:
    """Sessions over HTTP while the page is there; nothing without a server."""
    if server is None:
        yield
        return
    async with server.session_manager.run():
        yield
