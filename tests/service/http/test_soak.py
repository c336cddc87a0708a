"""A short soak: requests of every kind from several clients at once; `make soak` sends many more."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")


def test_every_request_is_answered_and_every_job_ends_once() -> None:
    path = Path(__file__).parents[3] / "tools" / "soak.py"
    spec = importlib.util.spec_from_file_location("soak", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.soak(requests=150, clients=10)
    assert found["problems"] == []
    assert set(found["jobs"]) <= {"finished", "stopped"}
    assert sum(found["statuses"].values()) >= 130  # connections that are broken off have no status
