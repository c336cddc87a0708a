"""Downloads files: mirrors are tried in order, transfers are resumed and hashed, and files appear complete.

All downloads go through this module. It uses the standard library's client, which respects the user's proxies and
certificates, and adds resuming and the refusal of redirects that leave https.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from ganart_zoo.contract.digest import file_sha256
from ganart_zoo.contract.errors import WeightsError

__all__ = ["Progress", "obtain", "read_json"]

Progress = Callable[[int, "int | None"], None]
"""Called with the number of bytes present and the total (None if it is unknown)."""

_TIMEOUT = 30.0  # seconds without any data
_ATTEMPTS = 3  # per mirror; only an interrupted transfer is tried again, and then resumed
_BLOCK = 1 << 16
_JSON_LIMIT = 16 << 20


class _MirrorError(Exception):
    """One mirror could not deliver the file; its message becomes part of the final error."""


class _BrokenOffError(_MirrorError):
    """The transfer was interrupted and can be tried again."""


def obtain(
    urls: Sequence[str],
    target: Path,
    *,
    part: Path,
    sha256: str | None,
    size: int | None,
    progress: Progress | None = None,
) -> str:
    """Download a file to `target` and return its sha256. The file appears there complete and verified, or not at all.

    If several processes request the same `target`, one downloads it and the others wait. An interruption (Ctrl-C, a
    lost connection, a full disk) leaves `part`, and the next call resumes if the server still has the same file.

    Args:
        urls: Mirrors, tried in order: https, http or file.
        target: The path of the file. An existing file with another hash is deleted.
        part: The unfinished file, on the same filesystem.
        sha256: The expected hash. With None, any content is accepted, and an existing file is trusted.
        size: The expected number of bytes, or None if it is unknown.
        progress: Called while bytes arrive, also if another process downloads them.

    Raises:
        WeightsError: No mirror delivered the right file (the message has the reason for each), or it could not be
            written.
    """
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        with _turn(part, size, progress):
            if digest := _present(target, sha256):  # another process has downloaded it
                return digest
            target.unlink(missing_ok=True)
            digest = _from_mirrors(urls, part, sha256, size, progress)
            part.replace(target)
            _note(part).unlink(missing_ok=True)
            return digest
    except OSError as error:  # errors of mirrors are handled below, so this is the disk
        reason = error.strerror or error
        raise WeightsError(f"cannot store {target}: {reason}; set GANART_HOME to store it elsewhere") from error


def read_json(url: str) -> Any:
    """Return the JSON document at `url`.

    Raises:
        WeightsError: It cannot be downloaded, is not JSON, or is larger than 16 MiB.
    """
    try:
        with _open(urllib.request.Request(url)) as response:
            body = response.read(_JSON_LIMIT + 1)
        if len(body) > _JSON_LIMIT:
            raise WeightsError(f"{url}: more than {_JSON_LIMIT} bytes of JSON")
        return json.loads(body)
    except (_MirrorError, OSError, HTTPException, ValueError) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise WeightsError(f"{url}: {_reason(error)}") from error


def _present(target: Path, sha256: str | None) -> str | None:
    """Return the sha256 of `target` if it exists and is right."""
    if not target.is_file():
        return None
    digest = file_sha256(target)
    return digest if sha256 in (None, digest) else None


@contextmanager
def _turn(part: Path, size: int | None, progress: Progress | None) -> Iterator[None]:
    """Hold the lock of `part`, and report progress while another process has it. A dead process releases its lock."""
    lock = FileLock(f"{part}.lock")
    while True:
        try:
            lock.acquire(timeout=0.2)
            break
        except Timeout:
            if progress:
                progress(_length(part), size)
    try:
        yield
    finally:
        lock.release()


def _from_mirrors(
    urls: Sequence[str], part: Path, sha256: str | None, size: int | None, progress: Progress | None
) -> str:
    failures: list[str] = []
    for url in urls:
        try:
            return _from_mirror(url, part, sha256, size, progress)
        except _MirrorError as failure:
            failures.append(f"{url}: {failure}")
    raise WeightsError(f"could not fetch {'; '.join(failures)}")


def _from_mirror(url: str, part: Path, sha256: str | None, size: int | None, progress: Progress | None) -> str:
    """Download `part` from one mirror, in several attempts if needed, and return its sha256."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _transfer(url, part, size, progress)
            break
        except _BrokenOffError:
            if attempt == _ATTEMPTS:
                raise
    digest = file_sha256(part)
    if sha256 not in (None, digest):
        _discard(part)
        raise _MirrorError(f"sha256 is {digest}, expected {sha256}; deleted")
    return digest


def _transfer(url: str, part: Path, size: int | None, progress: Progress | None) -> None:
    """Stream one response into `part`, after the bytes already there if the server still has the same file."""
    request = urllib.request.Request(url)
    offset, validator = _length(part), _validator(part, url)
    if offset and validator:
        request.add_header("Range", f"bytes={offset}-")
        request.add_header("If-Range", validator)
    else:
        offset = 0
    try:
        response = _open(request)
    except HTTPError as error:
        error.close()
        if error.code == 416 and offset:  # the bytes here are not the beginning of the file
            _discard(part)
            raise _BrokenOffError("the server cannot resume") from error
        raise _MirrorError(_reason(error)) from error
    with response:
        status = getattr(response, "status", None) or 200  # file:// has no status
        if status == 206 and not (offset and _starts_at(response.headers, offset)):
            _discard(part)
            raise _BrokenOffError("the server sent another range than the one requested")
        if status not in (200, 206):
            raise _MirrorError(f"HTTP {status}, expected 200")
        start = offset if status == 206 else 0
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        if size is not None and total not in (None, size):
            raise _MirrorError(f"serves {total} bytes, expected {size}")
        with part.open("ab" if start else "wb") as out:
            if not start:  # the old bytes are gone, so the note can now describe the new ones
                _write_note(part, url, response.headers)
            _copy(response, out, start, total if total is not None else size, progress)
            out.flush()
            os.fsync(out.fileno())  # the bytes must be on disk before the file is renamed


def _copy(response: Any, out: IO[bytes], start: int, total: int | None, progress: Progress | None) -> None:
    done = start
    if progress:
        progress(done, total)
    while block := _read(response):
        done += len(block)
        if total is not None and done > total:
            raise _MirrorError(f"sends more than the {total} bytes expected")
        out.write(block)
        if progress:
            progress(done, total)
    if total is not None and done < total:
        raise _BrokenOffError(f"was interrupted after {done} of {total} bytes")


def _read(response: Any) -> bytes:
    try:
        return bytes(response.read(_BLOCK))
    except (OSError, HTTPException) as error:
        raise _BrokenOffError(f"was interrupted: {_reason(error)}") from error


def _open(request: urllib.request.Request) -> Any:
    request.add_header("User-Agent", "ganart-zoo")  # some hosts reject the default name
    try:
        return urllib.request.build_opener(_SafeRedirects).open(request, timeout=_TIMEOUT)
    except HTTPError:
        raise
    except (OSError, HTTPException, ValueError) as error:
        raise _MirrorError(_reason(error)) from error


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not from https to http, and not from http to another scheme."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and not (scheme == "http" and req.type == "http"):
            raise HTTPError(req.full_url, code, f"redirect to {newurl} refused: it leaves {req.type}", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _reason(error: Exception) -> str:
    """Return one line about a network failure, without the wrapping that urllib adds."""
    if isinstance(error, HTTPError):
        text = f"HTTP {error.code} {error.reason}"
    else:
        cause = error.reason if isinstance(error, URLError) else error
        text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return text.splitlines()[0]


def _starts_at(headers: Message, offset: int) -> bool:
    return str(headers.get("Content-Range", "")).startswith(f"bytes {offset}-")


def _length(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _note(part: Path) -> Path:
    """Return the path of the file beside `part` that records the source of its bytes."""
    return part.with_name(f"{part.name}.json")


def _write_note(part: Path, url: str, headers: Message) -> None:
    etag = headers.get("ETag", "")
    # a weak tag does not guarantee equal bytes, so HTTP does not allow it in If-Range
    validator = etag if etag.startswith('"') else headers.get("Last-Modified")
    _note(part).write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")


def _validator(part: Path, url: str) -> str | None:
    """Return what the server must confirm before `part` is resumed from `url`, or None to start again."""
    try:
        note = json.loads(_note(part).read_text(encoding="utf-8"))
        return note["validator"] if note["url"] == url else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)
