"""The static half of `ganart check`: metadata, files, source, and what the entry module does and declares."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ganart_zoo
from ganart_zoo.authoring.code import code_findings
from ganart_zoo.authoring.declarations import declaration_findings
from ganart_zoo.authoring.metadata import file_findings, metadata_findings
from ganart_zoo.authoring.rules import Finding
from ganart_zoo.authoring.target import Target

__all__ = ["child_environment", "static_findings"]

_PATIENCE = 60
"""Seconds that an entry module may take before it counts as hanging."""
_SLOW = 0.1
"""Seconds of CPU time: a plugin that takes longer to import delays every command."""
_SEEN = {
    "network": "entry-network",
    "process": "entry-process",
    "writes": "entry-writes",
    "prints": "entry-prints",
    "state": "entry-state",
}
_VERBS = {"network": "it used", "process": "it started", "writes": "it", "prints": "it printed", "state": "it changed"}


def static_findings(target: Target, *, online: bool = False) -> list[Finding]:
    """Return what is wrong with a distribution, without importing anything heavy.

    Its entry module and settings are imported in a process of their own.

    Args:
        target: From `open_target`.
        online: Whether to ask the servers of published weights for their files.
    """
    found = [*metadata_findings(target), *file_findings(target), *code_findings(target)]
    if not target.points:
        return found
    answer = _probe(target)
    if isinstance(answer, Finding):
        return [*found, answer]
    fault = answer["fault"]
    if fault is not None and fault["stage"] != "api":  # that is the rule api-range
        found.append(Finding("entry-fails", f"{fault['stage']}: {fault['cause']}", target.module))
    if answer["heavy"]:
        answer["seen"].pop("state", None)  # which those packages change, not the plugin
    for what, rule in _SEEN.items():
        if said := answer["seen"].get(what):
            found.append(Finding(rule, f"{_VERBS[what]} {', '.join(said)}", target.module))
    if answer["heavy"]:
        seconds = f", which takes {answer['seconds']:.1f} s" if answer["seconds"] > _SLOW else ""
        found.append(Finding("entry-imports", f"it imports {', '.join(answer['heavy'])}{seconds}", target.module))
    elif answer["seconds"] > _SLOW:
        said = f"importing it takes {answer['seconds']:.2f} s of processor time, expected at most {_SLOW} s"
        found.append(Finding("entry-slow", said, target.module))
    return [*found, *declaration_findings(target, answer, online=online)]


def child_environment(target: Target) -> dict[str, str]:
    """Return the environment of a process that is to find the target as if it were installed."""
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([*target.path, *([inherited] if inherited else [])])
    kept = {name: value for name, value in os.environ.items() if name != "GANART_DISABLE_PLUGINS"}
    return {**kept, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def _probe(target: Target) -> dict[str, Any] | Finding:
    with tempfile.TemporaryDirectory(prefix="ganart-probe-") as name:
        folder = Path(name)
        request: Mapping[str, Any] = {
            "name": target.name,
            "version": target.version,
            "requires": target.requires,
            "points": target.points,
            "api": ganart_zoo.__version__,
            "path": target.path,
        }
        (folder / "request").write_text(json.dumps(request), encoding="utf-8")
        command = [sys.executable, "-m", "ganart_zoo.authoring.probe", str(folder / "request"), str(folder / "answer")]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=child_environment(target),
        )
        try:
            errors = process.communicate(timeout=_PATIENCE)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return Finding("entry-fails", f"importing it did not end within {_PATIENCE} s", target.module)
        answer = folder / "answer"
        if answer.is_file():
            found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
            return found
        return Finding("entry-fails", _ended(process.returncode, errors), target.module)


def _ended(code: int, errors: str) -> str:
    last = (errors.strip().splitlines() or [""])[-1]
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"importing it ended the process with {how}{f': {last}' if last else ''}"
