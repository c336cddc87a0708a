"""`check`: everything that is wrong with a plugin, as findings."""

from __future__ import annotations

from dataclasses import dataclass

from ganart_zoo.authoring.rules import Finding
from ganart_zoo.authoring.static import static_findings
from ganart_zoo.authoring.target import open_target

__all__ = ["Checked", "check"]


@dataclass(frozen=True)
class Checked:
    """What was looked at, and what is wrong with it."""

    distribution: str
    version: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    """What could not be checked on this machine, and why."""


def check(target: str, *, full: bool = False, online: bool = False) -> Checked:
    """Look at an installed distribution, a source tree or a wheel.

    Args:
        target: The distribution's name, a folder with a `pyproject.toml`, or a `.whl` file.
        full: Whether to create every model, and hold models and recipes to the conformance kit.
        online: Whether to ask the servers of published weights for their files.

    Raises:
        GanartError: It cannot be looked at.
    """
    with open_target(target) as found:
        findings = static_findings(found, online=online)
        notes: list[str] = []
        if full and not any(finding.rule in ("entry-point", "entry-fails") for finding in findings):
            from ganart_zoo.authoring.full import full_findings

            more, notes = full_findings(found)
            findings += more
        return Checked(found.name, found.version, tuple(dict.fromkeys(findings)), tuple(notes))
