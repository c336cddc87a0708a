"""An MCP server: a language model asks for pictures, by the tools that the verbs become.

    python -m ganart_zoo.adapters.mcp

serves on standard input and output, as MCP's clients start a server. Tools take pictures as base64 and return them as
images with their records inside. Requests are untrusted: declared models and bounded settings, no files.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

import mcp_types as types
from mcp.server.lowlevel import Server

import ganart_zoo
from ganart_zoo.contract.errors import GanartError, SettingsError
from ganart_zoo.registry import Zoo
from ganart_zoo.service import VERBS, Job, Jobs, UntrustedPolicy, Verb, message_for_users
from ganart_zoo.service.untrusted import FORBIDDEN, UNTRUSTED_VERBS

__all__ = ["main", "server"]

_LIST = "list_models"
_MOST_PICTURES = 8


def server(jobs: Jobs) -> Server[Any]:
    """Return the server. Jobs should be made with an `UntrustedPolicy`, for a language model repeats what it reads."""
    verbs = {name: VERBS[name] for name in UNTRUSTED_VERBS if VERBS[name].produces in ("picture", "pictures")}

    async def list_tools(_: Any, __: Any) -> types.ListToolsResult:
        listing = types.Tool(
            name=_LIST,
            description="List the models, with what they can do and the settings they take.",
            input_schema={"type": "object", "properties": {"kind": {"type": "string"}}, "additionalProperties": False},
        )
        return types.ListToolsResult(tools=[listing, *map(_tool, verbs.values())])

    async def call_tool(_: Any, request: types.CallToolRequestParams) -> types.CallToolResult:
        given = dict(request.arguments or {})
        try:
            if request.name == _LIST:
                return _text(json.dumps(_models(jobs.zoo, given.get("kind"))))
            if request.name not in verbs:
                raise SettingsError(f"tool {request.name!r:.60} is unknown; there are {', '.join((_LIST, *verbs))}")
            verb = verbs[request.name]
            given = {name: _decoded(value) if name in verb.pictures else value for name, value in given.items()}
            job = jobs.submit(verb.name, **given)
            return await _answer(job)
        except Exception as error:
            return types.CallToolResult(content=[_plain(message_for_users(error))], is_error=True)

    return Server(
        "ganart-zoo",
        version=ganart_zoo.__version__,
        instructions="Restyles photos and paints pictures. Ask for list_models first: each tool takes a model.",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def _answer(job: Job) -> types.CallToolResult:
    try:
        await job
    except asyncio.CancelledError:
        job.cancel()
        raise
    pictures = job.pictures()[:_MOST_PICTURES]
    encoded = await asyncio.to_thread(lambda: [base64.b64encode(one.encoded()).decode() for one in pictures])
    images = [types.ImageContent(type="image", data=data, mime_type="image/png") for data in encoded]
    return types.CallToolResult(content=[*images, _plain(f"{len(images)} pictures, {job.state}")])


def _tool(verb: Verb) -> types.Tool:
    schema = json.loads(json.dumps(verb.arguments.model_json_schema()))
    for name in FORBIDDEN:
        schema["properties"].pop(name, None)
    _each(schema, _as_base64)
    return types.Tool(name=verb.name, description=verb.summary, input_schema=schema)


def _each(schema: Any, change: Callable[[dict[str, Any]], None]) -> None:
    if isinstance(schema, dict):
        change(schema)
        for inner in schema.values():
            _each(inner, change)
    elif isinstance(schema, list):
        for inner in schema:
            _each(inner, change)


def _as_base64(schema: dict[str, Any]) -> None:
    if schema.get("format") == "ganart-picture":
        schema.pop("format")
        schema["contentEncoding"] = "base64"
        schema["description"] = "A picture, as base64 of a PNG, JPEG or WebP file."


def _decoded(value: Any) -> Any:
    """Return pictures as bytes, wherever they are in the value of an argument."""
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    if isinstance(value, Mapping):
        parts = ("image", "region", "source_region")
        return {name: _decoded(each) if name in parts else each for name, each in value.items()}
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value.partition("base64,")[2] or value, validate=True)
    except (binascii.Error, ValueError):
        raise SettingsError("a picture is not valid base64; give the bytes of a PNG, JPEG or WebP file") from None


def _models(zoo: Zoo, kind: Any) -> list[dict[str, Any]]:
    keys = ("name", "kind", "summary", "capabilities", "license")
    found = []
    for model in zoo.describe()["models"]:
        if kind in (None, model["kind"]):
            options = {n: s for n, s in model["settings"]["properties"].items() if s["x-ganart-role"] == "option"}
            found.append({**{key: model[key] for key in keys}, "settings": options})
    return found


def _plain(text: str) -> types.TextContent:
    return types.TextContent(type="text", text=text)


def _text(text: str) -> types.CallToolResult:
    return types.CallToolResult(content=[_plain(text)])


def main() -> None:
    """Serve on standard input and output until the client leaves."""
    from mcp.server.stdio import stdio_server

    async def serve() -> None:
        with Jobs(Zoo(), untrusted=UntrustedPolicy()) as jobs:
            made = server(jobs)
            async with stdio_server() as (read, write):
                await made.run(read, write, made.create_initialization_options())

    try:
        asyncio.run(serve())
    except GanartError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
