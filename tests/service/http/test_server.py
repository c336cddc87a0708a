"""The command `ganart serve` as a process: what it prints, how it ends, and clients that dawdle."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import SITE, png

BUSY = Path(__file__).parents[1] / "site"


def start(folder: Path, *options: str) -> tuple[subprocess.Popen[str], str, int]:
    """Start the command with the tiny plugins; return the process, the host and the port."""
    code = (
        "import sys; import ganart_busy, ganart_tiny, ganart_shapes\n"
        "from ganart_zoo import Zoo\n"
        "from ganart_zoo.cli.commands.serve import command\n"
        "zoo = Zoo(plugins=[ganart_busy, ganart_tiny, ganart_shapes])\n"
        "if __name__ == '__main__': command.main(sys.argv[1:], obj=zoo, prog_name='ganart serve')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--port", "0", "--folder", str(folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (SITE, BUSY)))},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://([\d.]+):(\d+)/", line)
    assert found, (line, process.stderr.read() if process.poll() is not None and process.stderr else "")
    return process, found[1], int(found[2])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """A running server."""
    started = start(tmp_path / "served")
    yield started
    if started[0].poll() is None:
        started[0].kill()
    started[0].wait()
    for stream in (started[0].stdout, started[0].stderr):
        if stream is not None:
            stream.close()


def ask(host: str, port: int, path: str, patience: float = 30.0) -> tuple[int, bytes]:
    """Get a path once the server answers."""
    until = time.monotonic() + patience
    while True:
        connection = http.client.HTTPConnection(host, port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except ConnectionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        finally:
            connection.close()


def test_it_prints_its_address_serves_the_page_and_ends_by_ctrl_c(server) -> None:
    process, host, port = server
    status, page = ask(host, port, "/")
    assert status == 200
    assert b"<title>ganart</title>" in page
    process.send_signal(signal.SIGINT)
    assert process.wait(30) in (0, 130)
    assert "Traceback" not in process.stderr.read()


def test_a_taken_port_is_one_line(server, tmp_path: Path) -> None:
    _, _, port = server
    code = "import sys; from ganart_zoo.cli import main; sys.exit(main())"
    second = subprocess.run(
        [sys.executable, "-c", code, "serve", "--port", str(port), "--folder", str(tmp_path / "other")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 2
    assert "cannot be listened on" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_client_that_never_ends_its_headers_is_disconnected(tmp_path: Path) -> None:
    import threading

    from ganart_zoo import Zoo
    from ganart_zoo.service import Jobs
    from ganart_zoo.service.http import Server, ServeSettings, create_app

    folder = tmp_path / "served"
    folder.mkdir()
    settings = ServeSettings(folder=folder, port=0, patience=0.5)
    with Jobs(Zoo(plugins=[])) as jobs:
        server = Server(create_app(jobs, settings), settings)
        thread = threading.Thread(target=server.run)
        thread.start()
        host, port = re.search(r"http://([\d.]+):(\d+)/", server.address).groups()
        try:
            ask(host, int(port), "/health")
            slow = socket.create_connection((host, int(port)), timeout=30)
            slow.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
            assert slow.recv(100) == b""
            slow.close()
            body = socket.create_connection((host, int(port)), timeout=30)
            body.sendall(
                b"POST /api/v1/uploads HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
                b"Content-Length: 1000\r\n\r\nabc"
            )
            assert body.recv(100).startswith(b"HTTP/1.1 408 ")
            body.close()
        finally:
            server.stop()
            thread.join(30)


def test_the_client_of_the_examples_gets_a_picture(server, tmp_path: Path) -> None:
    _, host, port = server
    (tmp_path / "photo.png").write_bytes(png(seed=1))
    (tmp_path / "painting.png").write_bytes(png(seed=2))
    ask(host, port, "/health")
    code = Path(__file__).parents[3] / "examples" / "serve_client.py"
    ran = subprocess.run(
        [sys.executable, code, f"http://{host}:{port}", "photo.png", "painting.png", "out.png"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    # gatys, the default, is not among the plugins of this server: the client shows the server's words
    assert ran.returncode == 1
    assert "is not one that this server offers" in ran.stderr


class Caller:
    """Calls the API of a server in another process."""

    def __init__(self, host: str, port: int) -> None:
        self._at = (host, port)
        ask(host, port, "/health")

    def call(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> dict:
        connection = http.client.HTTPConnection(*self._at, timeout=30)
        connection.request(method, f"/api/v1/{path}", body or None, {"content-type": kind} if body else {})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        assert answer.status < 400, data
        return json.loads(data)

    def dream(self, photo: str, model: str, **settings: float) -> str:
        asked = {"content": photo, "model": model, "settings": settings}
        return str(self.call("POST", "jobs", json.dumps({"verb": "dream", "request": asked}).encode())["id"])

    def photo(self) -> str:
        return str(self.call("POST", "uploads", png(), "image/png")["id"])

    def ended(self, jobs: list[str]) -> list[dict]:
        until = time.monotonic() + 120
        while True:
            found = [self.call("GET", f"jobs/{one}") for one in jobs]
            if not any(one["state"] in ("queued", "running") for one in found):
                return found
            assert time.monotonic() < until, found
            time.sleep(0.2)


def test_a_crash_ends_one_job_of_a_server_with_processes(tmp_path: Path) -> None:
    process, host, port = start(tmp_path / "served", "--processes", "--seconds", "30")
    try:
        caller = Caller(host, port)
        photo = caller.photo()
        crashed, done = caller.ended([caller.dream(photo, "fatal"), caller.dream(photo, "quick")])
        assert (crashed["state"], done["state"]) == ("failed", "finished")
        assert "died" in crashed["error"]
    finally:
        process.kill()
        process.communicate()


def test_a_killed_server_loses_no_job(tmp_path: Path) -> None:
    process, host, port = start(tmp_path / "served")
    caller = Caller(host, port)
    photo = caller.photo()
    jobs = [caller.dream(photo, "steady", steps=60, pause=0.05) for _ in range(3)]
    until = time.monotonic() + 60
    while caller.call("GET", f"jobs/{jobs[0]}")["state"] != "running" and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    process, host, port = start(tmp_path / "served")
    try:
        ended = Caller(host, port).ended(jobs)
        assert [(one["state"], len(one["pictures"])) for one in ended] == [("finished", 1)] * 3
        assert not list((tmp_path / "served").rglob("*.part*"))
    finally:
        process.kill()
        process.communicate()
