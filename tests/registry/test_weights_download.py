"""Fetching declared weights over a real local connection: everything a network, a mirror or a disk can do wrong."""

from __future__ import annotations

import hashlib
import http.client
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from ganart_zoo.contract.errors import OfflineError, WeightsError
from ganart_zoo.contract.spec import WeightsFile
from ganart_zoo.registry.weights import WeightsStore

BODY = bytes(range(256)) * 2000  # half a megabyte: several blocks
SHA256 = hashlib.sha256(BODY).hexdigest()


def declare(*urls: str, size: int | None = len(BODY)) -> WeightsFile:
    return WeightsFile(urls=urls, sha256=SHA256, size=size)


@pytest.fixture
def store(tmp_path: Path) -> WeightsStore:
    return WeightsStore(tmp_path / "home", offline=False)


def leftovers(store: WeightsStore) -> list[str]:
    """What a finished or failed fetch keeps besides the file: only locks are allowed."""
    return sorted(path.name for path in (store.home / "downloads").iterdir() if path.suffix != ".lock")


def test_fetch_stores_the_bytes_under_their_hash_with_a_readable_name(store: WeightsStore, server: Any) -> None:
    file = declare(server.serve("/pub/vgg%2019.safetensors", BODY))
    assert store.locate(file) is None
    path = store.fetch(file)
    assert path == store.path(file) == store.locate(file)
    assert path.read_bytes() == BODY
    assert path.name == "vgg_19.safetensors"
    assert path.parent.name == SHA256
    assert leftovers(store) == []
    store.fetch(file)
    assert len(server.requests) == 1


def test_progress_counts_up_to_the_size(store: WeightsStore, server: Any) -> None:
    calls: list[tuple[int, int | None]] = []
    store.fetch(declare(server.serve("/f", BODY)), progress=lambda done, total: calls.append((done, total)))
    assert calls[0] == (0, len(BODY))
    assert calls[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert len(calls) > 2


def test_same_bytes_declared_elsewhere_are_not_fetched_twice(store: WeightsStore, server: Any) -> None:
    path = store.fetch(declare(server.serve("/a.safetensors", BODY)))
    assert store.fetch(declare(server.url + "/other-name.safetensors")) == path


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "no length"])
def test_a_truncated_body_is_continued_where_it_stopped(store: WeightsStore, server: Any, chunked: bool) -> None:
    url = server.serve("/f", BODY, etag='"v1"', cuts=[200_000], chunked=chunked)
    assert store.fetch(declare(url)).read_bytes() == BODY
    ranges = [headers.get("Range") for headers in server.seen("/f")]
    assert ranges == [None, "bytes=200000-"]


def test_a_body_truncated_every_time_is_an_error_and_nothing_is_installed(store: WeightsStore, server: Any) -> None:
    file = declare(server.serve("/f", BODY, cuts=[1000] * 9))
    with pytest.raises(WeightsError, match=rf"/f: was interrupted after 1000 of {len(BODY)} bytes$"):
        store.fetch(file)
    assert store.locate(file) is None
    assert len(server.requests) == 3


def test_without_length_or_declared_size_the_hash_still_catches_truncation(store: WeightsStore, server: Any) -> None:
    file = declare(server.serve("/f", BODY, cuts=[1000], chunked=True), size=None)
    with pytest.raises(WeightsError, match="expected " + SHA256):
        store.fetch(file)
    assert store.locate(file) is None


def test_wrong_bytes_are_deleted_and_both_hashes_told(store: WeightsStore, server: Any) -> None:
    wrong = BODY[:-1] + b"?"
    file = declare(server.serve("/f", wrong))
    with pytest.raises(WeightsError) as caught:
        store.fetch(file)
    message = str(caught.value)
    assert SHA256 in message
    assert hashlib.sha256(wrong).hexdigest() in message
    assert "\n" not in message
    assert store.locate(file) is None
    assert leftovers(store) == []


@pytest.mark.parametrize(("body", "chunked"), [(BODY + b"more", False), (BODY[:100], False), (BODY + b"more", True)])
def test_a_wrong_size_is_refused(store: WeightsStore, server: Any, body: bytes, chunked: bool) -> None:
    file = declare(server.serve("/f", body, chunked=chunked))
    with pytest.raises(WeightsError, match=f"{len(BODY)}"):
        store.fetch(file)
    assert store.locate(file) is None


def test_the_next_mirror_is_tried_after_each_kind_of_failure(store: WeightsStore, server: Any) -> None:
    urls = (
        server.url + "/absent",
        server.serve("/broken", status=500),
        server.serve("/changed", BODY[::-1]),
        server.serve("/short", BODY, cuts=[9] * 9),
        server.serve("/good", BODY),
    )
    assert store.fetch(declare(*urls)).read_bytes() == BODY


def test_when_all_mirrors_fail_each_is_named_with_its_reason(store: WeightsStore, server: Any) -> None:
    dead = "http://127.0.0.1:1/f"
    file = declare(server.url + "/absent", server.serve("/gone", status=410), dead)
    with pytest.raises(WeightsError) as caught:
        store.fetch(file)
    message = str(caught.value)
    assert f"{server.url}/absent: HTTP 404" in message
    assert f"{server.url}/gone: HTTP 410" in message
    assert f"{dead}: Connection refused" in message
    assert "\n" not in message


def test_redirects_are_followed(store: WeightsStore, server: Any) -> None:
    server.serve("/here", BODY)
    relative = server.serve("/relative", status=302, location="/here")
    file = declare(server.serve("/absolute", status=301, location=relative))
    assert store.fetch(file).read_bytes() == BODY


def test_a_redirect_that_leaves_https_is_refused(
    store: WeightsStore, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = server.serve("/plain", BODY)
    secure = server.serve("/secure", status=302, location=plain).replace("http:", "https:")

    def https_open(self: Any, request: urllib.request.Request) -> Any:  # TLS itself is not what is tested
        return self.do_open(http.client.HTTPConnection, request)

    monkeypatch.setattr(urllib.request.HTTPSHandler, "https_open", https_open)
    with pytest.raises(WeightsError, match=f"redirect to {plain} refused"):
        store.fetch(declare(secure))
    assert server.seen("/plain") == []


@pytest.mark.parametrize("location", ["file:///etc/hostname", "ftp://127.0.0.1/f", "/loop"])
def test_other_redirects_are_refused_in_one_line(store: WeightsStore, server: Any, location: str) -> None:
    file = declare(server.serve("/loop", status=302, location=location))
    with pytest.raises(WeightsError, match="HTTP 302") as caught:
        store.fetch(file)
    assert "\n" not in str(caught.value)


def interrupt(store: WeightsStore, file: WeightsFile) -> Path:
    """Press Ctrl-C half-way through a fetch; return the unfinished file."""

    def progress(done: int, _: int | None) -> None:
        if done > len(BODY) // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.fetch(file, progress=progress)
    assert store.locate(file) is None
    (part,) = (store.home / "downloads").glob("*.part")
    assert BODY.startswith(part.read_bytes())
    return part


def test_an_interrupted_fetch_resumes(store: WeightsStore, server: Any) -> None:
    file = declare(server.serve("/f", BODY, etag='"v1"'))
    have = interrupt(store, file).stat().st_size
    assert have > len(BODY) // 2
    first: list[int] = []
    assert store.fetch(file, progress=lambda done, _: first.append(done)).read_bytes() == BODY
    resumed = server.seen("/f")[1]
    assert resumed["Range"] == f"bytes={have}-"
    assert resumed["If-Range"] == '"v1"'
    assert first[0] == have
    assert leftovers(store) == []


@pytest.mark.parametrize(
    "second",
    [{"etag": '"v2"'}, {"etag": '"v1"', "ranges": False}, {"etag": '"v1"', "wrong_range": True}],
    ids=["file changed", "range ignored", "another range"],
)
def test_a_server_that_cannot_resume_restarts_cleanly(store: WeightsStore, server: Any, second: dict[str, Any]) -> None:
    file = declare(server.serve("/f", BODY[:-9] + b"old bytes", etag='"v1"'))
    interrupt(store, file)
    server.serve("/f", BODY, **second)
    assert store.fetch(file).read_bytes() == BODY
    assert "Range" in server.seen("/f")[1]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_validator_the_file_is_fetched_anew(
    store: WeightsStore, server: Any, etag: str | None
) -> None:
    file = declare(server.serve("/f", BODY, etag=etag))
    interrupt(store, file)
    store.fetch(file)
    assert [headers.get("Range") for headers in server.seen("/f")] == [None, None]


def test_a_part_longer_than_the_file_is_thrown_away(store: WeightsStore, server: Any) -> None:
    file = declare(server.serve("/f", BODY, etag='"v1"'))
    part = interrupt(store, file)
    part.write_bytes(BODY + b"junk")
    assert store.fetch(file).read_bytes() == BODY


def test_a_part_of_one_mirror_is_not_continued_from_another(store: WeightsStore, server: Any) -> None:
    interrupt(store, declare(server.serve("/a", BODY[:-9] + b"old bytes", etag='"v1"')))
    assert store.fetch(declare(server.serve("/b", BODY, etag='"v1"'))).read_bytes() == BODY
    assert server.seen("/b")[0]["Range"] is None


FETCH = """
import sys
from pathlib import Path
from ganart_zoo.contract.spec import WeightsFile
from ganart_zoo.registry.weights import WeightsStore

def progress(done, total, told=[]):
    if done and not told:
        told.append(print("bytes arrive", flush=True))

home, url, sha256 = sys.argv[1:]
print(WeightsStore(Path(home), offline=False).fetch(WeightsFile(urls=url, sha256=sha256), progress=progress))
"""


def test_two_processes_fetch_one_file_once_and_both_see_it_arrive(store: WeightsStore, server: Any) -> None:
    gate = threading.Event()
    url = server.serve("/f", BODY, gate=gate)
    command = [sys.executable, "-c", FETCH, str(store.home), url, SHA256]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for process in processes:  # half of the file is out, and both know
            assert process.stdout
            assert process.stdout.readline() == "bytes arrive\n"
        gate.set()
        outputs = [process.communicate(timeout=30)[0] for process in processes]
    finally:
        gate.set()
        for process in processes:
            process.kill()
            process.communicate()
    path = store.path(declare(url))
    assert outputs == [f"{path}\n"] * 2
    assert path.read_bytes() == BODY
    assert len(server.requests) == 1


def test_a_killed_fetch_neither_blocks_nor_spoils_the_next(store: WeightsStore, server: Any) -> None:
    gate = threading.Event()
    url = server.serve("/f", BODY, etag='"v1"', gate=gate)
    command = [sys.executable, "-c", FETCH, str(store.home), url, SHA256]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "bytes arrive\n"
        process.kill()
    gate.set()
    assert store.fetch(declare(url)).read_bytes() == BODY
    assert "Range" in server.seen("/f")[1]


def test_file_urls_are_copied_and_verified_even_offline(tmp_path: Path) -> None:
    source = tmp_path / "pub" / "net.safetensors"
    source.parent.mkdir()
    source.write_bytes(BODY)
    store = WeightsStore(tmp_path / "home", offline=True)
    path = store.fetch(declare("https://127.0.0.1:1/net", source.as_uri()))
    source.write_bytes(b"changed later")
    assert path.read_bytes() == BODY


def test_a_missing_file_url_says_so(store: WeightsStore, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="No such file"):
        store.fetch(declare((tmp_path / "absent").as_uri()))


def test_offline_refuses_and_asks_nobody(server: Any, tmp_path: Path) -> None:
    file = declare(server.serve("/f", BODY))
    store = WeightsStore(tmp_path, offline=True)
    with pytest.raises(OfflineError, match="GANART_OFFLINE") as caught:
        store.fetch(file)
    assert str(store.path(file)) in str(caught.value)
    assert server.requests == []
    WeightsStore(tmp_path, offline=False).fetch(file)
    assert store.fetch(file) == store.path(file)


def test_a_damaged_file_is_found_by_verify_and_repaired_by_fetch(store: WeightsStore, server: Any) -> None:
    file = declare(server.serve("/f", BODY))
    assert store.verify(file) == "missing"
    path = store.fetch(file)
    assert store.verify(file) == "ok"
    path.write_bytes(BODY[:-1] + b"?")
    assert store.verify(file) == "damaged"
    assert store.fetch(file).read_bytes() == BODY
    assert store.verify(file) == "ok"


def test_a_damaged_file_does_not_survive_a_failed_repair(store: WeightsStore, server: Any) -> None:
    file = declare(server.serve("/f", BODY))
    store.fetch(file).write_bytes(b"damaged")
    del server.pages["/f"]
    with pytest.raises(WeightsError, match="404"):
        store.fetch(file)
    assert store.verify(file) == "missing"


def test_a_store_that_cannot_be_written_says_where_and_what_to_do(server: Any, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where a folder should be")
    with pytest.raises(WeightsError, match=r"cannot store .*home.*GANART_HOME"):
        WeightsStore(tmp_path / "home", offline=False).fetch(declare(server.serve("/f", BODY)))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_clear_line(store: WeightsStore, server: Any) -> None:
    file = declare(server.serve("/f", BODY))
    (store.home / "downloads").mkdir(parents=True)
    (store.home / "downloads" / f"{SHA256}.part").symlink_to("/dev/full")
    with pytest.raises(WeightsError, match="No space left on device; set GANART_HOME") as caught:
        store.fetch(file)
    assert "\n" not in str(caught.value)
    assert store.locate(file) is None
