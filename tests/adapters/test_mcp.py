"""The MCP server, by the official client in one process."""

from __future__ import annotations

import asyncio
import base64
import io
import json

import pytest
from PIL import Image

pytest.importorskip("mcp", reason="needs ganart-zoo[mcp]")

from mcp import Client

from ganart_zoo.adapters.mcp import server
from ganart_zoo.service import Jobs, UntrustedPolicy

# an app of gradio's that was made before in the same process is collected here
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def talk(zoo, conversation):
    async def main():
        with Jobs(zoo, untrusted=UntrustedPolicy()) as jobs:
            async with Client(server(jobs)) as client:
                return await conversation(client)

    return asyncio.run(main())


def test_tools_are_the_verbs_and_take_no_files(zoo):
    async def conversation(client):
        return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in talk(zoo, conversation)}
    assert set(tools) == {"list_models", "stylize", "dream", "sample", "mix", "project", "imagine"}
    schema = tools["stylize"].input_schema
    assert schema["properties"]["content"]["contentEncoding"] == "base64"
    assert not {"output", "device", "fetch"} & set(schema["properties"])


def test_a_photo_is_restyled(zoo, photo, painting):
    async def conversation(client):
        models = json.loads((await client.call_tool("list_models", {"kind": "style_transfer"})).content[0].text)
        pictures = [base64.b64encode(file.read_bytes()).decode() for file in (photo, painting)]
        request = {"content": pictures[0], "styles": [pictures[1]], "model": "blend", "settings": {"steps": 2}}
        return models, await client.call_tool("stylize", request)

    models, result = talk(zoo, conversation)
    assert {model["name"] for model in models} >= {"ganart-tiny/blend", "ganart-tiny/negative"}
    assert not result.is_error
    picture = Image.open(io.BytesIO(base64.b64decode(result.content[0].data)))
    assert picture.size == (40, 30)
    assert "ganart" in picture.info


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"content": "/etc/passwd", "model": "negative"}, "not valid base64"),
        ({"content": "aGVsbG8=", "model": "negative"}, "not a picture"),
        ({"content": "aGVsbG8=", "model": "/etc"}, "is unknown"),
        ({"content": "aGVsbG8=", "model": "negative", "output": "x.png"}, "not allowed"),
    ],
)
def test_what_is_refused_is_said_in_words(zoo, request_, message):
    async def conversation(client):
        return await client.call_tool("stylize", request_)

    result = talk(zoo, conversation)
    assert result.is_error
    assert message in result.content[0].text
