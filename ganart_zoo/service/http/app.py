"""The routes: models, uploads, jobs with their events and pictures, health, figures, and the page.

    from ganart_zoo import Zoo
    from ganart_zoo.service import Jobs
    from ganart_zoo.service.http import ServeSettings, create_app

    with Jobs(Zoo()) as jobs:
        app = create_app(jobs, ServeSettings(folder=Path("served")))

The result is an ordinary ASGI application.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Body, FastAPI, Header, Query, Request, Response
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from ganart_zoo.contract.errors import GanartError, ImageError, SettingsError, UnknownModelError
from ganart_zoo.service import Job, JobEvent, Jobs, message_for_users
from ganart_zoo.service.http.desk import Desk, QueueFullError
from ganart_zoo.service.http.metrics import Metrics
from ganart_zoo.service.http.remake import remake_of
from ganart_zoo.service.http.requests import REQUESTS, JobRequest
from ganart_zoo.service.http.security import Gate
from ganart_zoo.service.http.settings import ServeSettings
from ganart_zoo.service.http.uploads import ID

__all__ = ["create_app"]

_log = logging.getLogger("ganart_zoo")

_PAGE = files("ganart_zoo.service") / "page"
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_API = "/api/v1"
_HEARTBEAT = 10.0
"""Seconds of silence after which a comment keeps the connection of events alive."""

JobId: TypeAlias = Annotated[str, InPath(pattern=r"^[0-9a-f]{8,64}$")]


class Failure(BaseModel):
    """What every refusal looks like."""

    type: str = Field(description="The kind of error.")
    message: str = Field(description="What is wrong, with which value, and what was expected, in one line.")


class Refusal(BaseModel):
    """The body of every answer that is not a success."""

    error: Failure


class UploadAnswer(BaseModel):
    """A picture that is kept."""

    id: str = Field(description="The SHA-256 of its bytes.")
    width: int
    height: int
    remake: dict[str, Any] | None = Field(description="The request that makes it again, where it has a record.")


class PictureAnswer(BaseModel):
    """One picture of a job."""

    label: str


class JobAnswer(BaseModel):
    """A job."""

    id: str
    verb: str
    state: str
    request: dict[str, Any]
    created: float = Field(description="Unix time.")
    seconds: float | None = Field(description="How long it ran.")
    position: int | None = Field(description="Jobs that run before it.")
    error: str | None = Field(description="Why it failed or stopped.")
    pictures: list[PictureAnswer]


class JobsAnswer(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobAnswer]


_REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"model": Refusal} for code in (400, 401, 403, 404, 408, 409, 413, 415, 421, 422, 429, 503)
}


def create_app(jobs: Jobs, settings: ServeSettings) -> FastAPI:
    """Return the application.

    Args:
        jobs: Runs the work; its zoo has the models. The caller closes it.
        settings: What is allowed.

    Raises:
        GanartError: A model that the settings allow is not installed, or the folder cannot be created.
    """
    desk, metrics = Desk(jobs, settings), Metrics(jobs)
    app = FastAPI(
        title="ganart",
        version=version("ganart-zoo"),
        summary="Machine-made art: restyle, dream, paint and explore.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    app.include_router(_api(desk), prefix=_API, responses=_REFUSALS)
    app.include_router(_page())
    _operation(app, jobs, metrics)
    _errors(app, settings)
    app.add_middleware(_Timed, metrics=metrics)
    app.add_middleware(Gate, settings=settings)
    return app


def _api(desk: Desk) -> APIRouter:
    api = APIRouter()

    @api.get("/describe", summary="Models, verbs and limits")
    def describe() -> dict[str, Any]:
        return {
            "version": 1,
            "release": version("ganart-zoo"),
            "models": desk.catalogue.describe(),
            "verbs": {name: request.model_json_schema() for name, request in REQUESTS.items()},
            "limits": desk.limits(),
        }

    @api.post(
        "/uploads",
        status_code=201,
        summary="Keep a picture",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    async def upload(request: Request) -> UploadAnswer:
        kind = request.headers.get("content-type", "")
        if not kind.startswith("image/"):
            raise HTTPException(
                415, f"content-type is {kind[:60]!r}, expected image/png, image/jpeg or another picture"
            )
        kept = await run_in_threadpool(desk.uploads.add, await request.body())
        remake = await run_in_threadpool(remake_of, kept, desk.uploads, desk.catalogue.kinds)
        return UploadAnswer(id=kept.id, width=kept.width, height=kept.height, remake=remake)

    @api.get("/uploads/{upload}/styled", response_class=Response, summary="A small picture in a learned style")
    def styled(
        upload: Annotated[str, InPath(pattern=ID)],
        model: Annotated[str, Query(max_length=100)],
        style: Annotated[str, Query(max_length=100)],
        size: Annotated[int, Query(ge=32, le=192)] = 128,
    ) -> Response:
        return Response(desk.styled(upload, model, style, size), media_type="image/jpeg")

    @api.post("/jobs", status_code=202, summary="Submit a job")
    def submit(
        job: Annotated[JobRequest, Body()],
        idempotency_key: Annotated[str | None, Header(max_length=100)] = None,
    ) -> JobAnswer:
        return _answer(desk, desk.submit(job.verb, job.request, job.priority, key=idempotency_key))

    @api.get("/jobs", summary="Jobs, the newest first")
    def listed(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> JobsAnswer:
        return JobsAnswer(jobs=[_answer(desk, job) for job in reversed(desk.jobs.list()[-limit:])])

    @api.get("/jobs/{job}", summary="One job")
    def one(job: JobId) -> JobAnswer:
        return _answer(desk, desk.job(job))

    @api.post("/jobs/{job}/cancel", summary="Stop a job, queued or running")
    def cancel(job: JobId) -> JobAnswer:
        found = desk.job(job)
        found.cancel()
        return _answer(desk, found)

    @api.delete("/jobs/{job}", status_code=204, summary="Forget a job that has ended, with its pictures")
    def forget(job: JobId) -> None:
        desk.forget(job)

    @api.get("/jobs/{job}/pictures/{number}", response_class=Response, summary="A picture, as PNG with its record")
    def picture(job: JobId, number: Annotated[int, InPath(ge=0, lt=100_000)]) -> Response:
        return Response(
            desk.picture(job, number),
            media_type="image/png",
            headers={"content-disposition": f'inline; filename="ganart-{job[:8]}-{number}.png"'},
        )

    @api.get(
        "/jobs/{job}/events",
        response_class=StreamingResponse,
        summary="Steps, previews and the end of a job, as server-sent events",
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def events(
        job: JobId, last_event_id: Annotated[str | None, Header(pattern=r"^\d{1,12}$")] = None
    ) -> StreamingResponse:
        found = desk.job(job)
        return StreamingResponse(_events(found, int(last_event_id or 0)), media_type="text/event-stream")

    return api


def _page() -> APIRouter:
    page = APIRouter(include_in_schema=False)
    served = {one.name: one for one in _PAGE.iterdir() if Path(one.name).suffix in _TYPES}

    def send(name: str) -> Response:
        kind = _TYPES[Path(name).suffix]
        return Response(
            served[name].read_bytes(), media_type=f"{kind}; charset=utf-8", headers={"cache-control": "no-cache"}
        )

    @page.get("/")
    def index() -> Response:
        return send("index.html")

    @page.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in served:  # the table has every name that exists, so no path is ever put together
            raise HTTPException(404, "there is no such file")
        return send(name)

    return page


def _operation(app: FastAPI, jobs: Jobs, metrics: Metrics) -> None:
    @app.get("/health", summary="Whether the server answers")
    def health() -> dict[str, Any]:
        return {"status": "ok", "running": len(jobs.list("running")), "queued": len(jobs.list("queued"))}

    @app.get("/metrics", response_class=Response, summary="Figures in Prometheus' format")
    def figures() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _answer(desk: Desk, job: Job) -> JobAnswer:
    seconds = None if job.started is None else (job.ended or time.time()) - job.started
    return JobAnswer(
        id=job.id,
        verb=job.task,
        state=job.state,
        request=dict(desk.request_of(job)),
        created=job.created,
        seconds=seconds,
        position=desk.jobs.place(job),
        error=_reason(job),
        pictures=[PictureAnswer(label=label) for label in desk.labels(job)],
    )


async def _events(job: Job, after: int) -> AsyncIterator[bytes]:
    """Yield the events of a job, in the form that browsers read; the last is `end`."""
    source = job.events(after=after)
    if job.done and not job.events_after(after):
        yield _sent("end", job.last_event, {"state": job.state, "error": _reason(job)})
        return
    while True:
        waiting = asyncio.ensure_future(source.__anext__())
        try:
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=_HEARTBEAT)
                if not waiting.done():
                    yield b": still here\n\n"
            event = waiting.result()
        except StopAsyncIteration:
            return
        finally:
            waiting.cancel()
        if event.state in ("finished", "stopped", "failed"):
            yield _sent("end", event, {"state": event.state, "error": _reason(job)})
            return
        if event.preview is not None:
            yield _sent("preview", event, {"image": await run_in_threadpool(_data_url, event)})
        data = {key: value for key, value in event.to_json().items() if key not in ("preview", "message", "number")}
        yield _sent("step" if event.step else "state", event, data)


def _sent(kind: str, event: JobEvent, data: dict[str, Any]) -> bytes:
    text = json.dumps(data, allow_nan=False, default=str)
    return f"id: {event.number}\nevent: {kind}\ndata: {text}\n\n".encode()


def _data_url(event: JobEvent) -> str:
    stream = io.BytesIO()
    assert event.preview is not None
    event.preview.save(stream, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


_UPLOADS = re.compile(r"\b[0-9a-f]{64}\b")


def _said(error: BaseException) -> str:
    """Return what an error says, without what only this machine knows; uploads are "the picture"."""
    return _UPLOADS.sub("the picture", message_for_users(error))


def _reason(job: Job) -> str | None:
    return (job.reason if job.error is None else _said(job.error)) or None


def _errors(app: FastAPI, settings: ServeSettings) -> None:
    def refuse(status: int, kind: str, message: str, **headers: str) -> JSONResponse:
        return JSONResponse({"error": {"type": kind, "message": message}}, status, headers)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        return refuse(error.status_code, "refused", str(error.detail), **(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path", "header"))
        return refuse(422, "SettingsError", f"{where or 'the body'}: {first['msg']}")

    @app.exception_handler(KeyError)
    async def unknown(request: Request, error: KeyError) -> Response:
        return refuse(404, "refused", "there is no such job; it was deleted, or never submitted")

    @app.exception_handler(QueueFullError)
    async def full(request: Request, error: QueueFullError) -> Response:
        return refuse(503, "refused", _said(error), **{"retry-after": "10"})

    @app.exception_handler(GanartError)
    async def ours(request: Request, error: GanartError) -> Response:
        told = isinstance(error, (SettingsError, ImageError, UnknownModelError))
        return refuse(422 if told else 500, type(error).__name__, _said(error))

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> Response:
        _log.exception("a request failed")
        return refuse(500, "internal", "the server failed at this request; its log says why")


class _Timed:
    """Counts each request and measures the time to its first byte, by the route's pattern."""

    def __init__(self, app: Any, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(
        self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()

        async def measured(message: Any) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                if scope["path"].startswith(_API) and not route.startswith(_API) and route != "other":
                    route = _API + route  # the route knows only its part of the path
                self._metrics.requests.labels(scope["method"], route, message["status"]).inc()
                self._metrics.seconds.labels(route).observe(time.perf_counter() - started)
            await send(message)

        await self._app(scope, receive, measured)
