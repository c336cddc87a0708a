"""Restyles a photo by a server of `ganart serve`, with the standard library alone.

ganart serve
python examples/serve_client.py http://127.0.0.1:8000 photo.jpg painting.jpg out.png
"""

from __future__ import annotations

import json
import mimetypes
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Client:
    """A server, by its address; the token is needed where the server asks for one."""

    def __init__(self, address: str, token: str | None = None) -> None:
        self._root = f"{address.rstrip('/')}/api/v1"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def _open(self, path: str, data: bytes | None = None, kind: str = "application/json") -> Any:
        request = urllib.request.Request(f"{self._root}/{path}", data, {**self._headers, "Content-Type": kind})
        try:
            return urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            raise SystemExit(json.load(error)["error"]["message"]) from None

    def upload(self, path: str) -> str:
        """Send a picture and return its id."""
        kind = mimetypes.guess_type(path)[0] or "image/png"
        return str(json.load(self._open("uploads", Path(path).read_bytes(), kind))["id"])

    def submit(self, verb: str, **request: Any) -> str:
        """Submit a job and return its id."""
        return str(json.load(self._open("jobs", json.dumps({"verb": verb, "request": request}).encode()))["id"])

    def events(self, job: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the job's events until it ends."""
        kind = ""
        for line in self._open(f"jobs/{job}/events"):
            text = line.decode().rstrip("\n")
            if text.startswith("event: "):
                kind = text.removeprefix("event: ")
            elif text.startswith("data: "):
                yield kind, json.loads(text.removeprefix("data: "))

    def picture(self, job: str) -> bytes:
        """Return the job's first picture, a PNG with its record."""
        return bytes(self._open(f"jobs/{job}/pictures/0").read())


def main(address: str, photo: str, painting: str, output: str, *options: str) -> None:
    """Restyle `photo` in the style of `painting`; options are settings, such as `steps=20`."""
    client = Client(address)
    settings = {name: json.loads(value) for name, value in (option.split("=", 1) for option in options)}
    content, style = client.upload(photo), client.upload(painting)
    job = client.submit("stylize", content=content, styles=[{"image": style}], settings=settings)
    for kind, data in client.events(job):
        if kind == "step":
            print(f"step {data['step']} of {data['total']}", end="\r")
        elif kind == "end" and data["state"] != "finished":
            raise SystemExit(data["error"])
    Path(output).write_bytes(client.picture(job))
    print(f"\n{output}")


if __name__ == "__main__":
    main(*sys.argv[1:])
