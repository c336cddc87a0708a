"""Sends many requests of every kind, good and bad, to a server of tiny models, and checks each answer.

    python tools/soak.py --requests 10000 --clients 50

What must hold: no answer is a failure of the server, every job that was accepted ends exactly once, a repeated
submission is the same job, and the resident memory stays within 5 % of what it was after the first tenth.
"""

from __future__ import annotations

import argparse
import collections
import gc
import http.client
import io
import json
import logging
import random
import socket
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

SITE = Path(__file__).parents[1] / "tests" / "tasks" / "site"
KINDS = ("job",) * 8 + ("upload", "oversized", "malformed", "slow", "cancelled", "duplicate", "read", "unknown")


def picture(seed: int, side: int = 48) -> bytes:
    """Return noise as PNG."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


class Soak:
    """The clients, and what they found."""

    def __init__(self, host: str, port: int, requests: int, seed: int) -> None:
        self.host, self.port, self.left = host, port, requests
        self.done = 0
        self.problems: list[str] = []
        self.statuses: collections.Counter[tuple[str, int]] = collections.Counter()
        self.jobs: list[str] = []
        self._lock = threading.Lock()
        self._seed = seed

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
        """Send one request and return the status and the JSON of the answer, if it is any."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=120)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, f"/api/v1/{path}", body or None, sent)
            answer = connection.getresponse()
            data = answer.read()
            is_json = (answer.headers.get("content-type") or "").startswith("application/json")
            return answer.status, json.loads(data) if is_json else data
        finally:
            connection.close()

    def submit(self, seed: int, **headers: str) -> tuple[int, Any]:
        """Submit a small job."""
        body = json.dumps({"verb": "sample", "request": {"model": "bands", "n": 1, "seed": seed}}).encode()
        return self.ask("POST", "jobs", body, content_type="application/json", **headers)

    def client(self, number: int) -> None:
        """Send requests until none is left."""
        rng = random.Random(self._seed * 1000 + number)
        while True:
            with self._lock:
                if self.left <= 0:
                    return
                self.left -= 1
            kind = rng.choice(KINDS)
            try:
                self.one(kind, rng)
            except (OSError, http.client.HTTPException, AssertionError, KeyError, ValueError) as error:
                with self._lock:
                    self.problems.append(f"{kind}: {type(error).__name__}: {error}")
            with self._lock:
                self.done += 1

    def one(self, kind: str, rng: random.Random) -> None:
        """Send one request of a kind and check the answer."""
        seed = rng.randrange(1000)
        if kind in ("job", "cancelled", "duplicate"):
            key = {"idempotency_key": f"{rng.random()}"} if kind == "duplicate" else {}
            status, data = self.submit(seed, **key)
            self.expect(kind, status, (202, 503))
            if status == 503:
                return
            with self._lock:
                self.jobs.append(data["id"])
            if kind == "duplicate":
                again, twin = self.submit(seed, **key)
                self.expect(kind, again, (202,))
                assert twin["id"] == data["id"], "a repeated submission was another job"
            if kind == "cancelled":
                self.expect(kind, self.ask("POST", f"jobs/{data['id']}/cancel")[0], (200,))
        elif kind == "upload":
            self.expect(kind, self.ask("POST", "uploads", picture(seed % 50), content_type="image/png")[0], (201,))
        elif kind == "oversized":
            self.expect(kind, self.ask("POST", "jobs", b"x" * 300_000, content_type="application/json")[0], (413,))
        elif kind == "malformed":
            body = rng.choice([b"{", b"[]", b'{"verb":"none"}', b"\xff\xfe", b'{"verb":"sample","request":{"n":-1}}'])
            self.expect(kind, self.ask("POST", "jobs", body, content_type="application/json")[0], (400, 422))
        elif kind == "slow":
            with socket.create_connection((self.host, self.port), timeout=30) as slow:
                slow.sendall(b"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Le")
                time.sleep(0.05)
        elif kind == "read":
            self.expect(kind, self.ask("GET", "jobs?limit=5")[0], (200,))
        else:
            self.expect(kind, self.ask("GET", "jobs/0123456789abcdef")[0], (404,))

    def expect(self, kind: str, status: int, allowed: tuple[int, ...]) -> None:
        """Count a status, and refuse one that is not allowed."""
        with self._lock:
            self.statuses[kind, status] += 1
        assert status in allowed, f"answered {status}, expected {allowed}"


def soak(requests: int, clients: int, seed: int = 0) -> dict[str, Any]:
    """Run the soak and return what was found; `problems` is empty if all held."""
    sys.path.insert(0, str(SITE))
    import ganart_shapes  # type: ignore[import-not-found]  # a package of the tests

    from ganart_zoo import Zoo
    from ganart_zoo.running.memory import resident
    from ganart_zoo.service import Jobs
    from ganart_zoo.service.http import Server, ServeSettings, create_app

    with TemporaryDirectory() as name:
        settings = ServeSettings(folder=Path(name), port=0, rate=10**9, queue=200, connections=500)
        with Jobs(Zoo(plugins=[ganart_shapes]), Path(name) / "jobs") as jobs:
            server = Server(create_app(jobs, settings), settings)
            thread = threading.Thread(target=server.run)
            thread.start()
            host, port = server.address.removeprefix("http://").rstrip("/").split(":")
            until = time.monotonic() + 60
            while time.monotonic() < until:
                try:
                    socket.create_connection((host, int(port)), timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.1)
            started = time.monotonic()
            run = Soak(host, int(port), requests, seed)
            threads = [threading.Thread(target=run.client, args=(number,)) for number in range(clients)]
            for one in threads:
                one.start()
            while run.done < requests // 10 and any(one.is_alive() for one in threads):
                time.sleep(0.05)
            gc.collect()
            warm = resident()
            for one in threads:
                one.join()
            for job in jobs.list():
                job.wait(120)
            ends = collections.Counter(job.state for job in jobs.list())
            missing = set(run.jobs) - {job.id for job in jobs.list()}
            run.problems += [f"job {job} was accepted and is gone" for job in missing]
            run.problems += [
                f"{count} jobs are {state}" for state, count in ends.items() if state in ("queued", "running")
            ]
            if ends["failed"]:
                run.problems.append(f"{ends['failed']} jobs failed")
            gc.collect()
            grown = resident() / warm - 1
            seconds = time.monotonic() - started
            server.stop()
            thread.join(60)
    return {
        "requests": requests,
        "clients": clients,
        "seconds": round(seconds, 1),
        "statuses": {f"{kind} {status}": count for (kind, status), count in sorted(run.statuses.items())},
        "jobs": dict(ends),
        "resident_growth": round(grown, 4),
        "problems": run.problems[:20],
    }


def main() -> None:
    """Run the soak from the command line; the exit code is 1 if something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    logging.getLogger("ganart_zoo").setLevel(logging.ERROR)  # the tiny models have no weights, on purpose
    found = soak(given.requests, given.clients, given.seed)
    print(json.dumps(found, indent=1))
    sys.exit(bool(found["problems"]) or found["resident_growth"] > 0.05)


if __name__ == "__main__":
    main()
