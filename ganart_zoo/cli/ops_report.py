"""Prints JSON for `ganart doctor --ops`, in a separate process since it loads torch."""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ganart_zoo import native, ops
from ganart_zoo.registry import Zoo
from ganart_zoo.registry.discovery import one_line

__all__ = ["load_ops_of_plugins", "op_modules"]


def _facts() -> dict[str, Any]:
    try:
        found = native.introspection()
    except native.NativeBuildError:
        return {}
    return {
        "instructions": found.cpu_isa(),
        "this machine": ", ".join(found.cpu_isa_levels()),
        "CUDA": native.cuda_build(),
        **found.build_facts(),
    }


def load_ops_of_plugins() -> dict[str, str]:
    """Import the plugins' modules that make ops, so that these are registered; return what failed, by module."""
    failed = {}
    for plugin in Zoo().plugins:
        for module in op_modules(plugin.candidate.target):
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    importlib.import_module(module)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a plugin may exit while it is imported
                failed[module] = one_line(error)
    return failed


def op_modules(target: object) -> list[str]:
    """Return the modules of a plugin's package whose source makes a `NativeOp`; nothing is imported."""
    name = getattr(target, "module", None) or getattr(target, "__name__", "")
    package = str(name).partition(".")[0]
    paths = getattr(sys.modules.get(package), "__path__", ())
    found = []
    for root in map(Path, paths):
        for path in sorted(root.rglob("*.py")):
            if b"NativeOp(" in path.read_bytes():
                parts = path.relative_to(root).with_suffix("").parts
                found.append(".".join([package, *(part for part in parts if part != "__init__")]))
    return found


def main() -> None:
    """Print whether kernels are built, from what, and which implementation would run for each op on each device."""
    failed = load_ops_of_plugins()
    status = ops.status()
    built = native.ops_library() is not None
    own = [one for one in status if one.op.startswith("ganart::")]
    fallbacks = [one for one in own if one.implementation != "native"]
    reasons = [one.reason for one in fallbacks] if built else [native.why_not_built()]
    report = {
        "built": built,
        "native": built and not fallbacks,
        "reason": reasons[0] if reasons else "",
        "facts": _facts(),
        "status": [asdict(one) for one in status],
        "failed": failed,
    }
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
