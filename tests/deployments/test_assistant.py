"""Assistants search by the Model Context Protocol: the official client, a real process."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image

from tests.deployments.conftest import server_process
from tests.extras import needs

if TYPE_CHECKING:
    from mcp import Client, StdioServerParameters

needs("mcp", "mcp")


def command(place: Path) -> StdioServerParameters:
    from mcp import StdioServerParameters

    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MUGE_"))}
    code = "from deployments.command import main; main()"
    return StdioServerParameters(
        command=sys.executable,
        args=["-c", code, "mcp"],
        env={**kept, "MUGE_HOME": str(place / ".muge")},
    )


async def called(client: Client, tool: str, **given: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, given)
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def refused(client: Client, tool: str, **given: Any) -> str:
    result = await client.call_tool(tool, given)
    assert result.is_error
    return str(result.content[0].text)  # type: ignore[union-attr]


async def what_assistants_do(client: Client) -> None:
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {"search", "look", "collection"}
    asked = tools["search"].input_schema["properties"]
    assert {"text", "image", "like", "alpha", "topk", "filter", "text_weight"} <= set(asked)
    assert "picture" not in asked
    assert asked["text"]["description"] == "Words, Chinese best."

    there = await called(client, "collection")
    assert there["fields"]["query"] == "str"
    answer = await called(client, "search", text="熊猫", topk=3)
    assert len(answer["hits"]) == 3
    assert "熊猫" in answer["hits"][0]["fields"]["query"]
    assert "picture" not in answer["hits"][0]["fields"]
    best = answer["hits"][0]["id"]
    like = await called(client, "search", like=best, topk=2)
    assert best not in [hit["id"] for hit in like["hits"]]

    seen = await client.call_tool("look", {"ids": [best, like["hits"][0]["id"]]})
    pictures = [part for part in seen.content if part.type == "image"]
    assert len(pictures) == 2
    assert Image.open(BytesIO(base64.b64decode(pictures[0].data))).format == "JPEG"

    assert "nothing to search for" in await refused(client, "search")
    assert "'nobody'" in await refused(client, "search", like="nobody")
    assert "names field 'price'" in await refused(client, "search", text="猫", filter="price < 3")
    assert "nobody" in await refused(client, "look", ids=["nobody"])
    wrong = await refused(client, "search", text="猫", alpha=7)
    assert wrong == "alpha: Input should be less than or equal to 1"
    assert "no parameter 'top_k' (there are: text" in await refused(
        client, "search", text="猫", top_k=3
    )
    assert "no parameter 'x' (there are: none)" in await refused(client, "collection", x=1)
    assert "at most 64 characters" in await refused(client, "look", ids=["a" * 10_000])


def test_on_standard_input_and_output(place: Path) -> None:
    from mcp import Client
    from mcp.client.stdio import stdio_client

    async def use() -> None:
        async with Client(stdio_client(command(place))) as client:
            await what_assistants_do(client)

    asyncio.run(use())


@pytest.mark.thorough
def test_beside_the_page(place: Path) -> None:
    from mcp import Client

    with server_process(place, MUGE_WEB_MCP="1", MUGE_WEB_RATE="100000") as address:

        async def use() -> None:
            async with Client(f"{address}/mcp") as client:
                await what_assistants_do(client)

        asyncio.run(use())
        assert httpx.get(address, timeout=30).status_code == 200
        stream = {"Accept": "text/event-stream"}
        assert httpx.get(f"{address}/mcp", headers=stream, timeout=5).status_code == 405
