"""The fixture `server`: a web server on 127.0.0.1 that misbehaves on request: cuts off, forgets ranges, redirects."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Page:
    """What one path answers."""

    body: bytes = b""
    status: int = 200
    etag: str | None = None
    ranges: bool = True
    """Honour Range (and If-Range)."""
    wrong_range: bool = False
    """Answer a Range request with another range than was asked for."""
    cuts: list[int] = field(default_factory=list)
    """The next responses close after so many bytes; later ones are whole."""
    chunked: bool = False
    """State no length."""
    location: str | None = None
    gate: threading.Event | None = None
    """Send the second half only once this is set."""


class WeightsServer:
    """Pages by path, and every request seen so far."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.pages: dict[str, Page] = {}
        self.requests: list[tuple[str, Message]] = []

    def serve(self, path: str, body: bytes = b"", **settings: object) -> str:
        """Answer `path` so, and return its URL."""
        self.pages[path] = Page(body, **settings)  # type: ignore[arg-type]
        return self.url + path

    def seen(self, path: str) -> list[Message]:
        """The headers of each request for `path`."""
        return [headers for asked, headers in self.requests if asked == path]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WeightsServer]:
    """A server for one test; what it serves is fetched without any proxy."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            served.requests.append((self.path, self.headers))
            self.close_connection = True
            with suppress(ConnectionError):  # a client that was interrupted
                _answer(self, served.pages.get(self.path, Page(b"no such page", status=404)))

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = WeightsServer(http.server_port)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def _answer(handler: BaseHTTPRequestHandler, page: Page) -> None:
    status, body, start = page.status, page.body, 0
    asked = handler.headers.get("Range")
    if asked and page.ranges and handler.headers.get("If-Range", page.etag) == page.etag:
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(body):
            status, body = 416, b""
        else:
            status, start = 206, 0 if page.wrong_range else start
    handler.send_response(status)
    if page.location:
        handler.send_header("Location", page.location)
    if page.etag:
        handler.send_header("ETag", page.etag)
    if status == 206:
        handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
    body = body[start:]
    if not page.chunked:
        handler.send_header("Content-Length", str(len(body)))
    handler.send_header("Connection", "close")
    handler.end_headers()
    if page.cuts:
        body = body[: page.cuts.pop(0)]
    half = len(body) // 2 if page.gate else 0
    handler.wfile.write(body[:half])
    if page.gate:
        page.gate.wait(20)
    handler.wfile.write(body[half:])
