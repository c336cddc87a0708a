"""The card of a finished run: what it is, what it learned from, for how long, and how to use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

__all__ = ["LICENCE_TO_FILL_IN", "model_card", "without_run_contents"]

LICENCE_TO_FILL_IN = "(fill in: the licence that your training data allows)"

_USAGE = {
    "generator": "ganart sample . -n 16 -o grid.png",
    "critic": "ganart rank . pictures/",
    "style_transfer": "ganart stylize photo.jpg -m . -o painting.png",
}


def model_card(
    record: Mapping[str, Any],
    step: int,
    seconds: float,
    losses: Mapping[str, float],
    best: Mapping[str, float] | None,
    skipped: int,
    *,
    kind: str = "generator",
    roles: Sequence[str] = ("generator", "critic"),
    rows: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the card as Markdown.

    Args:
        record: What `config.json` holds.
        step: The step whose averaged weights were kept.
        seconds: Time trained.
        losses: The last ones logged.
        best: `step` and `value` of the best measurement, where there was one.
        skipped: Pictures that could not be read.
        kind: The kind of the main network.
        roles: Of all networks, the main one first.
        rows: What the recipe adds to the table.
    """
    training, data = record["training"], record["data"]
    parts = record.get("parts", {})
    shown = [
        *((role.capitalize(), _part(parts, role)) for role in roles),
        ("Data", f"`{Path(data['path']).name}`, {data['holds']}, {skipped} pictures unreadable"),
        ("Conditions", ", ".join(record["conditions"]) or "none"),
        ("Steps", f"{training['steps']} of {training['batch']} pictures; the weights are those of step {step}"),
        ("Time", f"{seconds / 60:.1f} minutes"),
        *rows.items(),
        ("Seed", str(training["seed"])),
        ("Best measurement", _measured(best, record.get("metric"))),
        ("Last losses", ", ".join(f"{name} {value:.4g}" for name, value in losses.items())),
        ("Licence", LICENCE_TO_FILL_IN),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in shown)
    return f"""# A {kind.replace("_", " ")} trained with ganart-zoo

| | |
|---|---|
{table}

{_run_contents(kind, roles)}"""


def _run_contents(kind: str, roles: Sequence[str]) -> str:
    """Return the end of a card: what lies in the run's folder, and how to use it there.

    Args:
        kind: That of the main network.
        roles: All, the main one first.
    """
    main, *others = roles
    rest = "".join(f", `{role}.safetensors` the {role}'s" for role in others)
    usage = _USAGE.get(kind)
    example = f"\n\n```sh\n{usage}\n```" if usage else ""
    return f"""\
{_contents_start(main)}{rest};
`config.json` says how they are built. Grids of samples over time are in `samples/`.{example}
"""


def without_run_contents(card: str, main: str) -> str:
    """Return a card without its end, which tells what lies in the run's folder; `main` is the main network's role."""
    return card.partition(_contents_start(main))[0].rstrip()


def _contents_start(main: str) -> str:
    return f"`{main}.safetensors` holds the moving average of the {main}'s weights"


def _measured(best: Mapping[str, float] | None, metric: Mapping[str, Any] | None) -> str:
    if not best:
        return "not measured"
    value = f"{best['value']:.6g} at step {best['step']}"
    if metric is None:
        return value
    on = metric["features"]
    return (
        f"{metric['name']} {value}; {metric['samples']} pictures from seed {metric['seed']}, "
        f"{on['backbone']} {on['layer']} at {on['side']} px"
    )


def _part(parts: Mapping[str, Any], name: str) -> str:
    part = parts.get(name)
    return f"{part['model']} {part['version']}" if part else "built by hand"
