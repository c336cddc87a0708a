"""What stands between the network and the routes: hosts, origins, the token, limits, time, and headers of answers.

All of it is one layer of plain ASGI, so that it holds for every route, for events as well as for pictures.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from ganart_zoo.service.http.settings import ServeSettings, is_loopback

__all__ = ["Gate"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
]
_CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_MINUTE = 60.0
_CLIENTS = 10_000
"""Clients whose requests are counted; those not seen for longest are forgotten first."""


class _RefusedError(Exception):
    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers


class Gate:
    """Lets through what `settings` allow, and answers everything else itself.

    Every refusal is JSON, `{"error": {"type": "refused", "message": ...}}`, with one line that says why.
    """

    def __init__(self, app: App, settings: ServeSettings) -> None:
        self._app, self._settings = app, settings
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no route speaks WebSocket
            await send({"type": "websocket.close", "code": 1008})
            return
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
                if scope["path"].startswith("/api/"):
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        try:
            limit = self._check(scope)
            await self._app(scope, _Limited(receive, limit, self._settings.patience), answer)
        except _RefusedError as refused:
            if not started:
                await _refuse(answer, refused)

    def _check(self, scope: MutableMapping[str, Any]) -> int:
        """Return how many bytes the body may have.

        Raises:
            _RefusedError: The request is not let through.
        """
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise _RefusedError(421, "the Host header names another server; use the address that the server printed")
        changes = scope["method"] in _CHANGES
        origin = headers.get("origin")
        if changes and origin is not None and urlsplit(origin).netloc != host:
            raise _RefusedError(403, "the request comes from a page of another site, which this server does not allow")
        if changes and headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise _RefusedError(403, "the request comes from a page of another site, which this server does not allow")
        if not scope["path"].startswith(("/api/", "/metrics")):
            return 0
        client = (scope.get("client") or ("unknown", 0))[0]
        self._count(client)
        if self._settings.token is not None:
            scheme, _, token = headers.get("authorization", "").partition(" ")
            right = hmac.compare_digest(token.strip().encode(), self._settings.token.encode())
            if scheme.lower() != "bearer" or not right:
                raise _RefusedError(
                    401, "this server needs the token that it printed, as Authorization: Bearer TOKEN",
                    **{"www-authenticate": "Bearer"},
                )  # fmt: skip
        uploads = scope["path"].rstrip("/").endswith("/uploads")
        limit = self._settings.upload_bytes if uploads else self._settings.request_bytes
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > limit:
            raise _RefusedError(413, f"the body has {length[:20]} bytes, at most {limit} are accepted")
        return limit

    def _is_ours(self, host: str) -> bool:
        """Return whether a Host header names this server; a page that rebinds its own name cannot pass."""
        name = urlsplit(f"//{host}").hostname or ""
        return is_loopback(name) or name in (self._settings.host, *self._settings.names)

    def _count(self, client: str) -> None:
        now = time.monotonic()
        begun, count = self._seen.pop(client, (now, 0))
        if now - begun >= _MINUTE:
            begun, count = now, 0
        self._seen[client] = (begun, count + 1)
        if len(self._seen) > _CLIENTS:
            self._seen.popitem(last=False)
        if count >= self._settings.rate:
            left = max(1, round(begun + _MINUTE - now))
            raise _RefusedError(
                429, f"more than {self._settings.rate} requests in a minute; try again in {left} s",
                **{"retry-after": str(left)},
            )  # fmt: skip


class _Limited:
    """Receives a body up to a number of bytes, within a number of seconds."""

    def __init__(self, receive: Receive, limit: int, patience: float) -> None:
        self._receive, self._limit, self._patience = receive, limit, patience
        self._begun, self._bytes, self._whole = time.monotonic(), 0, False

    async def __call__(self) -> Message:
        if self._whole:  # what follows is the end of the connection, for which events wait without a limit
            return await self._receive()
        left = self._patience + self._bytes / 65536 - (time.monotonic() - self._begun)
        try:
            message = await asyncio.wait_for(self._receive(), max(0.01, left))
        except (TimeoutError, asyncio.TimeoutError):
            raise _RefusedError(408, f"the request was not complete after {self._patience:g} s") from None
        if message["type"] == "http.request":
            self._bytes += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self._bytes > self._limit and self._bytes:
                raise _RefusedError(413, f"the body is larger than the {self._limit} bytes that are accepted")
        return message


async def _refuse(send: Send, refused: _RefusedError) -> None:
    body = json.dumps({"error": {"type": "refused", "message": refused.message}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in refused.headers.items()]
    headers.append((b"connection", b"close"))  # what is left of the body is not read
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
