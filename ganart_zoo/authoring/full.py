"""The half of `ganart check` that builds models: the conformance kit, in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from ganart_zoo.authoring.rules import Finding
from ganart_zoo.authoring.static import child_environment
from ganart_zoo.authoring.target import Target

__all__ = ["full_findings"]


def full_findings(target: Target) -> tuple[list[Finding], list[str]]:
    """Return what the conformance kit finds, and notes on what could not be checked here.

    Every model and recipe gets small inputs that are derived from its declaration. A crash becomes a finding.
    """
    with tempfile.TemporaryDirectory(prefix="ganart-kit-") as name:
        folder = Path(name)
        (folder / "request").write_text(json.dumps({"name": target.name}), encoding="utf-8")
        command = [sys.executable, "-m", "ganart_zoo.testing.whole", str(folder / "request"), str(folder / "answer")]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=child_environment(target),
        )
        if (folder / "answer").is_file():
            found = json.loads((folder / "answer").read_text(encoding="utf-8"))
            findings = [Finding(rule, seen, where) for rule, where, seen in found if rule != "note"]
            return findings, [f"{where}: {seen}" for rule, where, seen in found if rule == "note"]
    last = (done.stderr.strip().splitlines() or [""])[-1]
    how = f"signal {signal.Signals(-done.returncode).name}" if done.returncode < 0 else f"exit code {done.returncode}"
    return [Finding("kit-call", f"the kit's process ended with {how}{f': {last}' if last else ''}", target.name)], []
