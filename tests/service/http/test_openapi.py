"""Requests that are generated from the OpenAPI description: none makes the server fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import Client

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")
hypothesis = pytest.importorskip("hypothesis")

HOST = {"host": "127.0.0.1:8000"}


@pytest.mark.filterwarnings("default")
def test_what_the_description_allows_never_breaks_the_server(serve: Callable[..., Client]) -> None:
    client = serve(rate=1_000_000, count=4, size=64)
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", client.app, headers=HOST)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {operation.path for operation in operations} >= {"/api/v1/jobs", "/api/v1/uploads", "/health"}
    for operation in operations:
        if operation.path.endswith("/events"):
            continue  # lasts as long as its job; the tests of jobs read it

        @hypothesis.settings(
            max_examples=6,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy())
        def check(case) -> None:
            answer = case.call(headers=HOST)
            assert answer.status_code < 500 or answer.status_code == 503, (case.path, answer.text)

        check()
