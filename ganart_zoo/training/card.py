"""The card of a finished run: what it is, what it learned from, for how long, and how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["RUN_CONTENTS", "model_card"]

RUN_CONTENTS = """\
`generator.safetensors` holds the moving average of the generator's weights, `critic.safetensors` the critic's;
`config.json` says how both are built. Grids of samples over time are in `samples/`.

```sh
ganart sample . -n 16 -o grid.png
```
"""
"""The end of a card: what lies in the run's folder, and how to use it there."""


def model_card(
    record: Mapping[str, Any],
    step: int,
    seconds: float,
    losses: Mapping[str, float],
    best: Mapping[str, float] | None,
    skipped: int,
) -> str:
    """Return the card as Markdown.

    Args:
        record: What `config.json` holds.
        step: The step whose averaged weights were kept.
        seconds: Time trained.
        losses: The last ones logged.
        best: `step` and `value` of the best measurement, where there was one.
        skipped: Pictures that could not be read.
    """
    training, data = record["training"], record["data"]
    parts = record.get("parts", {})
    rows = [
        ("Generator", _part(parts, "generator")),
        ("Critic", _part(parts, "critic")),
        ("Data", f"`{Path(data['path']).name}`, {data['holds']}, {skipped} pictures unreadable"),
        ("Told", ", ".join(record["conditions"]) or "nothing"),
        ("Steps", f"{training['steps']} of {training['batch']} pictures; the weights are those of step {step}"),
        ("Time", f"{seconds / 60:.1f} minutes"),
        ("Loss", training["loss"]),
        ("Seed", str(training["seed"])),
        ("Best measurement", _measured(best, record.get("metric"))),
        ("Last losses", ", ".join(f"{name} {value:.4g}" for name, value in losses.items())),
        ("Licence", "fill in: that of the data allows what?"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"""# A generator trained with ganart-zoo

| | |
|---|---|
{table}

{RUN_CONTENTS}"""


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
