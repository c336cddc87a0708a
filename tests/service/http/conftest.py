"""A server of the tiny plugins, and a client of it that stays within one process."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("prometheus_client", reason="needs the extra serve")

SITE = Path(__file__).parents[2] / "tasks" / "site"
if str(SITE) not in sys.path:
    sys.path.insert(0, str(SITE))

import ganart_shapes  # noqa: E402
import ganart_tiny  # noqa: E402
import ganart_wishes  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402

from ganart_zoo import Zoo  # noqa: E402
from ganart_zoo.service import Jobs  # noqa: E402
from ganart_zoo.service.http import ServeSettings, create_app  # noqa: E402

HOME = "http://127.0.0.1:8000"


def png(width: int = 40, height: int = 30, seed: int = 0) -> bytes:
    """Return noise as a PNG file."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


class Client(TestClient):
    """A client that knows how to send a picture and wait for a job."""

    jobs: Jobs
    """What runs the work of its server."""

    def picture(self, data: bytes | None = None) -> str:
        """Upload a picture and return its id."""
        answer = self.post("/api/v1/uploads", content=data or png(), headers={"content-type": "image/png"})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def run(self, verb: str, **request: Any) -> dict[str, Any]:
        """Submit a job, wait for its end and return it."""
        answer = self.post("/api/v1/jobs", json={"verb": verb, "request": request})
        assert answer.status_code == 202, answer.text
        job = answer.json()["id"]
        assert self.get(f"/api/v1/jobs/{job}/events").status_code == 200  # lasts as long as the job
        ended: dict[str, Any] = self.get(f"/api/v1/jobs/{job}").json()
        return ended


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Client]]:
    """Return a function that starts a server with some settings and returns a client of it."""
    opened: list[Any] = []

    def start(**settings: Any) -> Client:
        plugins = settings.pop("plugins", [ganart_tiny, ganart_shapes, ganart_wishes])
        folder = tmp_path / "served"
        folder.mkdir(exist_ok=True)
        jobs = Jobs(Zoo(plugins=plugins), folder / "jobs")
        client = Client(create_app(jobs, ServeSettings(folder=folder, **settings)), HOME, raise_server_exceptions=False)
        client.jobs = jobs
        opened.append(jobs)
        return client

    yield start
    for jobs in opened:
        jobs.close()


@pytest.fixture
def client(serve: Callable[..., Client]) -> Client:
    """A client of a server with the usual settings."""
    return serve()
