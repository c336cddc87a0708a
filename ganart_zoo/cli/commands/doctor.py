"""`ganart doctor`: what is installed, what is broken and why, and which kernels run."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib import metadata
from typing import Any

import click

import ganart_zoo
from ganart_zoo import native
from ganart_zoo.cli.group import pass_zoo, plugin_commands
from ganart_zoo.cli.options import json_option
from ganart_zoo.cli.show import BROKEN, emit_json, table
from ganart_zoo.contract.errors import ModelError, count_of
from ganart_zoo.registry import Zoo

__all__ = ["command"]

_SLOW = 0.1
"""Seconds. A plugin that takes longer to import delays every command."""

_DEPENDENCIES = ("torch", "numpy", "pillow", "pydantic", "pluggy", "safetensors", "click", "rich")


@click.command("doctor")
@click.option("--ops", "with_ops", is_flag=True, help="Load torch, in a separate process, and show which kernels run.")
@json_option
@pass_zoo
def command(zoo: Zoo, with_ops: bool, as_json: bool) -> None:
    """Show versions, plugins, and what is broken.

    All that a plugin declares is checked: factories, settings, and the models that its models use. Exit code 1 if
    anything is broken.
    """
    zoo.check()
    plugin_commands(zoo)  # this reports the faults of plugins' commands
    report = _report(zoo)
    report["ops"] = _ops_report() if with_ops else None
    if as_json:
        emit_json(report)
    else:
        _print(report)
    if zoo.faults:
        click.get_current_context().exit(BROKEN)


def _report(zoo: Zoo) -> dict[str, Any]:
    built = native.ops_library() is not None
    return {
        "versions": {
            "ganart-zoo": ganart_zoo.__version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            **{name: _version(name) for name in _DEPENDENCIES},
        },
        "kernels": {"built": built, "reason": "" if built else native.why_not_built()},
        "plugins": [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "models": [entry.spec.name for entry in zoo.list(plugin=plugin.distribution)],
                "import_seconds": round(plugin.import_seconds, 4),
                "slow": plugin.import_seconds > _SLOW,
                "heavy": list(plugin.heavy),
                "isolated": None if plugin.isolation is None else str(plugin.isolation),
            }
            for plugin in zoo.plugins
        ],
        "disabled": list(zoo.disabled),
        "faults": [
            {
                "plugin": fault.plugin,
                "distribution": fault.distribution,
                "stage": fault.stage,
                "model": fault.model,
                "cause": fault.cause,
                "traceback": fault.traceback,
            }
            for fault in zoo.faults
        ],
    }


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _ops_report() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "ganart_zoo.cli.ops_report"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise ModelError(f"the ops cannot be loaded: {last}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _print(report: dict[str, Any]) -> None:
    for name, version in report["versions"].items():
        click.echo(f"{name:12}{version or 'not installed'}")
    reason = report["kernels"]["reason"]
    click.echo(f"{'kernels':12}{f'not built: {reason}' if reason else 'built'}")
    if report["plugins"]:
        click.echo()
        table(
            ("plugin", "version", "import", "models"),
            [
                (
                    plugin["distribution"],
                    plugin["version"],
                    _import_time(plugin),
                    ", ".join(plugin["models"]),
                )
                for plugin in report["plugins"]
            ],
        )
    for plugin in report["plugins"]:
        if plugin["isolated"]:
            click.echo(f"\n{plugin['distribution']} runs in a process of its own, for inference: {plugin['isolated']}")
    if report["disabled"]:
        click.echo(f"\ndisabled by GANART_DISABLE_PLUGINS: {', '.join(report['disabled'])}")
    if report["ops"]:
        _print_ops(report["ops"])
    click.echo()
    if not report["faults"]:
        click.echo("no faults")
        return
    click.secho(count_of(len(report["faults"]), "fault"), bold=True)
    table(
        ("plugin", "stage", "model", "cause"),
        [(fault["distribution"], fault["stage"], fault["model"] or "", fault["cause"]) for fault in report["faults"]],
    )


def _import_time(plugin: dict[str, Any]) -> str:
    slow = ", slow" if plugin["slow"] else ""
    why = f": imports {', '.join(plugin['heavy'])}" if plugin["heavy"] else ""
    return f"{plugin['import_seconds'] * 1e3:.0f} ms{slow}{why}"


def _print_ops(report: dict[str, Any]) -> None:
    click.echo()
    for name, value in report["facts"].items():
        click.echo(f"  {name:14}{value}")
    table(
        ("op", "device", "runs as", "why"),
        [(one["op"], one["device"], one["implementation"], one["reason"]) for one in report["status"]],
    )
    for module, cause in report["failed"].items():
        click.echo(f"  the ops of {module} are not listed: {cause}")
